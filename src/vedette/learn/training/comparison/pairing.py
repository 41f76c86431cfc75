"""The pictures that all sides of a comparison have judged, over the classes that all of them know.

A picture is the same where name, size and labels are. What is left out is said in words, since a figure of other
pictures or other classes proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.comparison.compared import Compared
from vedette.learn.training.judged import JudgedPictures

SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class Pairing:
    """One entry a side, pictures and classes alike in all; empty when nothing is in common. `notes` are sentences."""

    sides: tuple[JudgedPictures, ...]
    notes: tuple[str, ...]


def pair(compared: Sequence[Compared]) -> Pairing:
    """Bring all sides to common ground, and say what was left out."""
    notes = _notes_on_training(compared)
    without = [side.label for side in compared if side.judged is None]
    if without:
        notes.append(
            f"{_listed(without)}: no detections kept (detections.json), so single pictures, sizes and intervals are "
            "not compared; `vedette evaluate --out` makes them from weights"
        )
        return Pairing((), tuple(notes))
    judged = [side.judged for side in compared if side.judged is not None]
    classes = [name for name in judged[0].class_names if all(name in j.class_names for j in judged)]
    for side, own in zip(compared, judged, strict=True):
        extra = [name for name in own.class_names if name not in classes]
        if extra:
            notes.append(
                f"only {side.label} knows {_listed(extra)}: left out, what follows is of the classes in common"
            )
    names = _common_pictures(compared, judged, classes, notes)
    if not classes or not names:
        what = "class" if not classes else "picture"
        notes.append(f"no {what} in common: the figures are each of its own and cannot be set against each other")
        return Pairing((), tuple(notes))
    floor = max(side.score_floor for side in compared)
    if len({side.score_floor for side in compared}) > 1:
        notes.append(f"detections below score {floor:.3g} were not kept by all: left out everywhere")
    return Pairing(tuple(_restricted(own, names, classes, floor) for own in judged), tuple(notes))


def _notes_on_training(compared: Sequence[Compared]) -> list[str]:
    notes = [f"{side.label} has not ended: curves only" for side in compared if not side.figures]
    for side, other in product(compared, compared):
        judged_on = other.judged.names if other.judged else ()
        seen = len(side.trained_on & set(judged_on))
        if side is not other and seen:
            notes.append(
                f"{side.label} was trained on {seen} of the {len(judged_on)} pictures that {other.label} is judged on: "
                "those are no test of it, and are left out"
            )
    return notes


def _common_pictures(
    compared: Sequence[Compared], judged: Sequence[JudgedPictures], classes: Sequence[str], notes: list[str]
) -> list[str]:
    places = [{name: row for row, name in enumerate(own.names)} for own in judged]
    named = [name for name in judged[0].names if all(name in place for place in places)]
    alike = [
        name
        for name in named
        if all(
            _same(judged[0], places[0][name], own, place[name], classes)
            for own, place in zip(judged, places, strict=True)
        )
    ]
    kept = [name for name in alike if not any(name in side.trained_on for side in compared)]
    counts = ", ".join(f"{side.label} {len(own)}" for side, own in zip(compared, judged, strict=True))
    if any(len(own) != len(kept) for own in judged):
        notes.append(
            f"they were judged on different pictures ({counts}): what follows is of the {len(kept)} that are in all"
        )
    if len(alike) < len(named):
        other = [name for name in named if name not in set(alike)]
        are = "is" if len(other) == 1 else "are"
        notes.append(
            f"of the pictures in common {len(other)} {are} labelled otherwise or of another size, so left out: "
            f"{_listed(other)}"
        )
    return kept


def _same(a: JudgedPictures, row: int, b: JudgedPictures, other: int, classes: Sequence[str]) -> bool:
    return a.sizes_px[row] == b.sizes_px[other] and _objects(a, row, classes) == _objects(b, other, classes)


def _objects(judged: JudgedPictures, row: int, classes: Sequence[str]) -> list[tuple[str, bool, tuple[float, ...]]]:
    truth = judged.truths[row]
    triples = zip(truth.class_ids.tolist(), truth.ignored.tolist(), truth.boxes_xyxy_px.tolist(), strict=True)
    named = [(judged.class_names[c], ignored, tuple(box)) for c, ignored, box in triples]
    return sorted(one for one in named if one[0] in classes)


def _restricted(judged: JudgedPictures, names: Sequence[str], classes: Sequence[str], floor: float) -> JudgedPictures:
    place = {name: row for row, name in enumerate(judged.names)}
    number = np.array([classes.index(n) if n in classes else -1 for n in judged.class_names], np.int32)  # (classes,)
    part = judged.part([place[name] for name in names])
    truths, detections = [], []
    for truth, found in zip(part.truths, part.detections, strict=True):
        keep = number[truth.class_ids] >= 0
        ids = number[truth.class_ids][keep]
        truths.append(Truths(truth.boxes_xyxy_px[keep], ids, truth.ignored[keep]))
        good = (number[found.class_ids] >= 0) & (found.scores >= np.float32(floor))
        ids = number[found.class_ids][good]
        detections.append(Detections(found.boxes_xyxy_px[good], found.scores[good], ids, tuple(classes)))
    return JudgedPictures(
        part.names, part.files, part.sizes_px, tuple(truths), tuple(detections), tuple(classes), part.ms_per_picture
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
