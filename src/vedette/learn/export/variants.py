"""What variants there are, and how one is settled: made, judged, made again with more layers in higher precision.

`--variants int8` asks for all INT8 forms, one an engine. BF16 is a setting of OpenVINO and has no file. Making is
`quantize_*`'s, judging the caller's (it opens engines); here is the order of steps: while a variant loses more than
allowed, what hurts most is kept in higher precision too, until it loses no more than that, or three steps in
a row bring nothing, or so much is kept that there is no speed left to gain.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vedette.contracts.bundle import EngineName, FileName, Precision
from vedette.contracts.errors import UsageError
from vedette.contracts.ports import Progress
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.errors import VariantError
from vedette.learn.export.quantize_errors import LayerError
from vedette.learn.export.quantize_half import convert_to_half
from vedette.learn.export.quantize_layers import share_of_work
from vedette.learn.export.quantize_openvino import quantize_openvino
from vedette.learn.export.quantize_qdq import QdqStyle, always_kept, quantize_qdq

FP32, BF16, FP16 = "fp32", "bf16", "fp16"
INT8, INT8_QDQ, INT8_SYMMETRIC = "int8", "int8_qdq", "int8_qdq_symmetric"
NAMES = (FP32, BF16, FP16, INT8, INT8_QDQ, INT8_SYMMETRIC)
ASKED = {  # what may stand in --variants -> the variants that it asks for
    **{name: (name,) for name in NAMES},
    INT8: (INT8, INT8_QDQ, INT8_SYMMETRIC),
    "int8_openvino": (INT8,),
}
MOST_KEPT_WORK = 0.5  # above this share of the multiply-adds INT8 gains a quarter at best
STEPS_WITHOUT_GAIN = 3
LEAST_GAIN = 0.0005  # of mAP50
ROUNDING = 1e-9
STEPS_TO_ALL = 20  # a network of 84 layers keeps five more at each step
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class VariantKind:
    """What a variant is before it is made. No file of its own: it runs the FP32 model."""

    name: str
    precision: Precision
    engines: tuple[EngineName, ...]
    file: FileName | None = None
    weights_file: FileName | None = None
    simulated: bool = False  # no engine here runs it: accuracy is simulated on ONNX Runtime, speed is not measured


KINDS = {
    kind.name: kind
    for kind in (
        VariantKind(BF16, Precision.BF16, (EngineName.OPENVINO,)),
        VariantKind(
            FP16, Precision.FP16, (EngineName.OPENVINO, EngineName.TENSORRT), "model_fp16.onnx", simulated=True
        ),
        VariantKind(INT8, Precision.INT8, (EngineName.OPENVINO,), "model_int8.xml", "model_int8.bin"),
        VariantKind(INT8_QDQ, Precision.INT8, (EngineName.ONNXRUNTIME,), "model_int8_qdq.onnx"),
        VariantKind(
            INT8_SYMMETRIC,
            Precision.INT8,
            (EngineName.TENSORRT,),
            "model_int8_qdq_symmetric.onnx",
            simulated=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class VariantModel:
    """A variant's files, and which layers are kept in higher precision."""

    kind: VariantKind
    model: bytes
    ir_weights: bytes | None = None
    kept: tuple[str, ...] = ()

    @property
    def contents(self) -> dict[str, bytes]:
        """The files as the bundle has them; empty for a variant that runs the FP32 model."""
        found = {} if self.kind.file is None else {self.kind.file: self.model}
        if self.kind.weights_file is not None and self.ir_weights is not None:
            found[self.kind.weights_file] = self.ir_weights
        return found


def parse_variants(text: str) -> tuple[str, ...]:
    """The variants of `--variants fp32,int8`, each once, FP32 first.

    Raises:
        UsageError: a name is unknown, or fp32, which the others are measured by, is missing.
    """
    given = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [name for name in given if name not in ASKED]
    if unknown or not given:
        raise UsageError(
            f"--variants {text}: {', '.join(unknown) or 'nothing'} is no variant; there are {', '.join(ASKED)}"
        )
    if FP32 not in given:
        raise UsageError(f"--variants {text}: fp32 must be among them, the others are measured by it")
    wanted = {variant for name in given for variant in ASKED[name]}
    return tuple(name for name in NAMES if name in wanted)


