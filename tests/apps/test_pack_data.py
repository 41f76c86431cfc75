"""Which pictures `vedette pack` measures on and calibrates with, and what it refuses before anything is measured."""

import json
from pathlib import Path

import pytest

import square_network
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.contracts.bundle import Variant

TRAINED, HELD_BACK = range(10), range(10, 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose split names p00 to p15."""
    folder = tmp_path_factory.mktemp("runs") / "run7"
    for path, name in zip(
        square_network.write_network(folder), ("model.cfg", "best.weights", "names.txt"), strict=True
    ):
        path.rename(folder / name)
    split = {"train": [f"p{n:02d}" for n in TRAINED], "val": [f"p{n:02d}" for n in HELD_BACK]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_network.write_voc(tmp_path_factory.mktemp("trained") / "voc", 16)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rename(square_network.write_voc(tmp_path_factory.mktemp("other") / "voc", 8), "p", "q")


def rename(data: Path, before: str, after: str) -> Path:
    for path in sorted(data.rglob(f"{before}*.*")):
        if path.suffix == ".xml":
            path.write_text(path.read_text().replace(f"<filename>{before}", f"<filename>{after}"))
        path.rename(path.with_name(after + path.name.removeprefix(before)))
    return data


def pack(run: Path, out: Path, *arguments: str | Path) -> int:
    wanted = ["--run", str(run), "--variants", "fp32,int8_qdq", "--out", str(out), *map(str, arguments)]
    return run_command(["pack", *wanted])


def packed(out: Path) -> tuple[Variant, tuple[str | None, int], tuple[str | None, int]]:
    """The INT8 variant, and split and pictures of its accuracy and of its calibration."""
    variant = open_bundle(out).manifest.variants[1]
    accuracy, calibration = variant.receipt.accuracy, variant.receipt.calibration
    assert accuracy is not None and calibration is not None
    return variant, (accuracy.split, accuracy.pictures), (calibration.split, calibration.pictures)


def test_what_the_run_trained_with_calibrates_and_what_it_held_back_measures(
    tmp_path: Path, run: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(run, tmp_path / "bundle", "--calibration", trained) == 0
    _, measured, calibrated = packed(tmp_path / "bundle")
    assert measured == ("val", 6) and calibrated == ("train", 10)
    said = " ".join(capsys.readouterr().err.split())
    assert f"measuring on 6 pictures of {trained} (val: by {run / 'split.json'})" in said
    assert f"calibrating INT8 on 10 pictures of {trained} (train: by {run / 'split.json'})" in said


def test_data_that_the_run_does_not_know_calibrate_it_whole(
    tmp_path: Path, run: Path, trained: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(run, tmp_path / "bundle", "--data", trained, "--calibration", other) == 0
    _, measured, calibrated = packed(tmp_path / "bundle")
    assert measured == ("val", 6) and calibrated == (None, 8)
    assert f"8 pictures of {other} (all of it: {run / 'split.json'} names none of it)" in " ".join(
        capsys.readouterr().err.split()
    )


def test_data_that_the_run_does_not_know_prove_it_whole(
    tmp_path: Path, run: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(run, tmp_path / "bundle", "--calibration", other) == 0
    _, measured, calibrated = packed(tmp_path / "bundle")
    assert measured == (None, 8) and calibrated == (None, 8)
    assert "8 of them are measured on too" in capsys.readouterr().err


def test_other_data_are_taken_by_splits_of_their_own(tmp_path: Path, run: Path) -> None:
    data = rename(square_network.write_voc(tmp_path / "voc", 8), "p", "q")
    splits = {"train": ["q00", "q01", "q02"], "test": [f"q0{n}" for n in range(3, 8)]}
    (data / "split.json").write_text(json.dumps(splits))
    assert pack(run, tmp_path / "bundle", "--calibration", data) == 0
    _, measured, calibrated = packed(tmp_path / "bundle")
    assert measured == ("test", 5) and calibrated == ("train", 3)


def test_part_of_what_was_trained_with_is_told_from_data_that_measure_fairly(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = square_network.write_voc(tmp_path / "part", len(TRAINED))
    assert pack(run, tmp_path / "bundle", "--calibration", part) == 0
    assert "the run held none of them back" in " ".join(capsys.readouterr().err.split())


def refused(capsys: pytest.CaptureFixture[str], run: Path, out: Path, *arguments: str | Path) -> tuple[int, str]:
    """The exit code and what was said; nothing was measured, compared or written."""
    code = pack(run, out, *arguments)
    printed, said = capsys.readouterr()
    assert printed == "" and "evaluating" not in said and "comparing" not in said and "making" not in said
    assert not out.exists() and not out.with_name("bundle-variants.html").exists()
    return code, " ".join(said.split())


def test_data_of_which_the_run_knows_a_part_cannot_measure(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = square_network.write_voc(tmp_path / "voc", 12)
    for number in (3, 4):
        for path in data.rglob(f"p{number:02d}.*"):
            path.rename(path.with_name(f"new{number}{path.suffix}"))
    for number in (3, 4):
        label = data / "Annotations" / f"new{number}.xml"
        label.write_text(label.read_text().replace(f"p{number:02d}.png", f"new{number}.png"))
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", data)
    assert code == 1 and "of 16 pictures that" in said and "10 are here" in said and "a split.json of its own" in said


@pytest.mark.parametrize("data_too", [False, True], ids=["proves too", "calibrates only"])
@pytest.mark.parametrize("wrong", ["empty", "no picture", "broken", "missing", "a device", "not there"])
def test_calibration_that_cannot_be_is_refused_before_anything_is_measured(
    tmp_path: Path, run: Path, trained: Path, capsys: pytest.CaptureFixture[str], wrong: str, data_too: bool
) -> None:
    folder = tmp_path / "given"
    message = "is no data set that Vedette knows"
    if wrong == "empty":
        folder.mkdir()
    elif wrong == "no picture":
        folder.mkdir()
        (folder / "readme.txt").write_text("pictures come tomorrow")
    elif wrong == "broken":
        square_network.write_voc(folder, 6)
        (folder / "JPEGImages" / "p04.png").write_bytes(b"no picture")
        rename(folder, "p", "q")
        message = "q04.png cannot be decoded"
    elif wrong == "missing":
        rename(square_network.write_voc(folder, 6), "p", "q")
        (folder / "JPEGImages" / "q05.png").unlink()
        message = "q05.png cannot be read: No such file"
    elif wrong == "a device":
        folder = Path("/dev/null")
        message = "/dev/null is neither a folder nor a file"
    else:
        message = "does not exist"
    more = ["--data", trained] if data_too else []
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", folder, *more)
    assert code == 1 and message in said and "Traceback" not in said


def test_bad_labels_are_not_taken_for_a_folder_of_pictures(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voc, flat = square_network.write_voc(tmp_path / "voc", 6), tmp_path / "flat"
    (voc / "JPEGImages").rename(flat)
    (flat / "classes.txt").write_text("red\ngreen\nblue\n")
    for number in range(6):
        (flat / f"p{number:02d}.txt").write_text("0 0.5 0.5 0.2 0.2\n" if number else "red 0.5 0.5 0.2\n")
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", flat)
    assert code == 1 and "cannot be used as it is: p00.txt" in said


def test_labels_that_measure_nothing_are_refused_before_anything_is_measured(
    tmp_path: Path, run: Path, trained: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hats = rename(square_network.write_voc(tmp_path / "hats", 4), "p", "h")
    bare = rename(square_network.write_voc(tmp_path / "bare", 4), "p", "h")
    for path in (hats / "Annotations").iterdir():
        text = path.read_text()
        path.write_text(text.replace("<name>", "<name>hat "))
        start, end = text.index("<object>"), text.index("</annotation>")
        (bare / "Annotations" / path.name).write_text(text[:start] + text[end:])
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", hats)
    assert code == 1 and "the model does not know 3 of the data's 3 classes" in said
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", bare)
    assert code == 1 and f"{bare}: no object is labelled" in said and "--pictures" in said


def test_a_page_cannot_be_a_folder(
    tmp_path: Path, run: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, run, tmp_path / "bundle", "--calibration", trained, "--report", tmp_path)
    assert code == 2 and "is a folder; give the file to write" in said
