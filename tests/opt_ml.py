"""A rehearsal's /opt/ml: configuration and channels as SageMaker writes them, and the `train` program started on it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drawn_shapes import draw_data, write_cfg

JOB = "belt-parts-7"
S3_CHANNEL = {
    "ContentType": "",
    "TrainingInputMode": "File",
    "S3DistributionType": "FullyReplicated",
    "RecordWrapperType": "None",
}
ONE_HOST = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}


def make_job(base: Path, pictures: int = 12, checkpoints: bool = True, **parameters: str) -> Path:
    """Drawn shapes in channel `train`, the small network in channel `cfg`, two epochs unless told otherwise."""
    draw_data(base / "input" / "data" / "train", pictures)
    (base / "input" / "data" / "cfg").mkdir()
    write_cfg(base / "input" / "data" / "cfg")
    fast = {"epochs": "2", "batch": "4", "device": "cpu", "precision": "fp32"}
    write_config(base, "hyperparameters.json", {**fast, **parameters})
    write_config(base, "inputdataconfig.json", {"train": S3_CHANNEL, "cfg": S3_CHANNEL})
    write_config(base, "resourceconfig.json", ONE_HOST)
    if checkpoints:
        (base / "checkpoints").mkdir()
    return base


def add_recipe(base: Path) -> None:
    """A recipe in a channel of its own, and weights for the classes."""
    (base / "input" / "data" / "recipe").mkdir()
    (base / "input" / "data" / "recipe" / "mine.yaml").write_text("learning_rate: 0.002\naugment: {hue: 0.0}\n")
    config = base / "input" / "config"
    channels = json.loads((config / "inputdataconfig.json").read_text())
    write_config(base, "inputdataconfig.json", {**channels, "recipe": S3_CHANNEL})
    parameters = json.loads((config / "hyperparameters.json").read_text())
    write_config(base, "hyperparameters.json", {**parameters, "class-weights": "brick=2"})


def write_config(base: Path, name: str, document: Mapping[str, Any]) -> None:
    folder = base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def command(base: Path, python: str = sys.executable) -> list[str]:
    return [python, "-m", "vedette.learn.sagemaker.container", "train", "--base", str(base)]


def environment(**more: str) -> dict[str, str]:
    """Without what this machine has set; one thread, as tests share processors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_", "VEDETTE"))}
    return {**kept, "TRAINING_JOB_NAME": JOB, "OMP_NUM_THREADS": "1", **more}


def start_job(base: Path, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(command(base), stdout=subprocess.PIPE, text=True, env=environment(**more))


def run_job(base: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """To its end; standard error goes into the output, as in CloudWatch."""
    return subprocess.run(
        command(base), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment(**more)
    )
