"""`--engine tensorrt` from a bundle to detections, on a box of each generation: built, proved, cached, run."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import vedette
from golden_squares import write_golden_bundle
from simulators.tensorrt_boxes import VERSIONS, become_box
from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.bundle_folder import BundleError, OpenBundle
from vedette.contracts.bundle import Precision
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import open_detector
from vedette.edge.engines.submitting import open_async_detector
from vedette.edge.engines.tensorrt.settings import TensorRtSettings

TENSORRT = EngineChoice.TENSORRT


class Heard:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.lines, self.stages = list[str](), list[tuple[str, int]]()

    def start(self, stage: str, total: int, unit: str) -> None:
        self.stages.append((stage, total))

    def advance(self, count: int = 1, **figures: float) -> None: ...

    def say(self, line: str) -> None:
        self.lines.append(line)

    @property
    def built(self) -> bool:
        return any(line.startswith("building a TensorRT engine") for line in self.lines)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return write_golden_bundle(tmp_path_factory.mktemp("tensorrt") / "bundle")


@pytest.fixture
def settings(tmp_path: Path) -> TensorRtSettings:
    return TensorRtSettings(cache=tmp_path / "engines", time_limit_s=120)


def open_heard(bundle: OpenBundle, settings: TensorRtSettings) -> Heard:
    heard = Heard()
    open_detector(bundle, TENSORRT, tensorrt=replace(settings, progress=heard))
    return heard


@pytest.mark.parametrize("generation", list(VERSIONS))
def test_an_engine_is_built_once_proved_and_finds_what_others_find(
    generation: str, bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS[generation], tmp_path, monkeypatch)
    heard = Heard()
    detector = open_detector(bundle, TENSORRT, tensorrt=replace(settings, progress=heard))
    assert detector.engine_description == f"tensorrt {VERSIONS[generation]} fp32, Stand-in GPU"
    assert heard.lines[-1].endswith("the new engine reproduces 3 golden detections")
    assert heard.stages == ([("building engine", 2)] if generation in {"10", "11"} else [])
    picture = make_picture({(0, 0): "red", (2, 2): "blue"}, 3)
    expected = open_detector(bundle, EngineChoice.ONNXRUNTIME)(picture)
    assert detector(picture).to_json() == expected.to_json()
    again = open_heard(bundle, settings)
    assert not again.built and again.lines == []


def test_many_cameras_batches_run_on_it(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["10"], tmp_path, monkeypatch)
    detector = open_async_detector(bundle, TENSORRT, tensorrt=settings)
    pictures = [make_picture({(n % 4, 0): "green"}) for n in range(3)]
    placements = [detector.place(64, 64)] * 3
    detector.submit([picture[..., ::-1] for picture in pictures], placements)
    assert [found.names.tolist() for found in detector.take()] == [["green"]] * 3


def test_whatever_an_engine_depends_on_makes_another(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    assert open_heard(bundle, settings).built
    assert not open_heard(bundle, settings).built
    more = TensorRtSettings(cache=settings.cache, time_limit_s=120, most_pictures=2)
    assert open_heard(bundle, more).built
    monkeypatch.setenv("STANDIN_GPU", "another GPU")
    assert open_heard(bundle, settings).built
    monkeypatch.delenv("STANDIN_GPU")
    become_box("8.5.3.1", tmp_path, monkeypatch)
    assert open_heard(bundle, settings).built
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    assert not open_heard(bundle, settings).built
    assert open_heard(write_golden_bundle(tmp_path / "other", version="2"), settings).built is False  # same model


def test_a_damaged_engine_is_built_again_and_never_loaded(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.2"], tmp_path, monkeypatch)
    open_heard(bundle, settings)
    place = next(settings.cache.glob("engine-*"))
    good = place.read_bytes()
    for content in (good[:-1], good.replace(b"head_0", b"head_9"), b"", b"\0" * 100):
        place.write_bytes(content)
        heard = open_heard(bundle, settings)
        assert heard.built and str(place) in heard.lines[0]
        assert place.read_bytes() == good
    for timing in settings.cache.glob("timing-*"):
        timing.write_bytes(b"damaged")
    place.unlink()
    assert open_heard(bundle, settings).built


def test_a_wrong_engine_is_refused_told_of_and_not_kept(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["10"], tmp_path, monkeypatch)
    monkeypatch.setenv("STANDIN_FAULT", "zeroed")
    with pytest.raises(
        EngineError, match=r"engine that was built \(tensorrt 10\S* fp32, .*\) is wrong .*head_0 differs"
    ):
        open_heard(bundle, settings)
    assert not list(tmp_path.glob("engines/engine-*"))
    monkeypatch.delenv("STANDIN_FAULT")
    assert open_heard(bundle, settings).built


def test_a_build_that_takes_too_long_is_ended(
    bundle: OpenBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.2"], tmp_path, monkeypatch)
    monkeypatch.setenv("STANDIN_BUILD_S", "600")
    settings = TensorRtSettings(cache=tmp_path / "engines", time_limit_s=0.5)
    with pytest.raises(EngineError, match="took longer than 0 s and was stopped"):
        open_heard(bundle, settings)


def test_a_builder_that_is_killed_is_one_sentence(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    monkeypatch.setenv("STANDIN_CRASH", "1")
    with pytest.raises(EngineError, match="did not: it was killed, most likely for want of memory: add swap"):
        open_heard(bundle, settings)


def test_too_little_memory_is_said_before_anything_is_built(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    monkeypatch.setenv("STANDIN_FREE_BYTES", str(50 << 20))
    with pytest.raises(EngineError, match="52 MB of the GPU's memory are free"):
        open_heard(bundle, settings)


def test_commands_take_ranges_where_the_environment_says(
    bundle: OpenBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = tmp_path / "ranges"
    ranges.write_text("TRT-8201-EntropyCalibration2\ninput: 3c010a14\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VEDETTE_TENSORRT_CALIBRATION", str(ranges))
    become_box(VERSIONS["8.2"], tmp_path, monkeypatch)

    detector = vedette.load(bundle.path, engine="tensorrt", precision="int8")
    assert detector.engine_description.startswith("tensorrt 8.2.1.8 int8")
    monkeypatch.delenv("VEDETTE_TENSORRT_CALIBRATION")
    with pytest.raises(EngineError):
        vedette.load(bundle.path, engine="tensorrt", precision="int8")


def test_ranges_found_elsewhere_make_int8_where_the_bundle_has_none(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = tmp_path / "ranges"
    ranges.write_text("TRT-8201-EntropyCalibration2\ninput: 3c010a14\n")
    given = replace(settings, calibration=ranges)
    become_box(VERSIONS["8.2"], tmp_path, monkeypatch)
    detector = open_detector(bundle, TENSORRT, Precision.INT8, tensorrt=given)
    assert detector.engine_description.startswith("tensorrt 8.2.1.8 int8")
    become_box(VERSIONS["11"], tmp_path, monkeypatch)
    with pytest.raises(EngineError, match="has no calibrators"):
        open_detector(bundle, TENSORRT, Precision.INT8, tensorrt=given)
    with pytest.raises(EngineError, match="ranges2: the calibration cache cannot be read"):
        open_detector(bundle, TENSORRT, Precision.INT8, tensorrt=replace(given, calibration=tmp_path / "ranges2"))


def test_a_model_of_a_fixed_batch_needs_no_profile(
    settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    bundle = write_golden_bundle(tmp_path / "bundle", batch=2)
    picture = make_picture({(0, 0): "red"})
    assert open_detector(bundle, TENSORRT, tensorrt=settings)(picture).names.tolist() == ["red"]
    assert not open_heard(bundle, settings).built


def test_what_cannot_be_is_refused_in_one_sentence(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    with pytest.raises(BundleError, match="has no golden pictures, so nothing can prove an engine"):
        open_heard(make_bundle(tmp_path / "plain"), settings)
    with pytest.raises(EngineError, match="TensorRT runs fp32, fp16 and int8 here, not bf16"):
        open_detector(bundle, TENSORRT, Precision.BF16, tensorrt=settings)
    with pytest.raises(EngineError, match="has no int8 variant for tensorrt"):
        open_detector(bundle, TENSORRT, Precision.INT8, tensorrt=settings)


def test_a_good_engine_runs_although_it_cannot_be_kept(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    (tmp_path / "engines").write_text("a file where the folder should be")
    heard = open_heard(bundle, settings)
    assert "the next start builds again: " in heard.lines[-2] and "cannot be kept" in heard.lines[-2]


def test_a_module_that_cannot_be_loaded_is_one_sentence(
    bundle: OpenBundle, settings: TensorRtSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_box(VERSIONS["8.6"], tmp_path, monkeypatch)
    (tmp_path / f"site-{VERSIONS['8.6']}" / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.8: not found')")
    with pytest.raises(EngineError, match=r"cannot be loaded: libnvinfer\.so\.8: not found; mend"):
        open_heard(bundle, settings)


def test_detect_and_install_take_the_engine(
    bundle: OpenBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    become_box(VERSIONS["11"], tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install = ["install", str(bundle.path), "--to", str(tmp_path / "box"), "--engine", "tensorrt"]
    monkeypatch.setenv("STANDIN_FAULT", "zeroed")
    assert run_command(install) == 1
    assert "is wrong and is not used: head_0 differs from ONNX Runtime's" in capsys.readouterr().err
    assert not os.path.lexists(tmp_path / "box" / "current")
    monkeypatch.delenv("STANDIN_FAULT")
    assert run_command([*install, "--json"]) == 0
    told = capsys.readouterr()
    assert "building a TensorRT engine of 'coloured-squares' in fp32" in told.err
    assert json.loads(told.out)["engine"] == "tensorrt 11.4.0.106 fp32, Stand-in GPU"
    assert list((tmp_path / "cache" / "vedette" / "engines").glob("engine-*.sealed"))
    cv2.imwrite(str(tmp_path / "one.png"), make_picture({(1, 1): "red"}, 4))
    detect = ["detect", str(tmp_path / "box" / "current"), str(tmp_path / "one.png"), "--out", str(tmp_path / "out")]
    assert run_command([*detect, "--engine", "tensorrt", "--json"]) == 0
    told = capsys.readouterr()
    assert "building" not in told.err  # the installation built it
    found = json.loads(told.out)[0]["detections"]
    assert [one["class"] for one in found] == ["red"]
    np.testing.assert_allclose(found[0]["box_xyxy_px"], [64, 64, 128, 128], atol=0.5)
