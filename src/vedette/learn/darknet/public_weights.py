"""Well-known weights that anybody may download: where they lie, with the cfg and names they belong to, and their proof.

A checksum stands here only where somebody else published it, and says who; cfg files and names are pinned by commit
and were summed from that commit. Where no checksum is known the size is (parameters * 4 + header, AlexeyAB's cfg), and
`verify_weights` holds the file against the plan of its cfg in every case: size, finite values, the number of layers.
Nothing here opens a connection; that is `vedette.apps.downloading`. Source: the README files of AlexeyAB/darknet and
hank-ai/darknet, pjreddie.com/darknet/yolo; for sums OpenVINO Open Model Zoo, Emgu CV, Microsoft vcpkg.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.errors import PublicFileError, PublicNameError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights

_COMMIT = "https://raw.githubusercontent.com/AlexeyAB/darknet/59596d7880f6504768df41d6daa586f5cb2b932f"
_ALEXEYAB = "https://github.com/AlexeyAB/darknet/releases/download"
_HANK = "https://github.com/hank-ai/darknet/releases/download/v2.0"
_PJREDDIE = ("https://data.pjreddie.com/files", "https://pjreddie.com/media/files")
_OPENVINO, _EMGU, _VCPKG = "OpenVINO Open Model Zoo", "Emgu CV", "Microsoft vcpkg"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes must sum to, and who says so."""

    algorithm: Literal["sha256", "sha512"]
    digest: str
    stated_by: str


@dataclass(frozen=True, slots=True)
class PublicFile:
    """One file to fetch: `urls` in the order in which they are to be tried."""

    name: str
    urls: tuple[str, ...]
    size_bytes: int | None  # None: two sizes are in circulation
    checksum: Checksum | None

    @property
    def proof(self) -> str:
        """What an unchanged file is known by, in words."""
        if self.checksum is not None:
            return f"{self.checksum.algorithm.upper()} ({self.checksum.stated_by})"
        return "size and structure" if self.size_bytes is not None else "structure"


@dataclass(frozen=True, slots=True)
class PublicNetwork:
    """Weights with the cfg and class names that they belong to."""

    name: str
    about: str
    weights: PublicFile
    cfg: PublicFile
    names: PublicFile
    backbone_layers: int | None = None  # the file holds the first so many layers of the cfg only

    @property
    def files(self) -> tuple[PublicFile, ...]:
        """In the order in which they are to be fetched: small ones first."""
        return (self.cfg, self.names, self.weights)


def find_network(name: str) -> PublicNetwork:
    """The network of a name in `NETWORKS`.

    Raises:
        PublicNameError: there is none.
    """
    found = NETWORKS.get(name)
    if found is None:
        raise PublicNameError(f"no public weights '{name}' are known here; there are {', '.join(NETWORKS)}")
    return found


def verify_file(path: Path, file: PublicFile) -> None:
    """Hold a file's size and checksum, as far as they are known, against the published ones.

    Raises:
        PublicFileError: it is another file, or cannot be read.
    """
    try:
        found_bytes = path.stat().st_size
        if file.size_bytes is not None and found_bytes != file.size_bytes:
            raise PublicFileError(f"{path}: has {found_bytes} bytes, the published {file.name} has {file.size_bytes}")
        if file.checksum is not None:
            _verify_checksum(path, file, file.checksum)
    except OSError as error:
        raise PublicFileError(f"{path}: cannot be read: {error.strerror or error}") from error


def verify_weights(path: Path, network: PublicNetwork, cfg: Path) -> None:
    """Hold weights against their cfg: size, finite values, and of a backbone where it ends.

    Raises:
        DarknetError: the cfg cannot be read, or the weights are not those of a network of its plan.
    """
    layers = network.backbone_layers
    loaded = read_weights(path, plan_network(read_cfg(cfg)), partial=layers is not None)
    if layers is not None and loaded.layers_loaded != layers:
        raise PublicFileError(f"{path}: holds the first {loaded.layers_loaded} layers of {cfg.name}, not {layers}")


