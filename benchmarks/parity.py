"""How exactly Darknet's files mean here what they mean in Darknet: the tables of docs/reference/parity.md.

What is compared, and how, is the tests' (tests/darknet_families, trained_nets, darknet_detections): every published
detector cfg with random weights, and every trained net, against OpenCV's importer on three engines; detections and AP
of two nets against Darknet's own. Families run at their cfg's size, the eight largest at a reduced one.
`python -m benchmarks parity` measures, `python -m benchmarks.parity` prints the recorded tables as Markdown. Needs the
real data: the folder that VEDETTE_DATA names.
"""

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network

ROOT = Path(__file__).resolve().parent.parent
OWN_SIZE_BFLOPS = 130.0  # yolov4 at 608x608 has 128; more than that for one picture: reduced
ENGINES = ("torch", "onnxruntime", "openvino")


def measure() -> dict[str, Any]:
    """All four tables."""
    data = Path(os.environ.get("VEDETTE_DATA", ROOT.parent / "shared" / "data"))
    oracle = data.parent / "oracles" / "darknet"
    if not data.is_dir() or not oracle.is_dir():
        raise SystemExit(f"parity needs the real data: {data} and {oracle} must be folders; set VEDETTE_DATA")
    sys.path.insert(0, str(ROOT / "tests"))  # the comparisons are the tests'
    with tempfile.TemporaryDirectory() as folder:
        return {
            "families": _families(data / "darknet" / "cfg", Path(folder)),
            "trained": _trained(data, Path(folder)),
            "detections": _detections(data, oracle),
            "average_precision": _average_precision(data),
        }


def _families(cfgs: Path, folder: Path) -> dict[str, Any]:
    from darknet_families import FAMILIES, TOLERANCE, measure_family, reduced

    figures = {}
    for name in FAMILIES:
        text = (cfgs / f"{name}.cfg").read_text(encoding="utf-8")
        own = plan_network(parse_cfg(text)).bflops <= OWN_SIZE_BFLOPS
        measured = measure_family(text if own else reduced(text), folder)
        figures[name] = {
            "input": f"{measured.plan.input_width}x{measured.plan.input_height}",
            "own_size": own,
            "cells": measured.cells,
            "tolerance": TOLERANCE,
            "engines": {engine: _difference(found) for engine, found in measured.by_engine.items()},
        }
        print(name, figures[name]["engines"], file=sys.stderr, flush=True)
    return figures


def _trained(data: Path, folder: Path) -> dict[str, Any]:
    from trained_nets import NETS, PICTURES, find_trained, measure_trained

    figures: dict[str, Any] = {}
    for name in NETS:
        net = find_trained(data / "weights", name)
        if net is None:
            figures[name] = {"absent": True}
            continue
        figures[name] = {"input": f"{net.plan.input_width}x{net.plan.input_height}", "pictures": PICTURES}
        for key, same_epsilon in (("same_epsilon", True), ("as_it_is", False)):
            found = measure_trained(net, data / "coco" / "images", folder, same_epsilon=same_epsilon)
            figures[name][key] = {engine: _difference(value) for engine, value in found.items()}
    return figures


def _difference(found: Any) -> dict[str, Any]:
    return {"box": found.box, "score": found.score, "boxes": found.boxes, "scores": found.scores}


def _detections(data: Path, oracle: Path) -> list[dict[str, Any]]:
    from darknet_detections import NETS, RESIZES, compare_detections

    figures = []
    for net, resize, engine in itertools.product(NETS, RESIZES, ENGINES):
        verdict = compare_detections(data, oracle, net, resize, engine=engine)
        figures.append(
            {
                "net": net,
                "resize": resize.value,
                "engine": engine,
                "here": verdict.here.total(),
                "darknet": verdict.darknets.total(),
                "matched": verdict.matched,
                "same_count_in_every_class": verdict.here == verdict.darknets,
                "least_iou": round(verdict.least_iou, 5),
                "largest_score_difference": verdict.largest_score_difference,
                "on_the_edge": verdict.on_the_edge,
                "wrong": verdict.wrong,
            }
        )
    return figures


