"""How far a difference in AP is luck of the pictures: a paired bootstrap over them.

Pictures are drawn with replacement, the same draw for all sides, and AP is computed anew; between the 2.5th and the
97.5th percentile of the differences lies the interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
chapter 13). It says nothing about another seed of training. AP of a draw weighs each detection and object by how often
its picture was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.average_precision import IOU_THRESHOLDS, RECALL_LEVELS, match_class
from vedette.learn.training.judged import JudgedPictures

DRAWS, FEWEST_DRAWS = 1000, 200
WORK = 2e9  # weighed detections (times thresholds) in all draws: half a minute; above, fewer draws
CHUNK = 4_000_000  # values held at once
INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True, slots=True)
class _Scored:
    """The detections of one class of one side, best first."""

    pictures: NDArray[np.int64]  # (n,)
    hits: NDArray[np.bool_]  # (10, n)
    alarms: NDArray[np.bool_]  # (10, n)
    objects: NDArray[np.int64]  # (pictures,)


def draw_precisions(sides: Sequence[JudgedPictures], seed: int = 0) -> NDArray[np.float64]:
    """AP of every draw: (sides, draws, classes, 10) float64, NaN where a draw has no object of the class."""
    classes, pictures = len(sides[0].class_names), len(sides[0])
    scored = [[_scored(side, class_id) for class_id in range(classes)] for side in sides]
    each = sum(len(s.pictures) for side in scored for s in side) * len(IOU_THRESHOLDS)
    draws = int(np.clip(WORK / max(each, 1), FEWEST_DRAWS, DRAWS))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(pictures, np.full(pictures, 1 / pictures), draws)  # (draws, pictures)
    result = np.full((len(sides), draws, classes, len(IOU_THRESHOLDS)), np.nan)
    for number, side in enumerate(scored):
        for class_id, one in enumerate(side):
            step = max(1, CHUNK // max(len(one.pictures), 1))
            for start in range(0, draws, step):
                result[number, start : start + step, class_id] = weighted_precisions(one, weights[start : start + step])
    return result


def _scored(side: JudgedPictures, class_id: int) -> _Scored:
    matches = [match_class([t], [d], class_id) for t, d in zip(side.truths, side.detections, strict=True)]
    scores = np.concatenate([m.scores for m in matches])  # (n,)
    order = np.argsort(-scores, kind="stable")
    return _Scored(
        np.repeat(np.arange(len(matches)), [len(m.scores) for m in matches])[order],
        np.concatenate([m.hits for m in matches], axis=1)[:, order],
        np.concatenate([m.false_alarms for m in matches], axis=1)[:, order],
        np.array([m.objects for m in matches], np.int64),
    )


def weighted_precisions(scored: _Scored, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP with each picture counted `weights` (draws, pictures) times: (draws, 10), NaN without an object."""
    objects = weights @ scored.objects  # (draws,)
    of_detection = weights[:, scored.pictures].astype(np.float64)  # (draws, n)
    result = np.full((len(weights), len(IOU_THRESHOLDS)), np.nan)
    for row in range(len(IOU_THRESHOLDS)):
        hits = np.cumsum(of_detection * scored.hits[row], axis=1)  # (draws, n)
        alarms = np.cumsum(of_detection * scored.alarms[row], axis=1)
        precision = hits / np.maximum(hits + alarms, 1e-12)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        for draw in np.flatnonzero(objects):
            places = np.searchsorted(hits[draw] / objects[draw], RECALL_LEVELS, side="left")  # (101,)
            reached = places < hits.shape[1]
            result[draw, row] = envelope[draw, places[reached]].sum() / len(RECALL_LEVELS)
    return result


def interval(differences: NDArray[np.float64]) -> tuple[float, float] | None:
    """The interval of differences (draws,); none where no draw has one."""
    known = differences[np.isfinite(differences)]
    if not len(known):
        return None
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)
