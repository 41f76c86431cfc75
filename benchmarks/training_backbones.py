"""What a backbone that has seen ImageNet is worth in the first ten epochs, beside the same network from scratch.

    python -m benchmarks.training_backbones measure FOLDER [--data bccd mask] [--seeds 0] [--core 1]
    python -m benchmarks.training_backbones table

Two small networks whose authors published a backbone of 57 layers. Their cfgs are for VOC's twenty classes: classes and
filters before the heads are set to the data's, all else stays. `VEDETTE_DATA` names the folder with `weights`, `bccd`
and `mask`. Each pair of runs has the same seed, pictures and recipe, 320 pixels, ten epochs, one thread. Writes
benchmarks/results/training_backbones.json after each run; runs that FOLDER holds are not made again. `table` writes
it into docs/reference/training.md.
"""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.marked_page import DOCS, fill
from benchmarks.recording import data_folder, identify_code, record
from benchmarks.training_material import two_way_split
from benchmarks.training_runs import Spec, run
from vedette.learn.data.reading import read_data_set

RECORDED = Path(__file__).parent / "results" / "training_backbones.json"
EPOCHS, SIZE = 10, 320
BEGIN = "<!-- backbones: made by `python -m benchmarks.training_backbones table` -->"
END = "<!-- end of backbones -->"
HOME = Path("weights") / "mobilenet-yolo"
NETWORKS = {  # cfg for VOC, backbone
    "MobileNetV2-YOLO-Fastest": (
        HOME / "MobileNetV2-YOLO-Fastest" / "v1" / "MobileNetV2-YOLO-Fastest-voc.cfg",
        HOME / "MobileNetV2-YOLO-Fastest" / "v1" / "MobileNetV2-YOLO-Fastest.conv.57",
    ),
    "MobileNetV2-YOLOv3-Nano": (
        HOME / "MobileNetV2-YOLOv3-Nano" / "VOC" / "MobileNetV2-YOLOv3-Nano-voc.cfg",
        HOME / "MobileNetV2-YOLOv3-Nano" / "MobileNetV2-Nano.57",
    ),
}


def main() -> None:
    """Train every pair and record it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_backbones", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    measuring = steps.add_parser("measure")
    measuring.add_argument("folder", type=lambda text: Path(text).resolve())
    measuring.add_argument("--data", nargs="+", choices=("bccd", "mask"), default=["bccd", "mask"])
    measuring.add_argument("--seeds", nargs="+", type=int, default=[0])
    measuring.add_argument("--core", type=int)
    steps.add_parser("table")
    asked = parser.parse_args()
    if asked.step == "table":
        document = json.loads(RECORDED.read_text(encoding="utf-8"))
        fill(DOCS / "reference" / "training.md", BEGIN, END, as_markdown(document))
        return
    given = data_folder("weights", "bccd")
    for seed in asked.seeds:
        for data in asked.data:
            source = two_way_split(given / data, asked.folder / "data" / data) if data == "mask" else given / data
            for name, (cfg, backbone) in NETWORKS.items():
                model = with_classes(
                    given / cfg, len(read_data_set(source).classes), asked.folder / f"{name}-{data}.cfg"
                )
                for start, weights in (("scratch", None), ("backbone", str(given / backbone))):
                    out = asked.folder / f"{data}-{name}-{start}-{seed}"
                    spec = Spec(str(source), str(out), model=str(model), size=SIZE, epochs=EPOCHS, seed=seed)
                    keep(data, name, start, seed, run(replace(spec, weights=weights), threads=1, core=asked.core))


def as_markdown(document: dict[str, Any]) -> str:
    """A row for each data set, network and start: the seeds' mean after ten epochs, and how it went."""
    lines = ["| data | network | start | mAP50 | mAP50-95 | mAP50 after each epoch (first seed) | seeds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for data, networks in document["figures"].items():
        for name, starts in networks.items():
            for start, runs in starts.items():
                map50, map50_95 = (mean(row[key] for row in runs.values()) for key in ("map50", "map50_95"))
                way = " ".join(f"{value:.2f}" for value in next(iter(runs.values()))["val_map50_by_epoch"])
                lines.append(f"| {data} | {name} | {start} | {map50:.3f} | {map50_95:.3f} | {way} | {len(runs)} |")
    host = document["host"]
    return (
        f"{document['measured_utc'][:10]}, {host['processor']}, one thread, BF16, `last.weights` on val.\n\n"
        + "\n".join(lines)
    )


def with_classes(cfg: Path, count: int, target: Path) -> Path:
    """The cfg for another number of classes."""
    text = re.sub(r"(?m)^classes\s*=.*$", f"classes={count}", cfg.read_text(encoding="utf-8"))
    sections = re.split(r"(?m)^(?=\[)", text)
    for index, section in enumerate(sections):
        if section.startswith("[yolo]"):
            mask = re.search(r"(?m)^mask\s*=(.*)$", section)
            assert mask is not None
            filters = len(mask.group(1).split(",")) * (5 + count)
            sections[index - 1] = re.sub(r"(?m)^filters\s*=.*$", f"filters={filters}", sections[index - 1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(sections), encoding="utf-8")
    return target


def keep(data: str, name: str, start: str, seed: int, figures: dict[str, Any]) -> None:
    """Add one run to the record."""
    known = json.loads(RECORDED.read_text(encoding="utf-8"))["figures"] if RECORDED.is_file() else {}
    row = figures["weights"]["last"] | {key: figures[key] for key in ("wall_s", "cpu_s", "val_map50_by_epoch")}
    known.setdefault(data, {}).setdefault(name, {}).setdefault(start, {})[str(seed)] = row
    document = record("training_backbones", identify_code(), known)
    RECORDED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{data} {name} {start} seed {seed}: mAP50 {row['map50']:.3f}, mAP50-95 {row['map50_95']:.3f}")


if __name__ == "__main__":
    main()
