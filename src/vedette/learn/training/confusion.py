"""The confusion matrix of a detector: which class was found where which class is, with a background row and column.

Detections scoring at least 0.25 are paired one to one with truths at IoU >= 0.5: first within the same class (so that
the diagonal counts real hits), then across classes, greatest IoU first. What is left over is background: a missed
object in the last column, a false alarm in the last row. Detections that only an ignored region explains do not count.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths, overlap_matrix
from vedette.learn.training.diagnosis.error_kinds import explained_by_region

CONFUSION_SCORE = 0.25
CONFUSION_IOU = 0.5


def confusion_matrix(truths: Sequence[Truths], detections: Sequence[Detections], class_count: int) -> NDArray[np.int64]:
    """(classes + 1, classes + 1) int64: rows are true classes, columns are found classes, the last is background."""
    matrix = np.zeros((class_count + 1, class_count + 1), np.int64)
    for truth, found in zip(truths, detections, strict=True):
        _count_picture(matrix, truth, found.select(found.scores >= CONFUSION_SCORE))
    return matrix


def _count_picture(matrix: NDArray[np.int64], truth: Truths, found: Detections) -> None:
    background = len(matrix) - 1
    boxes = found.boxes_xyxy_px.astype(np.float64)  # (d, 4)
    real = ~truth.ignored
    true_classes = truth.class_ids[real]
    overlaps = overlap_matrix(boxes, truth.boxes_xyxy_px[real], truth.ignored[real])  # (d, t)
    same = found.class_ids[:, None] == true_classes[None, :]  # (d, t)
    rows, columns = np.nonzero(overlaps >= CONFUSION_IOU)
    order = np.lexsort((-found.scores[rows], -overlaps[rows, columns], ~same[rows, columns]))
    free_rows = np.ones(len(found), np.bool_)
    free_columns = np.ones(len(true_classes), np.bool_)
    for row, column in zip(rows[order], columns[order], strict=True):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            matrix[true_classes[column], found.class_ids[row]] += 1
    matrix[:-1, background] += np.bincount(true_classes[free_columns], minlength=background)
    alarms = free_rows & ~explained_by_region(boxes, found.class_ids, truth)
    matrix[background, :-1] += np.bincount(found.class_ids[alarms], minlength=background)
