"""`vedette detect` annotates what it can read, reports what it cannot, and refuses a changed bundle."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.apps.detect import find_pictures

BLOCKED = ("torch", "onnx", "matplotlib", "safetensors", "jinja2")


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    make_bundle(tmp_path / "bundle")
    return str(tmp_path / "bundle")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    folder.mkdir()
    cv2.imwrite(str(folder / "one.png"), make_picture({(0, 0): "red", (2, 2): "blue"}, scale=2))
    cv2.imwrite(str(folder / "two.jpg"), make_picture({(1, 0): "green"}, scale=3))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_detections_are_printed_and_pictures_annotated(
    tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = run_command(
        ["detect", bundle, str(shots / "one.png"), "--out", str(out), "--json", "--engine", "onnxruntime"]
    )
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert code == 0 and "onnxruntime" in printed.err
    assert [set(entry) for entry in report] == [{"image", "width", "height", "detections"}]
    assert (report[0]["image"], report[0]["width"], report[0]["height"]) == (str(shots / "one.png"), 128, 128)
    by_class = {entry["class"]: entry for entry in report[0]["detections"]}
    assert set(by_class) == {"red", "blue"} and set(by_class["red"]) == {"class", "class_id", "score", "box_xyxy_px"}
    assert by_class["blue"]["class_id"] == 2 and by_class["blue"]["score"] > 0.99
    assert by_class["blue"]["box_xyxy_px"] == pytest.approx([64, 64, 128, 128], abs=0.01)
    assert json.loads((out / "detections.json").read_text()) == report
    annotated, source = cv2.imread(str(out / "one.png")), cv2.imread(str(shots / "one.png"))
    assert annotated.shape == source.shape and not np.array_equal(annotated, source)
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", "one.png"]


def test_folders_and_patterns_are_taken_each_picture_once(
    tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_command(["detect", bundle, str(shots), str(shots / "*.jpg"), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{shots / 'one.png'}: 2 detections: ") and "blue 1.00" in lines[0]
    assert lines[1:] == [f"{shots / 'two.jpg'}: 1 detection: green 1.00"]


def test_pictures_are_named_as_given(
    bundle: str, shots: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shots)
    given = ["./one.png", "..//shots/two.jpg"]
    assert run_command(["detect", bundle, *given, "one.png", "--out", "out", "--json"]) == 0
    assert [entry["image"] for entry in json.loads(capsys.readouterr().out)] == given


def test_thresholds_can_be_given(tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["detect", bundle, str(shots / "one.png"), "--out", str(tmp_path / "out"), "--json"]
    for extra, count in ((["--max", "1"], 1), (["--score", "1"], 0), (["--nms", "0.5"], 2)):
        assert run_command([*command, *extra]) == 0
        assert len(json.loads(capsys.readouterr().out)[0]["detections"]) == count


def test_an_unreadable_picture_is_reported_and_the_others_are_done(
    tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shots / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    out = tmp_path / "out"
    pictures = [str(shots / "broken.jpg"), str(shots / "absent.png"), str(shots / "two.jpg")]
    assert run_command(["detect", bundle, *pictures, "--out", str(out), "--json"]) == 1
    printed = capsys.readouterr()
    assert [entry["image"] for entry in json.loads(printed.out)] == [str(shots / "two.jpg")]
    assert "broken.jpg" in printed.err and "absent.png" in printed.err and "2 of 3 pictures" in printed.err
    assert (out / "two.jpg").is_file()


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path: Path, bundle: str, shots: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "one.png"), make_picture({}))
    out = tmp_path / "out"
    assert run_command(["detect", bundle, str(shots / "one.png"), str(other / "one.png"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", "one-2.png", "one.png"]


def test_the_given_pictures_are_never_overwritten(bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in shots.iterdir()}
    assert run_command(["detect", bundle, str(shots), "--out", str(shots)]) == 2
    assert "give another folder as --out" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in shots.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give at least one picture"),
        (["SHOTS", "--score", "1.5"], 2, "score must lie between 0 and 1"),
        (["SHOTS", "--max", "0"], 2, "at least 1"),
        (["SHOTS", "--engine", "abacus"], 2, "abacus"),
        (["SHOTS/*.gif"], 1, "holds no picture"),
        (["SHOTS", "--engine", "onnxruntime", "--precision", "bf16"], 1, "no bf16"),
    ],
)
def test_mistakes_are_one_message(
    tmp_path: Path,
    bundle: str,
    shots: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    given = [argument.replace("SHOTS", str(shots)) for argument in arguments]
    assert run_command(["detect", bundle, *given, "--out", str(tmp_path / "out")]) == code
    printed = capsys.readouterr()
    assert message in " ".join((printed.err + printed.out).split())
    assert not (tmp_path / "out").exists()


def test_a_tampered_bundle_is_refused_and_the_file_named(
    tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(bundle) / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert run_command(["detect", bundle, str(shots), "--out", str(tmp_path / "out")]) == 1
    assert "model.onnx: its SHA-256 is not the packed one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(
    tmp_path: Path, bundle: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert run_command(["detect", bundle, str(shots), "--out", str(tmp_path / "out")]) == 1
    assert "cannot be made as a folder" in capsys.readouterr().err


def test_pictures_keep_the_order_given(shots: Path) -> None:
    given = (str(shots / "two.jpg"), str(shots))
    assert [path.name for path in find_pictures(given)] == ["two.jpg", "one.png"]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_detecting_works_where_nothing_for_learning_is_installed(
    tmp_path: Path, bundle: str, shots: Path, engine: str
) -> None:
    command = ["detect", bundle, str(shots), "--out", str(tmp_path / "out"), "--engine", engine]
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from vedette.apps.cli import run_command
sys.exit(run_command({command!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "two.jpg: 1 detection: green 1.00" in done.stdout
