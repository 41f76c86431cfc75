"""Runs and converted data sets that are written to an address in S3."""

import json
from pathlib import Path

import pytest

from described_jobs import files_of
from drawn_shapes import draw_data, write_cfg
from label_sets import write_voc
from simulators.s3_servers import BUCKET, S3Server
from vedette.apps.cli import run_command
from vedette.apps.object_storage import open_place
from vedette.apps.train_into_s3 import working_home
from vedette.learn.training.checkpoint import load_checkpoint
from vedette.learn.training.run_folder import Row, RunFolder
from vedette.storage.errors import UnreachableError
from vedette.storage.store import Store


@pytest.fixture(autouse=True)
def environment(rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cache", "state"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    for name, value in rclone_s3.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/written/{tmp_path.name}"


def stored(place: str) -> dict[str, bytes]:
    store = open_place(place)
    return {one.name: store.read(one.name, one.size_bytes) for one in store.list()}


def test_a_run_is_trained_into_s3_and_resumed_from_there(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cfg = draw_data(tmp_path / "data", 8), write_cfg(tmp_path)
    train = ["train", "--data", str(data), "--model", str(cfg), "--epochs", "1", "--batch", "2", "--out", place]
    folder = working_home(open_place(place)) / "run"
    write = Store.write

    def refuse(store: Store, name: str, content: bytes) -> None:
        if name == "settings.json":
            raise UnreachableError("the line is cut")
        write(store, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", refuse)
        assert run_command(train) == 1
    assert f"without training again: vedette train --out {place} --resume\n" in capsys.readouterr().err
    trained = files_of(folder)
    assert "checkpoints/latest" not in stored(place)
    assert run_command(train) == 2  # a second run for the same address
    assert "holds a run" in capsys.readouterr().err

    assert run_command(["train", "--out", place, "--resume", "--json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out)["run"] == place
    assert "epoch" not in told.err
    assert stored(place) == trained
    assert not folder.parent.exists()
    assert run_command(train) == 2
    assert "something is stored there already" in capsys.readouterr().err

    assert run_command(["train", "--out", place, "--resume", "--data", str(data)]) == 0  # from S3; it is at its end
    assert f"report: {place}/report.html\n" in capsys.readouterr().out
    files = stored(place)
    assert files["best.weights"] == trained["best.weights"]
    for name, content in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    assert load_checkpoint(tmp_path / "copy").document["epoch"] == 1


def test_data_is_converted_into_s3_and_a_broken_upload_goes_on(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_voc(tmp_path / "data", {"one": [("dog", (1, 1, 20, 20))], "two": [("cat", (5, 5, 30, 25))]})
    assert run_command(["data", "convert", str(data), str(tmp_path / "here"), "--to", "yolo"]) == 0
    here, said = files_of(tmp_path / "here"), capsys.readouterr().out

    assert run_command(["data", "convert", str(data), place, "--to", "yolo"]) == 0

    assert stored(place) == here
    assert capsys.readouterr().out == said.replace(str(tmp_path / "here"), place)
    assert run_command(["data", "check", place]) == 0
    open_place(place).delete([next(iter(here))])
    assert run_command(["data", "convert", str(data), place, "--to", "yolo"]) == 0
    assert stored(place) == here
    open_place(place).write(next(iter(here)), b"x")
    assert run_command(["data", "convert", str(data), place, "--to", "yolo"]) == 2
    assert "something else is stored there already" in capsys.readouterr().err
    assert stored(place)[next(iter(here))] == b"x"


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["jobs", "fetch", "one", "--out", "s3://b/x"], "`vedette jobs show` tells where"),
        (["data", "check", "s3://b/x", "--repair", "clip"], "`vedette data pull` it"),
        (["train", "--on", "sagemaker", "--out", "s3://b/x", "--data", "d"], "below --output"),
    ],
)
def test_what_cannot_be_in_s3_says_what_to_do_instead(
    command: list[str], instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command) == 2
    assert instead in capsys.readouterr().err


def test_several_processes_do_not_train_into_s3(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert run_command(["train", "--data", "parts", "--out", place]) == 2

    assert "several processes train into a folder on this computer" in capsys.readouterr().err
    assert stored(place) == {}


def test_ctrl_c_keeps_what_was_learnt_and_says_how_to_go_on(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cfg = draw_data(tmp_path / "data", 8), write_cfg(tmp_path)
    train = ["train", "--data", str(data), "--model", str(cfg), "--epochs", "2", "--batch", "2", "--out", place]
    write = RunFolder.write_results

    def interrupt(run: RunFolder, history: list[Row]) -> None:
        write(run, history)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_results", interrupt)
        assert run_command(train) == 130
    assert f"to go on and send it: vedette train --out {place} --resume\n" in capsys.readouterr().err
    assert stored(place) == {}

    assert run_command(["train", "--out", place, "--resume"]) == 0

    assert stored(place)["results.csv"].count(b"\n") == 3
