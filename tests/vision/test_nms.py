"""Suppression equals a plain double loop, for any boxes, in any block size, and cut anywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette.contracts.bundle import NmsKind
from vedette.vision import nms
from vedette.vision.boxes import cxcywh_to_xyxy, diou_matrix, iou_matrix
from vedette.vision.nms import suppress


def naive_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    inside = wide * high
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def naive_diou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    if diagonal == 0:
        return naive_iou(a, b)
    apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    return naive_iou(a, b) - (apart / diagonal) ** 0.6


def naive_suppress(boxes, scores, class_ids, limit: float, kind: NmsKind) -> list[int]:
    overlap = naive_diou if kind is NmsKind.DIOU else naive_iou
    rivals = (lambda i, k: True) if kind is NmsKind.AGNOSTIC else (lambda i, k: class_ids[i] == class_ids[k])
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if not any(rivals(i, k) and overlap(boxes[i], boxes[k]) > limit for k in kept):
            kept.append(i)
    return kept


def random_boxes(rng: np.random.Generator, count: int, classes: int):
    centres, sizes = rng.uniform(0, 1, (count, 2)), rng.uniform(0.05, 0.5, (count, 2))
    boxes = cxcywh_to_xyxy(np.concatenate([centres, sizes], axis=1))
    scores = rng.choice(np.linspace(0.1, 1, 30), count).astype(np.float32)  # with many ties
    return boxes, scores, rng.integers(0, classes, count).astype(np.int32)


@pytest.mark.parametrize("kind", list(NmsKind))
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 60),
    classes=st.integers(1, 4),
    limit=st.sampled_from([0.0, 0.2, 0.45, 0.7, 1.0]),
)
def test_suppression_equals_the_double_loop(kind: NmsKind, seed: int, count: int, classes: int, limit: float) -> None:
    boxes, scores, class_ids = random_boxes(np.random.default_rng(seed), count, classes)
    assert suppress(boxes, scores, class_ids, limit, kind).tolist() == naive_suppress(
        boxes, scores, class_ids, limit, kind
    )


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    boxes, scores, class_ids = random_boxes(np.random.default_rng(3), 200, 3)
    whole = suppress(boxes, scores, class_ids, 0.45)
    assert 20 < len(whole) < 180
    monkeypatch.setattr(nms, "BLOCK", block)
    np.testing.assert_array_equal(suppress(boxes, scores, class_ids, 0.45), whole)
    np.testing.assert_array_equal(suppress(boxes, scores, class_ids, 0.45, limit=11), whole[:11])


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1]], np.float32)
    kept = suppress(boxes, np.full(3, 0.5, np.float32), np.zeros(3, np.int32), 0.5)
    assert kept.tolist() == [0, 1]


def test_an_overlap_equal_to_the_limit_is_kept() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1]], np.float64)  # IoU exactly 0.5
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    assert suppress(boxes, scores, class_ids, 0.5).tolist() == [0, 1]
    assert suppress(boxes, scores, class_ids, 0.4999).tolist() == [0]


def test_diou_keeps_neighbours_that_iou_would_not() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.3, 0, 1.3, 1]], np.float64)  # IoU 0.538
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    assert suppress(boxes, scores, class_ids, 0.45, NmsKind.IOU).tolist() == [0]
    assert suppress(boxes, scores, class_ids, 0.45, NmsKind.DIOU).tolist() == [0, 1]


def test_only_the_agnostic_kind_looks_across_classes() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0.4]], np.float64)
    scores, class_ids = np.array([0.7, 0.9, 0.8], np.float32), np.array([0, 1, 2], np.int32)
    assert suppress(boxes, scores, class_ids, 0.45, NmsKind.IOU).tolist() == [1, 2, 0]
    assert suppress(boxes, scores, class_ids, 0.45, NmsKind.AGNOSTIC).tolist() == [1, 2]


def test_matrices_equal_the_plain_formulas() -> None:
    rng = np.random.default_rng(5)
    a, b = random_boxes(rng, 20, 1)[0], random_boxes(rng, 15, 1)[0]
    np.testing.assert_allclose(iou_matrix(a, b), [[naive_iou(x, y) for y in b] for x in a], atol=1e-12)
    np.testing.assert_allclose(diou_matrix(a, b), [[naive_diou(x, y) for y in b] for x in a], atol=1e-12)


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [3, 3, 2, 2]], np.float64)
    assert iou_matrix(boxes, boxes).tolist() == np.zeros((3, 3)).tolist()
