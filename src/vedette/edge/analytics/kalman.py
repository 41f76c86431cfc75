"""Constant-velocity Kalman filters of many boxes at once, over any interval of time.

A box is followed as centre x, centre y (pixels), ln of its area and ln of its shape (width / height). With noise that
is independent in each of the four, the 8-state filter of SORT (arXiv 1602.00763) falls apart into four 2-state filters
(value and rate), whose covariance has three numbers: no matrix is inverted. Noise of the centre is in units of the
box's side (the root of its area) and that of area and shape is relative by nature, so near and far objects behave
alike, and the covariances of a track depend on when it was seen and on nothing else. Process noise is white
acceleration over continuous time: a gap of five frames means the same as five gaps of one frame.

Which detection belongs to which filter is `association`'s matter.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

VALUE, RATE, VAR_VALUE, COVAR, VAR_RATE = range(5)  # rows of a filter
MIN_SIDE_PX = 1.0
# Of centre (sides), area and shape (ln). Chosen together with association's gates on four MOT15 sequences, two
# detectors each, at every 1st, 2nd, 3rd and 5th frame, one set for all: docs/reference/tracking.md.
_CENTRE, _AREA, _SHAPE = 0.09, 0.1, 0.2
NOISE = np.array([[_CENTRE], [_CENTRE], [_AREA], [_SHAPE]]) ** 2  # (4, 1) of one measurement
ACCELERATION = np.array([[0.4], [0.4], [0.15], [0.1]]) ** 2  # (4, 1) per s^3
FIRST_RATE = np.array([[4.8], [4.8], [0.5], [0.1]]) ** 2  # (4, 1) per s^2: one side per detection at 6 Hz is 1.5 sigma
MOST_CORRECTION = np.array([[0.1], [0.1], [0.3], [0.3]])  # (4, 1) how far smoothing may move a box from its detection


class Measured(NamedTuple):
    """Boxes as the filters see them."""

    values: Floats  # (4, n) float64 centre x, centre y, ln area, ln shape
    corners_px: Floats  # (4, n) float64 x1, y1, x2, y2
    areas_px: Floats  # (n,) float64, sides of at least MIN_SIDE_PX


def measure(boxes_xyxy_px: NDArray[np.float32]) -> Measured:
    """Boxes (n, 4) as values of filters."""
    corners_px = boxes_xyxy_px.T.astype(np.float64, order="C")  # (4, n)
    values = np.empty_like(corners_px)  # (4, n)
    np.add(corners_px[:2], corners_px[2:], out=values[:2])
    values[:2] *= 0.5
    sides_px = corners_px[2:] - corners_px[:2]  # (2, n)
    np.maximum(sides_px, MIN_SIDE_PX, out=sides_px)
    logs = np.log(sides_px)
    np.add(logs[0], logs[1], out=values[2])
    np.subtract(logs[0], logs[1], out=values[3])
    return Measured(values, corners_px, sides_px[0] * sides_px[1])


def corners_of(values: Floats) -> Floats:
    """The boxes (4, ...) x1, y1, x2, y2 in pixels of values (4, ...)."""
    # ln width = (ln area + ln shape) / 2, ln height = (ln area - ln shape) / 2
    half = np.empty_like(values[2:])  # (2, ...)
    half[0] = values[3]
    np.negative(values[3], out=half[1])
    half += values[2]
    half *= 0.5
    np.exp(half, out=half)
    half *= 0.5
    corners_px = np.empty_like(values)
    np.subtract(values[:2], half, out=corners_px[:2])
    np.add(values[:2], half, out=corners_px[2:])
    return corners_px


def start_filters(values: Floats) -> Floats:
    """Filters at rest, one for each column: (4, n) -> (5, 4, n) float64: value, rate, and the covariance's three."""
    filters = np.zeros((5, *values.shape))  # (5, 4, n) float64
    filters[VALUE] = values
    filters[VAR_VALUE] = NOISE
    filters[VAR_RATE] = FIRST_RATE
    return filters


def predict(filters: Floats, step_s: float | Floats) -> None:
    """Move every filter forward in time, in place; by a step for all, or one for each (n,)."""
    filters[VALUE] += filters[RATE] * step_s
    moved = filters[VAR_RATE] * step_s  # (4, n)
    spread = filters[COVAR] * 2.0
    spread += moved
    spread *= step_s
    filters[VAR_VALUE] += spread
    filters[COVAR] += moved
    filters[VAR_VALUE:] += _growth(step_s) if isinstance(step_s, float) else _growth_of(step_s)


@lru_cache(maxsize=256)
def _growth(step_s: float) -> Floats:
    return _growth_of(np.array([step_s]))


def _growth_of(steps_s: Floats) -> Floats:
    """What `steps_s` (n,) add to var, covar and var of the rate: (3, 4, n)."""
    return np.asarray(np.array([steps_s**3 / 3, steps_s**2 / 2, steps_s])[:, None] * ACCELERATION)


def correct(filters: Floats, rows: NDArray[np.intp], values: Floats) -> Floats:
    """Take the measurements `values` (4, k) into the filters `rows` (k,), in place; returns the new values (4, k)."""
    some = filters[:, :, rows]  # (5, 4, k), a copy
    gains = some[VAR_VALUE : COVAR + 1] / (some[VAR_VALUE] + NOISE)  # (2, 4, k) of value and of rate
    surprise = values - some[VALUE]
    some[:VAR_VALUE] += gains * surprise
    some[VAR_RATE] -= gains[1] * some[COVAR]
    some[VAR_VALUE : COVAR + 1] *= 1 - gains[0]
    filters[:, :, rows] = some
    return np.asarray(some[VALUE])


def smooth(values: Floats, measured: Floats, areas_px: Floats) -> Floats:
    """The filters' values (4, k) where a detector's tremor explains the difference; else as near to them as it does.

    So a box given out is steady, and never far from what was seen in this very frame.
    """
    most = np.empty_like(values)  # (4, k)
    np.multiply(MOST_CORRECTION[:2], np.sqrt(areas_px), out=most[:2])
    most[2:] = MOST_CORRECTION[2:]
    change = values - measured
    np.minimum(change, most, out=change)
    np.maximum(change, np.negative(most, out=most), out=change)
    change += measured
    return change
