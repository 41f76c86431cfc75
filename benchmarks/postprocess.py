"""Microseconds per picture of box decoding and of suppression, on one core, beside OpenCV's `NMSBoxesBatched`.

Heads are noise far below the score but for 60 candidates, 80 classes, 416x416: 2,535 cells (yolov3-tiny) and 10,647
(yolov3). Boxes to suppress are 60, 300 and 2,500, of five classes in clusters of 6, or of one class in heaps of 15 that
nearly coincide, as networks give them; how many each side keeps is stated too. OpenCV's arguments are made beforehand
(its own corner, width, height), ours include the division into fractions of the picture. Median of many runs.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import DarknetHeads, NmsKind, YoloHead
from vedette.vision.nms import suppress
from vedette.vision.yolo import decode_heads

INPUT_PX, CLASSES, SCORE, NMS_IOU = 416, 80, 0.25, 0.45
DECODE_LIMITS_US = {2535: 200.0, 10647: 250.0}
GRIDS = {2535: (13, 26), 10647: (13, 26, 52)}
CANDIDATES = 60
BOXES = (60, 300, 2500)
RUNS = 201


def measure() -> dict[str, Any]:
    """Decode and suppression, with the limits of the decode."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    decode = {}
    for cells, limit_us in DECODE_LIMITS_US.items():
        heads, spec = _heads(GRIDS[cells], rng)
        found = len(decode_heads(heads, spec, INPUT_PX, INPUT_PX, SCORE))
        took_us = _median_us(lambda h=heads, s=spec: decode_heads(h, s, INPUT_PX, INPUT_PX, SCORE))
        decode[str(cells)] = {
            "candidates": found, "median_us": took_us, "limit_us": limit_us, "within_limit": took_us <= limit_us
        }  # fmt: skip
    return {
        "decode": decode,
        "suppression": {str(count): _suppression(_clusters(count, rng), rng) for count in BOXES},
        "suppression_in_heaps": {str(count): _suppression(_heaps(count, rng), rng) for count in BOXES},
        "runs": RUNS,
    }


def _heads(grids: tuple[int, ...], rng: np.random.Generator) -> tuple[list[NDArray[np.float32]], DarknetHeads]:
    """Three anchors a grid; CANDIDATES cells, spread evenly, with one class above the score."""
    heads = [rng.normal(-6, 1, (3, 5 + CLASSES, side * side)).astype(np.float32) for side in grids]
    for number in range(CANDIDATES):
        head = heads[number % len(heads)]
        cell, anchor = int(rng.integers(head.shape[2])), number % 3
        head[anchor, 4, cell] = 4
        head[anchor, 5 + int(rng.integers(CLASSES)), cell] = 4
    spec = DarknetHeads(
        heads=tuple(
            YoloHead(output=f"head_{i}", grid_width=side, grid_height=side, anchors=((30, 40), (60, 80), (90, 160)))
            for i, side in enumerate(grids)
        )
    )
    return [head.reshape(-1, side, side) for head, side in zip(heads, grids, strict=True)], spec


Boxes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]  # corners, sizes, class ids


def _clusters(count: int, rng: np.random.Generator) -> Boxes:
    centres = rng.uniform(50, 366, (max(count // 6, 1), 2))[rng.integers(max(count // 6, 1), size=count)]
    sizes = rng.uniform(40, 80, (count, 2))
    return centres + rng.normal(0, 4, (count, 2)) - sizes / 2, sizes, rng.integers(0, 5, count).astype(np.int32)


def _heaps(count: int, rng: np.random.Generator) -> Boxes:
    heaps = rng.integers(count // 15, size=count)
    centres, sizes = rng.uniform(50, 366, (count // 15, 2)), rng.uniform(40, 80, (count // 15, 2))
    sizes = sizes[heaps] * rng.uniform(0.9, 1.1, (count, 2))
    return centres[heaps] + rng.normal(0, 3, (count, 2)) - sizes / 2, sizes, np.zeros(count, np.int32)


def _suppression(drawn: Boxes, rng: np.random.Generator) -> dict[str, Any]:
    corners, sizes, class_ids = drawn
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)  # (count, 4) xyxy px
    xywh = np.concatenate([corners, sizes], axis=1).astype(np.float32)
    scores = rng.uniform(SCORE, 1, len(boxes)).astype(np.float32)
    figures: dict[str, Any] = {}
    for kind in NmsKind:
        figures[f"{kind.value}_us"] = _median_us(
            lambda k=kind: suppress(boxes / np.float32(INPUT_PX), scores, class_ids, NMS_IOU, k)
        )
    opencv = cv2.dnn.NMSBoxesBatched
    figures["opencv_batched_us"] = _median_us(lambda: opencv(xywh, scores, class_ids, 0.0, NMS_IOU))
    figures["kept"] = len(suppress(boxes, scores, class_ids, NMS_IOU))
    figures["opencv_kept"] = len(opencv(xywh, scores, class_ids, 0.0, NMS_IOU))
    return figures


def _median_us(action: Callable[[], object]) -> float:
    times_us = []
    for _ in range(RUNS):
        began = time.perf_counter()
        action()
        times_us.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times_us), 1)
