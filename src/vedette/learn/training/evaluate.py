"""How good a detector is on labelled pictures: COCO's mAP, precision and recall, their curves, the confusion matrix.

`summarise` judges boxes that the caller has (the training loop, with its batched forward pass); `evaluate_pictures`
reads pictures, calls a detector on each, and times it; `evaluate_outcomes` judges what `learn.predicting` gives, in any
order (`judge_outcomes` only puts both sides of each picture together). Opening a detector, and the score floor it is
opened with (`SCORE_FLOOR`), are left to the caller. Precision and recall are means over the classes at IoU 0.5 and at
the one score threshold that makes the mean F1 greatest; a class that finds nothing there has precision 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.data.class_names import match_classes, spelling
from vedette.learn.data.samples import DataSet, Sample
from vedette.learn.data.usable import usable_objects
from vedette.learn.predicting.outcomes import Found, Outcome, Predict, outcomes_here
from vedette.learn.training.average_precision import (
    DETECTIONS_PER_CLASS,
    IOU_THRESHOLDS,
    ClassMatches,
    Truths,
    interpolated_precision,
    match_class,
)
from vedette.learn.training.confusion import confusion_matrix
from vedette.learn.training.judged import JudgedPictures

SCORE_FLOOR = 0.001  # COCO's custom; detections below it cannot matter
SCORE_LEVELS: NDArray[np.float64] = np.linspace(0.0, 1.0, 1001)  # (1001,) where the F1 curve is sampled

SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class. All but the name and the count are `None` where the class has no object to measure with."""

    name: str
    objects: int
    ap50: float | None
    ap50_95: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class Curves:
    """At IoU 0.5, one row a class, NaN for classes without objects."""

    precision_by_recall: NDArray[np.float64]  # (classes, 101) at average_precision.RECALL_LEVELS
    precision: NDArray[np.float64]  # (classes, 1001) when only scores >= SCORE_LEVELS count
    recall: NDArray[np.float64]  # (classes, 1001)
    f1: NDArray[np.float64]  # (classes, 1001)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. All figures are in 0..1; the four first ones are means over the classes with objects."""

    map50: float
    map50_95: float
    precision: float
    recall: float
    best_score: float  # the score threshold at which precision and recall stand
    classes: tuple[ClassResult, ...]
    pictures: int
    objects: int
    ms_per_picture: float | None  # median; resize, network, decoding and suppression, without reading the file
    curves: Curves
    confusion: NDArray[np.int64]  # (classes + 1, classes + 1), rows true, last is background

    def to_json(self) -> dict[str, Any]:
        """What `vedette evaluate --json` prints; fractions with 6 decimals."""
        return {
            "map50": _rounded(self.map50),
            "map50_95": _rounded(self.map50_95),
            "precision": _rounded(self.precision),
            "recall": _rounded(self.recall),
            "best_score": _rounded(self.best_score),
            "pictures": self.pictures,
            "objects": self.objects,
            "ms_per_picture": None if self.ms_per_picture is None else round(self.ms_per_picture, 3),
            "classes": [
                {
                    "name": c.name,
                    "ap50": _rounded(c.ap50),
                    "ap50_95": _rounded(c.ap50_95),
                    "precision": _rounded(c.precision),
                    "recall": _rounded(c.recall),
                    "objects": c.objects,
                }
                for c in self.classes
            ],
        }


def _rounded(fraction: float | None) -> float | None:
    return None if fraction is None else round(fraction, 6)


def summarise(
    truths: Sequence[Truths],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    ms_per_picture: float | None = None,
) -> Evaluation:
    """Judge detections against truths: two sequences that run in parallel, one entry a picture.

    Class ids of both index `class_names`. Boxes must be clipped to their pictures; scores should reach down to
    SCORE_FLOOR, or recall, and with it mAP, comes out too low.

    Raises:
        InputError: when no object counts, so that there is nothing to measure.
    """
    matches = [match_class(truths, detections, class_id) for class_id in range(len(class_names))]
    measured = np.array([m.objects > 0 for m in matches], np.bool_)  # (classes,)
    if not measured.any():
        raise InputError(
            f"nothing to measure: the {len(truths)} pictures hold no labelled object that counts "
            f"(of {', '.join(class_names)}; difficult and crowd objects do not); choose a split that has some"
        )
    at_recall = np.full((len(matches), len(IOU_THRESHOLDS), 101), np.nan)  # (classes, 10, 101)
    for row in np.flatnonzero(measured):
        at_recall[row] = interpolated_precision(matches[row])
    precision, recall, f1 = _curves_by_score(matches)
    best = int(np.argmax(f1[measured].mean(axis=0)))
    classes = tuple(
        ClassResult(
            name,
            matches[row].objects,
            *(
                (
                    float(v)
                    for v in (at_recall[row, 0].mean(), at_recall[row].mean(), precision[row, best], recall[row, best])
                )
                if measured[row]
                else (None,) * 4
            ),
        )
        for row, name in enumerate(class_names)
    )
    return Evaluation(
        map50=float(at_recall[measured, 0].mean()),
        map50_95=float(at_recall[measured].mean()),
        precision=float(precision[measured, best].mean()),
        recall=float(recall[measured, best].mean()),
        best_score=float(SCORE_LEVELS[best]),
        classes=classes,
        pictures=len(truths),
        objects=sum(m.objects for m in matches),
        ms_per_picture=ms_per_picture,
        curves=Curves(at_recall[:, 0], precision, recall, f1),
        confusion=confusion_matrix(truths, detections, len(class_names)),
    )


