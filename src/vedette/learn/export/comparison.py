"""How far two computations of the same picture lie apart, before suppression, whatever the decode kind.

Scores are compared for every box and class; boxes wherever either side's best score reaches `RELEVANT_SCORE`, the floor
of COCO's evaluation: below it a box is noise that nobody sees. A model that chooses and sorts its boxes itself may
swap two of equal score: there each relevant box is compared with the nearest one of its class on the other side, and
one that only just made it (within the score tolerance of the other side's last) may be absent. NaN is infinitely far.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import Decode, DecodedBoxes, InputSpec
from vedette.vision.boxes import iou_matrix
from vedette.vision.decoded_boxes import corners_px, every_score, take_apart
from vedette.vision.yolo import decode_heads

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.5
RELEVANT_SCORE = 1e-3
VISIBLE_SCORE = 0.05
EVERY_CELL = -1.0  # a score that everything is above

Floats = NDArray[np.float32]
Heads = list[Floats]


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest differences, and how many boxes were compared."""

    score: float
    box_px: float
    boxes: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    scores: Floats  # (boxes, classes); (boxes, 1) where the model chose the class
    boxes_xyxy_px: Floats  # (boxes, 4)
    class_numbers: Floats | None = None  # (boxes,) where the model chose the class


def compare(expected_heads: Heads, given_heads: Heads, decode: Decode, size: InputSpec) -> Difference:
    """Compare the outputs of one picture, each without the batch.

    Raises:
        ValueError: outputs do not have the shapes that `decode` states, or not the same number of boxes.
    """
    expected, given = _decode(expected_heads, decode, size), _decode(given_heads, decode, size)
    if expected.class_numbers is not None and given.class_numbers is not None:
        return _compare_chosen(expected, given)
    if expected.boxes_xyxy_px.shape != given.boxes_xyxy_px.shape:
        raise ValueError(f"{len(given.boxes_xyxy_px)} boxes where there are {len(expected.boxes_xyxy_px)}")
    relevant = np.maximum(expected.scores.max(axis=1), given.scores.max(axis=1)) >= RELEVANT_SCORE
    return Difference(
        _largest(expected.scores, given.scores),
        _largest(expected.boxes_xyxy_px[relevant], given.boxes_xyxy_px[relevant]),
        int(relevant.sum()),
    )


def mean_difference(expected_heads: Heads, given_heads: Heads, decode: Decode, size: InputSpec) -> float:
    """How far one picture's boxes move: 0 not at all, 1 every box is lost; for ranking, not for a verdict.

    The mean, over boxes that either side gives a score of `VISIBLE_SCORE`, of the score's change or the overlap's loss,
    whichever is larger. Where the model sorts its boxes itself, or none is visible: the relative change of outputs.
    """
    expected, given = _decode(expected_heads, decode, size), _decode(given_heads, decode, size)
    if expected.class_numbers is None and expected.boxes_xyxy_px.shape == given.boxes_xyxy_px.shape:
        visible = np.maximum(expected.scores.max(axis=1), given.scores.max(axis=1)) >= VISIBLE_SCORE
        if visible.any():
            score = np.abs(expected.scores[visible] - given.scores[visible]).max(axis=1)  # (visible,)
            overlap = np.diag(iou_matrix(expected.boxes_xyxy_px[visible], given.boxes_xyxy_px[visible]))
            return float(np.nan_to_num(np.maximum(score, 1 - overlap), nan=1.0).mean())
    changed = sum(
        float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(expected_heads, given_heads, strict=True)
    )
    whole = sum(float(np.square(a, dtype=np.float64).sum()) for a in expected_heads)
    return float(np.sqrt(changed / whole)) if whole and np.isfinite(changed) else float(not np.isfinite(changed))


def _decode(heads: Heads, decode: Decode, size: InputSpec) -> _Decoded:
    """Every box of one picture."""
    if isinstance(decode, DecodedBoxes):
        table = take_apart(heads, decode)
        boxes_px = corners_px(table.boxes, decode, size.width, size.height)
        return _Decoded(every_score(table, decode), boxes_px, table.class_numbers)
    found = decode_heads(heads, decode, size.width, size.height, EVERY_CELL)
    classes = int(found.class_ids.max()) + 1 if len(found) else 1
    expected = sum(head.grid_width * head.grid_height * len(head.anchors) for head in decode.heads)
    if len(found) != expected * classes:  # a comparison with NaN is false, so a NaN leaves a gap
        return _Decoded(np.full((expected, 1), np.nan, np.float32), np.full((expected, 4), np.nan, np.float32))
    return _Decoded(found.scores.reshape(-1, classes), found.boxes_xyxy_input_px[::classes])


def _compare_chosen(expected: _Decoded, given: _Decoded) -> Difference:
    if not all(np.isfinite(part).all() for one in (expected, given) for part in (one.scores, one.boxes_xyxy_px)):
        return Difference(float("inf"), float("inf"), 0)
    sides = [_nearest(expected, given), _nearest(given, expected)]
    return Difference(max(s.score for s in sides), max(s.box_px for s in sides), sides[0].boxes)


def _nearest(mine: _Decoded, other: _Decoded) -> Difference:
    """The differences of each relevant box of mine from the nearest one of its class on the other side."""
    floor = max(RELEVANT_SCORE, float(other.scores.min()) if len(other.scores) else 0.0)
    relevant = np.flatnonzero(mine.scores[:, 0] > floor + SCORE_TOLERANCE)
    if not len(relevant):
        return Difference(0.0, 0.0, 0)
    if not len(other.scores):
        return Difference(float("inf"), float("inf"), len(relevant))
    score = np.abs(mine.scores[relevant] - other.scores[:, 0])  # (relevant, other)
    box_px = np.abs(mine.boxes_xyxy_px[relevant][:, None] - other.boxes_xyxy_px).max(axis=2)  # (relevant, other)
    distance = np.maximum(score / SCORE_TOLERANCE, box_px / BOX_TOLERANCE_PX)
    numbers, others = _numbers(mine)[relevant], _numbers(other)
    distance[numbers[:, None] != others] = np.inf
    best = distance.argmin(axis=1)  # (relevant,)
    rows = np.arange(len(relevant))
    absent = np.isinf(distance[rows, best])
    score_difference = np.where(absent, np.inf, score[rows, best]).max()
    return Difference(float(score_difference), float(np.where(absent, np.inf, box_px[rows, best]).max()), len(relevant))


def _numbers(decoded: _Decoded) -> Floats:
    return np.zeros(0, np.float32) if decoded.class_numbers is None else decoded.class_numbers


def _largest(a: Floats, b: Floats) -> float:
    if not a.size:
        return 0.0
    largest = float(np.abs(a.astype(np.float64) - b).max())
    return largest if np.isfinite(largest) else float("inf")
