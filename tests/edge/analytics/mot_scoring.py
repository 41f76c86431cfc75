"""MOTA, IDF1 and id switches of one sequence, by their definitions (CLEAR MOT 2008; Ristani 2016), at IoU 0.5."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.edge.analytics.association import assign
from vedette.vision.boxes import iou_matrix

FrameBoxes = dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]  # frame -> ids (n,), boxes xyxy (n, 4)


@dataclass(frozen=True)
class Score:
    mota: float
    idf1: float
    switches: int
    misses: int
    false_positives: int
    objects: int


def read_mot(path: Path) -> dict[int, NDArray[np.float64]]:
    """Rows of a MOT file by frame: (n, columns) with x, y, width, height in columns 2..5."""
    rows = np.atleast_2d(np.loadtxt(path, delimiter=","))
    return {int(frame): rows[rows[:, 0] == frame] for frame in np.unique(rows[:, 0])}


def boxes_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) corners."""
    return np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)


def score(truth: FrameBoxes, found: FrameBoxes) -> Score:
    """Compare frame by frame; a pair kept from the frame before goes first, as CLEAR MOT says."""
    misses = false_positives = switches = objects = boxes = 0
    partner: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    empty = (np.zeros(0, np.int64), np.zeros((0, 4)))
    for frame, (true_ids, true_boxes) in sorted(truth.items()):
        ids, found_boxes = found.get(frame, empty)
        overlap = iou_matrix(true_boxes, found_boxes)
        for i, j in np.argwhere(overlap >= 0.5):
            key = (int(true_ids[i]), int(ids[j]))
            together[key] = together.get(key, 0) + 1
        gains = np.where(overlap >= 0.5, overlap, 0.0)
        for i, true_id in enumerate(true_ids):
            for j in np.flatnonzero(ids == partner.get(int(true_id), -1)):
                gains[i, j] += 10.0 * (gains[i, j] > 0)
        rows, columns = assign(gains)
        for i, j in zip(rows, columns, strict=True):
            true_id, own_id = int(true_ids[i]), int(ids[j])
            switches += partner.get(true_id, own_id) != own_id
            partner[true_id] = own_id
        misses += len(true_ids) - len(rows)
        false_positives += len(ids) - len(rows)
        objects, boxes = objects + len(true_ids), boxes + len(ids)
    names, own = sorted({a for a, _ in together}), sorted({b for _, b in together})
    common = np.zeros((len(names), len(own)))
    for (a, b), count in together.items():
        common[names.index(a), own.index(b)] = count
    rows, columns = assign(common)
    idf1 = 2 * common[rows, columns].sum() / (objects + boxes)
    mota = 1 - (misses + false_positives + switches) / objects
    return Score(100 * mota, 100 * float(idf1), switches, misses, false_positives, objects)
