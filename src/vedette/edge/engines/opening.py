"""Picks an engine and opens a verified bundle on it. The choice is visible in `engine_description`."""

import importlib.util
import os

from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import BundleManifest, Precision, Variant
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.fixed_batch import FixedBatchEngine
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
) -> PackedDetector:
    """Open a bundle on an engine; thresholds left out are the bundle's own, threads all the processors we may use.

    Raises:
        EngineError: when the engine is not installed, lacks the precision, or refuses the model.
        BundleError: when the model file changed since the bundle was opened.
    """
    manifest = bundle.manifest
    chosen, model, ir_weights = read_variant(bundle, engine, precision)
    opened = open_engine(manifest, model, chosen, precision, threads=threads, ir_weights=ir_weights)
    return PackedDetector(manifest, opened, DetectionRules.of(manifest, score, nms_iou, max_detections))


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
    count = threads if threads is not None else available_processors()
    opened: HeadEngine
    if chosen is EngineChoice.OPENVINO:
        from vedette.edge.engines.openvino import OpenVinoEngine

        opened = OpenVinoEngine(manifest, model, precision, count, ir_weights=ir_weights)
    else:
        from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine

        opened = OnnxRuntimeEngine(manifest, model, precision, count)
    return opened if manifest.input.batch is None else FixedBatchEngine(opened, manifest.input.batch)


def read_variant(
    bundle: OpenBundle, engine: EngineChoice, precision: Precision
) -> tuple[EngineChoice, bytes, bytes | None]:
    """The engine, the model that it is to run and, where that is an OpenVINO IR, its weights.

    Raises:
        EngineError: as `choose_variant`.
        BundleError: when a file changed since the bundle was opened.
    """
    chosen, variant = choose_variant(bundle.manifest, engine, precision)
    weights = None if variant.weights_file is None else bundle.read(variant.weights_file)
    return chosen, bundle.read(variant.file), weights


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
    if not _is_installed(engine.value):
        extra = "openvino" if engine is EngineChoice.OPENVINO else "edge"
        raise EngineError(f"the engine '{engine.value}' is not installed; pip install 'vedette[{extra}]'")
    return engine


def installed_engines() -> tuple[EngineChoice, ...]:
    """The engines that could be opened here."""
    return tuple(choice for choice in EngineChoice if choice is not EngineChoice.AUTO and _is_installed(choice.value))


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
