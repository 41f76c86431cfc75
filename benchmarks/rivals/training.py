"""How good a detector is after equal epochs on equal pictures: ours and Ultralytics' own yolov3-tiny, from scratch.

    python -m benchmarks.rivals.training rival ENVIRONMENTS FOLDER {bccd,mask} [--threads 1] [--core 0]
    python -m benchmarks.rivals.training ours FOLDER {bccd,mask} [--precision bf16] [--seed 0] [--threads 1] [--core 1]
    python -m benchmarks.rivals.training score FOLDER
    python -m benchmarks.rivals.training table

Same pictures, same split (bccd's own; mask: four fifths by class, `training_material`), 320 pixels, no weights to start
from, each with its defaults; ENVIRONMENTS is what `python -m benchmarks.rivals set-up` made. The rival runs as a
program of its own and leaves what it found; `score` judges its boxes and ours with one scorer
(`learn.training.evaluate`), from a score of 0.001 up, suppression as each side does it by default, and writes
benchmarks/results/training_quality.json with what each run took; `table` puts it into docs/reference/training.md.
`rival` takes an hour of one core for mask (30 epochs) and half of one for bccd (40); ours 13 minutes and six.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from benchmarks.marked_page import DOCS, fill
from benchmarks.recording import data_folder, identify_code, record
from benchmarks.rivals.environments import python_of
from benchmarks.seeds import Difference, paired
from benchmarks.training_material import in_yolo, two_way_split
from benchmarks.training_runs import WEIGHTS, Spec, brief, run
from vedette.contracts.detections import Detections
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.reading import read_data_set
from vedette.learn.data.samples import DataSet
from vedette.learn.training.evaluate import choose_split, summarise, truths_of

RECORDED = Path(__file__).parents[1] / "results" / "training_quality.json"
PROGRAM = Path(__file__).parent / "programs" / "ultralytics_train.py"
PAGE = DOCS / "reference" / "training.md"
BEGIN, END = "<!-- quality: made by `python -m benchmarks.rivals.training table` -->", "<!-- end of quality -->"
SIZE, RIVAL_BATCH = 320, 16
PRECISIONS = ("bf16", "fp32")


@dataclass(frozen=True, slots=True)
class Contest:
    """What is trained on, for how long, and where it is judged."""

    epochs: int
    score_split: str
    split_here: bool  # the data has no splits of its own
    judged: str  # which weights: the best epoch's where other pictures chose it than those that judge


CONTESTS = {"bccd": Contest(40, "test", False, "best"), "mask": Contest(30, "val", True, "last")}


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals.training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("table")
    for name in ("rival", "ours", "score"):
        step = steps.add_parser(name)
        if name == "rival":
            step.add_argument("environments", type=lambda text: Path(text).resolve())
        step.add_argument("folder", type=lambda text: Path(text).resolve())
        if name != "score":
            step.add_argument("data", choices=CONTESTS)
            step.add_argument("--threads", type=int, default=1)
            step.add_argument("--core", type=int)
            step.add_argument("--seed", type=int, default=0)
        if name == "ours":
            step.add_argument("--precision", choices=PRECISIONS, default="bf16")
            step.add_argument("--minutes", type=float, help="a time budget instead of the epochs")
    asked = parser.parse_args()
    if asked.step == "rival":
        train_rival(asked)
    elif asked.step == "ours":
        train_ours(asked)
    elif asked.step == "table":
        fill(PAGE, BEGIN, END, as_markdown(json.loads(RECORDED.read_text(encoding="utf-8"))))
    else:
        code = identify_code()
        document = record("training_quality", code, score_all(asked.folder))
        RECORDED.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(document["figures"], indent=2))


def source_of(folder: Path, name: str) -> Path:
    """The data set in VOC, with its splits."""
    given = data_folder(name) / name
    return two_way_split(given, folder / "data" / name) if CONTESTS[name].split_here else given


def train_rival(asked: argparse.Namespace) -> None:
    """Ultralytics, as a program in its own environment; what it finds lies in FOLDER/rival-NAME-SEED."""
    contest = CONTESTS[asked.data]
    source = source_of(asked.folder, asked.data)
    described = in_yolo(source, asked.folder / "data" / f"{asked.data}-yolo")
    out = asked.folder / f"rival-{asked.data}-{asked.seed}"
    out.mkdir(parents=True, exist_ok=True)
    pinned = ["taskset", "-c", str(asked.core)] if asked.core is not None else []
    listed = described.with_name(f"{contest.score_split}.txt")
    numbers = [SIZE, RIVAL_BATCH, contest.epochs, asked.threads, asked.seed]
    command = [*pinned, python_of(asked.environments, "ultralytics"), str(PROGRAM), str(described), str(listed)]
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        subprocess.run([*command, str(out), *map(str, numbers)], stdout=log, stderr=log, check=True)


def train_ours(asked: argparse.Namespace) -> None:
    """`vedette train` with its defaults; the run lies in FOLDER/ours-NAME-PRECISION-SEED."""
    contest = CONTESTS[asked.data]
    budget = "" if asked.minutes is None else f"-{asked.minutes:g}min"
    spec = Spec(
        str(source_of(asked.folder, asked.data)),
        str(asked.folder / f"ours-{asked.data}-{asked.precision}{budget}-{asked.seed}"),
        score_split=contest.score_split,
        size=SIZE,
        epochs=contest.epochs,
        time_budget_s=None if asked.minutes is None else asked.minutes * 60,
        seed=asked.seed,
        precision=asked.precision,
        validate_every=5,
    )
    print(json.dumps(run(spec, asked.threads, asked.core), indent=2))


def score_all(folder: Path) -> dict[str, Any]:
    """Every run that FOLDER holds, by data set."""
    figures: dict[str, Any] = {}
    for name, contest in CONTESTS.items():
        runs: dict[str, Any] = {}
        for out in sorted(folder.glob(f"ours-{name}-*/measured.json")):
            runs[out.parent.name.replace(f"ours-{name}", "vedette")] = json.loads(out.read_text(encoding="utf-8"))
        for out in sorted(folder.glob(f"rival-{name}-*/training.json")):
            data = choose_split(read_data_set(source_of(folder, name)), contest.score_split)
            found = {w: score_rival(json.loads((out.parent / f"{w}.json").read_bytes()), data) for w in WEIGHTS}
            cost = json.loads(out.read_text(encoding="utf-8"))
            runs[out.parent.name.replace(f"rival-{name}", "ultralytics")] = cost | {"weights": found}
        if runs:
            figures[name] = {"epochs": contest.epochs, "size": SIZE, "split": contest.score_split, "runs": runs}
    return figures


def score_rival(found: Mapping[str, list[list[float]]], data: DataSet) -> dict[str, Any]:
    """What our scorer says of another detector's boxes: by picture, rows of x1, y1, x2, y2, score, class."""
    ids = {name: index for index, name in enumerate(data.classes)}
    truths, detections = [], []
    for sample in data.samples:
        size_px = picture_size(sample.picture)
        rows = np.array(found[sample.picture.stem], np.float32).reshape(-1, 6)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        boxes = np.clip(rows[:, :4], 0, np.array([*size_px, *size_px], np.float32))  # (n, 4) float32
        truths.append(truths_of(sample, size_px, ids))
        detections.append(Detections(boxes, rows[:, 4], rows[:, 5].astype(np.int32), data.classes))
    return brief(summarise(truths, detections, data.classes).to_json())


