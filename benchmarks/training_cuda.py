"""Training on a CUDA GPU: pictures a second of yolov3-tiny and yolov3 at 416, and the time for 40 epochs of BCCD.

`python -m benchmarks training_cuda`; `VEDETTE_DATA` names the folder with `bccd`. Without a GPU the record says so and
holds no figure. Speed is that of `vedette train` itself (its own column in results.csv, median of the epochs after the
first), in FP32 and in BF16, several batch sizes; memory is what torch had reserved at most.
"""

import csv
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.recording import data_folder
from vedette.contracts.ports import SilentProgress
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice
from vedette.learn.training.loop import train
from vedette.learn.training.settings import TrainSettings

SIZE, EPOCHS = (416, 416), 4
BATCHES = {"yolov3-tiny": (8, 32, 64), "yolov3": (8, 16)}
WHOLE_RUN_EPOCHS = 40


def measure() -> dict[str, Any]:
    """Figures by network and precision, or why there are none."""
    if not torch.cuda.is_available():
        return {"unmeasured": f"torch {torch.__version__} finds no CUDA device here"}
    data = data_folder("bccd") / "bccd"
    figures: dict[str, Any] = {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    for model, batches in BATCHES.items():
        for precision in PrecisionChoice.FP32, PrecisionChoice.BF16:
            for batch in batches:
                settings = replace(_settings(data, model, precision), batch=batch, epochs=EPOCHS)
                figures[f"{model} {precision.value} batch {batch}"] = _run(replace(settings, validate_every=EPOCHS))
    whole = replace(_settings(data, "yolov3-tiny", PrecisionChoice.BF16), epochs=WHOLE_RUN_EPOCHS)
    figures[f"{WHOLE_RUN_EPOCHS} epochs of bccd at 416"] = _run(whole)
    return figures


def _settings(data: Path, model: str, precision: PrecisionChoice) -> TrainSettings:
    return TrainSettings(data, model, size_px=SIZE, device=DeviceChoice.CUDA, precision=precision)


def _run(settings: TrainSettings) -> dict[str, float]:
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        began = time.monotonic()
        result = train(settings, Path(folder) / "run", SilentProgress())
        wall_s = time.monotonic() - began
        with (result.run / "results.csv").open(encoding="utf-8", newline="") as file:
            speeds = [float(row["pictures_per_s"]) for row in csv.DictReader(file)]
    return {
        "pictures_per_s": round(median(speeds[1:]), 1),
        "wall_s": round(wall_s, 1),
        "map50": round(result.evaluation.map50, 4),
        "peak_reserved_mib": round(torch.cuda.max_memory_reserved() / 2**20),
    }
