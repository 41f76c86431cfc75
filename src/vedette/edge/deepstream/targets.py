"""The boards configurations are rendered for, and what each can carry; every figure with its source.

`decode_mpixels_s` is what the hardware decoder gives for H.264 (H.265 where given). `network_gflops` is what a YOLO
of the Darknet family really gets at FP16, in Darknet's BFLOPs (two a multiply-add) per second; where nobody published
a measurement on the board it is scaled from another network's figure, and `is_estimate` says so in every README.
"""

from dataclasses import dataclass

from vedette.edge.deepstream.errors import DeepStreamError

MPIXELS_1080P30 = 1920 * 1080 * 30 / 1e6  # 62.2
_JKJUNG = "jkjung-avt/tensorrt_demos: yolov3-tiny-416 FP16 end to end"
_STREAMS = "streams of 1080p30 in NVIDIA's DeepStream 7.1 performance table (second-hand)"


@dataclass(frozen=True, slots=True)
class Target:
    """One board. `arch` is that of its libraries; `versions` the DeepStream versions that run on it."""

    name: str
    title: str
    arch: str
    versions: tuple[str, ...]
    memory_mb: int
    decode_mpixels_s_h264: float
    decode_mpixels_s_h265: float
    network_gflops: float
    is_estimate: bool
    has_encoder: bool
    sources: tuple[str, ...]
    has_int8: bool = True  # not before compute capability 6.1; the Nano's is 5.3

    @property
    def is_jetson(self) -> bool:
        return self.arch == "aarch64"

    def decode_mpixels_s(self, codec: str) -> float:
        """What the decoder gives for `h264` or `h265`."""
        return self.decode_mpixels_s_h265 if codec == "h265" else self.decode_mpixels_s_h264


TARGETS = {
    row.name: row
    for row in (
        Target(
            "jetson-nano", "Jetson Nano 4 GB", "aarch64", ("6.0", "6.0.1"), 4096, 500, 500, 142, False, True,
            ("NVIDIA Jetson Nano data sheet: decodes 8 x 1080p30, 500 MP/s", f"{_JKJUNG} 25.5/s x 5.565 BFLOPs"),
            has_int8=False,
        ),
        Target(
            "xavier-nx", "Jetson Xavier NX", "aarch64", ("6.0", "6.0.1", "6.1", "6.1.1", "6.2", "6.3"),
            8192, 16 * MPIXELS_1080P30, 32 * MPIXELS_1080P30, 323, False, True,
            ("NVIDIA Jetson Xavier NX data sheet: decodes 16 x 1080p30 H.264", f"{_JKJUNG} 58/s x 5.565 BFLOPs"),
        ),
        Target(
            "orin-nano", "Jetson Orin Nano", "aarch64", ("6.2", "6.3", "6.4", "7.0", "7.1", "9.1"),
            8192, 8 * MPIXELS_1080P30, 13 * MPIXELS_1080P30, 1800, True, False,
            (f"8 (H.264), 13 (H.265) {_STREAMS}", "PeopleNet: 256/s INT8 here, 10/s FP16 on the Nano; half for FP16"),
        ),
        Target(
            "orin-nx", "Jetson Orin NX 16 GB", "aarch64", ("6.2", "6.3", "6.4", "7.0", "7.1", "9.1"),
            16384, 13 * MPIXELS_1080P30, 16 * MPIXELS_1080P30, 2500, True, True,
            (f"13 (H.264), 16 (H.265) {_STREAMS}", "Orin Nano's figure, by GPU clocks and cores"),
        ),
        Target(
            "agx-orin", "Jetson AGX Orin", "aarch64", ("6.1", "6.1.1", "6.2", "6.3", "6.4", "7.0", "7.1", "9.1"),
            32768, 15 * MPIXELS_1080P30, 37 * MPIXELS_1080P30, 13000, False, True,
            (f"15 (H.264), 37 (H.265) {_STREAMS}", "NVIDIA yolo_deepstream: YOLOv7-640 FP16 124/s x 104.7 BFLOPs"),
        ),
        Target(
            "agx-thor", "Jetson AGX Thor", "aarch64", ("8.0", "9.0", "9.1"),
            131072, 15 * MPIXELS_1080P30, 37 * MPIXELS_1080P30, 13000, True, True,
            ("AGX Orin's figures: none were found for Thor, which is faster",),
        ),
        Target(
            "x86", "PC with an NVIDIA T4 or better", "x86_64",
            ("6.0", "6.0.1", "6.1", "6.1.1", "6.2", "6.3", "6.4", "7.0", "7.1", "8.0", "9.0", "9.1"),
            16384, 31 * MPIXELS_1080P30, 45 * MPIXELS_1080P30, 13000, False, True,
            (f"T4: 31 (H.264), 45 (H.265) {_STREAMS}", "yolo_deepstream: YOLOv7-640 on a T4 125/s x 104.7 BFLOPs"),
        ),
    )
}  # fmt: skip


def find_target(name: str) -> Target:
    """The row of a board.

    Raises:
        DeepStreamError: there is no such board here.
    """
    if name not in TARGETS:
        raise DeepStreamError(f"'{name}' is no target; known are {', '.join(TARGETS)}")
    return TARGETS[name]


def check_version(target: Target, version: str) -> None:
    """Refuse a DeepStream version that does not run on a board.

    Raises:
        DeepStreamError: names those that do.
    """
    if version not in target.versions:
        raise DeepStreamError(
            f"DeepStream {version} does not run on the {target.title}; give --deepstream {', '.join(target.versions)}"
        )
