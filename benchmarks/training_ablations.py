"""What each choice of the default recipe is worth: equal runs, one thing changed in each, on two real data sets.

    python -m benchmarks.training_ablations measure FOLDER [--only NAME...] [--data bccd mask] [--seeds 0 1] [--core 1]
    python -m benchmarks.training_ablations measure FOLDER --full [the same]
    python -m benchmarks.training_ablations table

`measure` trains what FOLDER does not hold yet, one run at a time on one thread (bound to a processor core with
`--core`), and writes benchmarks/results/training_ablations.json after each: it can be stopped and taken up. `table`
writes the tables of docs/adr/0012-the-default-recipe.md from it. `VEDETTE_DATA` names the folder with bccd and mask.

Without `--full` the runs are short (a few hundred steps, the whole schedule in them) so that many fit into an hour;
they say which way a choice works early, not how good a finished detector is. One takes 1.5 minutes of a core on bccd,
2.5 on mask. With `--full` they have the length and the scored split of the contest with the rival
(`benchmarks.rivals.training`): 7 and 13 minutes of a core; FOLDER may be the contest's, whose runs of the default are
taken as they are. What short runs leave open is asked so. `last.weights` are scored, never the best of several.
"""

import argparse
import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import training_ablation_tables
from benchmarks.marked_page import DOCS, fill
from benchmarks.recording import identify_code, record
from benchmarks.rivals.training import CONTESTS, SIZE, source_of
from benchmarks.training_runs import Spec, run

RECORDED = Path(__file__).parent / "results" / "training_ablations.json"
PAGE = DOCS / "adr" / "0012-the-default-recipe.md"
BEGIN, END = "<!-- table: made by `python -m benchmarks.training_ablations table` -->", "<!-- end of table -->"
FULL_BEGIN = "<!-- full length: made by `python -m benchmarks.training_ablations table` -->"
FULL_END = "<!-- end of full length -->"
FULL = "full"  # key of the runs of full length in the record
FULL_SEEDS, SHORT_SEEDS = (0, 1, 2), (0, 1)
LEFT_OPEN = ("default", "plain-objectness", "no-decay", "no-average", "plain-iou", "no-closing")  # by short runs


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is, and where it is judged."""

    epochs: int
    split: str
    validate_every: int


SHORT_RUNS = {"bccd": Length(10, "val", 10), "mask": Length(5, "val", 5)}  # 260 and 430 steps of 8 pictures
FULL_RUNS = {name: Length(contest.epochs, contest.score_split, 5) for name, contest in CONTESTS.items()}


@dataclass(frozen=True, slots=True)
class Variant:
    """The default recipe with one thing changed."""

    about: str
    changes: Mapping[str, float]
    patch: str | None = None
    batch: int | None = None
    precision: str = "bf16"


VARIANTS: Mapping[str, Variant] = {
    "default": Variant("the default recipe", {}),
    "no-mosaic": Variant("whole pictures only", {"augment.mosaic": 0.0}),
    "no-closing": Variant("mosaic to the end", {"whole_pictures": 0.0}),
    "no-average": Variant("the weights themselves instead of their average", {}, "no average"),
    "one-positive": Variant("one positive an object instead of OTA's dynamic k", {"loss.largest_k": 1}),
    "own-cell": Variant("scale_x_y 1: only the cell that holds the centre may answer", {"scale_x_y": 1.0}),
    "plain-objectness": Variant("objectness is taught 1 instead of the overlap", {"loss.quality": 0.0}),
    "plain-iou": Variant("IoU instead of CIoU", {}, "overlap"),
    "family-anchors": Variant("the family's anchors instead of fitted ones", {}, "family anchors"),
    "no-priors": Variant("heads start without priors in their biases", {}, "no priors"),
    "no-decay": Variant("no weight decay", {"weight_decay": 0.0}),
    "lean": Variant(
        "no decay, IoU, objectness taught 1: all three", {"loss.quality": 0.0, "weight_decay": 0.0}, "overlap"
    ),
    "steady-rate": Variant("a steady rate instead of the cosine", {}, "steady rate"),
    "batch-16": Variant("batches of 16", {}, None, 16),
    "sizes": Variant("input sizes between 0.75 and 1.25 (multi-scale)", {"augment.sizes": 0.25}),
    "three-positives": Variant("at least three positives an object", {"loss.least_k": 3}),
    "focus": Variant("objectness weighted by its error (quality focal loss, power 1)", {"loss.focus": 1.0}),
    "balance": Variant("rare classes fill mosaics more often (power 0.5)", {"augment.balance": 0.5}),
    "rate-0.002": Variant("learning rate 0.002", {"learning_rate": 2e-3}),
    "rate-0.004": Variant("learning rate 0.004", {"learning_rate": 4e-3}),
    "fp32": Variant("FP32 instead of BF16", {}, precision="fp32"),
    "box-weight-8": Variant("box loss weighs 8 instead of 5", {"loss.box_weight": 8.0}),
}


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_ablations", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    measure_step = steps.add_parser("measure")
    measure_step.add_argument("folder", type=lambda text: Path(text).resolve())
    measure_step.add_argument("--full", action="store_true")
    measure_step.add_argument("--only", nargs="+", choices=VARIANTS)
    measure_step.add_argument("--data", nargs="+", choices=SHORT_RUNS, default=list(SHORT_RUNS))
    measure_step.add_argument("--seeds", nargs="+", type=int)
    measure_step.add_argument("--core", type=int)
    steps.add_parser("table")
    asked = parser.parse_args()
    if asked.step == "table":
        figures = json.loads(RECORDED.read_text(encoding="utf-8"))
        about = {name: variant.about for name, variant in VARIANTS.items()}
        fill(PAGE, BEGIN, END, training_ablation_tables.short_runs(figures, about))
        fill(PAGE, FULL_BEGIN, FULL_END, training_ablation_tables.full_runs(figures, about))
        return
    for seed in asked.seeds or (FULL_SEEDS if asked.full else SHORT_SEEDS):
        for name in asked.only or (LEFT_OPEN if asked.full else VARIANTS):
            for data in asked.data:
                measure(specify(asked.folder, data, name, seed, asked.full), (data, name, str(seed)), asked)


def specify(folder: Path, data: str, name: str, seed: int, full: bool) -> Spec:
    """One run. At full length one that differs in the precision alone is the contest's own."""
    variant, length = VARIANTS[name], (FULL_RUNS if full else SHORT_RUNS)[data]
    is_contests = full and not variant.changes and variant.patch is None and variant.batch is None
    return Spec(
        str(source_of(folder, data)),
        str(folder / (f"ours-{data}-{variant.precision}-{seed}" if is_contests else f"{data}-{name}-{seed}")),
        score_split=length.split,
        size=SIZE,
        epochs=length.epochs,
        seed=seed,
        batch=variant.batch,
        precision=variant.precision,
        validate_every=length.validate_every,
        changes=variant.changes,
        patch=variant.patch,
    )


