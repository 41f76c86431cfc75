"""`vedette deepstream run --prove`: a wrong engine in a rendered folder is refused before deepstream-app starts."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from golden_squares import write_golden_bundle
from proved_bundles import with_variants
from simulators.deepstream_app import install
from simulators.tensorrt_boxes import become_box_without_bindings
from small_bundle import make_picture
from vedette.apps.cli import run_command
from vedette.bundle_folder import OpenBundle, write_bundle
from vedette.contracts.bundle import EngineName, Precision

PIPELINE = "version: 1\nbundle: {}\ncameras: [{{name: film, url: film.mp4}}]\ndetect: {{precision: {}}}\n"
RENDER = ["--target", "orin-nano", "--deepstream", "7.1", "--inferences-per-second", "100"]


@dataclass(frozen=True)
class Box:
    """A box with the stand-ins of deepstream-app and trtexec, and a folder rendered for it."""

    folder: Path
    bundle: Path
    trtexec: Path
    starts: Path

    def run(self, *flags: str) -> int:
        return run_command(["deepstream", "run", str(self.folder), "--prove", str(self.bundle), *flags])

    def count(self) -> int:
        return len(self.starts.read_bytes()) if self.starts.exists() else 0

    @property
    def engine(self) -> Path:
        (found,) = self.folder.glob("*.engine")
        return found

    def build(self, model: Path, engine: Path, *flags: str) -> None:
        shapes = [f"--{kind}Shapes=input:1x3x64x64" for kind in ("min", "opt", "max")]
        command = [self.trtexec, f"--onnx={model}", f"--saveEngine={engine}", *shapes, *flags]
        more = ["--memPoolSize=workspace:64", "--skipInference", f"--timingCacheFile={engine}.timing"]
        subprocess.run([*command, *more], check=True, capture_output=True)


def with_int8(folder: Path) -> OpenBundle:
    plain = write_golden_bundle(folder / "plain")
    shown = [make_picture({(n % 4, n // 4): ("red", "green", "blue")[n % 3]}) for n in range(12)]
    packed = with_variants(plain, shown, (Precision.FP32, Precision.INT8))
    int8 = packed.variants[Precision.INT8].model_copy(
        update={"name": "int8_qdq_symmetric", "file": "model_int8.onnx", "engines": (EngineName.TENSORRT,)}
    )
    contents = {name: plain.read(name) for name in plain.manifest.files}
    contents["model_int8.onnx"] = packed.models[Precision.INT8]
    manifest = plain.manifest.model_copy(update={"variants": (*plain.manifest.variants, int8)})
    return write_bundle(folder / "bundle", manifest, contents)


def make_box(folder: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> Box:
    bundle = with_int8(folder)
    (folder / "site.yaml").write_text(PIPELINE.format(bundle.path, precision))
    out = folder / "out"
    assert run_command(["deepstream", "render", str(folder / "site.yaml"), *RENDER, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    trtexec = become_box_without_bindings("10.3.0", folder, monkeypatch)
    for name, value in install(folder / "ds", [[["perf", [0.0]], ["perf", [30.0]]]]).items():
        monkeypatch.setenv(name, value)
    return Box(out, bundle.path, trtexec, folder / "ds" / "starts")


@pytest.mark.slow
def test_an_engine_is_built_proved_once_and_a_wrong_one_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = make_box(tmp_path, "int8", monkeypatch)
    capsys.readouterr()
    assert box.run() == 0
    assert f"{box.engine.name}: reproduces 3 golden detections" in capsys.readouterr().err
    assert box.run() == 0
    assert "golden" not in capsys.readouterr().err  # nothing has changed
    assert box.count() == 2

    other = write_golden_bundle(tmp_path / "other", broken=True)
    box.build(other.path / "model.onnx", box.engine)
    assert box.run() == 1
    told = capsys.readouterr().err
    assert "is wrong and is not used" in told
    assert told.count("\n") == 1
    box.engine.write_bytes(b"no engine")
    assert box.run() == 1
    assert box.count() == 2  # deepstream-app did not start


@pytest.mark.slow
def test_an_engine_that_nvinfer_builds_is_proved_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = make_box(tmp_path, "fp16", monkeypatch)
    capsys.readouterr()
    assert box.run() == 0
    assert "the next start proves it" in capsys.readouterr().err
    engine = box.folder / "model.onnx_b1_gpu0_fp16.engine"
    box.build(box.bundle / "model.onnx", engine, "--fp16")
    assert box.run() == 0
    assert "reproduces 3 golden detections" in capsys.readouterr().err


def test_what_cannot_be_proved_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = make_box(tmp_path, "fp16", monkeypatch)
    other = write_golden_bundle(tmp_path / "other", version="2")
    capsys.readouterr()
    arguments = ["deepstream", "run", str(box.folder), "--prove"]
    assert run_command([*arguments, str(other.path)]) == 2
    assert "render the pipeline file again" in capsys.readouterr().err
    (box.folder / "model.onnx_b1_gpu0_fp16.engine").write_bytes(b"no engine")
    assert run_command([*arguments, str(box.bundle)]) == 1
    assert "Engine could not be created from the file" in capsys.readouterr().err
    shutil.rmtree(box.trtexec.parent)
    assert run_command([*arguments, str(box.bundle)]) == 1
    assert "needs NVIDIA's trtexec" in capsys.readouterr().err
    assert box.count() == 0
