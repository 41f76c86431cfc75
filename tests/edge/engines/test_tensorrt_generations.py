"""Each generation's adapter speaks exactly the API that its TensorRT has: built, loaded and run on stand-ins."""

import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization  # noqa: F401 - adds to sys.path, which a box puts back as it was
import pytest

from simulators.tensorrt_boxes import VERSIONS, become_box
from simulators.tensorrt_standin import EXECUTED, surface
from small_bundle import make_manifest, make_model, make_picture
from vedette.contracts.bundle import Precision
from vedette.contracts.frame import Pixels, ResizeMode
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine
from vedette.edge.engines.tensorrt.cuda import CudaGpu
from vedette.edge.engines.tensorrt.generations import api_of, parse_version
from vedette.edge.engines.tensorrt.recipe import Recipe, Shapes, build, shapes_of, workspace_for
from vedette.edge.engines.tensorrt.session import EngineRefusedError, TensorRtEngine
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.quantize_half import convert_to_half
from vedette.learn.export.quantize_qdq import QdqStyle, quantize_qdq
from vedette.vision.resize import plan_placement

GENERATIONS = list(VERSIONS)
CACHE = b"TRT-8201-EntropyCalibration2\ninput: 3c010a14\n"


@pytest.fixture(params=GENERATIONS)
def trt(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    become_box(VERSIONS[request.param], tmp_path, monkeypatch)
    return importlib.import_module("tensorrt")


def pictures(count: int) -> Pixels:
    """(n, 64, 64, 3) uint8 RGB, all different."""
    colours = ["red", "green", "blue"]
    made = [make_picture({(n % 4, n // 4 % 4): colours[n % 3]})[..., ::-1] for n in range(count)]
    return np.ascontiguousarray(np.stack(made))


def quantised(model: bytes) -> bytes:
    placement = plan_placement(64, 64, 64, 64, ResizeMode.STRETCH)
    shown = CalibrationPictures(tuple(pictures(4)), (placement,) * 4, make_manifest().input)
    return quantize_qdq(model, shown, QdqStyle.TENSORRT)


def model_in(precision: Precision) -> bytes:
    makers = {Precision.FP32: lambda model: model, Precision.FP16: convert_to_half, Precision.INT8: quantised}
    return makers[precision](make_model())


def make_recipe(folder: Path, model: bytes, precision: Precision = Precision.FP32, **more: Any) -> Recipe:
    (folder / "model.onnx").write_bytes(model)
    shapes = shapes_of(make_manifest(), 4)
    return Recipe(str(folder / "model.onnx"), precision.value, shapes, 1 << 28, str(folder / "engine"), **more)


def built(trt: Any, folder: Path, model: bytes, precision: Precision = Precision.FP32, **more: Any) -> bytes:
    build(trt, make_recipe(folder, model, precision, **more), lambda phase, done, steps: None)
    return (folder / "engine").read_bytes()


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_every_generation_builds_and_runs_every_precision(trt: Any, tmp_path: Path, precision: Precision) -> None:
    model = model_in(precision)
    engine = TensorRtEngine(make_manifest(), built(trt, tmp_path, model, precision), precision, CudaGpu(), 4)
    reference = OnnxRuntimeEngine(make_manifest(), model, Precision.FP32, 1)
    for count in (1, 4, 7):
        before = len(EXECUTED)
        heads = engine.infer(pictures(count))
        for mine, theirs in zip(heads, reference.infer(pictures(count)), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-4)
        assert [shape[0] for shape in EXECUTED[before:]] == ([4, 3] if count == 7 else [count])
    assert engine.description == f"tensorrt {trt.__version__} {precision.value}, Stand-in GPU"


def test_another_thread_may_run_the_engine(trt: Any, tmp_path: Path) -> None:
    engine = TensorRtEngine(make_manifest(), built(trt, tmp_path, make_model()), Precision.FP32, CudaGpu(), 4)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(engine.infer(pictures(2))))
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(found[0][0], engine.infer(pictures(2))[0])


def test_ranges_found_elsewhere_serve_where_the_version_has_calibrators(trt: Any, tmp_path: Path) -> None:
    (tmp_path / "ranges").write_bytes(CACHE)
    more = {"calibration": str(tmp_path / "ranges")}
    if trt.__version__.startswith("11"):
        with pytest.raises(EngineError, match=r"TensorRT 11\.4\S* has no calibrators; pack .*int8_qdq_symmetric"):
            built(trt, tmp_path, make_model(), Precision.INT8, **more)
        return
    engine = built(trt, tmp_path, make_model(), Precision.INT8, **more)
    assert TensorRtEngine(make_manifest(), engine, Precision.INT8, CudaGpu(), 4).infer(pictures(1))


def test_the_timing_cache_is_kept_and_one_of_another_version_is_replaced(trt: Any, tmp_path: Path) -> None:
    place, other = tmp_path / "timing", tmp_path / "other"
    built(trt, tmp_path, make_model(), timing_cache_out=str(place))
    built(trt, tmp_path, make_model(), timing_cache_in=str(place), timing_cache_out=str(place))
    assert place.read_bytes().endswith(f'["{trt.__version__}", 2]'.encode())
    for content in (b"STANDIN TIMING\n" + b'["7.0", 9]', b"rubbish"):
        other.write_bytes(content)
        built(trt, tmp_path, make_model(), timing_cache_in=str(other), timing_cache_out=str(other))
        assert other.read_bytes().endswith(f'["{trt.__version__}", 1]'.encode())


def test_steps_are_told_where_the_generation_tells_them(trt: Any, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    build(trt, make_recipe(tmp_path, make_model()), lambda *step: steps.append(step))
    expected = [("Building Engine", done, 2) for done in range(3)] if trt.__version__.startswith("1") else []
    assert steps == expected


def test_what_is_no_model_is_refused_with_the_parsers_words(trt: Any, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="does not read the model: Failed to parse ONNX model"):
        built(trt, tmp_path, b"no model")


def test_what_cannot_be_built_is_refused_with_the_builders_words(trt: Any, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, make_model())
    no_profile = Recipe(recipe.model, recipe.precision, Shapes("input", None), 1 << 28, recipe.engine)
    with pytest.raises(EngineError, match="cannot build the engine: Network has dynamic or shape inputs"):
        build(trt, no_profile, lambda *step: None)
    assert not (tmp_path / "engine").exists()


def test_engines_that_are_not_ours_are_refused(trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = built(trt, tmp_path, make_model())
    renamed = onnx.load_from_string(make_model())
    renamed.graph.output[0].name = renamed.graph.node[1].output[0] = "other"
    foreign = good.replace(trt.__version__.encode(), b"9.9.9.9")
    for engine, words in (
        (b"", "magicTag does not match"),
        (foreign, "was built with"),
        (built(trt, tmp_path, renamed.SerializeToString()), "the engine has the tensors head_1, input, other"),
    ):
        with pytest.raises(EngineRefusedError, match=words):
            TensorRtEngine(make_manifest(), engine, Precision.FP32, CudaGpu(), 4)


def test_a_shape_outside_of_the_profile_is_one_sentence(trt: Any, tmp_path: Path) -> None:
    engine = TensorRtEngine(make_manifest(), built(trt, tmp_path, make_model()), Precision.FP32, CudaGpu(), 99)
    with pytest.raises(EngineError, match=r"does not take 9 x 3 x 64 x 64: the shape .* does not satisfy the profile"):
        engine.infer(pictures(9))


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("8.2.1.8", "set_memory_pool_limit execute_async_v3 num_io_tensors IProgressMonitor MemoryPoolType"),
        ("10.3.0.30", "max_workspace_size num_bindings execute_async_v2 get_binding_name"),
        ("11.4.0.106", "max_workspace_size int8_calibrator IInt8EntropyCalibrator2 num_bindings FP16 INT8"),
        ("11.4.0.106", "EXPLICIT_BATCH execute_async_v2"),
    ],
)  # fmt: skip
def test_stand_ins_lack_what_their_generation_lacks(version: str, lacking: str, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    names = surface(version)
    logger = names["Logger"]()
    builder = names["Builder"](logger)
    network, config = builder.create_network(1 if version.startswith("8") else 0), builder.create_builder_config()
    with pytest.raises(AttributeError):
        config.anything = 1
    names["OnnxParser"](network, logger).parse(make_model())
    api = api_of(type("Module", (), names))
    api.limit_workspace(config, 1 << 28)
    config.add_optimization_profile(_profile(builder))
    engine = names["Runtime"](logger).deserialize_cuda_engine(bytes(builder.build_serialized_network(network, config)))
    objects = [config, engine, engine.create_execution_context(), names["BuilderFlag"]]
    objects += [names["NetworkDefinitionCreationFlag"], type("Module", (), names)]
    for name in lacking.split():
        assert not any(hasattr(one, name) for one in objects), name
        if name[0].islower():
            with pytest.raises(AttributeError):
                setattr(config, name, 1)


def _profile(builder: Any) -> Any:
    profile = builder.create_optimization_profile()
    profile.set_shape("input", *shapes_of(make_manifest(), 2).profile)
    return profile


@pytest.mark.parametrize("version", ["7.1.3", "9.3.0", "12.0.0", "what", ""])
def test_versions_that_nobody_knows_are_refused(version: str) -> None:
    with pytest.raises(EngineError, match="is none"):
        api_of(type("Module", (), {"__version__": version}))


def test_jetpack_5_0_is_spoken_to_like_8_2() -> None:
    assert parse_version("8.4.1.5") == (8, 4)
    assert api_of(type("Module", (), {"__version__": "8.4.1.5"})).generation == "8.2"


def test_the_workspace_follows_from_what_is_free() -> None:
    assert workspace_for(1 << 30) == 1 << 29
    assert workspace_for(80 << 30) == 4 << 30
    with pytest.raises(EngineError, match="100 MB of the GPU's memory are free"):
        workspace_for(100_000_000)


def test_a_box_without_a_gpu_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become_box(VERSIONS["10"], tmp_path, monkeypatch)
    monkeypatch.setenv("STANDIN_NO_GPU", "1")
    with pytest.raises(EngineError, match=r"cuInit: no CUDA-capable device is detected"):
        CudaGpu()
    with pytest.raises(EngineError, match=r"libcuda-none\.so cannot be loaded"):
        CudaGpu("libcuda-none.so")
