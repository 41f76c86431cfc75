"""Whole runs of the trainer on small drawn data: it learns, leaves what it should, survives being killed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from drawn_shapes import SMALL_CFG, draw_data, write_cfg, write_splits
from vedette.contracts.errors import InputError
from vedette.contracts.ports import SilentProgress
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice
from vedette.learn.training.augment import AugmentSettings
from vedette.learn.training.errors import DivergedError, ResumeError, RunFolderError, SettingsError
from vedette.learn.training.leaks import LeakChoice
from vedette.learn.training.loop import train
from vedette.learn.training.recipes import new_settings
from vedette.learn.training.report import RESULTS_COLUMNS
from vedette.learn.training.settings import Recipe, TrainSettings

STILL = AugmentSettings(mosaic=0, zoom=0, stretch=0, shift=0, flip=0, hue=0, saturation=0, brightness=0)
FILES = {
    "results.csv", "results.png", "labels.png", "train_batch0.jpg", "val_batch0.jpg", "PR_curve.png", "F1_curve.png",
    "confusion_matrix.png", "best.weights", "last.weights", "model.cfg", "names.txt", "report.html", "split.json",
    "settings.json",
}  # fmt: skip


class Lines(SilentProgress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def settings_for(folder: Path, pictures: int = 20, **changes: object) -> TrainSettings:
    data = draw_data(folder / "data", pictures)
    settings = TrainSettings(
        data=data,
        model=str(write_cfg(folder)),
        epochs=2,
        batch=4,
        device=DeviceChoice.CPU,
        precision=PrecisionChoice.FP32,
    )
    return replace(settings, **changes)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_few_pictures_are_learnt_by_heart(tmp_path: Path) -> None:
    recipe = Recipe(learning_rate=5e-3, warm_up_steps=10, augment=STILL)
    settings = settings_for(tmp_path, pictures=8, epochs=120, validate_every=40, recipe=recipe, leaks=LeakChoice.KEEP)
    write_splits(settings.data, train=range(8), val=range(8))
    result = train(settings, tmp_path / "run", SilentProgress())
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["train_box_loss"]) < 0.25 * float(rows[0]["train_box_loss"])
    assert float(rows[-1]["train_class_loss"]) < 0.05
    assert result.evaluation.map50 > 0.95
    assert result.evaluation.map50_95 > 0.6


def test_pictures_that_are_missing_or_broken_stop_training_before_it_begins(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    (settings.data / "JPEGImages" / "p003.jpg").unlink()
    (settings.data / "JPEGImages" / "p011.jpg").write_bytes(b"no picture")
    write_splits(settings.data, train=range(10), val=range(10, 20))
    with pytest.raises(InputError, match=r"p003\.jpg cannot be read.*`vedette data check`"):
        train(settings, tmp_path / "run", SilentProgress())
    (settings.data / "ImageSets" / "Main" / "train.txt").write_text("p000\np001\n")
    with pytest.raises(InputError, match=r"p011\.jpg cannot be decoded"):
        train(settings, tmp_path / "run", SilentProgress())
    assert not (tmp_path / "run").exists()


def test_a_val_split_without_objects_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    write_splits(settings.data, train=range(19), val=range(19, 20))
    label = settings.data / "Annotations" / "p019.xml"
    label.write_text(label.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>"))
    with pytest.raises(InputError, match=r"none of the 1 validation pictures .* has an object that counts"):
        train(settings, tmp_path / "run", SilentProgress())
    assert not (tmp_path / "run").exists()


def test_a_bf16_run_validates_in_fp32(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, epochs=30, validate_every=30, precision=PrecisionChoice.BF16)
    result = train(settings, tmp_path / "run", SilentProgress())
    assert result.evaluation.map50 > 0
    shown = rows_of(tmp_path / "run")[-1]  # best.weights are those of the last epoch, the only one validated
    assert float(shown["val_map50"]) == pytest.approx(result.evaluation.map50, abs=1e-6)
    assert float(shown["val_map50_95"]) == pytest.approx(result.evaluation.map50_95, abs=1e-6)


def test_a_run_leaves_everything_that_belongs_to_it(tmp_path: Path) -> None:
    progress = Lines()
    settings = settings_for(tmp_path)
    result = train(settings, tmp_path / "run", progress)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left >= FILES
    assert not [name for name in left if name.startswith(".")]
    assert (tmp_path / "run" / "names.txt").read_text() == "brick\ntile\n"
    assert (tmp_path / "run" / "model.cfg").read_text() == Path(settings.model).read_text()
    rows = rows_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert tuple(rows[0]) == RESULTS_COLUMNS
    assert all(0 <= float(row["val_map50"]) <= 1 for row in rows)
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert set(split) == {"train", "val"}
    assert sorted(split["train"] + split["val"]) == [f"p{n:03d}" for n in range(20)]
    assert 2 <= len(split["val"]) <= 6
    written = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert len(written["data_digest"]) == 64
    assert (written["epochs"], written["batch"], written["classes"]) == (2, 4, ["brick", "tile"])
    assert result.epochs == 2
    assert any(line.startswith("epoch 2: ") and "map50" in line for line in progress.said)


def test_given_splits_are_honoured_and_test_pictures_are_not_needed_readable(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pictures=12)
    write_splits(settings.data, train=range(6), val=range(6, 9), test=range(9, 12))
    (settings.data / "JPEGImages" / "p010.jpg").write_bytes(b"no picture")
    train(settings, tmp_path / "run", SilentProgress())
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split == {
        "train": [f"p{n:03d}" for n in range(6)],
        "val": [f"p{n:03d}" for n in range(6, 9)],
    }


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pictures=8)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        train(settings, tmp_path / "run", SilentProgress())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_cfg_for_other_classes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pictures=8)
    cfg = Path(settings.model)
    cfg.write_text(cfg.read_text().replace("classes=2", "classes=5").replace("filters=14", "filters=20"))
    with pytest.raises(CfgError, match=r"is for 5 classes, the data has 2.*vedette model new"):
        train(settings, tmp_path / "run", SilentProgress())


def test_a_loss_that_is_not_finite_stops_with_the_pictures_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, recipe=Recipe(learning_rate=1e30, warm_up_steps=1), epochs=5)
    with pytest.raises(DivergedError, match=r"epoch \d+, batch \d+; .*p0\d\d"):
        train(settings, tmp_path / "run", SilentProgress())


def test_a_time_budget_is_kept_and_the_schedule_reaches_its_end(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, time_budget_s=9.0)
    began = time.monotonic()
    train(replace(settings, time_budget_s=None, epochs=1), tmp_path / "one", SilentProgress())
    one_epoch_s = time.monotonic() - began  # with all that comes before and after: what this machine takes now
    began, cpu = time.monotonic(), time.process_time()
    result = train(settings, tmp_path / "run", SilentProgress())
    # by the clock, or, where others take the machine meanwhile, by what this process has had of it
    assert min(time.monotonic() - began, time.process_time() - cpu) < 9.0 + one_epoch_s
    rates = [float(row["learning_rate"]) for row in rows_of(tmp_path / "run")]
    assert rates[-1] == pytest.approx(0.02 * settings.recipe.learning_rate, rel=1e-3)
    assert result.epochs >= 2


@pytest.mark.parametrize("name", ["vedette", "darknet"])
def test_a_region_head_learns_by_both_recipes(tmp_path: Path, name: str) -> None:
    settings = settings_for(tmp_path, epochs=6)
    cfg = Path(settings.model)
    region = "[region]\nanchors=0.9,0.9, 1.6,1.25\nclasses=2\nnum=2\ncoords=4\nsoftmax=1\nbias_match=1\nrescore=1\n"
    net = SMALL_CFG[: SMALL_CFG.index("[yolo]")].replace("[net]", "[net]\nbatch=4\nlearning_rate=0.01\nmomentum=0.9", 1)
    cfg.write_text(net + region)
    if name == "darknet":
        asked = {"data": str(settings.data), "model": str(cfg), "recipe": "darknet", "epochs": 6, "device": "cpu"}
        settings = new_settings({**asked, "precision": "fp32"})
    result = train(settings, tmp_path / "run", SilentProgress())
    rows = rows_of(tmp_path / "run")
    for part in ("train_box_loss", "train_class_loss"):  # objectness is taught the overlap
        assert float(rows[-1][part]) < float(rows[0][part])
    assert result.epochs == 6
    plan = plan_network(parse_cfg((tmp_path / "run" / "model.cfg").read_text()))
    assert read_weights(tmp_path / "run" / "best.weights", plan).layers_loaded == len(plan.layers)


def test_a_time_budget_that_getting_ready_uses_up_still_leaves_weights(tmp_path: Path) -> None:
    result = train(settings_for(tmp_path, time_budget_s=0.01), tmp_path / "run", SilentProgress())
    assert (result.epochs, result.best_epoch) == (1, 1)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES


def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    recipe = Recipe(learning_rate=1e-12)
    settings = settings_for(tmp_path, pictures=8, epochs=50, patience=3, validate_every=2, recipe=recipe)
    result = train(settings, tmp_path / "run", SilentProgress())
    assert result.stopped_early
    assert result.epochs == result.best_epoch + 4  # asked where an epoch was validated
    rows = rows_of(tmp_path / "run")
    again = train(settings, tmp_path / "run", SilentProgress(), resume=True)  # ended is ended
    assert (again.epochs, again.stopped_early) == (result.epochs, True)
    assert rows_of(tmp_path / "run") == rows


class Interrupts(SilentProgress):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, count: int = 1, **figures: float) -> None:
        self.left -= "loss" in figures
        if not self.left and "loss" in figures:
            os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_at_any_step_and_resumed_it_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pictures=12, epochs=3)
    train(settings, tmp_path / "whole", SilentProgress())
    for steps in (1, 3, 5, 6, 9):  # of 3 an epoch: within one, after its last batch, after the last of all
        run = tmp_path / f"after-{steps}"
        try:
            train(settings, run, Interrupts(steps))
        except KeyboardInterrupt:
            assert steps < 9
            train(settings, run, SilentProgress(), resume=True)
        for name in ("last.weights", "best.weights"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), steps
        timed = {"time_s", "pictures_per_s", "left_s"}
        rows = [
            [{key: value for key, value in row.items() if key not in timed} for row in rows_of(one)]
            for one in (run, tmp_path / "whole")
        ]
        assert rows[0] == rows[1]


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, epochs=1000)
    command = [
        *(sys.executable, "-m", "vedette", "train", "--data", str(settings.data), "--model", settings.model),
        *("--out", str(tmp_path / "run"), "--epochs", "1000", "--batch", "4"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    process.stderr.close()
    assert f"to go on: vedette train --out {tmp_path / 'run'} --resume" in rest
    assert (tmp_path / "run" / "checkpoints" / "latest").is_file()
    assert "Traceback" not in rest


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    folder = tmp_path_factory.mktemp("finished")
    settings = settings_for(folder, pictures=10)
    train(settings, folder / "run", SilentProgress())
    return settings


@pytest.fixture
def finished(finished_once: TrainSettings, tmp_path: Path) -> TrainSettings:
    """A finished run in tmp_path / "run", its data in tmp_path / "data"."""
    for name in ("data", "run"):
        shutil.copytree(finished_once.data.parent / name, tmp_path / name)
    return replace(finished_once, data=tmp_path / "data")


@pytest.mark.parametrize("change", ["picture", "box", "class", "splits", "epochs"])
def test_resuming_another_run_is_refused_and_changes_nothing(
    finished: TrainSettings, tmp_path: Path, change: str
) -> None:
    settings, data = finished, finished.data
    annotation = data / "Annotations" / "p003.xml"
    if change == "picture":
        (data / "JPEGImages" / "p003.jpg").write_bytes((data / "JPEGImages" / "p004.jpg").read_bytes())
    elif change == "box":
        annotation.write_text(annotation.read_text().replace("<ymin>", "<ymin>1", 1).replace("</ymax>", "0</ymax>", 1))
    elif change == "class":
        annotation.write_text(annotation.read_text().replace("brick", "stone").replace("tile", "stone"))
    elif change == "splits":
        write_splits(data, train=range(4), val=range(4, 8))
    else:
        settings = replace(settings, epochs=7)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises((ResumeError, SettingsError)) as refusal:
        train(settings, tmp_path / "run", SilentProgress(), resume=True)
    assert {"epochs": "epochs was 2, is 7", "class": "classes", "splits": "splits"}.get(change, "digest") in str(
        refusal.value
    )
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("change", [{"step": None}, {"sums": 3}, {"elapsed_s": "long"}])
def test_a_checkpoint_with_a_wrong_document_is_refused(
    finished: TrainSettings, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    path = folder / (folder / "latest").read_text().strip() / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RunFolderError, match=r"checkpoint in .* is damaged"):
        train(finished, tmp_path / "run", SilentProgress(), resume=True)


def test_resuming_a_finished_run_only_writes_its_report_again(finished: TrainSettings, tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "run")
    result = train(finished, tmp_path / "run", SilentProgress(), resume=True)
    assert result.epochs == 2
    assert rows_of(tmp_path / "run") == rows


def test_resuming_where_nothing_was_begun_is_said(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, pictures=6)
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        train(settings, tmp_path / "run", SilentProgress(), resume=True)
