"""Average precision by COCO's definition: the numbers that pycocotools prints for the same boxes.

IoU .50:.05:.95, precision interpolated at 101 levels of recall, at most 100 detections of a class in a picture, greedy
matching from the highest score down. An ignored truth (COCO `iscrowd`; VOC `difficult`) is a region: a detection that
matches nothing else and lies in it (intersection over the detection's own area) neither rewards nor punishes, and the
region may swallow any number of them. Boxes are corners in continuous coordinates. Clipping boxes and choosing which
classes count is the caller's part; a detector that hands over fewer than 100 detections of each class loses recall.
Source: pycocotools 2.0.11, cocoeval.py and maskApi.c (bbIou).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)  # (10,)
RECALL_LEVELS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)  # (101,)
DETECTIONS_PER_CLASS = 100  # in one picture; pycocotools maxDets[-1]


@dataclass(frozen=True, slots=True)
class Truths:
    """The labelled objects of one picture, in source pixels."""

    boxes_xyxy_px: NDArray[np.float64]  # (n, 4)
    class_ids: NDArray[np.int32]  # (n,)
    ignored: NDArray[np.bool_]  # (n,) crowd or difficult

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        shapes = (self.boxes_xyxy_px.shape, self.class_ids.shape, self.ignored.shape)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"Truths need boxes (n, 4), class_ids (n,), ignored (n,); got {shapes}")

    @classmethod
    def empty(cls) -> "Truths":
        """A picture without objects."""
        return cls(np.zeros((0, 4)), np.zeros(0, np.int32), np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """Every detection of one class, highest score first, and what became of it at each IoU threshold."""

    scores: NDArray[np.float64]  # (n,)
    hits: NDArray[np.bool_]  # (10, n) true positives
    false_alarms: NDArray[np.bool_]  # (10, n); neither hit nor false alarm: swallowed by an ignored region
    objects: int  # truths that count, i.e. not ignored


def match_class(truths: Sequence[Truths], detections: Sequence[Detections], class_id: int) -> ClassMatches:
    """Match the detections of one class in every picture to its truths.

    `truths` and `detections` run in parallel, one entry a picture; order decides between equal scores.
    """
    scores: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    swallowed: list[NDArray[np.bool_]] = []
    objects = 0
    for truth, found in zip(truths, detections, strict=True):
        of_class = truth.class_ids == class_id
        ignored = truth.ignored[of_class]
        objects += int((~ignored).sum())
        chosen = np.flatnonzero(found.class_ids == class_id)  # (d,)
        chosen = chosen[np.argsort(-found.scores[chosen].astype(np.float64), kind="stable")][:DETECTIONS_PER_CLASS]
        scores.append(found.scores[chosen].astype(np.float64))
        boxes = found.boxes_xyxy_px[chosen].astype(np.float64)  # (d, 4)
        hit, inside = match_boxes(boxes, truth.boxes_xyxy_px[of_class], ignored)
        hits.append(hit)
        swallowed.append(inside)
    all_scores = np.concatenate([np.zeros(0), *scores])  # (n,)
    no_column = np.zeros((len(IOU_THRESHOLDS), 0), np.bool_)
    order = np.argsort(-all_scores, kind="stable")
    all_hits = np.concatenate([no_column, *hits], axis=1)[:, order]  # (10, n)
    all_swallowed = np.concatenate([no_column, *swallowed], axis=1)[:, order]  # (10, n)
    return ClassMatches(all_scores[order], all_hits, ~all_hits & ~all_swallowed, objects)


def match_boxes(
    detected_xyxy: NDArray[np.float64], true_xyxy: NDArray[np.float64], ignored: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections (d, 4), best first, of one class and picture are hits, and which an ignored region swallows.

    Each detection takes the free truth with the greatest IoU (of equals the last) at or above the threshold; only where
    there is none, an ignored region may take it. Both results are (10, d), one row for each of IOU_THRESHOLDS.
    """
    hits = np.zeros((len(IOU_THRESHOLDS), len(detected_xyxy)), np.bool_)
    swallowed = np.zeros_like(hits)
    if not len(detected_xyxy) or not len(true_xyxy):
        return hits, swallowed
    overlaps = overlap_matrix(detected_xyxy, true_xyxy, ignored)  # (d, t)
    needed = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]  # (10, 1)
    real, regions = overlaps[:, ~ignored], overlaps[:, ignored]  # (d, r), (d, i)
    free = np.ones((len(IOU_THRESHOLDS), real.shape[1]), np.bool_)  # (10, r)
    if real.shape[1]:
        for row in np.flatnonzero(real.max(axis=1) >= needed[0, 0]):
            candidates = np.where(free & (real[row] >= needed), real[row], -1.0)  # (10, r)
            best = candidates.shape[1] - 1 - np.argmax(candidates[:, ::-1], axis=1)  # (10,) the last of equals
            taken = candidates[np.arange(len(best)), best] >= 0
            free[taken, best[taken]] = False
            hits[:, row] = taken
    if regions.shape[1]:
        swallowed = (regions.max(axis=1) >= needed) & ~hits
    return hits, swallowed


def overlap_matrix(
    detected_xyxy: NDArray[np.float64], true_xyxy: NDArray[np.float64], ignored: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(d, t) float64: IoU, or intersection over the detection's own area where the truth is ignored (bbIou)."""
    a, b = detected_xyxy[:, None, :], true_xyxy[None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (d, t, 2)
    shared = np.where((sides > 0).all(axis=2), sides[..., 0] * sides[..., 1], 0.0)  # (d, t)
    detected_area = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])  # (d, 1)
    true_area = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])  # (1, t)
    union = np.where(ignored[None, :], detected_area, detected_area + true_area - shared)  # (d, t)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def interpolated_precision(matches: ClassMatches) -> NDArray[np.float64]:
    """Precision at each of RECALL_LEVELS for each of IOU_THRESHOLDS: (10, 101) float64; its mean over a row is AP.

    Raises:
        ValueError: when the class has no object that counts; COCO leaves such a class out of the mean.
    """
    if not matches.objects:
        raise ValueError("average precision is not defined for a class without objects")
    hits = np.cumsum(matches.hits, axis=1, dtype=np.float64)  # (10, n)
    alarms = np.cumsum(matches.false_alarms, axis=1, dtype=np.float64)  # (10, n)
    recall = hits / matches.objects
    precision = hits / (hits + alarms + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # never rises with recall
    result = np.zeros((len(IOU_THRESHOLDS), len(RECALL_LEVELS)))
    for row in range(len(IOU_THRESHOLDS)):
        place = np.searchsorted(recall[row], RECALL_LEVELS, side="left")  # (101,)
        reached = place < recall.shape[1]
        result[row, reached] = envelope[row, place[reached]]
    return result
