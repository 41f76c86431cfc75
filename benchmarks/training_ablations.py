"""What each choice of the default recipe is worth: short equal runs, one thing changed in each, on two real data sets.

    python -m benchmarks.training_ablations measure FOLDER [--only NAME...] [--seeds 0 1] [--core 1]
    python -m benchmarks.training_ablations table

`measure` trains what FOLDER does not hold yet, one run at a time on one thread (bound to a processor core with
`--core`), and writes benchmarks/results/training_ablations.json after each: it can be stopped and taken up. `table`
writes the table of docs/adr/0012-the-default-recipe.md from it. `VEDETTE_DATA` names the folder with `bccd` and `mask`.

The runs are short (a few hundred steps, the whole schedule in them) so that many fit into an hour; they say which way a
choice works early, not how good a finished detector is. `last.weights` are scored, never the best of several. One run
takes 1.5 minutes of a core on bccd, 2.5 on mask.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.marked_page import DOCS, fill
from benchmarks.recording import data_folder, identify_code, record
from benchmarks.training_material import two_way_split
from benchmarks.training_runs import Spec, run

RECORDED = Path(__file__).parent / "results" / "training_ablations.json"
PAGE = DOCS / "adr" / "0012-the-default-recipe.md"
BEGIN, END = "<!-- table: made by `python -m benchmarks.training_ablations table` -->", "<!-- end of table -->"
SIZE = 320
EPOCHS = {"bccd": 10, "mask": 5}  # 260 and 430 steps of 8 pictures
RARE = {"bccd": "Platelets", "mask": "mascarilla_mal_puesta"}


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
    measure_step.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    measure_step.add_argument("--data", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    measure_step.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    measure_step.add_argument("--core", type=int)
    steps.add_parser("table")
    asked = parser.parse_args()
    if asked.step == "table":
        fill(PAGE, BEGIN, END, as_markdown(json.loads(RECORDED.read_text(encoding="utf-8"))))
        return
    for seed in asked.seeds:
        for name in asked.only:
            for data in asked.data:
                measure(asked.folder, data, name, seed, asked.core)


def measure(folder: Path, data: str, name: str, seed: int, core: int | None) -> None:
    """One run, unless it is there; the record with it."""
    code, variant = identify_code(), VARIANTS[name]
    material = data_folder(data) / data
    source = two_way_split(material, folder / "data" / data) if data == "mask" else material
    spec = Spec(
        str(source),
        str(folder / f"{data}-{name}-{seed}"),
        size=SIZE,
        epochs=EPOCHS[data],
        seed=seed,
        batch=variant.batch,
        precision=variant.precision,
        validate_every=EPOCHS[data],
        changes=variant.changes,
        patch=variant.patch,
    )
    if str(seed) in _known().get(data, {}).get(name, {}):
        return
    figures = run(spec, threads=1, core=core)
    row = figures["weights"]["last"] | {key: figures[key] for key in ("wall_s", "cpu_s", "peak_mib")}
    known = _known()  # anew: one process a core may measure beside this one
    known.setdefault(data, {}).setdefault(name, {})[str(seed)] = row | {"commit": code["commit"]}
    RECORDED.write_text(json.dumps(record("training_ablations", code, known), indent=1) + "\n", encoding="utf-8")
    print(f"{data} {name} seed {seed}: mAP50 {row['map50']:.3f}, mAP50-95 {row['map50_95']:.3f}, {row['cpu_s']} CPU s")


def _known() -> dict[str, Any]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))["figures"] if RECORDED.is_file() else {}


def as_markdown(document: dict[str, Any]) -> str:
    """A row for each variant: mean of its seeds, and in points how far it is from the default with the same seeds."""
    figures = document["figures"]
    names = [name for name in VARIANTS if any(name in figures.get(data, {}) for data in EPOCHS)]
    head = ["what", *(f"{data} {what}" for data in EPOCHS for what in ("mAP50", "mAP50-95", RARE[data])), "runs"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        cells = [cell for data in EPOCHS for cell in _cells(figures.get(data, {}), name, RARE[data])]
        runs = sum(len(figures.get(data, {}).get(name, {})) for data in EPOCHS)
        lines.append(f"| {VARIANTS[name].about} | {' | '.join(cells)} | {runs} |")
    host = document["host"]
    noise = "; ".join(f"{data} {_spread(figures[data])}" for data in EPOCHS if "default" in figures.get(data, {}))
    return (
        f"{document['measured_utc'][:10]}, {host['processor']}, one thread, BF16. Mean over the seeds run, and in "
        f"brackets the difference in points from the default with the same seeds; the last column of each data set is "
        f"AP50 of its rarest class. Between seeds of the default: {noise}.\n\n" + "\n".join(lines)
    )


def _cells(figures: Mapping[str, Any], name: str, rare: str) -> list[str]:
    own, default = figures.get(name, {}), figures.get("default", {})
    seeds = [seed for seed in own if seed in default]
    if not seeds:
        return ["", "", ""]
    cells = []
    for key in ("map50", "map50_95", rare):
        ours, theirs = (mean(_value(runs[seed], key) for seed in seeds) for runs in (own, default))
        change = "" if name == "default" else f" ({100 * (ours - theirs):+.1f})"
        cells.append(f"{ours:.3f}{change}")
    return cells


def _value(row: Mapping[str, Any], key: str) -> float:
    return float(row[key] if key in row else row["classes"][key][0] or 0.0)


def _spread(figures: Mapping[str, Any]) -> str:
    values = [row["map50"] for row in figures["default"].values()]
    return f"mAP50 {min(values):.3f} to {max(values):.3f} in {len(values)} runs"


if __name__ == "__main__":
    main()