def as_markdown(document: dict[str, Any]) -> str:
    """A row for each run."""
    lines = ["| data | who | epochs | mAP50 | mAP50-95 | AP50 by class | threads | CPU s | wall, min | peak, MiB |"]
    lines.append("|---" * 10 + "|")
    for name, told in document["figures"].items():
        for who, one in told["runs"].items():
            for weights in ("best", "last") if CONTESTS[name].judged == "last" else ("best",):
                judged = one["weights"][weights]
                classes = ", ".join(f"{kind} {ap50:.3f}" for kind, (ap50, _) in judged["classes"].items())
                lines.append(
                    f"| {name} | {who} | {weights} of {one.get('epochs', told['epochs'])} | {judged['map50']:.3f} | "
                    f"{judged['map50_95']:.3f} | {classes} | {one['threads']} | {one['cpu_s']:.0f} | "
                    f"{one['wall_s'] / 60:.0f} | {one['peak_mib']:.0f} |"
                )
    host = document["host"]
    where = (
        f"{document['measured_utc'][:10]}, commit `{document['commit']}`, {host['processor']}, {host['cores']} cores"
    )
    runs = f"{where}. Other work shared the machine: compare CPU seconds, not minutes.\n\n" + "\n".join(lines)
    return "\n\n".join(filter(None, (runs, precisions_as_markdown(document["figures"]))))


def precisions_as_markdown(figures: Mapping[str, Any]) -> str:
    """BF16 beside FP32 over the seeds that both have: means, in brackets the seeds' standard deviation in points, and
    the difference with its standard error, seed by seed.
    """
    lines = ["| data | figure | BF16 | FP32 | BF16 - FP32, points | seeds |"]
    lines.append("|---" * 6 + "|")
    for name, told in figures.items():
        for key, title in (("map50", "mAP50"), ("map50_95", "mAP50-95")):
            bf16, fp32 = (_by_seed(told["runs"], f"vedette-{kind}-", CONTESTS[name].judged, key) for kind in PRECISIONS)
            difference = paired(bf16, fp32)
            if difference is None or difference.count < 2:
                continue
            sides = [[side[seed] for seed in bf16 if seed in fp32] for side in (bf16, fp32)]
            means = " | ".join(f"{mean(side):.3f} ({100 * stdev(side):.1f})" for side in sides)
            lines.append(f"| {name} | {title} | {means} | {in_points(difference)} | {difference.count} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _by_seed(runs: Mapping[str, Any], prefix: str, weights: str, key: str) -> dict[str, float]:
    named = {who.removeprefix(prefix): one for who, one in runs.items() if who.startswith(prefix)}
    return {seed: one["weights"][weights][key] for seed, one in named.items() if seed.isdecimal()}


def in_points(difference: Difference) -> str:
    """`-0.3 ± 0.2`: in points, with the standard error where there is one."""
    error = "" if difference.error is None else f" ± {100 * difference.error:.1f}"
    return f"{100 * difference.mean:+.1f}{error}"


if __name__ == "__main__":
    main()
