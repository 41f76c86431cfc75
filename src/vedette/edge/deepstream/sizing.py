"""How often each camera can be detected on, and what that takes of a board: arithmetic on the figures of `targets`.

All frames are decoded; the network sees each (interval + 1)th of every camera. A wish that does not fit is lowered to
what does, and the README says so; pictures that cannot even be decoded are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from vedette.contracts.bundle import Precision
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.targets import Target

MUXER_BUFFERS = 4  # streammux' own default for buffer-pool-size
MUXER_MEMORY_SHARE = 0.1  # of the board's memory; above that the muxer scales the cameras down
SMALL_MEMORY_MB = 4096
OTHER_INPUTS = ((416, 416), (416, 256), (320, 320), (320, 192))


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a board. `network_gflop`: of one picture, an addition and a multiplication
    counted as two; None where the board was measured."""

    cameras: int
    camera_size_px: tuple[int, int]
    camera_fps: float
    codec: str
    network_gflop: float | None
    network_size_px: tuple[int, int]
    wanted_fps: float | None  # detections a second of each camera; None: as many as fit
    precision: Precision = Precision.FP16


@dataclass(frozen=True, slots=True)
class Sizing:
    """What was chosen. `is_wish_met`: detections are as frequent as was asked."""

    interval: int
    detections_fps: float
    inferences_s: float
    most_inferences_s: float
    decode_load: float
    batch: int
    network_batch: int
    muxer_size_px: tuple[int, int]
    muxer_memory_mb: float
    workspace_mb: int
    is_wish_met: bool


def fit(demand: Demand, target: Target, measured_inferences_s: float | None = None) -> Sizing:
    """Choose interval, batches and sizes; `measured_inferences_s` is the board's own figure, where there is one.

    Raises:
        DeepStreamError: the board cannot decode that many pictures.
    """
    width, height = demand.camera_size_px
    mpixels_s = demand.cameras * width * height * demand.camera_fps / 1e6
    can = target.decode_mpixels_s(demand.codec)
    if mpixels_s > can:
        fitting = int(can // (width * height * demand.camera_fps / 1e6))
        raise DeepStreamError(
            f"the {target.title} decodes {can:.0f} Mpixel/s of {demand.codec.upper()}, {demand.cameras} cameras of "
            f"{width}x{height} at {demand.camera_fps:g}/s send {mpixels_s:.0f}: take {fitting}, or let them send "
            "smaller pictures or fewer, and say so with --camera-size and --camera-fps"
        )
    most = measured_inferences_s
    if most is None:
        if demand.network_gflop is None:
            raise DeepStreamError("neither what the network costs nor how many pictures a second it has is known")
        most = inferences_s(target, demand.network_gflop, demand.precision)
    frames_s = demand.cameras * demand.camera_fps
    least_interval = max(ceil(frames_s / most - 1e-9), 1) - 1
    wanted = 0 if demand.wanted_fps is None else max(round(demand.camera_fps / demand.wanted_fps), 1) - 1
    interval = max(least_interval, wanted)
    muxer, memory = _muxer(demand, target)
    return Sizing(
        interval=interval,
        detections_fps=demand.camera_fps / (interval + 1),
        inferences_s=frames_s / (interval + 1),
        most_inferences_s=most,
        decode_load=mpixels_s / can,
        batch=demand.cameras,
        network_batch=min(demand.cameras, 8 if target.memory_mb <= SMALL_MEMORY_MB else 32),
        muxer_size_px=muxer,
        muxer_memory_mb=memory,
        workspace_mb=512 if target.memory_mb <= SMALL_MEMORY_MB else 2048,
        is_wish_met=least_interval <= wanted or demand.wanted_fps is None,
    )


def inferences_s(target: Target, network_gflop: float, precision: Precision) -> float:
    """How many pictures a second a board's network has, by its published figure for FP16.

    FP32 has half of it. INT8 is counted as FP16, which it is no slower than: what it gains depends on the network.
    """
    return target.network_gflops / (2 if precision is Precision.FP32 else 1) / network_gflop


def other_inputs(demand: Demand, sizing: Sizing) -> Sequence[tuple[tuple[int, int], float]]:
    """Detections a second of each camera that the same network would give at other input sizes."""
    width, height = demand.network_size_px
    rows = []
    for size in OTHER_INPUTS:
        most = sizing.most_inferences_s * width * height / (size[0] * size[1])
        rows.append((size, demand.camera_fps / max(ceil(demand.cameras * demand.camera_fps / most - 1e-9), 1)))
    return rows


def _muxer(demand: Demand, target: Target) -> tuple[tuple[int, int], float]:
    """The cameras' own size, or 1280x720 where the buffers of that took too much; NV12 has 1.5 bytes a pixel."""

    def memory_mb(size: tuple[int, int]) -> float:
        return size[0] * size[1] * 1.5 * demand.cameras * MUXER_BUFFERS / 1e6

    width, height = demand.camera_size_px
    size = (width - width % 2, height - height % 2)
    if memory_mb(size) > target.memory_mb * MUXER_MEMORY_SHARE and width > 1280:
        size = (1280, round(1280 * height / width / 2) * 2)
    return size, memory_mb(size)
