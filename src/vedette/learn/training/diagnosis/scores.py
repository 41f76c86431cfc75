"""What scores are worth: how many detections of a score are right, and how far score and truth lie apart.

Right means matched at IoU 0.5 as for AP; what an ignored region swallows is neither. The expected calibration error is
that of detections (D-ECE of Küppers et al., "Multivariate Confidence Calibration for Object Detection", CVPRW 2020,
with the score alone): bins of score, in each the difference between the share that is right and the mean score,
weighted by how many detections it holds. Only scores from 0.1 on are asked: below lie thousands of detections that
claim nothing and are rightly wrong, and they would make any detector look honest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.average_precision import ClassMatches, match_class
from vedette.learn.training.judged import JudgedPictures

CALIBRATION_FLOOR = 0.1
CALIBRATION_EDGES: NDArray[np.float64] = np.linspace(0.1, 1.0, 10)  # (10,) nine bins
HISTOGRAM_EDGES: NDArray[np.float64] = np.linspace(0.05, 1.0, 20)  # (20,) nineteen bins


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """The detections that score in low..high (the last bin includes 1)."""

    low: float
    high: float
    detections: int
    right: int
    mean_score: float | None

    @property
    def share_right(self) -> float | None:
        return self.right / self.detections if self.detections else None


@dataclass(frozen=True, slots=True)
class ScoreQuality:
    """Histograms of scores, and how honest they are. The last three are `None` without a detection from 0.1 on."""

    right: tuple[int, ...]  # true positives in each bin of HISTOGRAM_EDGES
    wrong: tuple[int, ...]  # false positives
    bins: tuple[ScoreBin, ...]  # of CALIBRATION_EDGES
    calibration_error: float | None
    mean_score: float | None
    share_right: float | None

    def to_json(self) -> dict[str, Any]:
        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 6)

        return {
            "calibration_error": rounded(self.calibration_error),
            "mean_score": rounded(self.mean_score),
            "share_right": rounded(self.share_right),
            "calibration_bins": [
                {
                    "from": round(b.low, 6),
                    "to": round(b.high, 6),
                    "detections": b.detections,
                    "right": b.right,
                    "mean_score": rounded(b.mean_score),
                }
                for b in self.bins
            ],
            "histogram": {
                "edges": [round(float(edge), 6) for edge in HISTOGRAM_EDGES],
                "right": list(self.right),
                "wrong": list(self.wrong),
            },
        }


def score_quality(judged: JudgedPictures) -> ScoreQuality:
    """Judge the scores of all classes together."""
    return judge_scores([match_class(judged.truths, judged.detections, c) for c in range(len(judged.class_names))])


def judge_scores(matches: Sequence[ClassMatches]) -> ScoreQuality:
    """The same from matches that are there already."""
    scores = np.concatenate([np.zeros(0), *(m.scores for m in matches)])  # (n,)
    hits = np.concatenate([np.zeros(0, np.bool_), *(m.hits[0] for m in matches)])  # (n,) at IoU 0.5
    counted = hits | np.concatenate([np.zeros(0, np.bool_), *(m.false_alarms[0] for m in matches)])
    scores, hits = scores[counted], hits[counted]
    right, _ = np.histogram(scores[hits], HISTOGRAM_EDGES)
    wrong, _ = np.histogram(scores[~hits], HISTOGRAM_EDGES)
    bins = tuple(_bin(scores, hits, float(low), float(high)) for low, high in _pairs(CALIBRATION_EDGES))
    total = sum(b.detections for b in bins)
    error = mean_score = share = None
    if total:
        error = sum(abs(b.right - (b.mean_score or 0.0) * b.detections) for b in bins) / total
        mean_score = sum((b.mean_score or 0.0) * b.detections for b in bins) / total
        share = sum(b.right for b in bins) / total
    return ScoreQuality(tuple(right.tolist()), tuple(wrong.tolist()), bins, error, mean_score, share)


def _bin(scores: NDArray[np.float64], hits: NDArray[np.bool_], low: float, high: float) -> ScoreBin:
    last = high >= float(CALIBRATION_EDGES[-1])
    inside = (scores >= low) & ((scores <= high) if last else (scores < high))
    count = int(inside.sum())
    return ScoreBin(low, high, count, int(hits[inside].sum()), float(scores[inside].mean()) if count else None)


def _pairs(edges: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(low), float(high)) for low, high in pairwise(edges)]
