"""The confusion matrix: hits, confusions, misses, false alarms, and what does not count."""

import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.confusion import confusion_matrix

HERE, THERE = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 60.0, 10.0)
Row = tuple[tuple[float, ...], int, float]


def matrix_of(true: list[tuple[tuple[float, ...], int, bool]], rows: list[Row]) -> list[list[int]]:
    truths = Truths(
        np.array([box for box, _, _ in true], np.float64).reshape(-1, 4),
        np.array([class_id for _, class_id, _ in true], np.int32),
        np.array([ignored for _, _, ignored in true], np.bool_),
    )
    detections = Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([class_id for _, class_id, _ in rows], np.int32),
        ("a", "b"),
    )
    return confusion_matrix([truths], [detections], 2).tolist()


@pytest.mark.parametrize(
    ("true", "rows", "expected"),
    [
        ([(HERE, 0, False)], [(HERE, 0, 0.9)], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([(HERE, 0, False)], [(HERE, 1, 0.9)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ([(HERE, 0, False)], [(THERE, 1, 0.9)], [[0, 0, 1], [0, 0, 0], [0, 1, 0]]),
        ([(HERE, 1, False)], [], [[0, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ([], [(HERE, 0, 0.25)], [[0, 0, 0], [0, 0, 0], [1, 0, 0]]),
        ([], [(HERE, 0, 0.24)], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
    ids=["hit", "confusion", "miss and false alarm", "miss", "at the threshold", "below the threshold"],
)
def test_one_object_at_most(true: list, rows: list[Row], expected: list[list[int]]) -> None:
    assert matrix_of(true, rows) == expected


def test_the_right_class_is_paired_before_a_better_overlap_of_another() -> None:
    shifted = (1.0, 0.0, 11.0, 10.0)
    assert matrix_of([(HERE, 0, False)], [(HERE, 1, 0.9), (shifted, 0, 0.3)]) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_each_truth_and_each_detection_is_paired_once() -> None:
    assert matrix_of([(HERE, 0, False)], [(HERE, 0, 0.9), (HERE, 0, 0.8)]) == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert matrix_of([(HERE, 0, False), (HERE, 0, False)], [(HERE, 0, 0.9)]) == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_an_ignored_region_of_the_same_class_explains_detections_in_it() -> None:
    part = (2.0, 2.0, 4.0, 4.0)
    nothing = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert matrix_of([(HERE, 0, True)], [(part, 0, 0.9), (HERE, 0, 0.5)]) == nothing
    assert matrix_of([(HERE, 0, True)], [(part, 1, 0.9)]) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_counts_add_up_to_all_truths_and_all_detections() -> None:
    random = np.random.default_rng(3)
    start = random.uniform(0, 40, (200, 2))
    boxes = np.concatenate([start, start + random.uniform(5, 20, (200, 2))], axis=1)
    truths = Truths(boxes[:80], random.integers(0, 2, 80).astype(np.int32), np.zeros(80, np.bool_))
    detections = Detections(
        boxes[80:].astype(np.float32),
        np.full(120, 0.5, np.float32),
        random.integers(0, 2, 120).astype(np.int32),
        ("a", "b"),
    )
    matrix = confusion_matrix([truths], [detections], 2)
    assert matrix[:2].sum() == 80
    assert matrix[:, :2].sum() == 120
