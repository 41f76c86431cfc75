"""A checkpoint is the old one or the new one, whole, whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vedette.learn.training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    mend_checkpoints,
    save_checkpoint,
)
from vedette.learn.training.errors import RunFolderError


def checkpoint(value: float) -> Checkpoint:
    tensors = {"weights": torch.full((50, 40), value), "count": torch.tensor(int(value)), "rng": torch.arange(9).byte()}
    return Checkpoint(tensors, {"step": int(value), "history": [{"epoch": 1.0, "map50": None}]})


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    save_checkpoint(tmp_path, 3, checkpoint(3.0))
    loaded = load_checkpoint(tmp_path)
    assert has_checkpoint(tmp_path)
    assert loaded.document["step"] == 3
    assert loaded.document["history"] == [{"epoch": 1.0, "map50": None}]
    for name, tensor in checkpoint(3.0).tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].dtype == tensor.dtype


def test_the_latest_and_the_one_before_stay_and_nothing_is_a_pickle(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save_checkpoint(tmp_path, number, checkpoint(float(number)))
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert names == [
        "checkpoints/00000002/state.json",
        "checkpoints/00000002/state.safetensors",
        "checkpoints/00000003/state.json",
        "checkpoints/00000003/state.safetensors",
        "checkpoints/latest",
    ]


def test_what_a_killed_run_was_writing_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1.0))
    folder = tmp_path / "checkpoints"
    (folder / ".latest.4711.partial").write_text("0000")
    (folder / ".00000002.4711.partial").mkdir()
    save_checkpoint(tmp_path, 2, checkpoint(2.0))
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_leftovers_of_a_killed_save_do_not_matter(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1.0))
    half = tmp_path / "checkpoints" / "00000002"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    assert load_checkpoint(tmp_path).document["step"] == 1
    save_checkpoint(tmp_path, 2, checkpoint(2.0))
    assert load_checkpoint(tmp_path).document["step"] == 2


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no checkpoint to resume from"):
        load_checkpoint(tmp_path)


DAMAGES = ("cut tensors", "other tensors", "no document", "bad json", "no object", "other format")


def damage_checkpoint(folder: Path, damage: str) -> None:
    tensors, document = folder / "state.safetensors", folder / "state.json"
    if damage == "cut tensors":
        tensors.write_bytes(tensors.read_bytes()[:-5])
    elif damage == "other tensors":
        tensors.write_bytes(tensors.read_bytes()[:-5] + b"other")
    elif damage == "no object":
        document.write_text("[]")
    elif damage == "no document":
        document.unlink()
    elif damage == "bad json":
        document.write_text("{")
    else:
        document.write_text(json.dumps({**json.loads(document.read_text()), "format": 99}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_with_its_name_and_a_way_out(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 7, checkpoint(7.0))
    damage_checkpoint(tmp_path / "checkpoints" / "00000007", damage)
    for refuses in (load_checkpoint, mend_checkpoints):
        with pytest.raises(RunFolderError, match=r"00000007 is .*damaged.*; train anew .*--weights .*last.weights"):
            refuses(tmp_path)


@pytest.mark.parametrize("damage", [*DAMAGES, "no folder", "pointer", "empty pointer", "pointer elsewhere"])
def test_where_the_latest_is_damaged_the_one_before_is_gone_on_from(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 7, checkpoint(7.0))
    save_checkpoint(tmp_path, 9, checkpoint(9.0))
    assert mend_checkpoints(tmp_path) is None
    folder = tmp_path / "checkpoints"
    pointers = {"pointer": b"\xff\x00", "empty pointer": b"", "pointer elsewhere": b"../elsewhere"}
    if damage in pointers:
        (folder / "latest").write_bytes(pointers[damage])
    elif damage == "no folder":
        shutil.rmtree(folder / "00000009")
    else:
        damage_checkpoint(folder / "00000009", damage)
    said = mend_checkpoints(tmp_path)
    assert said is not None
    step = 9 if damage in pointers else 7
    assert said.endswith(f"; going on from checkpoint {step:08d}")
    assert load_checkpoint(tmp_path).document["step"] == step
    assert mend_checkpoints(tmp_path) is None


WRITER = """
import sys, torch
from pathlib import Path
from vedette.learn.training.checkpoint import Checkpoint, save_checkpoint
for number in range(1, 100000):
    tensors = {name: torch.full((300, 300), float(number)) for name in "abc"}
    save_checkpoint(Path(sys.argv[1]), number, Checkpoint(tensors, {"step": number}))
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    reached = 0
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # the first is written
        time.sleep(0.05 + 0.037 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        written = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        loaded = load_checkpoint(tmp_path)
        step = loaded.document["step"]
        assert step >= int(written[-1] if written else 1)
        assert all(bool((tensor == step).all()) for tensor in loaded.tensors.values())
        reached = max(reached, step)
    assert reached > 1
