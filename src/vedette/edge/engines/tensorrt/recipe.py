"""What an engine is built from, and how: one recipe for every generation, run by `builder_program` in its own process.

A dynamic batch gets one profile, 1 to the most pictures; a model of a fixed batch none. The timing cache makes the next
build on this box faster, and is no part of the result's identity.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.tensorrt.generations import Report, Shape, api_of
from vedette.edge.engines.tensorrt.session import make_logger

LEAST_WORKSPACE_BYTES = 64 << 20
MOST_WORKSPACE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Shapes:
    """The input of a model; `profile` is (least, usual, most) where its batch is open."""

    tensor: str
    profile: tuple[Shape, Shape, Shape] | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that the builder is told. Files because it is another process."""

    model: str
    precision: str
    shapes: Shapes
    workspace_bytes: int
    engine: str
    timing_cache_in: str | None = None
    timing_cache_out: str | None = None
    calibration: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        raw = json.loads(text)
        shapes = raw.pop("shapes")
        if shapes["profile"] is None:
            return cls(shapes=Shapes(shapes["tensor"], None), **raw)
        least, usual, most = (tuple(shape) for shape in shapes["profile"])
        return cls(shapes=Shapes(shapes["tensor"], (least, usual, most)), **raw)


def shapes_of(manifest: BundleManifest, most_pictures: int) -> Shapes:
    """The profile of a bundle's input: usually half of the most pictures."""
    spec = manifest.input
    if spec.batch is not None:
        return Shapes(spec.tensor, None)
    least, usual, most = (
        (batch, spec.channels, spec.height, spec.width) for batch in (1, max(1, most_pictures // 2), most_pictures)
    )
    return Shapes(spec.tensor, (least, usual, most))


def workspace_for(free_bytes: int) -> int:
    """Half of what is free, and no more than 4 GiB: pictures, decoders and the engine itself need the rest.

    Raises:
        EngineError: too little is free to build anything.
    """
    if free_bytes // 2 < LEAST_WORKSPACE_BYTES:
        raise EngineError(
            f"{free_bytes / 1e6:.0f} MB of the GPU's memory are free, and building an engine needs "
            f"{2 * LEAST_WORKSPACE_BYTES / 1e6:.0f}; stop what runs beside it (on a Jetson the desktop too)"
        )
    return min(free_bytes // 2, MOST_WORKSPACE_BYTES)


def build(trt: Any, recipe: Recipe, report: Report) -> None:
    """Build and write the engine, and the timing cache where one is wanted. Blocks for minutes.

    Raises:
        EngineError: TensorRT does not read the model or cannot build it; says what it said.
    """
    api, logger = api_of(trt), make_logger(trt)
    precision, calibrated = Precision(recipe.precision), recipe.calibration is not None
    builder = trt.Builder(logger)
    network = builder.create_network(api.network_flags(precision, calibrated))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(recipe.model).read_bytes()):
        said = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} does not read the model: {said or logger.told()}")
    config = builder.create_builder_config()
    kept = [api.set_progress(config, report)]
    if recipe.calibration is not None:
        kept.append(api.set_calibrator(config, Path(recipe.calibration).read_bytes()))
    api.limit_workspace(config, recipe.workspace_bytes)
    api.set_precision(config, precision, calibrated)
    if recipe.shapes.profile is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape(recipe.shapes.tensor, *recipe.shapes.profile)
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT {trt.__version__} refuses the batch sizes: {logger.told()}")
    save_timing = _use_timing_cache(config, recipe)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(f"TensorRT {trt.__version__} cannot build the engine: {logger.told()}")
    save_timing()
    Path(recipe.engine).write_bytes(bytes(engine))
    kept.clear()


def _use_timing_cache(config: Any, recipe: Recipe) -> Callable[[], None]:
    given = Path(recipe.timing_cache_in).read_bytes() if recipe.timing_cache_in is not None else b""
    cache = config.create_timing_cache(given)
    if not config.set_timing_cache(cache, False) and given:  # of another GPU or version: begin anew
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)

    def save() -> None:
        if recipe.timing_cache_out is not None:
            Path(recipe.timing_cache_out).write_bytes(bytes(config.get_timing_cache().serialize()))

    return save
