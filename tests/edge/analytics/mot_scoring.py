"""MOTA, IDF1, id switches and HOTA of one sequence by motmetrics, at the MOT Challenge's IoU of 0.5.

Its own `iou_matrix` calls NumPy functions that are gone since NumPy 2, so the distances are made here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import motmetrics
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vedette.contracts.detections import Detections
from vedette.contracts.ports import Tracker
from vedette.vision.boxes import iou_matrix

FRAMES_PER_S = {"TUD-Campus": 25, "TUD-Stadtmitte": 25, "ETH-Sunnyday": 14, "PETS09-S2L1": 7}  # of seqinfo.ini
FrameBoxes = dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]  # frame -> ids (n,), boxes xyxy (n, 4)
_NOTHING = (np.zeros(0, np.int64), np.zeros((0, 4)))
METRICS = ["mota", "idf1", "num_switches", "num_misses", "num_false_positives", "num_objects"]


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


def read_tracks(path: Path) -> FrameBoxes:
    """A result file of the MOT Challenge."""
    return {frame: (rows[:, 1].astype(np.int64), boxes_of(rows)) for frame, rows in read_mot(path).items()}


def read_truth(mot: Path, sequence: str, every: int = 1, first: int = 1) -> FrameBoxes:
    """The annotated people of every Nth frame from `first` to the last; some frames have none."""
    rows = read_mot(mot / "gt" / sequence / "gt" / "gt.txt")
    none = np.zeros((0, 10))
    valid = {f: rows.get(f, none)[rows.get(f, none)[:, 6] > 0] for f in range(first, max(rows) + 1, every)}
    return {frame: (some[:, 1].astype(np.int64), boxes_of(some)) for frame, some in valid.items()}


def detections_of(mot: Path, sequence: str) -> dict[int, Detections]:
    """The sequence's detections (SORT's Faster R-CNN) by frame, best first."""
    rows = read_mot(mot / "det" / sequence / "det" / "det.txt")
    found = {}
    for frame in range(1, max(rows) + 1):
        some = rows.get(frame, np.zeros((0, 10)))
        some = some[np.argsort(-some[:, 6], kind="stable")]
        class_ids = np.zeros(len(some), np.int32)
        found[frame] = Detections(
            boxes_of(some).astype(np.float32), some[:, 6].astype(np.float32), class_ids, ("person",)
        )
    return found


def track(
    tracker: Tracker, detections: dict[int, Detections], frames: Iterable[int], frames_per_s: float
) -> FrameBoxes:
    """What a tracker makes of some frames, with the time of each."""
    found = {}
    for frame in frames:
        some = detections.get(frame, Detections.empty(("person",)))
        tracks = tracker.update(some, (frame - 1) / frames_per_s)
        found[frame] = (tracks.track_ids, tracks.boxes_xyxy_px.astype(np.float64))
    return found


def score(truth: FrameBoxes, found: FrameBoxes) -> Score:
    """Compare the frames that `truth` names; MOTA and IDF1 in per cent."""
    figures = _compute(truth, found, 0.5, METRICS)
    return Score(
        100 * figures["mota"],
        100 * figures["idf1"],
        *(int(figures[name]) for name in METRICS[2:]),
    )


def hota(truth: FrameBoxes, found: FrameBoxes) -> float:
    """Higher Order Tracking Accuracy (Luiten 2020) in per cent, by its definition: motmetrics has none."""
    true_ids, own_ids = _all_ids(truth), _all_ids({frame: found[frame] for frame in truth.keys() & found.keys()})
    frames = []
    alike = np.zeros((len(true_ids), len(own_ids)))  # how much each pair overlaps over all frames, as a soft count
    for frame, (ids, boxes) in truth.items():
        other_ids, other_boxes = found.get(frame, _NOTHING)
        overlap = iou_matrix(boxes, other_boxes)
        rows, columns = np.searchsorted(true_ids, ids), np.searchsorted(own_ids, other_ids)
        shared = overlap.sum(axis=0)[None, :] + overlap.sum(axis=1)[:, None] - overlap
        alike[np.ix_(rows, columns)] += np.divide(overlap, shared, out=np.zeros_like(overlap), where=shared > 0)
        frames.append((rows, columns, overlap))
    true_counts = np.bincount(np.concatenate([rows for rows, _, _ in frames]), minlength=len(true_ids))
    own_counts = np.bincount(np.concatenate([columns for _, columns, _ in frames]), minlength=len(own_ids))
    both = true_counts[:, None] + own_counts[None, :]
    alike /= both - alike
    pairs = []  # (row, column, overlap) of every match, the same for all thresholds but for those below them
    for rows, columns, overlap in frames:
        i, j = linear_sum_assignment(alike[np.ix_(rows, columns)] * overlap, maximize=True)
        pairs.append(np.stack([rows[i], columns[j], overlap[i, j]], axis=1))
    matched = np.concatenate(pairs)
    boxes_in_all = int(true_counts.sum() + own_counts.sum())
    levels = np.arange(0.05, 0.99, 0.05)
    return 100 * float(
        np.mean([_hota_at(matched[matched[:, 2] >= level - 1e-9], both, boxes_in_all) for level in levels])
    )


def _hota_at(hits: NDArray[np.float64], both: NDArray[np.int64], boxes_in_all: int) -> float:
    """The root of detection accuracy (hits / (all boxes - hits)) times association accuracy (mean Jaccard of hits)."""
    times = np.zeros(both.shape)
    np.add.at(times, tuple(hits[:, :2].astype(np.intp).T), 1)
    return float(np.sqrt((times * times / (both - times)).sum() / (boxes_in_all - len(hits))))


def _all_ids(boxes: FrameBoxes) -> NDArray[np.int64]:
    return np.unique(np.concatenate([ids for ids, _ in boxes.values()]))


def _compute(truth: FrameBoxes, found: FrameBoxes, least_overlap: float, metrics: list[str]) -> dict[str, float]:
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame, (true_ids, true_boxes) in sorted(truth.items()):
        ids, boxes = found.get(frame, _NOTHING)
        overlap = iou_matrix(true_boxes, boxes)
        accumulator.update(true_ids, ids, np.where(overlap >= least_overlap, 1 - overlap, np.nan))
    summary = motmetrics.metrics.create().compute(accumulator, metrics=metrics, name="sequence")
    return {name: float(summary[name].iloc[0]) for name in metrics}
