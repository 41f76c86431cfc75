"""Where Python has no TensorRT, the program builds, proves and runs; flags and lines are those of its version."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden_squares import write_golden_bundle
from simulators.tensorrt_boxes import VERSIONS, become_box_without_bindings
from small_bundle import make_picture
from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import Precision
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import SilentProgress
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import open_detector
from vedette.edge.engines.submitting import open_async_detector
from vedette.edge.engines.tensorrt.order import Order
from vedette.edge.engines.tensorrt.recipe import shapes_of
from vedette.edge.engines.tensorrt.session import EngineRefusedError
from vedette.edge.engines.tensorrt.settings import TensorRtSettings
from vedette.edge.engines.tensorrt.trtexec import (
    BuildFiles,
    Performance,
    examine,
    parse_outputs,
    parse_performance,
    version_of,
)

TENSORRT = EngineChoice.TENSORRT


class Heard(SilentProgress):
    """A `Progress` that remembers what was said."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return write_golden_bundle(tmp_path_factory.mktemp("trtexec") / "bundle")


@pytest.fixture
def settings(tmp_path: Path) -> TensorRtSettings:
    return TensorRtSettings(cache=tmp_path / "engines", time_limit_s=120)


def test_the_nano_builds_proves_caches_and_detects(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box_without_bindings(VERSIONS["8.2"], tmp_path, monkeypatch)
    heard = Heard()
    detector = open_detector(bundle, TENSORRT, tensorrt=replace(settings, progress=heard))
    assert heard.lines[-1] == "trtexec measures 25.5 runs a second, 38.9 ms (median) each, the network alone"
    assert detector.engine_description == "tensorrt 8.2.1 fp32 by trtexec, Stand-in GPU"
    picture = make_picture({(0, 0): "red", (2, 2): "blue"}, 3)
    expected = open_detector(bundle, EngineChoice.ONNXRUNTIME)(picture)
    np.testing.assert_allclose(detector(picture).boxes_xyxy_px, expected.boxes_xyxy_px, atol=1e-3)
    assert detector(picture).names.tolist() == expected.names.tolist()
    (engine,) = settings.cache.glob("engine-*")
    written = engine.stat().st_mtime_ns
    open_detector(bundle, TENSORRT, tensorrt=settings)
    assert engine.stat().st_mtime_ns == written
    with pytest.raises(EngineError, match="trtexec takes seconds a picture: video runs by DeepStream"):
        open_async_detector(bundle, TENSORRT, tensorrt=settings)


@pytest.mark.parametrize("generation", list(VERSIONS))
def test_each_version_is_given_flags_that_it_has(
    generation: str, bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = examine(str(become_box_without_bindings(VERSIONS[generation], tmp_path, monkeypatch)))
    files = BuildFiles(256 << 20, tmp_path / "timing", None)
    expected = {
        "8.2": {Precision.FP32: "--workspace=256 --buildOnly --noTF32", Precision.FP16: "--fp16"},
        "8.6": {Precision.FP32: "--memPoolSize=workspace:256 --skipInference", Precision.INT8: "--int8"},
        "10": {Precision.FP16: "--stronglyTyped --skipInference", Precision.INT8: "--stronglyTyped"},
        "11": {Precision.FP16: "--memPoolSize=workspace:256", Precision.INT8: "--skipInference"},
    }[generation]  # fmt: skip
    for precision in (Precision.FP32, Precision.FP16, Precision.INT8):
        order = Order(bundle.manifest, b"", precision, shapes_of(bundle.manifest, 8), settings)
        command = program.build_command(tmp_path / "model", tmp_path / "engine", order, files)
        assert {flag.partition("=")[0] for flag in command[1:]} <= program.flags
        assert set(expected.get(precision, "").split()) <= set(command)
        assert "--minShapes=input:1x3x64x64" in command and "--maxShapes=input:8x3x64x64" in command
    measuring = program.measure_command(tmp_path / "engine", shapes_of(bundle.manifest, 8))
    assert {flag.partition("=")[0] for flag in measuring[1:]} <= program.flags
    assert ("--noCudaGraph" in measuring) is (generation == "11")
    calibrated = Order(bundle.manifest, b"", Precision.INT8, shapes_of(bundle.manifest, 8), settings, b"ranges")
    with_ranges = replace(files, calibration=tmp_path / "ranges")
    if generation == "11":
        with pytest.raises(EngineError, match="has no calibrators"):
            program.build_command(tmp_path / "model", tmp_path / "engine", calibrated, with_ranges)
    else:
        command = program.build_command(tmp_path / "model", tmp_path / "engine", calibrated, with_ranges)
        assert {"--int8", f"--calib={tmp_path / 'ranges'}"} <= set(command)


def test_what_it_says_when_it_fails_is_told(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box_without_bindings(VERSIONS["8.6"], tmp_path, monkeypatch)
    (tmp_path / "ranges").write_bytes(b"")
    empty = replace(settings, calibration=tmp_path / "ranges")
    with pytest.raises(EngineError, match=r"ended with 1.* trtexec said: Calibration failure occurred"):
        open_detector(bundle, TENSORRT, Precision.INT8, tensorrt=empty)
    monkeypatch.setenv("STANDIN_TRTEXEC_SILENT", "1")
    with pytest.raises(EngineError, match="wrote no engine: no reason"):
        open_detector(bundle, TENSORRT, tensorrt=settings)
    monkeypatch.delenv("STANDIN_TRTEXEC_SILENT")
    monkeypatch.setenv("STANDIN_FAULT", "zeroed")
    with pytest.raises(EngineError, match="is wrong and is not used: head_0 differs"):
        open_detector(bundle, TENSORRT, tensorrt=settings)
    monkeypatch.setenv("STANDIN_BUILD_S", "600")
    with pytest.raises(EngineError, match="took longer than 1 s and was stopped"):
        open_detector(bundle, TENSORRT, tensorrt=replace(settings, time_limit_s=1))


def test_a_program_that_is_not_trtexec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="does not answer --help as trtexec does"):
        examine("/bin/echo")
    with pytest.raises(EngineError, match="cannot be run: No such file"):
        examine(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("number", "version"),
    [(8201, "8.2.1"), (8503, "8.5.3"), (100300, "10.3.0"), (101601, "10.16.1"), (110400, "11.4.0")],
)
def test_versions_are_read(number: int, version: str) -> None:
    assert version_of(number) == version


def test_measurements_are_read() -> None:
    said = (
        "[06/01/2022-12:00:00] [I] === Performance summary ===\n"
        "[06/01/2022-12:00:00] [I] Throughput: 123.4 qps\n"
        "[06/01/2022-12:00:00] [I] Latency: min = 7.9 ms, max = 9.8 ms, mean = 8.1 ms, median = 8.05 ms, "
        "percentile(99%) = 9.1 ms\n"
        "[06/01/2022-12:00:00] [I] GPU Compute Time: min = 7.5 ms, max = 9.1 ms, mean = 7.7 ms, median = 7.65 ms\n"
    )
    assert parse_performance(said) == Performance(123.4, 8.05, 7.65)
    assert parse_performance("&&&& FAILED") == Performance(None, None, None)


@pytest.mark.parametrize(
    "outputs",
    [
        "", "[]", "{}", "[1]", "null",
        json.dumps([{"name": "a", "dimensions": "2x2", "values": [1, 2, 3]}]),
        json.dumps([{"name": "a", "dimensions": "2xtwo", "values": [1, 2, 3, 4]}]),
        json.dumps([{"name": "a", "dimensions": "4x1", "values": [1, 2, 3, 4]}]),
        json.dumps([{"name": "b", "dimensions": "2x2", "values": [1, 2, 3, 4]}]),
    ],
)  # fmt: skip
def test_exports_that_are_something_else_are_refused(outputs: str) -> None:
    with pytest.raises(EngineRefusedError, match="trtexec exported"):
        parse_outputs(outputs, ["a"], 2)


def test_exports_are_read_and_what_is_no_number_stays_none() -> None:
    text = json.dumps([{"name": "a", "dimensions": "2x2", "values": [1, None, 3, 4]}])
    np.testing.assert_array_equal(parse_outputs(text, ["a"], 2)[0], [[1, np.nan], [3, 4]])