def count_parameters(network: PublicNetwork, cfg: Path) -> int:
    """How many float32 values the weights hold.

    Raises:
        DarknetError: the cfg cannot be read.
    """
    layers = plan_network(read_cfg(cfg)).layers
    return sum(layer.params for layer in layers[: network.backbone_layers])


def _verify_checksum(path: Path, file: PublicFile, expected: Checksum) -> None:
    digest = hashlib.new(expected.algorithm)
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != expected.digest:
        raise PublicFileError(
            f"{path}: is not the published {file.name}: its {expected.algorithm.upper()} is {digest.hexdigest()}, "
            f"{expected.stated_by} states {expected.digest}"
        )


def _pinned(path: str, size_bytes: int, sha256: str) -> PublicFile:
    checksum = Checksum("sha256", sha256, "summed from the pinned commit")
    return PublicFile(path.rpartition("/")[2], (f"{_COMMIT}/{path}",), size_bytes, checksum)


def _pjreddie(name: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for folder in _PJREDDIE)


_COCO_NAMES = _pinned("data/coco.names", 625, "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84")
_V3_CFG = _pinned("cfg/yolov3.cfg", 8342, "370c7b08d2350fd105a79af9b106c02217d659cd2a5c1e8319a65fa4ced610fa")
_V4_CFG = _pinned("cfg/yolov4.cfg", 12231, "a6d0f8e5c62cc8378384f75a8159b95fa2964d4162e33351b00ac82e0fc46a34")
_V4_TINY_CFG = _pinned("cfg/yolov4-tiny.cfg", 3231, "f858e3724962eedf3ac44e3b6cb3f0c3d9ed067c306bb831f539c578b924c90e")

