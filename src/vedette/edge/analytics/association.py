"""Which detection continues which track: a gain for every pair, and the one-to-one assignment with the largest sum.

The gain mixes the overlap with the predicted box and the distance to the predicted centre in standard deviations, so
that a small object that moved a whole box length since the last detection (overlap zero) is still a candidate: a young
track, whose speed nobody knows yet, looks far; an old one looks where it must be. The assignment is exact: pairs
without a rival and pairs that cannot be bettered are taken at once, array-wise, and only what stays ambiguous goes
through the Hungarian algorithm (Kuhn 1955; potentials and shortest augmenting paths). SciPy has the same, for 48 MB
and 0.3 s of import.
"""

import math

import numpy as np
from numpy.typing import NDArray

from vedette.edge.analytics.kalman import NOISE, VALUE, VAR_VALUE, Floats, Measured, corners_of

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
NO_INDICES = np.zeros(0, np.intp)

GATE_SIGMAS = 2.5
OVERLAP_WEIGHT = 0.6  # the rest is closeness
OVERLAP_ENOUGH = 0.25  # overlapping this much is a candidate also when it is far in standard deviations
SIZE_POWER = 1.3  # closeness falls with the ratio of the areas to this power
LEAST_SIZE_MATCH = 0.4  # for boxes that do not overlap enough
LEAST_GAIN = 0.15
OTHER_CLASS_OVERLAP = 0.4  # a box of another class continues a track only where it overlaps this much,
OTHER_CLASS_FACTOR = 0.5  # and never against an equally good one of the same class
FADE_PER_S = 0.5  # a track unseen for so many seconds yields to one that was just seen, all else being equal


def pair_gains(
    filters: Floats, unseen_s: Floats, measured: Measured, same_class: Flags | None
) -> tuple[Floats, Floats]:
    """The gain of each track with each detection of its camera: (cameras, tracks, detections), at most 1.

    It is 0 where they cannot belong together. Filters are (5, 4, cameras, tracks), values and corners measured (4,
    cameras, detections). `unseen_s` (cameras, tracks) is the time since each was seen; `same_class` (cameras, tracks,
    detections) may be left out where all are of one class. The second array is the overlap (IoU) with the predicted
    boxes.
    """
    predicted = filters[VALUE]
    areas_px = np.exp(predicted[2])  # (cameras, tracks)
    overlap = _overlap(corners_of(predicted), areas_px, measured)
    size_match = measured.values[2, :, None] - predicted[2, :, :, None]
    np.abs(size_match, out=size_match)
    size_match *= -SIZE_POWER
    np.exp(size_match, out=size_match)
    off = measured.values[:2, :, None] - predicted[:2, :, :, None]  # (2, cameras, tracks, detections)
    off *= off
    closeness = off[0]
    closeness += off[1]
    closeness *= (-1 / (GATE_SIGMAS**2 * areas_px * (filters[VAR_VALUE, 0] + NOISE[0])))[:, :, None]
    closeness += 1  # 1 at the predicted centre, 0 at the gate
    np.maximum(closeness, 0, out=closeness)
    candidate = closeness > 0
    candidate &= size_match > LEAST_SIZE_MATCH
    candidate |= overlap > OVERLAP_ENOUGH
    closeness *= size_match
    closeness *= 1 - OVERLAP_WEIGHT
    gains = overlap * OVERLAP_WEIGHT
    gains += closeness
    candidate &= gains > LEAST_GAIN
    if same_class is not None and np.count_nonzero(same_class) < same_class.size:
        candidate &= same_class | (overlap > OTHER_CLASS_OVERLAP)
        gains *= np.where(same_class, 1.0, OTHER_CLASS_FACTOR)
    gains *= candidate
    gains *= (1 - FADE_PER_S * np.minimum(unseen_s, 1.0))[:, :, None]
    return gains, overlap


