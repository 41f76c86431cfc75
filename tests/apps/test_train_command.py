"""`vedette train` from the command line."""

import json
from pathlib import Path

import pytest

from drawn_shapes import draw_data, write_cfg
from vedette.apps.cli import run_command


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
    assert list(tmp_path.iterdir()) == []
