"""`vedette train --folds`: every picture validates once, what was interrupted goes on, the page sums it up."""

import json
import os
import shutil
import signal
import statistics
from pathlib import Path
from typing import Any

import pytest

import torchrun
from drawn_shapes import draw_data, write_cfg
from vedette.apps import console
from vedette.apps.cli import run_command

RESULTS = ("best.weights", "last.weights", "split.json", "evaluation.json")


def flags_for(folder: Path, pictures: int = 12) -> list[str]:
    data = draw_data(folder / "data", pictures)
    lists = data / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    names = [f"p{number:03d}\n" for number in range(pictures)]
    (lists / "train.txt").write_text("".join(names[: pictures - 4]))
    (lists / "val.txt").write_text("".join(names[pictures - 4 : pictures - 2]))
    (lists / "test.txt").write_text("".join(names[pictures - 2 :]))
    common = ["--epochs", "1", "--batch", "2", "--device", "cpu", "--precision", "fp32", "--deterministic"]
    return ["train", "--data", str(data), "--model", str(write_cfg(folder)), *common]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, and two folds of it in `run`."""
    folder = tmp_path_factory.mktemp("folds")
    flags = flags_for(folder)
    pictures = folder / "data" / "JPEGImages"
    (pictures / "p005.jpg").write_bytes((pictures / "p002.jpg").read_bytes())
    assert run_command([*flags, "--out", str(folder / "run"), "--folds", "2"]) == 0
    return folder


def splits_of(run: Path) -> list[dict[str, list[str]]]:
    return [json.loads((run / f"fold-{number}" / "split.json").read_text()) for number in (1, 2)]


def test_every_picture_but_those_of_test_validates_once_and_identical_ones_together(trained: Path) -> None:
    one, two = splits_of(trained / "run")
    assert sorted(one["val"] + two["val"]) == [f"p{number:03d}" for number in range(10)]
    assert (sorted(one["train"]), sorted(two["train"])) == (sorted(two["val"]), sorted(one["val"]))
    assert ("p002" in one["val"]) == ("p005" in one["val"])


def test_mean_and_deviation_are_those_of_the_folds(trained: Path) -> None:
    document = json.loads((trained / "run" / "folds.json").read_text())
    found = [json.loads((trained / "run" / f"fold-{number}" / "evaluation.json").read_text()) for number in (1, 2)]
    for key in ("map50", "map50_95", "precision", "recall"):
        values = [one[key] for one in found]
        assert document["summary"][key]["values"] == values
        assert document["summary"][key]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-6)
        assert document["summary"][key]["deviation"] == pytest.approx(statistics.stdev(values), abs=1e-6)
    brick = next(one for one in document["summary"]["classes"] if one["name"] == "brick")
    values = [one["ap50"] for evaluation in found for one in evaluation["classes"] if one["name"] == "brick"]
    assert brick["ap50"]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-6)
    page = (trained / "run" / "report.html").read_text()
    assert "cross-validation, 2 folds" in page
    assert all(text in page for text in ('href="fold-2/report.html"', "brick, AP50", f"{brick['ap50']['mean']:.3f} ± "))


def test_interrupted_folds_go_on_and_end_as_they_would_have(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag.replace(str(trained), str(tmp_path)) for flag in flags_of(trained)]
    for name in ("data", "small.cfg"):
        (shutil.copytree if (trained / name).is_dir() else shutil.copy)(trained / name, tmp_path / name)
    run, steps = tmp_path / "run", 0
    whole = console.ConsoleProgress.advance

    def interrupts(self: console.ConsoleProgress, count: int = 1, **figures: float) -> None:
        nonlocal steps
        steps += "loss" in figures
        if steps == 4 and "loss" in figures:  # of 3 and 2: in the second fold
            os.kill(os.getpid(), signal.SIGINT)
        whole(self, count, **figures)

    monkeypatch.setattr(console.ConsoleProgress, "advance", interrupts)
    assert run_command([*flags, "--out", str(run), "--folds", "2"]) == 130
    told = capsys.readouterr().err
    assert f"to go on with the folds: vedette train --out {run} --resume" in told
    assert "Traceback" not in told
    assert "1 of 2 folds done" in (run / "report.html").read_text()
    first = (run / "fold-1" / "best.weights").stat().st_mtime_ns
    assert run_command(["train", "--out", str(run), "--resume", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["fold"] for one in document["done"]] == [1, 2]
    assert (run / "fold-1" / "best.weights").stat().st_mtime_ns == first
    for number in (1, 2):
        for name in RESULTS:
            there = (trained / "run" / f"fold-{number}" / name).read_bytes()
            assert (run / f"fold-{number}" / name).read_bytes() == there, name


def flags_of(folder: Path) -> list[str]:
    """What `trained` was begun with."""
    begun: dict[str, Any] = json.loads((folder / "run" / "folds.json").read_text())["settings"]
    fixed = ["--epochs", "1", "--batch", "2", "--device", "cpu", "--precision", "fp32", "--deterministic"]
    return ["train", "--data", begun["data"], "--model", begun["model"], *fixed]


def test_folds_that_have_ended_are_shown_again_and_others_refused(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert run_command(["train", "--out", str(run), "--resume"]) == 0
    assert "mean" in capsys.readouterr().out
    for flags, message in (
        (["--resume", "--folds", "3"], "was begun with 2"),
        (["--resume", "--epochs", "5"], "was begun with another epochs"),
        (["--folds", "2", "--data", str(trained / "data")], "is not empty"),
    ):
        assert run_command(["train", "--out", str(run), *flags]) != 0
        assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_folds_that_cannot_be_are_refused_before_any_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = flags_for(tmp_path)
    label = tmp_path / "data" / "Annotations" / "p003.xml"
    label.write_text(label.read_text().replace("<name>tile", "<name>rare"))
    for given, message in (
        (["--folds", "1"], "--folds must be 2 to 50"),
        (["--folds", "2"], r"of 2: classes of the val split are in no training picture"),
        (["--folds", "11"], "cannot be parted into 11 splits"),
        (["--folds", "2", "--on", "simulator"], "--folds trains here"),
    ):
        assert run_command([*flags, "--out", str(tmp_path / "run"), *given]) != 0
        assert message in capsys.readouterr().err
    label.write_text(label.read_text().replace("<name>rare", "<name>tile"))
    assert run_command([*flags, "--out", str(tmp_path / "run"), "--folds", "2", "--weights", "nowhere"]) != 0
    assert capsys.readouterr().err == "vedette: nowhere: no such file\n"
    assert run_command(["train", "--data", "d", "--out", "s3://b/run", "--folds", "2"]) == 2
    assert "not into S3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_several_processes_train_folds_too(tmp_path: Path) -> None:
    flags = [*flags_for(tmp_path)[1:], f"--out={tmp_path / 'run'}", "--folds=2"]
    code, printed = torchrun.run(torchrun.several(2, flags))
    assert code == 0, printed
    assert len(json.loads((tmp_path / "run" / "folds.json").read_text())["done"]) == 2
    assert printed.count("fold 2 of 2: ") == 1