def make_variant(
    kind: VariantKind, fp32: bytes, pictures: CalibrationPictures | None, kept: Sequence[str] = ()
) -> VariantModel:
    """Make a variant of the FP32 model; `kept` are layers to leave in higher precision beside those always left.

    Raises:
        VariantError: it cannot be made.
    """
    if kind.precision is Precision.BF16:
        return VariantModel(kind, fp32)
    if kind.precision is Precision.FP16:
        return VariantModel(kind, convert_to_half(fp32))
    if pictures is None:
        raise VariantError(f"{kind.name} needs pictures to calibrate with")
    if kind.name == INT8:
        xml, weights = quantize_openvino(fp32, pictures, tuple(kept))
        return VariantModel(kind, xml, weights, tuple(kept))
    style = QdqStyle.ONNXRUNTIME if kind.name == INT8_QDQ else QdqStyle.TENSORRT
    everything = (*always_kept(fp32, style), *kept)
    unique = tuple(dict.fromkeys(everything))
    return VariantModel(kind, quantize_qdq(fp32, pictures, style, unique), None, unique)


@dataclass(frozen=True, slots=True)
class Limit:
    """FP32's mAP50 and how much of it a variant may lose, both in 0..1."""

    map50: float
    max_drop: float

    def drop(self, map50: float) -> float:
        """What is lost; negative where the variant is better."""
        return self.map50 - map50

    def allows(self, map50: float) -> bool:
        return self.drop(map50) <= self.max_drop + ROUNDING


def settle(
    make: Callable[[tuple[str, ...]], VariantModel],
    judge: Callable[[VariantModel], float],
    find_errors: Callable[[], Sequence[LayerError]],
    limit: Limit,
    progress: Progress,
) -> VariantModel:
    """Make the variant that loses no more than allowed, with as few layers kept in higher precision as it takes.

    Args:
        make: the variant with these layers kept.
        judge: its mAP50.
        find_errors: the layers, the worst first; called only when the first try loses too much.

    Raises:
        VariantError: no such variant was found; names the layers that hurt.
    """
    variant = make(())
    map50 = judge(variant)
    if limit.allows(map50):
        return variant
    name = variant.kind.name
    errors = find_errors()
    layers = [one.layer for one in errors]
    best, idle, kept = map50, 0, variant.kept
    if variant.kind.precision is Precision.INT8:
        left = [layer.name for layer in layers if layer.name not in kept]
        at_once = math.ceil(len(layers) / STEPS_TO_ALL)
        for start in range(0, len(left), at_once):
            more = left[start : start + at_once]
            kept = (*kept, *more)
            if share_of_work(layers, kept) > MOST_KEPT_WORK:
                break
            lost = f"{limit.drop(map50) * 100:.2f}"
            progress.say(f"{name} loses {lost} mAP50 points: keeping {', '.join(more)} in FP32 as well")
            variant = make(kept)
            map50 = judge(variant)
            if limit.allows(map50):
                return variant
            idle = 0 if map50 > best + LEAST_GAIN else idle + 1
            best = max(best, map50)
            if idle == STEPS_WITHOUT_GAIN:
                break
    raise VariantError(_refusal(name, limit, best, errors, variant.kept))


def _refusal(name: str, limit: Limit, best: float, errors: Sequence[LayerError], kept: tuple[str, ...]) -> str:
    hurting = ", ".join(f"{one.layer.name} {one.error:.3f}" for one in errors[:MOST_NAMED])
    tried = f"; keeping {', '.join(kept)} in FP32 does not help enough" if kept else ""
    return (
        f"variant {name} loses {limit.drop(best) * 100:.2f} mAP50 points of {limit.map50 * 100:.2f}, "
        f"--max-drop allows {limit.max_drop * 100:.2f}. Layers that hurt most, with what each alone does to the boxes: "
        f"{hurting}{tried}. Nothing is written; leave the variant out, calibrate with other pictures, or allow more"
    )
