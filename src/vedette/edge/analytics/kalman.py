"""Constant-velocity Kalman filters of many boxes at once, over any interval of time.

A box is followed as centre x, centre y, width and height. With noise that is independent in each of the four, the
8-state filter of SORT (arXiv 1602.00763) falls apart into four 2-state filters (value and rate), whose covariance has
three numbers: no matrix is inverted, and n tracks are a handful of array operations. Noise is in units of the box's
mean side, so that near and far objects behave alike; process noise is white acceleration over continuous time, so that
a gap of five frames means the same as five gaps of one frame.

Which detection belongs to which filter is `association`'s matter.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

VALUE, RATE, VAR_VALUE, COVAR, VAR_RATE = range(5)  # rows of a filter
POSITION_NOISE = (
    0.1  # of the mean side: how far a detector's box strays; tuned on four MOT15 sequences (0.05 to 0.14 is flat)
)
ACCELERATION = np.array([1.0, 1.0, 0.25, 0.25]) ** 2  # (sides per s^1.5)^2, as ByteTrack's at 30 Hz
FIRST_RATE = np.array([4.0, 4.0, 0.5, 0.5])  # sides per s: one side per detection at 6 Hz is 1.5 of these
MIN_SIDE_PX = 1.0


def start_filters(boxes_cxcywh_px: Floats) -> Floats:
    """Filters at rest, one for each box: (n, 4) -> (n, 5, 4) float64, rows value, rate, and the covariance's three."""
    filters = np.zeros((len(boxes_cxcywh_px), 5, 4))  # (n, 5, 4) float64
    side_px = mean_sides(boxes_cxcywh_px)[:, None]
    filters[:, VALUE] = boxes_cxcywh_px
    filters[:, VAR_VALUE] = (POSITION_NOISE * side_px) ** 2
    filters[:, VAR_RATE] = (FIRST_RATE * side_px) ** 2
    return filters


def predict(filters: Floats, step_s: float) -> None:
    """Move every filter forward in time, in place."""
    acceleration = ACCELERATION * mean_sides(filters[:, VALUE])[:, None] ** 2  # (n, 4)
    value, covar, var_rate = filters[:, VALUE], filters[:, COVAR], filters[:, VAR_RATE]
    value += filters[:, RATE] * step_s
    sides = value[:, 2:]
    np.maximum(sides, MIN_SIDE_PX, out=sides)
    filters[:, VAR_VALUE] += step_s * (2 * covar + step_s * (var_rate + acceleration * (step_s / 3)))
    covar += step_s * (var_rate + acceleration * (step_s / 2))
    var_rate += acceleration * step_s


def correct(filters: Floats, rows: NDArray[np.intp], boxes_cxcywh_px: Floats) -> None:
    """Take the measurements `boxes_cxcywh_px` (k, 4) into the filters `rows` (k,), in place."""
    some = filters[rows]  # (k, 5, 4), a copy
    noise = (POSITION_NOISE * mean_sides(boxes_cxcywh_px)[:, None]) ** 2
    total = some[:, VAR_VALUE] + noise
    gain_value, gain_rate = some[:, VAR_VALUE] / total, some[:, COVAR] / total
    surprise = boxes_cxcywh_px - some[:, VALUE]
    some[:, VALUE] += gain_value * surprise
    some[:, RATE] += gain_rate * surprise
    some[:, VAR_RATE] -= gain_rate * some[:, COVAR]
    some[:, VAR_VALUE] *= 1 - gain_value
    some[:, COVAR] *= 1 - gain_value
    np.maximum(some[:, VALUE, 2:], MIN_SIDE_PX, out=some[:, VALUE, 2:])
    filters[rows] = some


def mean_sides(boxes_cxcywh_px: Floats) -> Floats:
    """(n,) the mean of width and height, at least one pixel."""
    return np.asarray(np.maximum((boxes_cxcywh_px[:, 2] + boxes_cxcywh_px[:, 3]) / 2, MIN_SIDE_PX))
