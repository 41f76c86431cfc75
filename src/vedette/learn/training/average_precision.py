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


def match_class(
    truths: Sequence[Truths],
    detections: Sequence[Detections],
    class_id: int,
    areas_px2: Sequence[tuple[float, float]] | None = None,
) -> ClassMatches:
    """Match the detections of one class in every picture to its truths.

    `truths` and `detections` run in parallel, one entry a picture; order decides between equal scores. With `areas_px2`
    (smallest and largest area of a box, both included, for each picture) only objects of that size count: what is found
    of others, and false alarms of another size, neither reward nor punish (COCO's `areaRng`).
    """
    within = areas_px2 if areas_px2 is not None else [(0.0, np.inf)] * len(truths)
    scores: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    swallowed: list[NDArray[np.bool_]] = []
    objects = 0
    for truth, found, limits in zip(truths, detections, within, strict=True):
        of_class = truth.class_ids == class_id
        true_boxes, ignored = truth.boxes_xyxy_px[of_class], truth.ignored[of_class]
        aside = ~ignored & ~_is_within(true_boxes, limits)
        objects += int((~ignored & ~aside).sum())
        chosen = np.flatnonzero(found.class_ids == class_id)  # (d,)
        chosen = chosen[np.argsort(-found.scores[chosen].astype(np.float64), kind="stable")][:DETECTIONS_PER_CLASS]
        scores.append(found.scores[chosen].astype(np.float64))
        boxes = found.boxes_xyxy_px[chosen].astype(np.float64)  # (d, 4)
        hit, inside = match_boxes(boxes, true_boxes, ignored, aside)
        hits.append(hit)
        swallowed.append(inside | (~hit & ~_is_within(boxes, limits)))
    all_scores = np.concatenate([np.zeros(0), *scores])  # (n,)
    no_column = np.zeros((len(IOU_THRESHOLDS), 0), np.bool_)
    order = np.argsort(-all_scores, kind="stable")
    all_hits = np.concatenate([no_column, *hits], axis=1)[:, order]  # (10, n)
    all_swallowed = np.concatenate([no_column, *swallowed], axis=1)[:, order]  # (10, n)
    return ClassMatches(all_scores[order], all_hits, ~all_hits & ~all_swallowed, objects)


def _is_within(boxes_xyxy: NDArray[np.float64], limits_px2: tuple[float, float]) -> NDArray[np.bool_]:
    """(n,) bool: the box's area lies between the limits."""
    areas = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])  # (n,)
    within: NDArray[np.bool_] = (areas >= limits_px2[0]) & (areas <= limits_px2[1])
    return within


def match_boxes(
    detected_xyxy: NDArray[np.float64],
    true_xyxy: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    aside: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections (d, 4), best first, of one class and picture are hits, and which are swallowed.

    Each detection takes the free truth with the greatest IoU (of equals the last) at or above the threshold; only where
    there is none, an ignored region may take it, or a free truth that stands `aside` (of a size that is not asked for).
    Both results are (10, d), one row for each of IOU_THRESHOLDS.
    """
    hits = np.zeros((len(IOU_THRESHOLDS), len(detected_xyxy)), np.bool_)
    swallowed = np.zeros_like(hits)
    if not len(detected_xyxy) or not len(true_xyxy):
        return hits, swallowed
    overlaps = overlap_matrix(detected_xyxy, true_xyxy, ignored)  # (d, t)
    needed = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]  # (10, 1)
    counts = ~ignored if aside is None else ~ignored & ~aside
    hits = _taken(overlaps[:, counts], needed, hits)
    in_region = overlaps[:, ignored].max(axis=1, initial=0.0)  # (d,)
    if aside is not None and aside.any():
        others = np.where(overlaps > in_region[:, None], overlaps, 0.0)[:, aside & ~ignored]
        swallowed = _taken(others, needed, hits)
    return hits, swallowed | ((in_region >= needed) & ~hits)


def _taken(overlaps: NDArray[np.float64], needed: NDArray[np.float64], settled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which detections, best first, take a truth of their own, by overlaps (d, t): (10, d); the settled take none."""
    result = np.zeros_like(settled)
    if not overlaps.shape[1]:
        return result
    free = np.ones((len(IOU_THRESHOLDS), overlaps.shape[1]), np.bool_)  # (10, t)
    for row in np.flatnonzero(overlaps.max(axis=1) >= needed[0, 0]):
        candidates = np.where(free & (overlaps[row] >= needed), overlaps[row], -1.0)  # (10, t)
        best = candidates.shape[1] - 1 - np.argmax(candidates[:, ::-1], axis=1)  # (10,) the last of equals
        taken = (candidates[np.arange(len(best)), best] >= 0) & ~settled[:, row]
        free[taken, best[taken]] = False
        result[:, row] = taken
    return result


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
