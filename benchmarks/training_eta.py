"""How right the time left is that `vedette train` tells, epoch by epoch, in real short runs.

    python -m benchmarks.training_eta [--epochs 12] [--size 128] [--clock cpu]

`VEDETTE_DATA` names the folder with `bccd`. Trains yolov3-tiny twice, validating after every and after every fifth
epoch, and holds what `results.csv` kept as `left_s` against what was left. `--clock cpu` lets the runs live by the
processor's seconds instead of the wall's: on a machine that others use, an estimate cannot know what they will do. Some
ten minutes on one core. Writes benchmarks/results/training_eta.json.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.recording import data_folder, identify_code, record

RECORDED = Path(__file__).parent / "results" / "training_eta.json"
AIM = 0.2


class ProcessorTime:
    """The clock of `training_run`, with this process's own seconds."""

    monotonic = staticmethod(time.process_time)


def measure(data: Path, epochs: int, size: int, validate_every: int) -> list[dict[str, float]]:
    """For each epoch what was told and what was left, in seconds."""
    from vedette.contracts.ports import SilentProgress
    from vedette.learn.training.loop import train
    from vedette.learn.training.settings import TrainSettings

    settings = TrainSettings(data, "yolov3-tiny", size_px=(size, size), epochs=epochs, validate_every=validate_every)
    with tempfile.TemporaryDirectory(prefix="vedette-eta-") as folder:
        result = train(settings, Path(folder) / "run", SilentProgress())
        with (Path(folder) / "run" / "results.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        left_s = result.elapsed_s - float(row["time_s"])
        told_s = float(row["left_s"])
        found.append({"epoch": int(row["epoch"]), "told_s": round(told_s, 1), "left_s": round(left_s, 1),
                      "error": round(told_s / left_s - 1, 3)})  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    asked = parser.parse_args()
    if asked.clock == "cpu":
        from vedette.learn.training import loop, training_run

        for module in (loop, training_run):
            setattr(module, "time", ProcessorTime)  # noqa: B010
    code = identify_code()
    data = data_folder("bccd") / "bccd"
    figures: dict[str, Any] = {"clock": asked.clock, "epochs": asked.epochs, "size": asked.size, "runs": {}}
    for every in (1, 5):
        rows = measure(data, asked.epochs, asked.size, every)
        figures["runs"][f"validated every {every}"] = rows
        for row in rows:
            told = f"told {row['told_s']} s, left {row['left_s']} s, {row['error']:+.0%}"
            sys.stdout.write(f"val-every {every}, epoch {row['epoch']}: {told}\n")
    second = [rows[1]["error"] for rows in figures["runs"].values()]
    figures["larger_after_the_second_epoch"] = max(second, key=abs)
    figures["largest_from_then_on"] = max(
        (row["error"] for rows in figures["runs"].values() for row in rows[1:]), key=abs
    )
    RECORDED.write_text(json.dumps(record("training_eta", code, figures), indent=2) + "\n", encoding="utf-8")
    return 0 if all(abs(error) <= AIM for error in second) else 1


if __name__ == "__main__":
    sys.exit(main())
