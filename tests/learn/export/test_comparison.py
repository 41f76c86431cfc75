"""Boxes that a model chose itself are compared whatever their order, and a real difference is still found."""

import numpy as np
import pytest

from vedette.contracts.bundle import BoxForm, BoxUnits, DecodedBoxes, InputSpec
from vedette.learn.export.comparison import compare

SIZE = InputSpec(width=96, height=64)
CHOSEN = DecodedBoxes(
    kind="boxes_score_class", outputs=("out",), classes=3, box_form=BoxForm.XYXY, box_units=BoxUnits.PIXELS
)
SCORES = DecodedBoxes(kind="boxes_scores", outputs=("out",), classes=3, box_form="xyxy", box_units="normalised")
ROWS = np.array(
    [[0, 0, 9, 9, 0.9, 1], [20, 0, 40, 9, 0.9, 1], [3, 3, 50, 50, 0.4, 0], [0, 0, 5, 5, 0.1, 2], [0, 0, 0, 0, 0, 0]],
    np.float32,
)


def altered(row, column, value):
    rows = ROWS.copy()
    rows[row, column] += value
    return rows


def test_boxes_of_equal_score_may_change_places() -> None:
    found = compare([ROWS], [ROWS[[1, 0, 2, 3, 4]]], CHOSEN, SIZE)
    assert (found.score, found.box_px, found.boxes) == (0.0, 0.0, 4)


@pytest.mark.parametrize(
    ("given", "score", "box_px"),
    [
        (altered(2, 4, 0.2), 0.2, 0.0),
        (altered(2, 0, 3.0), 0.0, 3.0),
        (altered(2, 5, 2), 0.4, 50.0),  # the nearest of its class is an empty place
        (ROWS[:0], np.inf, np.inf),
        (altered(2, 4, np.nan), np.inf, np.inf),
    ],
)
def test_a_difference_is_found_in_either_direction(given, score, box_px) -> None:
    for pair in ((ROWS, given), (given, ROWS)):
        found = compare([pair[0]], [pair[1]], CHOSEN, SIZE)
        assert found.score == pytest.approx(score, abs=1e-6) and found.box_px == pytest.approx(box_px, abs=1e-5)


def test_a_box_at_the_end_of_a_full_list_may_be_another() -> None:
    other = ROWS[:4].copy()
    other[3] = (30, 30, 44, 44, 0.1004, 1)
    assert compare([ROWS[:4]], [other], CHOSEN, SIZE).score < 1e-6
    other[3, 4] = 0.2
    assert compare([ROWS[:4]], [other], CHOSEN, SIZE).score > 0.05


def test_boxes_and_scores_are_compared_one_by_one_in_input_pixels() -> None:
    rows = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    moved = rows.copy()
    moved[3, 0] += 0.125
    moved[1, 6] += 0.25
    found = compare([rows], [moved], SCORES, SIZE)
    assert (found.score, found.box_px, found.boxes) == (pytest.approx(0.25), pytest.approx(12.0, abs=1e-4), 5)
    with pytest.raises(ValueError, match="4 boxes where there are 5"):
        compare([rows], [rows[:4]], SCORES, SIZE)