_ALL = (
    PublicNetwork(
        "yolov3-tiny",
        "YOLOv3-tiny, COCO, 416",
        PublicFile(
            "yolov3-tiny.weights",
            (f"{_PJREDDIE[0]}/yolov3-tiny.weights", f"{_HANK}/yolov3-tiny.weights"),
            35_434_956,
            Checksum("sha256", "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c", _EMGU),
        ),
        _pinned("cfg/yolov3-tiny.cfg", 1915, "84eb7a675ef87c906019ff5a6e0effe275d175adb75100dcb47f0727917dc2c7"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov3",
        "YOLOv3, COCO, 416",
        PublicFile(
            "yolov3.weights",
            (f"{_PJREDDIE[0]}/yolov3.weights", f"{_HANK}/yolov3.weights"),
            248_007_048,
            Checksum("sha256", "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297", _EMGU),
        ),
        _V3_CFG,
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov3-spp",
        "YOLOv3 with spatial pyramid pooling, COCO, 608",
        PublicFile(
            "yolov3-spp.weights",
            _pjreddie("yolov3-spp.weights"),
            252_209_544,
            Checksum("sha256", "87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4", _EMGU),
        ),
        _pinned("cfg/yolov3-spp.cfg", 8606, "7a4ec2d7427340fb12059f2b0ef76d6fcfcac132cc287cbbf0be5e3abaa856fd"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov4-tiny",
        "YOLOv4-tiny, COCO, 416",
        PublicFile(
            "yolov4-tiny.weights",
            (f"{_ALEXEYAB}/darknet_yolo_v4_pre/yolov4-tiny.weights", f"{_HANK}/yolov4-tiny.weights"),
            24_251_276,
            Checksum("sha256", "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87", _OPENVINO),
        ),
        _V4_TINY_CFG,
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov4",
        "YOLOv4, COCO, 608",
        PublicFile(
            "yolov4.weights",
            (f"{_ALEXEYAB}/darknet_yolo_v3_optimal/yolov4.weights",),
            257_717_640,
            Checksum("sha256", "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562", _OPENVINO),
        ),
        _V4_CFG,
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov4-csp",
        "Scaled YOLOv4, COCO, 512",
        PublicFile("yolov4-csp.weights", (f"{_ALEXEYAB}/darknet_yolo_v4_pre/yolov4-csp.weights",), 211_944_840, None),
        _pinned("cfg/yolov4-csp.cfg", 13476, "768acad80dee117ff72aa5c3912ee6641fc19ee86ffdb5c04bb5d7a64105996f"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov7-tiny",
        "YOLOv7-tiny, COCO, 416",
        PublicFile("yolov7-tiny.weights", (f"{_ALEXEYAB}/yolov4/yolov7-tiny.weights",), 24_967_560, None),
        _pinned("cfg/yolov7-tiny.cfg", 7562, "9fbd49151721a52d23112717c0d66552363c899befb8920a7c6857f4d9d8ba46"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov7",
        "YOLOv7, COCO, 640",
        PublicFile("yolov7.weights", (f"{_ALEXEYAB}/yolov4/yolov7.weights",), 147_898_248, None),
        _pinned("cfg/yolov7.cfg", 10766, "16e66fa7a47b371be3c1f6afb9a8a8bcdad6edf2443b036691868a25f56b0cb2"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov2-tiny",
        "YOLOv2-tiny, COCO, 416",
        PublicFile(
            "yolov2-tiny.weights",
            (f"{_HANK}/yolov2-tiny.weights", *_pjreddie("yolov2-tiny.weights")),
            None,
            Checksum(
                "sha512",
                "f0857a7a02cf4322354d288c9afa0b87321b23082b719bc84ea64e2f3556cc1f"
                "afeb836ee5bf9fb6dcf448839061b93623a067dfde7afa1338636865ea88989a",
                _VCPKG,
            ),
        ),
        _pinned("cfg/yolov2-tiny.cfg", 1488, "58e8f4390c8080a90a40f3b7ec5868ee9ae32519f3c08f57d104e494de04b34d"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "yolov2",
        "YOLOv2, COCO, 416",
        PublicFile(
            "yolov2.weights",
            (f"{_PJREDDIE[0]}/yolov2.weights", f"{_HANK}/yolov2.weights"),
            203_934_260,  # with the header of 16 bytes
            Checksum(
                "sha512",
                "5271da2dd2da915172ddd034c8e894877e7066051f105ae82e25e185a2b4e415"
                "7d2b9514653c23780e87346f2b20df6363018b7e688aba422e2dacf1d2fbf6ab",
                _VCPKG,
            ),
        ),
        _pinned("cfg/yolov2.cfg", 2726, "57d85d77262c840b56ad5418faae4950d9c7727e0192fb70618eeaac26a19817"),
        _COCO_NAMES,
    ),
    PublicNetwork(
        "darknet53.conv.74",
        "backbone of YOLOv3, trained on ImageNet",
        PublicFile(
            "darknet53.conv.74",
            _pjreddie("darknet53.conv.74"),
            162_482_580,
            Checksum(
                "sha512",
                "8983e1c129e2d6e8e3da0cc0781ecb7a07813830ef5a87c24b53100df6a5f23d"
                "b6c6e6a402aec78025a93fe060b75d1958f1b8f7439a04b54a3f19c81e2ae99b",
                _VCPKG,
            ),
        ),
        _V3_CFG,
        _COCO_NAMES,
        backbone_layers=74,
    ),
    PublicNetwork(
        "yolov4-tiny.conv.29",
        "first 29 layers of YOLOv4-tiny",
        PublicFile(
            "yolov4-tiny.conv.29",
            (f"{_ALEXEYAB}/darknet_yolo_v4_pre/yolov4-tiny.conv.29",),
            19_789_716,
            None,  # the one sum that was published is from before yolov4-tiny.weights were replaced
        ),
        _V4_TINY_CFG,
        _COCO_NAMES,
        backbone_layers=29,
    ),
    PublicNetwork(
        "yolov4.conv.137",
        "first 137 layers of YOLOv4",
        PublicFile(
            "yolov4.conv.137",
            (f"{_ALEXEYAB}/darknet_yolo_v3_optimal/yolov4.conv.137",),
            170_038_676,
            Checksum(
                "sha512",
                "d146a61762bf6ef91deb6c627ede475f63b3975fbeeb1ff5e0949470b29be8fc"
                "28ee81280041937e7ded49679276fbabacdb92d02fa246cc622853633fd3d992",
                _VCPKG,
            ),
        ),
        _V4_CFG,
        _COCO_NAMES,
        backbone_layers=137,
    ),
)

NETWORKS = MappingProxyType({network.name: network for network in _ALL})
