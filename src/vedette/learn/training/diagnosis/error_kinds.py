"""What went wrong in a picture, named: missed, wrong class, poorly placed, double, ghost.

The kinds and their limits (foreground 0.5, background 0.1) are those of TIDE (Bolya, Foley, Hays, Hoffman: "TIDE: A
General Toolbox for Identifying Object Detection Errors", ECCV 2020, section 2.2), judged among the detections from one
score threshold on, since that is what a user sees. Where a detection fits several kinds, the first one in the order of
`ErrorKind` is taken. What an ignored region explains is no error.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths, overlap_matrix

FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.1


class ErrorKind(str, Enum):
    """In the order in which they are tried; MISSED is what is left of the objects."""

    DOUBLE = "double"  # overlaps an object of its class that a better detection has found
    WRONG_CLASS = "wrong class"  # well placed on an object of another class
    POORLY_PLACED = "poorly placed"  # overlaps an object of its class, but by less than 0.5
    WRONG_CLASS_AND_PLACE = "wrong class and place"
    GHOST = "ghost"  # where nothing is
    MISSED = "missed"


TOLD = (ErrorKind.MISSED, ErrorKind.WRONG_CLASS, ErrorKind.POORLY_PLACED, ErrorKind.WRONG_CLASS_AND_PLACE,
        ErrorKind.DOUBLE, ErrorKind.GHOST)  # the order in which people are told of them  # fmt: skip


@dataclass(frozen=True, slots=True)
class PictureError:
    """One error; indices into the detections and truths that were judged."""

    kind: ErrorKind
    detection: int | None  # none for MISSED
    truth: int | None  # the object that it concerns; none for GHOST
    iou: float


@dataclass(frozen=True, slots=True)
class PictureJudgement:
    """What is right and wrong in one picture."""

    right: tuple[tuple[int, int], ...]  # (detection, truth)
    errors: tuple[PictureError, ...]
    cost: float  # 1 for each object that is not found right, and the score of each false detection beside those

    @property
    def counts(self) -> Counter[ErrorKind]:
        return Counter(error.kind for error in self.errors)


def judge_picture(truth: Truths, found: Detections) -> PictureJudgement:
    """Name every error among detections of one picture, all of which count (the caller has applied a threshold)."""
    boxes = found.boxes_xyxy_px.astype(np.float64)  # (d, 4)
    real = np.flatnonzero(~truth.ignored)  # (r,) indices of truths
    overlaps = overlap_matrix(boxes, truth.boxes_xyxy_px[real], np.zeros(len(real), np.bool_))  # (d, r)
    same = found.class_ids[:, None] == truth.class_ids[real][None, :]  # (d, r)
    pairs = _pair(np.where(same, overlaps, 0.0), found.scores)
    explained = explained_by_region(boxes, found.class_ids, truth)
    errors = []
    for row in range(len(found)):
        if row not in pairs and not explained[row]:
            kind, column = _kind_of(np.where(same[row], overlaps[row], 0.0), np.where(same[row], 0.0, overlaps[row]))
            iou = 0.0 if column is None else float(overlaps[row, column])
            errors.append(PictureError(kind, row, None if column is None else int(real[column]), iou))
    found_right = {int(real[column]) for column in pairs.values()}
    covered = {e.truth for e in errors if e.kind in (ErrorKind.WRONG_CLASS, ErrorKind.POORLY_PLACED)} - found_right
    not_right = {int(index) for index in real} - found_right
    beside = [e for e in errors if e.truth not in not_right]
    cost = len(not_right) + sum(float(found.scores[e.detection]) for e in beside if e.detection is not None)
    errors += [PictureError(ErrorKind.MISSED, None, index, 0.0) for index in sorted(not_right - covered)]
    right = tuple((row, int(real[column])) for row, column in sorted(pairs.items()))
    return PictureJudgement(right, tuple(errors), cost)


def _pair(overlaps: NDArray[np.float64], scores: NDArray[np.float32]) -> dict[int, int]:
    """Detection -> truth of its class, from the highest score down, the free one with the greatest IoU from 0.5 on."""
    free = np.ones(overlaps.shape[1], np.bool_)  # (r,)
    pairs: dict[int, int] = {}
    for row in np.argsort(-scores.astype(np.float64), kind="stable").tolist():
        candidates = np.where(free, overlaps[row], 0.0)  # (r,)
        if candidates.max(initial=0.0) >= FOREGROUND_IOU:
            pairs[row] = int(candidates.argmax())
            free[pairs[row]] = False
    return pairs


def _kind_of(same: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[ErrorKind, int | None]:
    """The kind of a false detection by its IoU with the objects of its class and of others (0 elsewhere); which one."""
    best_same, best_other = float(same.max(initial=0.0)), float(other.max(initial=0.0))
    if best_same >= FOREGROUND_IOU:
        return ErrorKind.DOUBLE, int(same.argmax())
    if best_other >= FOREGROUND_IOU:
        return ErrorKind.WRONG_CLASS, int(other.argmax())
    if best_same >= BACKGROUND_IOU:
        return ErrorKind.POORLY_PLACED, int(same.argmax())
    if best_other >= BACKGROUND_IOU:
        return ErrorKind.WRONG_CLASS_AND_PLACE, int(other.argmax())
    return ErrorKind.GHOST, None


def explained_by_region(boxes: NDArray[np.float64], class_ids: NDArray[np.int32], truth: Truths) -> NDArray[np.bool_]:
    """(d,) bool: lies in an ignored truth of its own class by half of its own area."""
    regions = truth.boxes_xyxy_px[truth.ignored]
    if not len(regions) or not len(boxes):
        return np.zeros(len(boxes), np.bool_)
    inside = overlap_matrix(boxes, regions, np.ones(len(regions), np.bool_)) >= FOREGROUND_IOU  # (d, i)
    same = class_ids[:, None] == truth.class_ids[truth.ignored][None, :]  # (d, i)
    explained: NDArray[np.bool_] = (inside & same).any(axis=1)
    return explained