def _average_precision(data: Path) -> list[dict[str, Any]]:
    from darknet_detections import AVERAGE_PRECISION, measure_ap

    figures = []
    for (net, resize, nms_kind), theirs in AVERAGE_PRECISION.items():
        ap50, ap50_95 = measure_ap(data, net, resize, nms_kind)
        case = {"net": net, "resize": resize.value, "nms_kind": nms_kind.value}
        figures.append({**case, "here": [round(ap50, 3), round(ap50_95, 3)], "darknet": list(theirs)})
    return figures


def as_markdown(figures: dict[str, Any]) -> str:
    """The four tables, one after another."""
    return "\n\n".join(
        [
            _families_table(figures["families"]),
            _trained_table(figures["trained"]),
            _detections_table(figures["detections"]),
            _precision_table(figures["average_precision"]),
        ]
    )


def _families_table(families: dict[str, Any]) -> str:
    rows = []
    for name, entry in families.items():
        size = entry["input"] + ("" if entry["own_size"] else " (reduced)")
        rows.append((name, size, _compared(_worst(entry["engines"])), *_cells(entry["engines"])))
    return _table(("cfg", "input", "boxes / scores compared", *ENGINES), rows)


def _trained_table(trained: dict[str, Any]) -> str:
    rows = []
    for name, entry in trained.items():
        if "absent" in entry:
            rows.append((name, "not in this copy of the data", "", "", "", "", ""))
            continue
        same, as_it_is = entry["same_epsilon"], _worst(entry["as_it_is"])
        side_px = max(int(side) for side in entry["input"].split("x"))
        loose = f"{as_it_is['box'] * side_px:.2f} px / {as_it_is['score']:.4f}"
        rows.append((name, entry["input"], _compared(_worst(same)), *_cells(same), loose))
    return _table(("net", "input", "boxes / scores compared", *ENGINES, "file as it is, worst engine"), rows)


def _detections_table(detections: list[dict[str, Any]]) -> str:
    head = ("net", "resize", "engine", "here / Darknet", "same", "least IoU", "largest score difference")
    rows = []
    for entry in detections:
        counts = (f"{entry['here']} / {entry['darknet']}", str(entry["matched"]))
        worst = (f"{entry['least_iou']:.4f}", f"{entry['largest_score_difference']:.0e}")
        alone = ("; ".join(entry[key]) or "none" for key in ("on_the_edge", "wrong"))
        rows.append((entry["net"], entry["resize"], entry["engine"], *counts, *worst, *alone))
    return _table((*head, "one side only, decided by rounding", "one side only, otherwise"), rows)


def _precision_table(precision: list[dict[str, Any]]) -> str:
    rows = []
    for entry in precision:
        apart = max(abs(a - b) for a, b in zip(entry["here"], entry["darknet"], strict=True))
        figures = (_pair(entry["darknet"]), _pair(entry["here"]), f"{apart:.2f}")
        rows.append((entry["net"], entry["resize"], entry["nms_kind"], *figures))
    return _table(("net", "resize", "NMS", "Darknet", "here", "largest difference"), rows)


def _worst(engines: dict[str, Any]) -> dict[str, Any]:
    return {key: max(engines[name][key] for name in ENGINES) for key in ("box", "score", "boxes", "scores")}


def _compared(worst: dict[str, Any]) -> str:
    return f"{worst['boxes']} / {worst['scores']}"


def _cells(engines: dict[str, Any]) -> list[str]:
    return [f"{engines[name]['box']:.0e} / {engines[name]['score']:.0e}" for name in ENGINES]


def _pair(values: list[float]) -> str:
    return f"{values[0]:.2f} / {values[1]:.2f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    recorded = json.loads((ROOT / "benchmarks" / "results" / "parity.json").read_text(encoding="utf-8"))
    print(as_markdown(recorded["figures"]))
