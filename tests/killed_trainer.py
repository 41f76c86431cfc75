"""Trains FOLDER/whole in one go, then FOLDER/killed again and again, ended by SIGKILL wherever it is, until it is done.

python killed_trainer.py SETTINGS FOLDER KILLS SEED: killed `KILLS` times, each one to three steps on and up to 80 ms
later, which falls into steps, checkpoints, validations and charts alike. Every step is followed by a checkpoint.
Children are forked once torch is imported and before it has started a thread: an import takes longer than all of their
training.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from vedette.contracts.ports import SilentProgress
from vedette.learn.training import training_run
from vedette.learn.training.loop import train
from vedette.learn.training.settings import TrainSettings, settings_from_flat


class Told(SilentProgress):
    """A byte for every step."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def advance(self, count: int = 1, **figures: float) -> None:
        if "loss" in figures:
            os.write(self.pipe, b".")


def main() -> int:
    settings, folder = settings_from_flat(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2])
    kills, chance = int(sys.argv[3]), random.Random(int(sys.argv[4]))
    torch.set_num_threads(1)
    training_run.CHECKPOINT_EVERY_S = 0.0
    codes = [train_in_child(settings, folder / "whole", None)]
    codes += [train_in_child(settings, folder / "killed", chance) for _ in range(kills)]
    codes.append(train_in_child(settings, folder / "killed", None))
    sys.stdout.write(f"{codes}\n")
    return 0 if codes == [0, *[-signal.SIGKILL] * kills, 0] else 1


def train_in_child(settings: TrainSettings, run: Path, chance: random.Random | None) -> int:
    """Begin, or go on with what lies there; killed at a moment of chance, if there is one. The child's exit code."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        train(settings, run, Told(writer), resume=(run / "settings.json").is_file())
        os._exit(0)
    os.close(writer)
    if chance is not None:
        for _ in range(chance.randint(1, 3)):
            os.read(reader, 1)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
    else:
        while os.read(reader, 4096):
            pass
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
