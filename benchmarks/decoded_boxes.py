"""Microseconds per picture that outputs which are boxes already take to decode, on one core.

The layouts of common exports at 640x640 and 80 classes, scores far below the threshold but for 60 boxes. Median of many
runs.
"""

import statistics
import time
from typing import Any

import numpy as np

from vedette.contracts.bundle import BoxForm, BoxLayout, BoxUnits, DecodedBoxes
from vedette.vision.decoded_boxes import decode_boxes

INPUT_PX, CLASSES, SCORE = 640, 80, 0.25
CANDIDATES = 60
RUNS = 201


def measure() -> dict[str, Any]:
    """Each layout's median."""
    rng = np.random.default_rng(0)
    layouts = {
        "objectness, 25200 rows": ("boxes_objectness_scores", BoxLayout.ROWS, 25200),
        "scores, 8400 columns": ("boxes_scores", BoxLayout.COLUMNS, 8400),
        "scores, 10647 rows": ("boxes_scores", BoxLayout.ROWS, 10647),
        "score and class, 300 rows": ("boxes_score_class", BoxLayout.ROWS, 300),
    }
    return {"layouts": {name: _measure_layout(*layout, rng) for name, layout in layouts.items()}, "runs": RUNS}


def _measure_layout(kind: Any, layout: BoxLayout, count: int, rng: np.random.Generator) -> dict[str, Any]:
    spec = DecodedBoxes(
        kind=kind, outputs=("output",), classes=CLASSES, layout=layout, box_form=BoxForm.CXCYWH,
        box_units=BoxUnits.PIXELS,
    )  # fmt: skip
    rows = rng.random((count, spec.values), dtype=np.float32) * np.float32(0.2)
    strong = rng.choice(count, CANDIDATES, replace=False)
    rows[strong, 4] = 0.9  # the objectness, the one score, or the score of class 0
    if kind == "boxes_objectness_scores":
        rows[strong, 5 + rng.integers(CLASSES, size=CANDIDATES)] = 0.9
    output = np.ascontiguousarray(rows.T) if layout is BoxLayout.COLUMNS else rows
    times_s = []
    for _ in range(RUNS):
        began = time.perf_counter()
        found = decode_boxes([output], spec, INPUT_PX, INPUT_PX, SCORE)
        times_s.append(time.perf_counter() - began)
    return {"candidates": len(found), "median_us": round(statistics.median(times_s) * 1e6, 1)}
