"""Two or more runs against the first: settings, figures, classes, sizes, errors, pictures.

Figures are of the pictures and classes that all have in common (`pairing`), where detections were kept; without them
only what each run says of its own pictures is shown. Each side is judged at its own best score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.errors import InputError
from vedette.learn.training.comparison.bootstrap import draw_precisions, interval
from vedette.learn.training.comparison.compared import FIGURES, Compared, read_compared
from vedette.learn.training.comparison.pairing import pair
from vedette.learn.training.diagnosis.diagnose import Diagnosis, diagnose, evaluation_of
from vedette.learn.training.diagnosis.error_kinds import TOLD
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.judged import JudgedPictures

SIDES_AT_MOST = 6
PICTURES_SHOWN = 12
LEFT_OUT = frozenset({"data_digest"})  # of the settings: a line of digits; whether data differ, the notes say

Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of every side, and how far each but the first is from the first: None where a side has none."""

    name: str
    values: tuple[float | None, ...]
    intervals: tuple[Interval, ...]  # of value - first value, one for each side but the first

    def change(self, side: int) -> float | None:
        """How much more this side (from 1) has than the first."""
        first, other = self.values[0], self.values[side]
        return None if first is None or other is None else other - first

    def is_clear(self, side: int) -> bool:
        """Whether the interval of this side (from 1) leaves out 0."""
        found = self.intervals[side - 1]
        return found is not None and (found[0] > 0 or found[1] < 0)

    def to_json(self) -> dict[str, Any]:
        sides = range(1, len(self.values))
        return {
            "name": self.name,
            "values": [_rounded(value) for value in self.values],
            "differences": [_rounded(self.change(side)) for side in sides],
            "intervals": [None if i is None else [round(i[0], 6), round(i[1], 6)] for i in self.intervals],
        }


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known where all sides have pictures in common."""

    sides: tuple[JudgedPictures, ...]
    evaluations: tuple[Evaluation, ...]
    diagnoses: tuple[Diagnosis, ...]
    means: tuple[Difference, ...]  # mAP50, mAP50-95, precision, recall
    classes: tuple[Difference, ...]  # AP50
    classes_strict: tuple[Difference, ...]  # AP50-95
    sizes: tuple[Difference, ...]
    pictures: tuple[int, ...]  # those that the sides see most differently

    def to_json(self) -> dict[str, Any]:
        return {
            "pictures": len(self.sides[0]),
            "objects": self.evaluations[0].objects,
            "best_scores": [_rounded(e.best_score) for e in self.evaluations],
            "means": [d.to_json() for d in self.means],
            "classes_ap50": [d.to_json() for d in self.classes],
            "classes_ap50_95": [d.to_json() for d in self.classes_strict],
            "sizes_map50": [d.to_json() for d in self.sizes],
            "errors": {kind.value: [d.error_counts[kind] for d in self.diagnoses] for kind in TOLD},
            "calibration_error": [_rounded(d.scores.calibration_error) for d in self.diagnoses],
            "confusion": [e.confusion.tolist() for e in self.evaluations],
            "most_different_pictures": [
                {"picture": self.sides[0].names[n], "costs": [round(d.judgements[n].cost, 3) for d in self.diagnoses]}
                for n in self.pictures
            ],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. `ground` is None where nothing can be paired; `notes` say why, and what else does not compare."""

    compared: tuple[Compared, ...]
    notes: tuple[str, ...]
    settings: dict[str, tuple[Any, ...]]  # those that differ
    ground: Ground | None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(side.label for side in self.compared)

    def to_json(self) -> dict[str, Any]:
        return {
            "sides": [
                {
                    "name": side.label,
                    "path": str(side.path),
                    "own_figures": {key: _rounded(value) for key, value in side.figures.items()},
                    "folds": [{k: _rounded(v) for k, v in fold.items()} for fold in side.fold_figures],
                    **times(side),
                }
                for side in self.compared
            ],
            "notes": list(self.notes),
            "settings": {key: list(values) for key, values in self.settings.items()},
            "in_common": None if self.ground is None else self.ground.to_json(),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def compare(paths: Sequence[Path], seed: int = 0) -> Comparison:
    """Read and compare; the first is what the others are set against.

    Raises:
        InputError: too few or too many, or a folder that is no run and no evaluation.
    """
    if not 2 <= len(paths) <= SIDES_AT_MOST:
        raise InputError(f"a comparison takes 2 to {SIDES_AT_MOST} folders, not {len(paths)}")
    compared = read_compared(paths)
    paired = pair(compared)
    notes = list(paired.notes)
    ground = None
    if paired.sides:
        if any((~truth.ignored).any() for truth in paired.sides[0].truths):
            ground = _ground(paired.sides, seed)
        else:
            notes.append("the pictures in common hold no object that counts: nothing to measure there")
    return Comparison(compared, tuple(notes), _settings(compared), ground)


def _settings(compared: Sequence[Compared]) -> dict[str, tuple[Any, ...]]:
    """Settings that are not the same everywhere; None where a side does not know one."""
    names = dict.fromkeys(name for side in compared for name in side.settings if name not in LEFT_OUT)
    rows = {name: tuple(side.settings.get(name) for side in compared) for name in names}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def _ground(sides: tuple[JudgedPictures, ...], seed: int) -> Ground:
    evaluations = tuple(evaluation_of(side) for side in sides)
    diagnoses = tuple(diagnose(side, e.best_score) for side, e in zip(sides, evaluations, strict=True))
    draws = draw_precisions(sides, seed)  # (sides, draws, classes, 10)
    measured = [number for number, c in enumerate(evaluations[0].classes) if c.objects]
    rows = [[e.classes[number] for e in evaluations] for number in measured]
    with np.errstate(invalid="ignore"):
        strict = draws.mean(axis=3)  # (sides, draws, classes)
    means = [_mean(draws[..., 0]), _mean(strict)]
    titles = ("mAP50", "mAP50-95", "precision", "recall")
    values = [tuple(getattr(e, key) for e in evaluations) for key in FIGURES]
    none: tuple[Interval, ...] = (None,) * (len(sides) - 1)
    return Ground(
        sides,
        evaluations,
        diagnoses,
        tuple(
            Difference(title, figures, _intervals(means[place]) if place < 2 else none)
            for place, (title, figures) in enumerate(zip(titles, values, strict=True))
        ),
        tuple(
            Difference(row[0].name, tuple(c.ap50 for c in row), _intervals(draws[:, :, number, 0]))
            for number, row in zip(measured, rows, strict=True)
        ),
        tuple(
            Difference(row[0].name, tuple(c.ap50_95 for c in row), _intervals(strict[:, :, number]))
            for number, row in zip(measured, rows, strict=True)
        ),
        tuple(
            Difference(f"{sizes[0].size} ({sizes[0].measure.value})", tuple(s.map50 for s in sizes), none)
            for sizes in zip(*(d.sizes for d in diagnoses), strict=True)
            if sizes[0].objects
        ),
        _most_different(diagnoses),
    )


def _mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """(sides, draws, classes) -> (sides, draws): over the classes that a draw has an object of."""
    known = np.isfinite(draws)
    counts = known.sum(axis=2)
    sums = np.where(known, draws, 0.0).sum(axis=2)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _intervals(draws: NDArray[np.float64]) -> tuple[Interval, ...]:
    """(sides, draws) -> one for each side but the first."""
    return tuple(interval(draws[side] - draws[0]) for side in range(1, len(draws)))


def _most_different(diagnoses: Sequence[Diagnosis]) -> tuple[int, ...]:
    """Pictures in which the sides' costs lie furthest apart: of two sides as many where each is the better one."""
    costs = np.array([[j.cost for j in d.judgements] for d in diagnoses])  # (sides, pictures)
    spread = costs.max(axis=0) - costs.min(axis=0)  # (pictures,)
    order = [int(number) for number in np.argsort(-spread, kind="stable") if spread[number] > 0]
    if len(diagnoses) > 2:
        return tuple(order[:PICTURES_SHOWN])
    half = PICTURES_SHOWN // 2
    better = [[n for n in order if bool(costs[0, n] < costs[1, n]) is first_wins] for first_wins in (False, True)]
    short = [max(0, half - len(side)) for side in better]
    chosen = better[0][: half + short[1]] + better[1][: half + short[0]]
    return tuple(sorted(chosen, key=order.index))


def times(side: Compared) -> dict[str, Any]:
    """Epochs, seconds and speed from results.csv, and the time for a picture; None where unknown."""
    curves = side.curves
    nothing = np.zeros(0)
    scores = (curves.get("val_map50", nothing) + curves.get("val_map50_95", nothing)) / 2  # what best.weights go by
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else None
    seconds, speeds = curves.get("time_s", nothing), curves.get("pictures_per_s", nothing)
    known = speeds[np.isfinite(speeds)]
    ms = None if side.judged is None else side.judged.ms_per_picture
    return {
        "epochs": len(scores) or None,
        "best_epoch": None if best is None else int(curves["epoch"][best]),
        "time_s": _finite(seconds[-1]) if len(seconds) else None,
        "time_to_best_s": _finite(seconds[best]) if best is not None and len(seconds) else None,
        "training_pictures_per_s": round(float(np.median(known)), 2) if len(known) else None,
        "ms_per_picture": None if ms is None else round(ms, 3),
    }


def _finite(value: float) -> float | None:
    return round(float(value), 1) if np.isfinite(value) else None
