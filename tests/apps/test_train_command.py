"""`vedette train` from the command line."""

import json
from pathlib import Path

import pytest

from drawn_shapes import draw_data, write_cfg
from small_disk import small_disk
from vedette.apps.cli import run_command
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights


def test_train_leaves_a_run_and_prints_its_figures_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, cfg, run = draw_data(tmp_path / "data", 8), write_cfg(tmp_path), tmp_path / "run"
    begin = ["train", "--data", str(data), "--model", str(cfg), "--epochs", "1", "--batch", "4", "--out", str(run)]
    assert run_command([*begin, "--device", "cpu", "--json"]) == 0
    done = capsys.readouterr()
    document = json.loads(done.out)
    assert document["run"] == str(run)
    assert document["epochs"] == 1
    assert set(document["evaluation"]) >= {"map50", "map50_95", "classes"}
    assert "epoch 1: " in done.err

    assert run_command(["train", "--out", str(run), "--resume", "--epochs", "5"]) == 1
    assert "epochs was 1, is 5" in capsys.readouterr().err
    assert run_command(["train", "--out", str(run), "--resume"]) == 0
    assert str(run / "report.html") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "run"], 2, "--data is missing"),
        (["--out", "run", "--data", "d", "--epochs", "2", "--time-budget", "5m"], 2, "not both"),
        (["--out", "run", "--data", "d", "--time-budget", "soon"], 2, "is no duration"),
        (["--out", "run", "--data", "d", "--size", "400"], 2, "multiples of 32"),
        (["--out", "run", "--data", "nowhere"], 1, "nowhere does not exist"),
        (["--out", "run", "--resume"], 1, "holds no run to resume"),
        (["--data", "d"], 2, ""),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments, code, message
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["train", *arguments]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not message or len(shown.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "run", "--weights", "nowhere.weights"], "nowhere.weights: no such file"),
        (["--out", "run", "--class-weights", "cat=2"], "--class-weights names 'cat'; the data has the classes"),
        (["--out", "run", "--weights", "w", "--freeze", "99"], "--freeze 99 leaves nothing to learn"),
        (["--out", "file/run"], "file/run cannot be made: Not a directory"),
        (["--out", "data"], "data is not empty; choose another folder"),
    ],
)
def test_what_can_be_refused_is_refused_before_a_picture_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_network(read_cfg(write_cfg(tmp_path)))
    write_weights(tmp_path / "w", plan, DarknetNetwork(plan).to_darknet(0))
    (tmp_path / "file").touch()
    for picture in (draw_data(tmp_path / "data", 8) / "JPEGImages").iterdir():
        picture.write_bytes(picture.name.encode())  # broken: they would be named, if they were looked at
    there = sorted(tmp_path.rglob("*"))

    assert run_command(["train", "--data", "data", "--model", "small.cfg", *arguments]) in {1, 2}

    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == there


@pytest.mark.parametrize("left_bytes", [300_000, 40_000])  # no checkpoint fits; not even the weights
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left_bytes: int
) -> None:
    data, cfg = draw_data(tmp_path / "data", 8), write_cfg(tmp_path)
    with small_disk(tmp_path / "disk", 8 << 20) as disk:
        disk.fill(but_bytes=left_bytes)
        run = disk.path / "run"
        begin = ["train", "--data", str(data), "--model", str(cfg), "--epochs", "1", "--batch", "4", "--out", str(run)]

        assert run_command([*begin, "--device", "cpu"]) == 1

        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith(f"vedette: {run} cannot be written to: No space left on device; make room")
        assert told.endswith(f"then go on: vedette train --out {run} --resume")
        disk.clear()
        assert run_command(["train", "--out", str(run), "--resume"]) == 0
