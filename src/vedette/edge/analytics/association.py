"""Which detection continues which track: a gain for every pair, and the one-to-one assignment with the largest sum.

The gain mixes the overlap with the predicted box and the distance to the predicted centre in standard deviations, so
that a small object that moved a whole box length since the last detection (overlap zero) is still a candidate: a young
track, whose speed nobody knows yet, looks far; an old one looks where it must be. The assignment is exact: pairs that
cannot be bettered are taken at once, array-wise, and only what stays ambiguous goes through the Hungarian algorithm
(Kuhn 1955; potentials and shortest augmenting paths). SciPy has the same, for 48 MB and 0.3 s of import.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.edge.analytics.kalman import POSITION_NOISE, VALUE, VAR_VALUE, mean_sides
from vedette.vision.boxes import iou_matrix

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]
NO_INDICES = np.zeros(0, np.intp)

GATE_SIGMAS = 3.0
OVERLAP_WEIGHT = 0.6  # the rest is closeness
OVERLAP_ENOUGH = 0.2  # overlapping this much is a candidate also when it is far in standard deviations
LEAST_SIZE_MATCH = 0.4  # ratio of areas, smaller to larger, for boxes that do not overlap
LEAST_GAIN = 0.1
OTHER_CLASS_OVERLAP = 0.4  # a box of another class continues a track only where it overlaps this much,
OTHER_CLASS_FACTOR = 0.5  # and never against an equally good one of the same class


def pair_gains(filters: Floats, boxes_cxcywh_px: Floats, same_class: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The gain of each track with each detection, (tracks, detections), at most 1; 0 where they cannot belong together.

    The second array is the overlap (IoU) with the predicted boxes.
    """
    predicted = filters[:, VALUE]
    overlap = iou_matrix(_corners(predicted), _corners(boxes_cxcywh_px))
    noise = (POSITION_NOISE * mean_sides(predicted)[:, None]) ** 2
    weight = 1 / ((filters[:, VAR_VALUE, :2] + noise) * GATE_SIGMAS**2)  # (tracks, 2)
    off_x = boxes_cxcywh_px[None, :, 0] - predicted[:, None, 0]
    off_y = boxes_cxcywh_px[None, :, 1] - predicted[:, None, 1]
    closeness = 1 - (off_x * off_x * weight[:, :1] + off_y * off_y * weight[:, 1:])  # 1 at the centre, 0 at the gate
    area, area_predicted = boxes_cxcywh_px[:, 2] * boxes_cxcywh_px[:, 3], predicted[:, 2] * predicted[:, 3]
    ratio = area[None, :] / area_predicted[:, None]
    size_match = np.minimum(ratio, 1 / np.maximum(ratio, 1e-9))
    closeness = np.maximum(closeness, 0) * size_match
    gains = OVERLAP_WEIGHT * overlap + (1 - OVERLAP_WEIGHT) * closeness
    candidate = (overlap > OVERLAP_ENOUGH) | ((closeness > 0) & (size_match > LEAST_SIZE_MATCH))
    candidate &= gains > LEAST_GAIN
    if not same_class.all():
        candidate &= same_class | (overlap > OTHER_CLASS_OVERLAP)
        gains *= np.where(same_class, 1.0, OTHER_CLASS_FACTOR)
    return np.where(candidate, gains, 0.0), overlap


def assign(gains: Floats) -> tuple[Indices, Indices]:
    """Rows and columns, one to one, with the largest sum of gains; pairs with a gain of 0 or less are never made."""
    left = np.maximum(gains, 0)  # (rows, columns), what is still to be had
    rows, columns = [NO_INDICES], [NO_INDICES]
    while left.any():
        sure_rows, sure_columns = _unbeatable(left)
        if not len(sure_rows):
            row_ids, column_ids = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
            sure_rows, sure_columns = _hungarian(left[np.ix_(row_ids, column_ids)])
            rows.append(row_ids[sure_rows])
            columns.append(column_ids[sure_columns])
            break
        rows.append(sure_rows)
        columns.append(sure_columns)
        left[sure_rows] = 0
        left[:, sure_columns] = 0
    return np.concatenate(rows), np.concatenate(columns)


def _unbeatable(gains: Floats) -> tuple[Indices, Indices]:
    """Pairs that some best assignment surely has: worth no less than the next best of their row and column together."""
    best_column, best_row = gains.argmax(axis=1), gains.argmax(axis=0)
    worth = gains.max(axis=1)
    mutual = (best_row[best_column] == np.arange(len(gains))) & (worth > 0)
    rows = mutual.nonzero()[0]
    columns = best_column[rows]
    others = gains.copy()
    others[rows, columns] = 0
    sure = worth[rows] >= others.max(axis=1)[rows] + others.max(axis=0)[columns]
    return rows[sure], columns[sure]


def _hungarian(gains: Floats) -> tuple[Indices, Indices]:
    """The assignment with the largest sum, by shortest augmenting paths: O(rows^2 * columns)."""
    if gains.shape[0] > gains.shape[1]:
        columns, rows = _hungarian(gains.T)
        return rows, columns
    row_count, column_count = gains.shape
    cost = -gains
    row_potential, column_potential = np.zeros(row_count + 1), np.zeros(column_count + 1)
    owner = np.full(column_count + 1, row_count)  # row that holds each column; the last column is a place to start from
    for row in range(row_count):
        owner[column_count] = row
        column = column_count
        reach = np.full(column_count, np.inf)
        came_from = np.full(column_count, column_count)
        done = np.zeros(column_count + 1, np.bool_)
        while owner[column] != row_count:
            done[column] = True
            here = owner[column]
            slack = cost[here] - row_potential[here] - column_potential[:column_count]
            better = ~done[:column_count] & (slack < reach)
            reach[better] = slack[better]
            came_from[better] = column
            following = int(np.where(done[:column_count], np.inf, reach).argmin())
            delta = reach[following]
            row_potential[owner[done]] += delta
            column_potential[done] -= delta
            reach[~done[:column_count]] -= delta
            column = following
        while column != column_count:
            owner[column] = owner[came_from[column]]
            column = int(came_from[column])
    columns = np.flatnonzero(owner[:column_count] != row_count)
    rows = owner[columns]
    worth = gains[rows, columns] > 0
    return rows[worth], columns[worth]


def _corners(boxes_cxcywh_px: Floats) -> Floats:
    half = boxes_cxcywh_px[:, 2:] / 2
    return np.concatenate([boxes_cxcywh_px[:, :2] - half, boxes_cxcywh_px[:, :2] + half], axis=1)
