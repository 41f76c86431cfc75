"""Pictures a second of `vedette train` and of a rival's own training loop, on the same pictures at the same size.

    python -m benchmarks.training measure DIR [--rounds 3] [--threads 2]
    python -m benchmarks.training table

DIR holds the rivals' environments (`python -m benchmarks.rivals set-up DIR`); `VEDETTE_DATA` names the folder with
`bccd`. Every contestant is a process that stays, warm, and trains a short round when it is its turn, the others
waiting: whatever else the machine does meets all alike. What is timed is the whole loop (loading, augmentation, both
passes, loss, optimiser, weight average), validation left out on both sides; CPU seconds are those of the process.
Writes benchmarks/results/training.json. Some five minutes on two cores that nobody else wants. Ours saves a checkpoint
every half minute, in the part of a round that is not timed. `table` writes it into docs/reference/training.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.marked_page import DOCS, fill
from benchmarks.recording import data_folder, identify_code, record
from benchmarks.rivals.environments import python_of, versions
from benchmarks.training_material import first_pictures, in_yolo

RECORDED = Path(__file__).parent / "results" / "training.json"
ROOT = Path(__file__).resolve().parents[1]
SIZE, PICTURES = 320, 192  # whole batches of 8 and of 16
FIRST_PICTURES = 208  # before the first round: the first epoch has charts to draw that later ones have not
WARM_PICTURES, TIMED_PICTURES = 64, 160
AIMS = {"fp32": 1.5, "bf16": 2.5}  # times the rival's pictures a second
NAMED = {"rival": "Ultralytics 8.4", "fp32": "vedette train, FP32", "bf16": "vedette train, BF16"}
BEGIN, END = "<!-- speed: made by `python -m benchmarks.training table` -->", "<!-- end of speed -->"
PROGRAM = Path(__file__).parent / "rivals" / "programs" / "ultralytics_train_speed.py"
START_TIMEOUT_S = 600


@dataclass
class Contestant:
    """A process that trains a round whenever it is told to."""

    name: str
    batch: int
    process: subprocess.Popen[str]
    answers: list[dict[str, float]] = field(default_factory=list)

    def wait_until_ready(self) -> None:
        self._read()

    def train_a_round(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.answers.append(self._read())

    def _read(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} with batches of {self.batch} ended: {self.process.wait()}; see its log")
        answer: dict[str, float] = json.loads(line)
        return answer

    def figures(self) -> dict[str, Any]:
        """Medians over the rounds, and how far they were apart."""
        per_s = [one["pictures"] / one["wall_s"] for one in self.answers]
        per_cpu_s = [one["pictures"] / one["cpu_s"] for one in self.answers]
        return {
            "pictures_per_s": round(median(per_s), 2),
            "pictures_per_s_by_round": [round(value, 2) for value in per_s],
            "pictures_per_cpu_s": round(median(per_cpu_s), 2),
            "cores_got": round(median(one["cpu_s"] / one["wall_s"] for one in self.answers), 2),
            "peak_mib": round(max(one["peak_mib"] for one in self.answers)),
        }


def main() -> None:
    """Measure, write the table, or be one contestant of ours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    measuring = steps.add_parser("measure")
    measuring.add_argument("folder", type=lambda text: Path(text).resolve(), help="with the rivals' environments")
    measuring.add_argument("--rounds", type=int, default=3)
    measuring.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    measuring.add_argument("--batches", type=int, nargs="+", default=[16, 8])
    contestant = steps.add_parser("contestant", help="what `measure` starts")
    contestant.add_argument("data", type=Path)
    contestant.add_argument("precision", choices=AIMS)
    contestant.add_argument("batch", type=int)
    steps.add_parser("table")
    asked = parser.parse_args()
    if asked.step == "contestant":
        train_in_rounds(asked.data, asked.precision, asked.batch)
    elif asked.step == "table":
        fill(DOCS / "reference" / "training.md", BEGIN, END, as_markdown(json.loads(RECORDED.read_text("utf-8"))))
    else:
        code = identify_code()
        figures = measure(asked.folder, asked.rounds, asked.threads, asked.batches)
        document = record("training", code, figures | {"rival_versions": versions(asked.folder)["ultralytics"]})
        RECORDED.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(as_markdown(document))


def as_markdown(document: dict[str, Any]) -> str:
    """A row for each contestant."""
    figures, host = document["figures"], document["host"]
    lines = [
        "| batch | who | pictures/s | to rival's | pictures per CPU s | to rival's | aim | cores got | peak, MiB |"
    ]
    lines.append("|---" * 9 + "|")
    for named in (value for key, value in figures.items() if key.startswith("batch ")):
        for who, one in named.items():
            if who == "ratios":
                continue
            ratio = named["ratios"].get(who, {"pictures_per_s": "", "pictures_per_cpu_s": "", "aim": ""})
            cells = [one["pictures_per_s"], ratio["pictures_per_s"], one["pictures_per_cpu_s"]]
            cells += [ratio["pictures_per_cpu_s"], ratio["aim"], one["cores_got"], one["peak_mib"]]
            batch = next(key for key, value in figures.items() if value is named).removeprefix("batch ")
            lines.append(f"| {batch} | {NAMED[who]} | {' | '.join(str(cell) for cell in cells)} |")
    where = (
        f"{document['measured_utc'][:10]}, commit `{document['commit']}`, {host['processor']}, {host['cores']} cores"
    )
    return f"{where}; {figures['threads']} threads, {figures['rounds']} rounds, medians.\n\n" + "\n".join(lines)


