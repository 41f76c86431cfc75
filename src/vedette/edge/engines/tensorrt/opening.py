"""From a bundle to an engine of this box: the cached one where it is exactly what is asked for, else a new one, proved.

What an engine depends on is its name in the cache: the model, its precision and shapes, TensorRT's version, the GPU and
its driver, the calibration, and the golden pictures that proved it. Only an engine that was proved is kept.
"""

import json
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from vedette.bundle_folder import OpenBundle, read_golden
from vedette.contracts.bundle import Precision, Variant
from vedette.edge.engines.detector import HeadEngine
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.fixed_batch import FixedBatchEngine
from vedette.edge.engines.tensorrt.building import run_builder
from vedette.edge.engines.tensorrt.cache import EngineCache, digest_of
from vedette.edge.engines.tensorrt.cuda import CudaGpu
from vedette.edge.engines.tensorrt.generations import api_of
from vedette.edge.engines.tensorrt.order import Order, gpu_key
from vedette.edge.engines.tensorrt.proving import require_proved
from vedette.edge.engines.tensorrt.recipe import Recipe, shapes_of, workspace_for
from vedette.edge.engines.tensorrt.session import EngineRefusedError, TensorRtEngine
from vedette.edge.engines.tensorrt.settings import CALIBRATED, TensorRtSettings
from vedette.edge.engines.tensorrt.trtexec import TrtexecBuilder, find_trtexec

RECIPE = "1"  # a build that would make another engine of the same things has another number
PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)


class Builder(Protocol):
    """What builds and runs engines here: Python's bindings, or the program trtexec."""

    @property
    def key(self) -> Mapping[str, str]:
        """What of this box an engine depends on."""
        ...

    def build(self, order: Order, timing_cache: bytes | None) -> tuple[bytes, bytes | None]:
        """An engine, and a timing cache for the next. Blocks for minutes."""
        ...

    def measure(self, order: Order, engine: bytes) -> str | None:
        """How fast an engine is, in a sentence, where that is known."""
        ...

    def open(self, order: Order, engine: bytes) -> HeadEngine:
        """Raises EngineRefusedError when the engine is not taken."""
        ...


class BindingsBuilder:
    """TensorRT's own Python module."""

    def __init__(self) -> None:
        """Raises:
        EngineError: it cannot be loaded, is of a version that nobody knows, or there is no GPU.
        """
        try:
            import tensorrt as trt
        except (ImportError, OSError) as error:
            raise EngineError(
                f"TensorRT's module is here and cannot be loaded: {error}; mend its installation"
            ) from error
        api_of(trt)
        self._gpu = CudaGpu()
        self.key = {"builder": "python", "tensorrt": str(trt.__version__), **gpu_key(self._gpu)}

    def build(self, order: Order, timing_cache: bytes | None) -> tuple[bytes, bytes | None]:
        with tempfile.TemporaryDirectory(prefix="vedette-engine-") as text:
            folder = Path(text)
            files = {name: folder / name for name in ("model.onnx", "engine", "timing", "timing_in", "ranges")}
            files["model.onnx"].write_bytes(order.model)
            if timing_cache is not None:
                files["timing_in"].write_bytes(timing_cache)
            if order.calibration is not None:
                files["ranges"].write_bytes(order.calibration)
            recipe = Recipe(
                model=str(files["model.onnx"]),
                precision=order.precision.value,
                shapes=order.shapes,
                workspace_bytes=workspace_for(self._gpu.free_bytes()),
                engine=str(files["engine"]),
                timing_cache_in=None if timing_cache is None else str(files["timing_in"]),
                timing_cache_out=str(files["timing"]),
                calibration=None if order.calibration is None else str(files["ranges"]),
            )
            (folder / "recipe.json").write_text(recipe.to_json(), "utf-8")
            run_builder(folder / "recipe.json", order.settings.time_limit_s, order.settings.progress)
            return files["engine"].read_bytes(), files["timing"].read_bytes()

    def measure(self, order: Order, engine: bytes) -> str | None:
        return None

    def open(self, order: Order, engine: bytes) -> HeadEngine:
        return TensorRtEngine(order.manifest, engine, order.precision, self._gpu, order.settings.most_pictures)


