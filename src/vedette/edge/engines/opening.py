"""Picks an engine and opens a verified bundle on it. The choice is visible in `engine_description`."""

import importlib.util
import os

from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import BundleManifest, Precision, Variant
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.receipt import Receipt
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.fixed_batch import FixedBatchEngine
from vedette.edge.engines.tensorrt.settings import CALIBRATED, TensorRtSettings
from vedette.vision.postprocess import DetectionRules

AUTO_ORDER = (EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME)
PACK_HINTS = {
    Precision.FP32: "fp32",
    Precision.BF16: "fp32,bf16",
    Precision.FP16: "fp32,fp16",
    Precision.INT8: "fp32,int8 --calibration DATA",
}


def open_detector(
    bundle: OpenBundle,
    engine: EngineChoice = EngineChoice.AUTO,
    precision: Precision = Precision.FP32,
    *,
    score: float | None = None,
    nms_iou: float | None = None,
    max_detections: int | None = None,
    threads: int | None = None,
    tensorrt: TensorRtSettings | None = None,
) -> PackedDetector:
    """Open a bundle on an engine; thresholds left out are the bundle's own, threads all the processors we may use.

    Only TensorRT has settings of its own; it builds an engine, which takes minutes the first time.

    Raises:
        EngineError: when the engine is not installed, lacks the precision, refuses the model, or is wrong.
        BundleError: when the model file changed since the bundle was opened.
    """
    manifest = bundle.manifest
    rules = DetectionRules.of(manifest, score, nms_iou, max_detections)
    chosen, variant = choose_for(manifest, engine, precision, tensorrt)
    if chosen is EngineChoice.TENSORRT:
        return PackedDetector(manifest, open_built_engine(bundle, variant, precision, tensorrt), rules)
    model, *weights = (bundle.read(name) for name in variant.files)
    opened = open_engine(
        manifest, model, chosen, precision, threads=threads, ir_weights=weights[0] if weights else None
    )
    return PackedDetector(manifest, opened, rules)


def open_built_engine(
    bundle: OpenBundle,
    variant: Variant,
    precision: Precision,
    settings: TensorRtSettings | None = None,
    *,
    for_video: bool = False,
) -> HeadEngine:
    """The TensorRT engine of a variant: from the cache, or built and proved, which takes minutes.

    Raises:
        EngineError: it cannot be built here, or is wrong.
        BundleError: the bundle has no golden pictures to prove it.
    """
    from vedette.edge.engines.tensorrt.opening import open_tensorrt

    return open_tensorrt(bundle, variant, precision, settings or TensorRtSettings(), for_video=for_video)


def open_engine(
    manifest: BundleManifest,
    model: bytes,
    engine: EngineChoice = EngineChoice.AUTO,
    precision: Precision = Precision.FP32,
    *,
    threads: int | None = None,
    ir_weights: bytes | None = None,
) -> HeadEngine:
    """Open model bytes on an engine, before there is a bundle or after.

    Args:
        ir_weights: the weights where `model` is the XML of an OpenVINO IR.

    Raises:
        EngineError: when the engine is not installed, lacks the precision, or refuses the model.
    """
    chosen = resolve_engine(engine)
    if chosen is EngineChoice.TENSORRT:
        raise EngineError("TensorRT builds engines from a packed bundle, whose golden pictures prove them")
    count = threads if threads is not None else available_processors()
    opened: HeadEngine
    if chosen is EngineChoice.OPENVINO:
        from vedette.edge.engines.openvino import OpenVinoEngine

        opened = OpenVinoEngine(manifest, model, precision, count, ir_weights=ir_weights)
    else:
        from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine

        opened = OnnxRuntimeEngine(manifest, model, precision, count)
    return opened if manifest.input.batch is None else FixedBatchEngine(opened, manifest.input.batch)


def choose_for(
    manifest: BundleManifest, engine: EngineChoice, precision: Precision, tensorrt: TensorRtSettings | None
) -> tuple[EngineChoice, Variant]:
    """As `choose_variant`; with a calibration cache, TensorRT makes INT8 of the FP32 model where nothing else is INT8.

    Raises:
        EngineError: as `choose_variant`.
    """
    given = tensorrt is not None and tensorrt.calibration is not None
    if given and engine is EngineChoice.TENSORRT and precision is Precision.INT8:
        fp32 = _variant(manifest, engine, Precision.FP32)
        if fp32 is not None and _variant(manifest, engine, precision) is None:
            return engine, fp32.model_copy(update={"name": CALIBRATED, "precision": precision, "receipt": Receipt()})
    return choose_variant(manifest, engine, precision)


def choose_variant(
    manifest: BundleManifest, engine: EngineChoice, precision: Precision
) -> tuple[EngineChoice, Variant]:
    """The engine, and the variant that it is to run; `auto` takes the first installed engine that has one.

    Raises:
        EngineError: when the engine is not installed, or the bundle holds nothing that it may run in this precision.
    """
    if engine is EngineChoice.AUTO:
        engines = [choice for choice in AUTO_ORDER if _is_installed(choice.value)] or [resolve_engine(engine)]
    else:
        engines = [resolve_engine(engine)]
    for choice in engines:
        variant = _variant(manifest, choice, precision)
        if variant is not None:
            return choice, variant
    held = ", ".join(
        f"{variant.name} ({', '.join(one.value for one in variant.engines)})" for variant in manifest.variants
    )
    wanted = " or ".join(choice.value for choice in engines)
    raise EngineError(
        f"the bundle '{manifest.name}' has no {precision.value} variant for {wanted}; it has {held}. Pack one: "
        f"vedette pack ... --variants {PACK_HINTS[precision]}"
    )


def resolve_engine(engine: EngineChoice) -> EngineChoice:
    """`auto` becomes OpenVINO where it is installed, else ONNX Runtime; anything else must be installed.

    Raises:
        EngineError: when the engine is not installed.
    """
    if engine is EngineChoice.AUTO:
        return EngineChoice.OPENVINO if _is_installed("openvino") else resolve_engine(EngineChoice.ONNXRUNTIME)
    if engine is EngineChoice.TENSORRT:
        return engine  # what builds its engines, Python's module or a program, is found when it is opened
    if not _is_installed(engine.value):
        extra = "openvino" if engine is EngineChoice.OPENVINO else "edge"
        raise EngineError(f"the engine '{engine.value}' is not installed; pip install 'vedette[{extra}]'")
    return engine


def installed_engines() -> tuple[EngineChoice, ...]:
    """The engines of the processor that could be opened here."""
    return tuple(choice for choice in AUTO_ORDER if _is_installed(choice.value))


def available_processors() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _variant(manifest: BundleManifest, engine: EngineChoice, precision: Precision) -> Variant | None:
    """The variant made for a precision and an engine; BF16 is the engine's own doing, on the FP32 model."""
    fits = [variant for variant in manifest.variants if any(one.value == engine.value for one in variant.engines)]
    wanted = (precision, Precision.FP32) if precision is Precision.BF16 else (precision,)
    return next((variant for one in wanted for variant in fits if variant.precision is one), None)
