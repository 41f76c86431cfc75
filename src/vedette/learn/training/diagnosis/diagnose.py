"""All that lies behind an evaluation in one value: sizes, scores, kinds of error, the pictures that went worst.

Errors are judged at one score threshold (the evaluation's `best_score`, where the mean F1 is greatest). A picture's
cost is 1 for each object that is not found right, and the score of each false detection beside those; the worst
pictures are those that cost most, of equals the first.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from vedette.learn.training.diagnosis.error_kinds import TOLD, ErrorKind, PictureJudgement, judge_picture
from vedette.learn.training.diagnosis.scores import ScoreQuality, score_quality
from vedette.learn.training.diagnosis.sizes import SizeResult, precision_by_size
from vedette.learn.training.evaluate import Evaluation, summarise
from vedette.learn.training.judged import JudgedPictures

WORST_PICTURES = 20


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the figures are what they are."""

    score_threshold: float
    sizes: tuple[SizeResult, ...]
    scores: ScoreQuality
    judgements: tuple[PictureJudgement, ...]  # one for each picture
    worst: tuple[int, ...]  # their numbers, at most WORST_PICTURES; none without an error

    @property
    def error_counts(self) -> Counter[ErrorKind]:
        return sum((judgement.counts for judgement in self.judgements), Counter())

    def to_json(self, judged: JudgedPictures) -> dict[str, Any]:
        """What stands in evaluation.json beside the figures."""
        counts = self.error_counts
        return {
            "sizes": [size.to_json() for size in self.sizes],
            "scores": self.scores.to_json(),
            "errors": {kind.value: counts[kind] for kind in TOLD},
            "right": sum(len(judgement.right) for judgement in self.judgements),
            "worst_pictures": [
                {
                    "picture": judged.names[number],
                    "cost": round(self.judgements[number].cost, 3),
                    "errors": {kind.value: n for kind in TOLD if (n := self.judgements[number].counts[kind])},
                }
                for number in self.worst
            ],
        }


def diagnose(judged: JudgedPictures, score_threshold: float) -> Diagnosis:
    """Judge every picture at the threshold, sizes and scores at all of them."""
    judgements = judge_all(judged, score_threshold)
    order = sorted(range(len(judged)), key=lambda number: -judgements[number].cost)
    return Diagnosis(
        score_threshold,
        precision_by_size(judged),
        score_quality(judged),
        judgements,
        tuple(number for number in order[:WORST_PICTURES] if judgements[number].errors),
    )


def judge_all(judged: JudgedPictures, score_threshold: float) -> tuple[PictureJudgement, ...]:
    """`judge_picture` of every picture; indices of detections are those among the ones at or above the threshold."""
    return tuple(
        judge_picture(truth, found.select(found.scores >= score_threshold))
        for truth, found in zip(judged.truths, judged.detections, strict=True)
    )


def evaluation_of(judged: JudgedPictures) -> Evaluation:
    """COCO's figures of the pictures.

    Raises:
        InputError: no object counts.
    """
    return summarise(judged.truths, judged.detections, judged.class_names, judged.ms_per_picture)
