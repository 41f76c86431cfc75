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
    model = bundle.read(_variant(manifest, precision).file)
    opened = open_engine(manifest, model, engine, precision, threads=threads)
    return PackedDetector(manifest, opened, DetectionRules.of(manifest, score, nms_iou, max_detections))


def open_engine(
    manifest: BundleManifest,
    model: bytes,
    engine: EngineChoice = EngineChoice.AUTO,
    precision: Precision = Precision.FP32,
    *,
    threads: int | None = None,
) -> HeadEngine:
    """Open model bytes on an engine, before there is a bundle or after.

    Raises:
        EngineError: when the engine is not installed, lacks the precision, or refuses the model.
    """
    chosen = resolve_engine(engine)
    count = threads if threads is not None else available_processors()
    opened = _open(chosen, manifest, model, precision, count)
    return opened if manifest.input.batch is None else FixedBatchEngine(opened, manifest.input.batch)


def _open(chosen: EngineChoice, manifest: BundleManifest, model: bytes, precision: Precision, count: int) -> HeadEngine:
    if chosen is EngineChoice.OPENVINO:
        from vedette.edge.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(manifest, model, precision, count)
    from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(manifest, model, precision, count)


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


def _variant(manifest: BundleManifest, precision: Precision) -> Variant:
    """The variant made for a precision, else the FP32 one, which an engine may run in a lower precision."""
    for wanted in (precision, Precision.FP32):
        for variant in manifest.variants:
            if variant.precision is wanted:
                return variant
    raise EngineError(f"the bundle '{manifest.name}' has no variant that runs in {precision.value}")
