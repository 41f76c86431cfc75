"""What S3 brought back is resumed from where it is whole; the files are those that the trainer writes."""

import shutil
from pathlib import Path

import pytest
import torch

from vedette.learn.sagemaker.container.checkpoints import BEGINNING, settle_run
from vedette.learn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints 1 and 2, both counting on best weights."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (*BEGINNING, "best.weights"):
        (folder / name).write_text("{}")
    for step in (1, 2):
        save_checkpoint(folder, step, Checkpoint({"w": torch.full((9,), step)}, {"step": step, "best_epoch": 1}))
    return folder


def settled(run: Path) -> tuple[bool, list[str]]:
    said: list[str] = []
    return settle_run(run, said.append), said


def test_a_whole_run_is_resumed_without_a_word(run: Path) -> None:
    assert settled(run) == (True, [])
    assert load_checkpoint(run).document["step"] == 2


@pytest.mark.parametrize("damage", ["tensors missing", "tensors cut", "document missing", "folder missing"])
def test_a_checkpoint_in_part_gives_way_to_the_one_before(run: Path, damage: str) -> None:
    newest = run / "checkpoints" / "00000002"
    if damage == "tensors missing":
        (newest / "state.safetensors").unlink()
    elif damage == "tensors cut":
        (newest / "state.safetensors").write_bytes((newest / "state.safetensors").read_bytes()[:-1])
    elif damage == "document missing":
        (newest / "state.json").unlink()
    else:
        shutil.rmtree(newest)
    resume, said = settled(run)
    assert resume
    assert "checkpoint 00000002 is not whole or not there: going on from 00000001" in said[0]
    assert load_checkpoint(run).document["step"] == 1


def test_a_newer_checkpoint_than_the_pointer_is_taken(run: Path) -> None:
    (run / "checkpoints" / "latest").write_text("00000001\n")
    assert settled(run)[0]
    assert load_checkpoint(run).document["step"] == 2


def test_without_a_whole_checkpoint_the_run_begins_again_and_says_so(run: Path) -> None:
    (run / "best.weights").unlink()  # both count on it
    resume, said = settled(run)
    assert resume
    assert "no whole checkpoint" in said[0]
    assert not (run / "checkpoints" / "latest").exists()


@pytest.mark.parametrize("name", BEGINNING)
def test_the_first_files_alone_are_no_run(run: Path, name: str) -> None:
    (run / name).unlink()
    resume, said = settled(run)
    assert not resume
    assert "begins anew" in said[0]
    assert not run.exists()


def test_nothing_there_is_a_new_run(tmp_path: Path) -> None:
    assert settled(tmp_path / "run") == (False, [])
