"""Outputs that are boxes already (`contracts.bundle.DecodedBoxes`) to candidate boxes, without a Python loop over them.

A candidate is one box and one class with a score strictly above the threshold, so one box may come back with several
classes, as with Darknet heads. Scores are gated before anything else is computed: few boxes pass, and only theirs are
converted to corners in input pixels. Logits are gated as logits. A box without a possible size, or whose class number
the model does not have, is left out. Order: by box, then by class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BoxForm, BoxLayout, BoxUnits, DecodedBoxes, ScoreForm
from vedette.vision.candidates import Candidates
from vedette.vision.yolo import probability_gate, sigmoid

# beyond it, and for NaN, no box can be meant; below it, its square still is a float32
LARGEST_PX = 1e7

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BoxTable:
    """The outputs of one picture taken apart, as views, a row for each value: nothing is converted yet."""

    boxes: Floats  # (4, n) in the model's own form and units
    objectness: Floats | None  # (n,)
    scores: Floats  # (classes, n), or (1, n) when the model chose the class
    class_numbers: Floats | None  # (n,) when the model chose the class


def decode_boxes(
    outputs: Sequence[Floats], spec: DecodedBoxes, input_width_px: int, input_height_px: int, score: float
) -> Candidates:
    """Every candidate of one picture whose score is above `score` (strictly).

    Args:
        outputs: one array for each of `spec.outputs`, in its order, without the batch.

    Raises:
        ValueError: when the outputs do not have the shapes that `spec` states.
    """
    table = take_apart(outputs, spec)
    places, class_ids, scores = _above(table, spec, score)
    boxes_px = corners_px(table.boxes[:, places], spec, input_width_px, input_height_px)  # (k, 4)
    sound = (np.abs(boxes_px) < LARGEST_PX).all(axis=1) & (class_ids >= 0) & (class_ids < spec.classes)
    return Candidates(boxes_px[sound], scores[sound], class_ids[sound])


def every_score(table: BoxTable, spec: DecodedBoxes) -> Floats:
    """The score of every box and class (n, classes), or (n, 1) when the model chose the class."""
    scores = _probabilities(table.scores, spec)
    return np.asarray((scores if table.objectness is None else scores * _probabilities(table.objectness, spec)).T)


def take_apart(outputs: Sequence[Floats], spec: DecodedBoxes) -> BoxTable:
    """Boxes, objectness, scores and class numbers of one picture.

    Raises:
        ValueError: when the outputs do not have the shapes that `spec` states.
    """
    widths = [spec.values] if len(spec.outputs) == 1 else [4, spec.values - 4]
    if len(outputs) != len(widths):
        raise ValueError(f"expected {len(widths)} outputs, got {len(outputs)}")
    parts = [_by_value(*each, spec) for each in zip(outputs, spec.outputs, widths, strict=True)]
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError(f"output '{spec.outputs[0]}' holds {parts[0].shape[1]} boxes, the other {parts[1].shape[1]}")
    boxes, rest = (parts[0][:4], parts[0][4:]) if len(parts) == 1 else (parts[0], parts[1])
    if spec.kind == "boxes_score_class":
        return BoxTable(boxes, None, rest[:1], rest[1])
    if spec.kind == "boxes_objectness_scores":
        return BoxTable(boxes, rest[0], rest[1:], None)
    return BoxTable(boxes, None, rest, None)


def corners_px(boxes: Floats, spec: DecodedBoxes, input_width_px: int, input_height_px: int) -> Floats:
    """Boxes (4, k) as the model gives them to corners (k, 4) in input pixels."""
    first, second = boxes[:2], boxes[2:]  # each (2, k)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite ones are the caller's to refuse
        if spec.box_form is BoxForm.CXCYWH:
            half = second * np.float32(0.5)
            first, second = first - half, first + half
        corners = np.concatenate([first, second]).T  # (k, 4)
        if spec.box_units is BoxUnits.NORMALISED:
            corners = corners * np.array([input_width_px, input_height_px] * 2, np.float32)
    return np.ascontiguousarray(corners, np.float32)


def _by_value(output: Floats, name: str, width: int, spec: DecodedBoxes) -> Floats:
    """One output as (values, boxes)."""
    by_rows = spec.layout is BoxLayout.ROWS
    table = output[:, 0] if by_rows and output.ndim == 3 and output.shape[1] == 1 else output
    if table.ndim != 2 or table.shape[1 if by_rows else 0] != width:
        stated = f"(boxes, {width})" if by_rows else f"({width}, boxes)"
        raise ValueError(f"output '{name}': expected {stated}; got {output.shape}")
    return table.T if by_rows else table


def _above(table: BoxTable, spec: DecodedBoxes, score: float) -> tuple[NDArray[np.intp], NDArray[np.int32], Floats]:
    """Box numbers, class numbers and scores above the threshold, by box, then by class."""
    gate = probability_gate(score, activated=spec.score_form is ScoreForm.PROBABILITIES)
    if table.objectness is None:
        passed = np.flatnonzero((table.scores > gate).any(axis=0))
        scores = _probabilities(table.scores[:, passed].T, spec)  # (k, classes)
    else:
        passed = np.flatnonzero(table.objectness > gate)
        scores = _probabilities(table.scores[:, passed].T, spec)
        scores = scores * _probabilities(table.objectness[passed], spec)[:, None]
    rows, columns = np.nonzero(scores > score)
    places, class_ids = passed[rows], columns
    if table.class_numbers is not None:
        numbers = table.class_numbers[places]
        class_ids = np.rint(np.where(np.abs(numbers) <= spec.classes, numbers, -1)).astype(np.intp)
    return places, class_ids.astype(np.int32), scores[rows, columns]


def _probabilities(values: Floats, spec: DecodedBoxes) -> Floats:
    return sigmoid(values) if spec.score_form is ScoreForm.LOGITS else values