def measure(spec: Spec, named: tuple[str, str, str], asked: argparse.Namespace) -> None:
    """One run (data, variant, seed), unless it is in the record; the record with it."""
    if _place(_known(), named, asked.full).get(named[2]):
        return
    figures = run(spec, threads=1, core=asked.core)
    kept = ("wall_s", "cpu_s", "peak_mib", "commit", *(["val_map50_by_epoch"] if asked.full else []))
    row = figures["weights"]["last"] | {key: figures[key] for key in kept}
    row |= {"val": last_validation(Path(spec.out))} if asked.full else {}
    known = _known()  # anew: one process a core may measure beside this one
    _place(known, named, asked.full)[named[2]] = row
    RECORDED.write_text(json.dumps(record("training_ablations", identify_code(), known), indent=1) + "\n", "utf-8")
    print(f"{' '.join(named)}: mAP50 {row['map50']:.3f}, mAP50-95 {row['map50_95']:.3f}, {row['cpu_s']} CPU s")


def last_validation(run_folder: Path) -> dict[str, float]:
    """What training's own validation said of the last weights, which it has not chosen."""
    with (run_folder / "results.csv").open(encoding="utf-8", newline="") as lines:
        last = list(csv.DictReader(lines))[-1]
    return {key: round(float(last[f"val_{key}"]), 4) for key in ("map50", "map50_95")}


def _known() -> dict[str, Any]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))["figures"] if RECORDED.is_file() else {}


def _place(figures: dict[str, Any], named: tuple[str, str, str], full: bool) -> dict[str, Any]:
    """Where the runs of a variant lie in the record, by seed; made if it is not there."""
    part = figures.setdefault(FULL, {}) if full else figures
    place: dict[str, Any] = part.setdefault(named[0], {}).setdefault(named[1], {})
    return place


if __name__ == "__main__":
    main()
