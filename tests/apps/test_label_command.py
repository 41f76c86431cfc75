"""`vedette label`: the same labels by any number of processes, whoever is killed; nobody's work is lost."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.learn.data.reading import read_data_set
from vedette.learn.labelling.labelling import held_folder

DEADLINE_S = 120.0


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(make_bundle(tmp_path / "bundle").path)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Nine pictures with a red and a blue square each, in two folders."""
    folder = tmp_path / "shots"
    for number in range(9):
        path = folder / ("night" if number % 2 else "day") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), make_picture({(number % 2, 0): "red", (2, 2): "blue"}))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def label(*arguments: object) -> int:
    return run_command(["label", *map(str, arguments)])


def test_pictures_become_a_voc_data_set_with_scores(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert label(shots, "--with", bundle, "--out", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["labelled"], document["objects"], document["failed"]) == (9, 18, [])
    data = read_data_set(out)
    assert data.classes == ("red", "green", "blue")
    assert sorted(sample.name for sample in data.samples) == sorted(
        path.relative_to(shots).with_suffix("").as_posix() for path in shots.rglob("*.png")
    )
    for sample in data.samples:
        number = int(sample.name[-1])
        found = {item.class_name: item for item in sample.objects}
        left = 16.0 * (number % 2)
        assert found["red"].box_xyxy_px == (left, 0.0, left + 16.0, 16.0)
        assert all(item.score is not None and item.score > 0.9 for item in sample.objects)
    assert run_command(["data", "check", str(out)]) == 0


def test_the_labels_are_the_same_with_any_number_of_processes(shots: Path, bundle: str, tmp_path: Path) -> None:
    for processes in (1, 2, 3):
        assert label(shots, "--with", bundle, "--out", tmp_path / f"by-{processes}", "--processes", processes) == 0
    assert contents(tmp_path / "by-1") == contents(tmp_path / "by-2") == contents(tmp_path / "by-3")
    assert len(contents(tmp_path / "by-1")) == 19


def test_a_second_run_does_what_is_new_and_what_is_outdated(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert label(shots, "--with", bundle, "--out", out) == 0
    before = contents(out)
    cv2.imwrite(str(shots / "new.png"), make_picture({(0, 0): "green"}))
    capsys.readouterr()
    assert label(shots, "--with", bundle, "--out", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["labelled"], document["done_before"]) == (1, 9)
    assert {name: content for name, content in contents(out).items() if "new" not in name} == before
    assert label(shots, "--with", bundle, "--out", out, "--classes", "blue", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labelled"] == 10
    assert {item.class_name for sample in read_data_set(out).samples for item in sample.objects} == {"blue"}


def test_what_people_labelled_or_corrected_is_kept_unless_it_is_given_up(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert label(shots, "--with", bundle, "--out", out) == 0
    corrected, own = out / "Annotations" / "day" / "0.xml", out / "Annotations" / "night" / "1.xml"
    corrected.write_text(corrected.read_text().replace("<xmax>16<", "<xmax>15<"))
    own.write_text("<annotation><object><name>red</name></object></annotation>")
    kept = {path: path.read_bytes() for path in (corrected, own)}
    capsys.readouterr()
    assert label(shots, "--with", bundle, "--out", out, "--score", "0.5", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["labelled"], document["by_hand"]) == (7, 2)
    assert {path: path.read_bytes() for path in kept} == kept
    assert label(shots, "--with", bundle, "--out", out, "--score", "0.5", "--overwrite", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["labelled"], document["by_hand"], document["done_before"]) == (2, 0, 7)
    assert all(path.read_bytes() != content for path, content in kept.items())


def test_pictures_of_a_data_set_are_labelled_in_place(bundle: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(root / "images" / f"{name}.png"), make_picture({(0, 0): "red"}))
    own = (
        "<annotation><object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    )
    (root / "annotations" / "a.xml").write_text(own + "</object></annotation>")
    assert label(root, "--with", bundle, "--out", root) == 0
    assert sorted(contents(root)) == ["annotations/a.xml", "annotations/b.xml", "images/a.png", "images/b.png"]
    found = {sample.name: [item.class_name for item in sample.objects] for sample in read_data_set(root).samples}
    assert found == {"a": ["car"], "b": ["red"]}  # a class list of the bundle alone would not know cars


def test_a_class_list_that_does_not_know_the_classes_is_not_contradicted(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "classes.txt").write_text("blue\ncar\n")
    assert label(shots, "--with", bundle, "--out", out) == 2
    assert "does not list red, green; add them, or name with --classes" in capsys.readouterr().err
    assert sorted(contents(out)) == ["classes.txt"]
    assert label(shots, "--with", bundle, "--out", out, "--classes", "blue") == 0
    assert label(shots, "--with", bundle, "--out", out, "--classes", "blue,car") == 2


def test_pictures_that_cannot_be_labelled_are_named_and_the_others_are_done(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shots / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(shots / "day" / "0.jpg"), np.zeros((64, 64, 3), np.uint8))
    taken = tmp_path / "out" / "JPEGImages" / "day" / "2.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"another picture")
    assert label(shots, "--with", bundle, "--out", tmp_path / "out", "--json") == 1
    printed = capsys.readouterr()
    reasons = {Path(f["picture"]).name: f["reason"] for f in json.loads(printed.out)["failed"]}
    assert sorted(reasons) == ["0.png", "2.png", "broken.jpg"]
    assert "0.jpg has the same name but for its ending" in reasons["0.png"]
    assert "is another picture" in reasons["2.png"]
    assert "cannot be decoded" in reasons["broken.jpg"]
    assert all(reason in printed.err.replace("\n", " ") or reason in printed.err for reason in reasons.values())
    assert taken.read_bytes() == b"another picture"
    assert len(list((tmp_path / "out" / "Annotations").rglob("*.xml"))) == 8


def test_a_killed_run_leaves_whole_files_and_the_next_one_goes_on(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert label(shots, "--with", bundle, "--out", whole) == 0
    blocked = shots / "night" / "5.png"
    content = blocked.read_bytes()
    blocked.unlink()
    os.mkfifo(blocked)  # whoever reads it waits: the run is killed in the midst of its work, whatever the machine does
    command = [sys.executable, "-m", "vedette", "label", str(shots), "--with", bundle, "--out", str(out)]
    with subprocess.Popen([*command, "--processes", "1"], stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + DEADLINE_S
        while not (out / "Annotations" / "night" / "3.xml").exists() and time.monotonic() < deadline:
            assert run.poll() is None
            time.sleep(0.02)
        run.kill()
    with contextlib.suppress(OSError):
        os.close(os.open(blocked, os.O_WRONLY | os.O_NONBLOCK))  # lets the orphaned worker see that nobody waits
    blocked.unlink()
    blocked.write_bytes(content)
    (out / "Annotations" / ".half.xml.prelabel-part").write_text("<annot")
    left = contents(out)
    assert "Annotations/night/3.xml" in left
    assert "Annotations/night/7.xml" not in left
    expected = contents(whole)
    assert all(expected[name] == found for name, found in left.items() if "prelabel-part" not in name)
    capsys.readouterr()
    assert label(shots, "--with", bundle, "--out", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["done_before"] >= 7
    assert document["labelled"] == 9 - document["done_before"]
    assert contents(out) == expected


def test_a_picture_may_have_the_longest_name_there_is(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = "n" * (255 - len(".png"))
    (shots / "day" / "0.png").rename(shots / f"{longest}.png")
    assert label(shots, "--with", bundle, "--out", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labelled"] == 9
    assert (tmp_path / "out" / "Annotations" / f"{longest}.xml").is_file()
    assert not list((tmp_path / "out").rglob(".*"))


def test_two_runs_do_not_write_one_folder(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held_folder(tmp_path / "out"):
        assert label(shots, "--with", bundle, "--out", tmp_path / "out") == 1
    assert "another process is writing" in capsys.readouterr().err
    assert contents(tmp_path / "out") == {}


def test_wrong_usage_writes_nothing(
    shots: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(shots)
    for arguments, code in (
        ((shots, "--with", bundle, "--out", shots), 2),
        ((shots, "--with", bundle, "--out", shots / "out"), 2),
        ((shots, "--with", bundle, "--out", "s3://bucket/out"), 2),
        ((shots, "--with", bundle, "--out", tmp_path / "out", "--classes", "lorry"), 2),
        ((shots, "--with", bundle, "--out", tmp_path / "out", "--processes", "0"), 2),
        ((shots, "--with", bundle, "--out", tmp_path / "out", "--score", "2"), 2),
        ((shots, "--with", tmp_path / "none", "--out", tmp_path / "out"), 1),
        ((tmp_path / "none", "--with", bundle, "--out", tmp_path / "out"), 1),
    ):
        assert label(*arguments) == code, arguments
        assert "vedette: " in capsys.readouterr().err
    assert contents(shots) == before
    assert not (shots / "out").exists()
    assert not (tmp_path / "out").exists()
