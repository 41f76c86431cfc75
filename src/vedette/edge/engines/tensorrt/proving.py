"""Whether an engine computes what the model says, asked before it is used for the first time.

Four questions, each with an answer of its own: are its outputs numbers; does it give the same again, and the same to a
picture whatever shares its batch; are its outputs, tensor by tensor and channel by channel, those that ONNX Runtime
computes from the same file, for the golden pictures and a drawn one of all colours; and does it find in the golden
pictures what the reference found. The third sees faults in parts of the network that no golden picture needs; the
fourth sees faults of the file itself.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.bundle_folder import BundleError, OpenBundle, read_golden
from vedette.contracts.bundle import Precision, Variant
from vedette.contracts.frame import Pixels
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine
from vedette.edge.engines.tensorrt.settings import CALIBRATED
from vedette.vision.golden_gate import GoldenCount
from vedette.vision.postprocess import DetectionRules
from vedette.vision.resize import fit, network_pixels

MOST_TOLD = 3


class WrongEngineError(EngineError):
    """An engine was built and does not compute what the model says; it is not kept."""


@dataclass(frozen=True, slots=True)
class HeadTolerance:
    """The root of the mean square by which an output may differ from ONNX Runtime's, over the output's own spread.

    For a channel over at least a quarter of the whole output's spread: some channels hardly move.
    """

    whole: float
    channel: float
    repeat: float


# FP32 differs by the order of additions; FP16 has 11 bits, added up over layers; INT8 rounds at other places. What
# honest builds differ by, and wrong ones, stands in docs/how-to/tensorrt.md
HEAD_TOLERANCES = {
    Precision.FP32: HeadTolerance(0.002, 0.01, 1e-4),
    Precision.FP16: HeadTolerance(0.03, 0.08, 0.01),
    Precision.INT8: HeadTolerance(0.25, 0.50, 0.05),
}
# An FP32 file built in INT8: what the file gives in FP32 says little about the channels
CALIBRATED_TOLERANCE = HeadTolerance(0.8, 2.0, 0.05)


def require_proved(bundle: OpenBundle, variant: Variant, model: bytes, engine: HeadEngine, precision: Precision) -> int:
    """Ask an engine all four questions; gives how many golden detections it reproduced.

    Raises:
        WrongEngineError: an answer is wrong; says which and how.
        BundleError: the bundle has no golden pictures, or they cannot be read.
    """
    golden = read_golden(bundle)
    pictures = [read_picture(bundle, entry.file) for entry in golden.pictures]
    limits = CALIBRATED_TOLERANCE if variant.name == CALIBRATED else HEAD_TOLERANCES[precision]
    faults = head_faults(bundle, model, engine, limits, pictures)
    if not faults:
        rules = DetectionRules.of(bundle.manifest, golden.score, golden.nms_iou)
        detector = PackedDetector(bundle.manifest, engine, rules)
        count = GoldenCount(golden, variant)
        for entry, picture in zip(golden.pictures, pictures, strict=True):
            count.add(entry, detector(picture))
        faults = count.faults()
    if faults:
        more = f"; and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        raise WrongEngineError(
            f"the engine that was built ({engine.description}) is wrong and is not used: "
            f"{'; '.join(faults[:MOST_TOLD])}{more}"
        )
    return sum(len(entry.detections) for entry in golden.pictures)


def read_picture(bundle: OpenBundle, name: str) -> NDArray[np.uint8]:
    """A golden picture, (height, width, 3) BGR.

    Raises:
        BundleError: it is none.
    """
    picture = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise BundleError(f"{bundle.path / name}: is no picture")
    return np.asarray(picture, np.uint8)


def head_faults(
    bundle: OpenBundle, model: bytes, engine: HeadEngine, limits: HeadTolerance, pictures: list[NDArray[np.uint8]]
) -> list[str]:
    """What is wrong with the outputs themselves, in words."""
    manifest = bundle.manifest
    batch = _fitted(bundle, pictures)
    alone = [engine.infer(batch[number : number + 1]) for number in range(len(batch))]
    names = manifest.decode.outputs
    found = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    broken = [name for name, head in zip(names, found, strict=True) if not np.isfinite(head).all()]
    if broken:
        return [f"{name} holds numbers that are none" for name in broken]
    reference = OnnxRuntimeEngine(manifest, model, Precision.FP32, 1)
    expected = _one_by_one(reference, batch, manifest.input.batch)
    faults = []
    for name, mine, theirs in zip(names, found, expected, strict=True):
        if mine.shape != theirs.shape:
            faults.append(f"{name} has the shape {mine.shape[1:]} and should have {theirs.shape[1:]}")
        else:
            faults += _differences(name, mine, theirs, limits)
    if faults:
        return faults
    backwards = engine.infer(batch[::-1])
    for name, mine, again in zip(names, found, backwards, strict=True):
        error = _error(again[::-1], mine, _spread(mine))
        if error > limits.repeat:
            faults.append(f"{name} is another, by {error:.2g} of its spread, when pictures share a batch or come again")
    return faults


def _fitted(bundle: OpenBundle, pictures: list[NDArray[np.uint8]]) -> Pixels:
    """The golden pictures and the drawn one as the network gets them, (n, height, width, 3)."""
    rules = DetectionRules.of(bundle.manifest)
    placing = PackedDetector(bundle.manifest, _NoEngine(), rules)
    pictures = [*pictures, _drawn(bundle.manifest.input.width, bundle.manifest.input.height)]
    placements = [placing.place(picture.shape[1], picture.shape[0]) for picture in pictures]
    fitted = [fit(picture, placement) for picture, placement in zip(pictures, placements, strict=True)]
    return network_pixels(np.stack(fitted), placements, bundle.manifest.input.pad_value)


def _drawn(width_px: int, height_px: int) -> NDArray[np.uint8]:
    """A picture of all colours and brightnesses, large patches and fine grain, always the same; (h, w, 3)."""
    rng = np.random.default_rng(20)
    patches = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    large = cv2.resize(patches, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    grainy = large.astype(np.int32) + rng.integers(-24, 25, large.shape)
    return np.asarray(np.clip(grainy, 0, 255), np.uint8)


class _NoEngine:
    """For a detector that only places pictures."""

    name = version = description = "none"

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        raise EngineError("there is no engine to run")


def _one_by_one(engine: HeadEngine, batch: Pixels, fixed: int | None) -> list[NDArray[np.float32]]:
    alone = [
        [head[:1] for head in engine.infer(np.repeat(batch[number : number + 1], fixed or 1, axis=0))]
        for number in range(len(batch))
    ]
    return [np.concatenate(parts) for parts in zip(*alone, strict=True)]


def _differences(name: str, mine: NDArray[np.float32], theirs: NDArray[np.float32], limits: HeadTolerance) -> list[str]:
    spread = _spread(theirs)
    whole = _error(mine, theirs, spread)
    faults = []
    if whole > limits.whole:
        faults.append(f"{name} differs from ONNX Runtime's by {whole:.2g} of its spread, {limits.whole:g} is allowed")
    if theirs.ndim == 4:
        for channel in range(theirs.shape[1]):
            expected = theirs[:, channel]
            error = _error(mine[:, channel], expected, max(_spread(expected), spread / 4))
            if error > limits.channel:
                faults.append(
                    f"channel {channel} of {name} differs from ONNX Runtime's by {error:.2g} of its spread, "
                    f"{limits.channel:g} is allowed"
                )
    return faults


def _error(mine: NDArray[np.float32], theirs: NDArray[np.float32], spread: float) -> float:
    return float(np.sqrt(np.mean(np.square(mine.astype(np.float64) - theirs)))) / spread


def _spread(values: NDArray[np.float32]) -> float:
    return max(float(values.astype(np.float64).std()), 1e-6)