def _curves_by_score(
    matches: Sequence[ClassMatches],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 at IoU 0.5 when only scores >= SCORE_LEVELS count: three (classes, 1001), NaN rows."""
    precision, recall, f1 = (np.full((len(matches), len(SCORE_LEVELS)), np.nan) for _ in range(3))
    for row, match in enumerate(matches):
        if not match.objects:
            continue
        counted = np.searchsorted(-match.scores, -SCORE_LEVELS, side="right")  # (1001,) detections at or above
        hits = np.concatenate([[0.0], np.cumsum(match.hits[0])])[counted]
        alarms = np.concatenate([[0.0], np.cumsum(match.false_alarms[0])])[counted]
        precision[row] = hits / np.maximum(hits + alarms, 1)
        recall[row] = hits / match.objects
        f1[row] = 2 * hits / (hits + alarms + match.objects)
    return precision, recall, f1


def truths_of(sample: Sample, size_px: tuple[int, int], class_ids: Mapping[str, int]) -> Truths:
    """The truths of one picture, clipped to its real size (width, height); broken boxes and other classes left out."""
    width_px, height_px = size_px
    objects = [o for o in usable_objects(sample, width_px, height_px) if o.class_name in class_ids]
    return Truths(
        np.array([o.box_xyxy_px for o in objects], np.float64).reshape(-1, 4),  # (n, 4)
        np.array([class_ids[o.class_name] for o in objects], np.int32),  # (n,)
        np.array([o.difficult or o.crowd for o in objects], np.bool_),  # (n,)
    )


def evaluate_pictures(
    predict: Predict,
    data: DataSet,
    model_classes: Sequence[str],
    *,
    class_map: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a detector over every picture of a data set and judge it.

    `predict` should report scores down to SCORE_FLOOR. Classes match by name (`learn.data.class_names`) after
    `class_map` (data name -> model name, or `None` to leave the data class out); model classes that the data does not
    know are left out, detections of theirs too.

    Raises:
        InputError: unmatched classes (all are listed), an unreadable picture, no picture, no object.
    """
    outcomes = outcomes_here(predict, [sample.picture for sample in data.samples])
    return evaluate_outcomes(outcomes, data, model_classes, class_map=class_map, progress=progress)


def evaluate_outcomes(
    outcomes: Iterable[tuple[int, Outcome]],
    data: DataSet,
    model_classes: Sequence[str],
    *,
    class_map: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """`judge_outcomes`, and the figures of it."""
    judged = judge_outcomes(outcomes, data, model_classes, class_map=class_map, progress=progress)
    return summarise(judged.truths, judged.detections, judged.class_names, judged.ms_per_picture)


def judge_outcomes(
    outcomes: Iterable[tuple[int, Outcome]],
    data: DataSet,
    model_classes: Sequence[str],
    *,
    class_map: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
) -> JudgedPictures:
    """Put what a detector found in every picture of a data set (numbered as its samples are, in any order) beside what
    is labelled there.

    Classes as for `evaluate_pictures`.

    Raises:
        InputError: unmatched classes (all are listed), no picture, no object; pictures without a result, once all the
            others are done.
    """
    if not data.samples:
        raise InputError(f"{data.root} has no picture to evaluate on; choose another split or source")
    progress = progress or SilentProgress()
    names, id_of_data_class, id_of_model_class = _match(model_classes, data.classes, class_map or {})
    truths: dict[int, Truths] = {}
    detections: dict[int, Detections] = {}
    sizes_px: dict[int, tuple[int, int]] = {}
    seconds: dict[int, float] = {}
    failures: dict[int, str] = {}
    progress.start("evaluating", len(data.samples), "pictures")
    for number, outcome in outcomes:
        if isinstance(outcome, Found):
            sizes_px[number] = size_px = (outcome.width_px, outcome.height_px)
            truths[number] = truths_of(data.samples[number], size_px, id_of_data_class)
            detections[number] = _known_and_clipped(outcome.detections, size_px, id_of_model_class, names)
            seconds[number] = outcome.seconds
        else:
            failures[number] = outcome.reason
        progress.advance()
    if failures:
        raise InputError(_explain(failures))
    in_order = range(len(data.samples))
    return JudgedPictures(
        names=tuple(sample.name for sample in data.samples),
        files=tuple(sample.picture for sample in data.samples),
        sizes_px=tuple(sizes_px[number] for number in in_order),
        truths=tuple(truths[number] for number in in_order),
        detections=tuple(detections[number] for number in in_order),
        class_names=names,
        ms_per_picture=float(np.median([seconds[number] for number in in_order])) * 1000,
    )


def _explain(failures: Mapping[int, str]) -> str:
    shown = "; ".join(failures[number] for number in sorted(failures)[:SHOWN_FAILURES])
    more = f"; and {len(failures) - SHOWN_FAILURES} more" if len(failures) > SHOWN_FAILURES else ""
    count = f"{len(failures)} pictures have no result: " if len(failures) > 1 else ""
    return f"{count}{shown}{more}; mend the data set, `vedette data check` lists what is wrong"


def match_data(model_classes: Sequence[str], data: DataSet, class_map: Mapping[str, str | None]) -> None:
    """What `judge_outcomes` would refuse about the classes of a data set, before any picture is looked at.

    Raises:
        InputError: unmatched classes (all are listed), or none to measure.
    """
    _match(model_classes, data.classes, class_map)


def _match(
    model_classes: Sequence[str], data_classes: Sequence[str], class_map: Mapping[str, str | None]
) -> tuple[tuple[str, ...], dict[str, int], NDArray[np.int32]]:
    """Names of the classes to measure; data class name -> index of these; model class index -> index of these or -1."""
    unknown = sorted({spelling(name) for name in class_map} - {spelling(name) for name in data_classes})
    if unknown:
        named = ", ".join(sorted(name for name in class_map if spelling(name) in unknown))
        raise InputError(f"the class map names what the data has not: {named}. The data has: {', '.join(data_classes)}")
    left_out = {spelling(name) for name, model in class_map.items() if model is None}
    wanted = [name for name in data_classes if spelling(name) not in left_out]
    if not wanted:
        why = "the class map leaves out all of them" if data_classes else "no object is labelled"
        raise InputError(f"the data has no class to measure: {why}")
    extra = {data: model for data, model in class_map.items() if model is not None}
    model_of_data = match_classes(model_classes, wanted, extra)
    used = sorted(set(model_of_data.values()))
    of_model = np.full(len(model_classes), -1, np.int32)  # (model classes,)
    of_model[used] = np.arange(len(used), dtype=np.int32)
    names = tuple(model_classes[i] for i in used)
    return names, {wanted[d]: int(of_model[m]) for d, m in model_of_data.items()}, of_model


def _known_and_clipped(
    found: Detections, size_px: tuple[int, int], id_of_model_class: NDArray[np.int32], names: tuple[str, ...]
) -> Detections:
    """The detections of the classes to measure, their ids renumbered, their boxes inside the picture."""
    class_ids = id_of_model_class[found.class_ids]  # (n,) int32
    keep = class_ids >= 0
    limits = np.array([*size_px, *size_px], np.float32)
    boxes = np.clip(found.boxes_xyxy_px[keep], 0, limits)  # (n, 4) float32
    return Detections(boxes, found.scores[keep], class_ids[keep], names)


def detections_needed(class_count: int) -> int:
    """How many detections of a picture a detector must be able to hand over, so that COCO's limit is the one at work.

    COCO's "100 detections" are counted for each class of a picture; 100 of all classes together cost yolo-fastest 0.3
    points of AP50 on COCO.
    """
    return DETECTIONS_PER_CLASS * class_count


def choose_split(data: DataSet, split: str | None) -> DataSet:
    """The pictures of one split, or all of them when none is named.

    Raises:
        InputError: when the data has no such split.
    """
    if split is None:
        return data
    if split not in data.splits:
        known = ", ".join(sorted(data.splits)) or "none"
        raise InputError(f"{data.root} has no split '{split}'; it has: {known}")
    return replace(data.subset(split))