def _overlap(boxes_px: Floats, areas_px: Floats, measured: Measured) -> Floats:
    """IoU of corners (4, cameras, tracks) with the measured ones: (cameras, tracks, detections)."""
    # (2, cameras, tracks, detections)
    sides = np.minimum(boxes_px[2:, :, :, None], measured.corners_px[2:, :, None])
    sides -= np.maximum(boxes_px[:2, :, :, None], measured.corners_px[:2, :, None])
    np.maximum(sides, 0, out=sides)
    inside = sides[0]
    inside *= sides[1]
    union = areas_px[:, :, None] + measured.areas_px[:, None]
    union -= inside
    inside /= union
    return np.asarray(inside)


def take_unrivalled(rows: Indices, columns: Indices) -> tuple[Indices, Indices, Indices, Indices]:
    """Of candidates (rows, columns) those where neither has another; then rows and columns that have, and are left."""
    row_rivals, column_rivals = np.bincount(rows), np.bincount(columns)
    alone = row_rivals[rows] + column_rivals[columns] == 2
    if np.count_nonzero(alone) == len(alone):
        return rows, columns, NO_INDICES, NO_INDICES
    row_rivals[rows[alone]] = 0
    column_rivals[columns[alone]] = 0
    return rows[alone], columns[alone], row_rivals.nonzero()[0], column_rivals.nonzero()[0]


def assign(gains: Floats) -> tuple[Indices, Indices]:
    """Rows and columns, one to one, with the largest sum of gains; pairs with a gain of 0 or less are never made."""
    if gains.size and 1 in gains.shape:  # the usual remainder: two tracks for one box, or the other way round
        best = int(gains.argmax())
        row, column = divmod(best, gains.shape[1])
        return (np.array([row]), np.array([column])) if gains[row, column] > 0 else (NO_INDICES, NO_INDICES)
    left = np.maximum(gains, 0)  # (rows, columns), what is still to be had
    rows, columns = [NO_INDICES], [NO_INDICES]
    while np.count_nonzero(left):
        sure_rows, sure_columns = _unbeatable(left)
        if not len(sure_rows):
            row_ids, column_ids = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
            sure_rows, sure_columns = _hungarian(left[row_ids[:, None], column_ids])
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
    """The assignment with the largest sum, by shortest augmenting paths: O(rows^2 * columns).

    Plain numbers: what `_unbeatable` leaves is small, and one array operation takes as long as ten columns.
    """
    if gains.shape[0] > gains.shape[1]:
        columns, rows = _hungarian(gains.T)
        return rows, columns
    row_count, column_count = gains.shape
    cost: list[list[float]] = (-gains).tolist()
    row_potential, column_potential = [0.0] * (row_count + 1), [0.0] * (column_count + 1)
    owner = [row_count] * (column_count + 1)  # row that holds each column; the last column is a place to start from
    for row in range(row_count):
        owner[column_count] = row
        column = column_count
        reach, came_from = [math.inf] * column_count, [column_count] * column_count
        left, done = list(range(column_count)), []
        while owner[column] != row_count:
            done.append(column)
            if column != column_count:
                left.remove(column)
            here = owner[column]
            costs, potential = cost[here], row_potential[here]
            following, delta = column, math.inf
            for other in left:
                slack = costs[other] - potential - column_potential[other]
                if slack < reach[other]:
                    reach[other], came_from[other] = slack, column
                if reach[other] < delta:
                    following, delta = other, reach[other]
            for held in done:
                row_potential[owner[held]] += delta
                column_potential[held] -= delta
            for other in left:
                reach[other] -= delta
            column = following
        while column != column_count:
            owner[column] = owner[came_from[column]]
            column = came_from[column]
    held_by = np.array(owner[:column_count], np.intp)
    columns = np.flatnonzero(held_by != row_count)
    rows = held_by[columns]
    worth = gains[rows, columns] > 0
    return rows[worth], columns[worth]