def measure(environments: Path, rounds: int, threads: int, batches: Sequence[int]) -> dict[str, Any]:
    """All contestants in turns."""
    with tempfile.TemporaryDirectory(prefix="training-") as scratch:
        folder = Path(scratch)
        ours = first_pictures(data_folder("bccd") / "bccd", folder / "bccd", PICTURES)
        theirs = in_yolo(ours, folder / "yolo")
        contestants: list[Contestant] = []
        try:
            for batch in batches:
                rival = [python_of(environments, "ultralytics"), str(PROGRAM), str(theirs), str(folder), str(SIZE)]
                counts = (n // batch for n in (FIRST_PICTURES, WARM_PICTURES, TIMED_PICTURES))
                rival += [str(n) for n in (batch, threads, *counts)]
                contestants.append(start("rival", batch, rival, threads, folder))
                for precision in AIMS:
                    own = [sys.executable, "-m", "benchmarks.training", "contestant"]
                    own += [str(ours), precision, str(batch)]
                    contestants.append(start(precision, batch, own, threads, folder))
            for _ in range(rounds):
                for contestant in contestants:
                    contestant.train_a_round()
        finally:
            for contestant in contestants:
                contestant.process.kill()
                contestant.process.wait()
    by_batch: dict[str, dict[str, Any]] = {}
    for contestant in contestants:
        by_batch.setdefault(f"batch {contestant.batch}", {})[contestant.name] = contestant.figures()
    for named in by_batch.values():
        named["ratios"] = ratios(named)
    return {"size": SIZE, "threads": threads, "rounds": rounds, "timed_pictures": TIMED_PICTURES, **by_batch}


def start(name: str, batch: int, command: Sequence[str], threads: int, folder: Path) -> Contestant:
    """Start a contestant and wait until it has its first epoch behind it: two do not get ready at once."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    with (folder / f"{name}-{batch}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    contestant = Contestant(name, batch, process)
    contestant.wait_until_ready()
    return contestant


def ratios(named: Mapping[str, Any]) -> dict[str, Any]:
    """Ours to the rival's, by the clock and by CPU seconds, and whether the aim is reached."""
    rival = named["rival"]
    return {
        precision: {
            "pictures_per_s": round(named[precision]["pictures_per_s"] / rival["pictures_per_s"], 2),
            "pictures_per_cpu_s": round(named[precision]["pictures_per_cpu_s"] / rival["pictures_per_cpu_s"], 2),
            "aim": aim,
            "reached": named[precision]["pictures_per_s"] >= aim * rival["pictures_per_s"],
            "memory": round(named[precision]["peak_mib"] / rival["peak_mib"], 2),
        }
        for precision, aim in AIMS.items()
    }


class Rounds:
    """A `Progress` that lets `train` learn one round for each line on standard input."""

    def __init__(self, batch: int) -> None:
        self._batch, self._learning = batch, False
        self._warm, self._timed = WARM_PICTURES // batch, TIMED_PICTURES // batch
        self._batches = -FIRST_PICTURES // batch
        self._began = (0.0, 0.0)

    def start(self, stage: str, total: int, unit: str) -> None:
        """Only epochs count, not the reading of pictures."""
        self._learning = stage.startswith("epoch")

    def advance(self, count: int = 1, **_: float) -> None:
        """A batch is done."""
        if not self._learning:
            return
        self._batches += 1
        if self._batches in (0, self._warm + self._timed):
            answer: dict[str, object] = self._measured() if self._batches else {"ready": True}
            print(json.dumps(answer), flush=True)
            if not sys.stdin.readline():
                sys.exit(0)
            self._batches = 0
        if self._batches == self._warm:
            self._began = (time.monotonic(), time.process_time())

    def say(self, line: str) -> None:
        """For the log."""
        print(line, file=sys.stderr)

    def _measured(self) -> dict[str, object]:
        wall_s, cpu_s = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"pictures": self._timed * self._batch, "wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib}


def train_in_rounds(data: Path, precision: str, batch: int) -> None:
    """`vedette train` itself, held at the end of each round."""
    from vedette.learn.training.arithmetic import PrecisionChoice
    from vedette.learn.training.loop import train
    from vedette.learn.training.settings import TrainSettings

    settings = replace(
        TrainSettings(data, "yolov3-tiny"),
        size_px=(SIZE, SIZE),
        epochs=10_000,
        batch=batch,
        precision=PrecisionChoice(precision),
        validate_every=10_000,
    )
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        train(settings, Path(folder) / "run", Rounds(batch))


if __name__ == "__main__":
    main()
