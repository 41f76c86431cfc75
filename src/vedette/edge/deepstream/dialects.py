"""What differs between DeepStream versions, as far as configuration is concerned; each row with its sources.

Versions are the names NVIDIA gives them. A box runs the versions of its JetPack: which board runs which is `targets`.
"""

from dataclasses import dataclass

from vedette.edge.deepstream.errors import DeepStreamError

_COMPATIBILITY = "NVIDIA's DeepStream and JetPack release notes, as tabled in marcoslucianops/DeepStream-Yolo README"
_SOURCE_91 = "github.com/NVIDIA/DeepStream at v9.1.0"
_MQTT = "NVIDIA's manual, features of Gst-nvmsgbroker: MQTT adapter since DS 6.3"
TRACKER_LIBRARY = "libnvds_nvmultiobjecttracker.so"  # one library since 6.0; libnvds_mot_{klt,iou}.so until 5.1
INSTALL_FOLDER = "/opt/nvidia/deepstream/deepstream"  # the link that every package sets to its own folder
PARSER_LIBRARY = "libnvds_infer_vedette.so"
PARSER_FUNCTION = "NvDsInferParseVedette"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version. `cuda_jetson` is what the JetPack of that version brings: the parser is built against it.

    `overlay_sink`: a sink of type 5 is nvoverlaysink (Jetson only); later it is nvdrmvideosink.
    """

    version: str
    jetpack: str
    cuda_jetson: str
    tensorrt: str
    mqtt_adaptor: bool
    overlay_sink: bool
    sources: tuple[str, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Compares versions."""
        return version_order(self.version)

    @property
    def tensorrt_major(self) -> int:
        return int(self.tensorrt.partition(".")[0])


DIALECTS = {
    row.version: row
    for row in (
        Dialect("6.0", "4.6", "10.2", "8.0", False, True, (_COMPATIBILITY, _MQTT)),
        Dialect("6.0.1", "4.6.1-4.6.6", "10.2", "8.2", False, True, (_COMPATIBILITY, _MQTT)),
        Dialect("6.1", "5.0.1 DP", "11.4", "8.4", False, False, (_COMPATIBILITY, _MQTT)),
        Dialect("6.1.1", "5.0.2", "11.4", "8.4", False, False, (_COMPATIBILITY, _MQTT)),
        Dialect("6.2", "5.1", "11.4", "8.5", False, False, (_COMPATIBILITY, _MQTT)),
        Dialect("6.3", "5.1.2-5.1.3", "11.4", "8.5", True, False, (_COMPATIBILITY, _MQTT)),
        Dialect("6.4", "6.0 DP", "12.2", "8.6", True, False, (_COMPATIBILITY, _MQTT)),
        Dialect("7.0", "6.0", "12.2", "8.6", True, False, (_COMPATIBILITY, _MQTT)),
        Dialect("7.1", "6.1-6.2", "12.6", "10.3", True, False, (_COMPATIBILITY, _MQTT)),
        Dialect(
            "8.0", "7.0", "13.0", "10.13", True, False, (_COMPATIBILITY, "API reference 8.0: mqtt_protocol_adaptor")
        ),
        Dialect("9.0", "7.1", "13.0", "10.13", True, False, ("github.com/NVIDIA/DeepStream at v9.0.0",)),
        Dialect("9.1", "7.2", "13.2", "10.16", True, False, (_SOURCE_91,)),
    )
}


def version_order(version: str) -> tuple[int, ...]:
    """`6.0.1` as numbers."""
    return tuple(int(part) for part in version.split("."))


def dialect(version: str) -> Dialect:
    """The row of a version.

    Raises:
        DeepStreamError: there is no such version here.
    """
    if version not in DIALECTS:
        raise DeepStreamError(f"DeepStream {version} is not known here; known are {', '.join(DIALECTS)}")
    return DIALECTS[version]