def open_tensorrt(
    bundle: OpenBundle, variant: Variant, precision: Precision, settings: TensorRtSettings, *, for_video: bool = False
) -> HeadEngine:
    """The engine for a variant. Blocks for minutes the first time.

    Raises:
        EngineError: TensorRT is not here, cannot build it, or built a wrong one; says which and why.
        BundleError: the bundle has no golden pictures, or changed since it was opened.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"TensorRT runs fp32, fp16 and int8 here, not {precision.value}")
    builder = choose_builder()
    if for_video and isinstance(builder, TrtexecBuilder):
        raise EngineError(
            "TensorRT's module is not for this Python, and trtexec takes seconds a picture: video runs by DeepStream "
            "here (vedette deepstream render)"
        )
    model = bundle.read(variant.file)
    shapes = shapes_of(bundle.manifest, settings.most_pictures)
    calibration = _read_calibration(settings.calibration) if variant.name == CALIBRATED else None
    order = Order(bundle.manifest, model, precision, shapes, settings, calibration)
    return _open(bundle, variant, order, builder)


def choose_builder() -> Builder:
    """Python's bindings where they are installed, else the program.

    Raises:
        EngineError: there is nothing that builds engines here.
    """
    if find_spec("tensorrt") is not None:
        return BindingsBuilder()
    program = find_trtexec()
    if program is not None:
        return TrtexecBuilder(program)
    raise EngineError(
        "TensorRT is not installed: there is neither its module for this Python nor trtexec. On a Jetson both come "
        "with JetPack (sudo apt install nvidia-jetpack), elsewhere pip install tensorrt"
    )


def _read_calibration(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: the calibration cache cannot be read: {error.strerror}") from error


def _for_any_number(order: Order, engine: HeadEngine) -> HeadEngine:
    batch = order.manifest.input.batch
    return engine if batch is None else FixedBatchEngine(engine, batch)


def _open(bundle: OpenBundle, variant: Variant, order: Order, builder: Builder) -> HeadEngine:
    progress = order.settings.progress
    cache, key = EngineCache(order.settings.cache), _key(bundle, order, builder)
    found = cache.read("engine", key)
    if found.refused is not None:
        progress.say(f"the engine in the cache is not used, another is built: {found.refused}")
    if found.content is not None:
        try:
            return _for_any_number(order, builder.open(order, found.content))
        except EngineRefusedError as error:
            progress.say(f"the engine in the cache is not used, another is built: {error}")
    timing = cache.read("timing", builder.key)
    progress.say(
        f"building a TensorRT engine of '{order.manifest.name}' in {order.precision.value}: this takes minutes"
    )
    built, new_timing = builder.build(order, timing.content)
    engine = _for_any_number(order, builder.open(order, built))
    proved = require_proved(bundle, variant, order.model, engine, order.precision)
    try:
        cache.write("engine", key, built)
        if new_timing is not None:
            cache.write("timing", builder.key, new_timing)
    except EngineError as error:
        progress.say(f"the next start builds again: {error}")  # minutes of work, and it runs
    progress.say(f"{engine.description}: the new engine reproduces {proved} golden detections")
    measured = builder.measure(order, built)
    if measured is not None:
        progress.say(measured)
    return engine


def _key(bundle: OpenBundle, order: Order, builder: Builder) -> dict[str, str]:
    golden, calibration = read_golden(bundle), order.calibration
    return {
        **builder.key,
        "recipe": RECIPE,
        "model": digest_of(order.model),
        "precision": order.precision.value,
        "shapes": json.dumps([order.shapes.tensor, order.shapes.profile]),
        "calibration": "none" if calibration is None else digest_of(calibration),
        "golden": digest_of(golden.model_dump_json().encode()),
        "decode": digest_of(order.manifest.decode.model_dump_json().encode()),
        "input": digest_of(order.manifest.input.model_dump_json().encode()),
    }
