"""`vedette train` in several processes on loopback, started by torchrun as a user would start it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from drawn_shapes import draw_data, write_cfg


def draw_job(folder: Path, pictures: int = 20) -> list[str]:
    """Small data and network in a folder; the flags that train on them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = draw_data(folder / "data", pictures)
    return [f"--data={data}", f"--model={write_cfg(folder)}", "--batch=4", "--device=cpu", "--precision=fp32"]


def one(flags: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "vedette", "train", *flags]


def several(processes: int, flags: Sequence[str]) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*torchrun, "-m", "vedette", "train", *flags]


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    """Standard error comes into the output."""
    kept = {name: value for name, value in os.environ.items() if name not in {"RANK", "WORLD_SIZE", "MASTER_ADDR"}}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**kept, "OMP_NUM_THREADS": "1"},
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code and what is still to be read."""
    assert process.stdout is not None
    with process.stdout:
        rest = process.stdout.read()
    return process.wait(), rest


def run(command: Sequence[str]) -> tuple[int, str]:
    return finish(start(command))


def read_until(process: "subprocess.Popen[str]", begin: str) -> str:
    """What was printed up to the first line that begins so."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(begin):
            return printed
    raise AssertionError(f"ended before '{begin}': {printed}")


def workers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """torchrun's processes by rank."""
    found = psutil.Process(process.pid).children()
    return sorted(found, key=lambda child: int(child.environ()["RANK"]))
