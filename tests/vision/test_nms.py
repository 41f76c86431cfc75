"""Suppression equals a plain double loop, for any boxes, in any block size, and cut anywhere.

OpenCV's keeps the same boxes, but for three kinds of input: the reasons why it is not used, each held here.
"""

import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette.contracts.bundle import NmsKind
from vedette.vision import nms
from vedette.vision.boxes import cxcywh_to_xyxy, iou_matrix
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


LIMITS = [0.0, 0.2, 0.45, 0.7, 1.0]
# first block, block, and how little must remain for another round of clearing heaps: as usual, none, all
WAYS = [(64, 512, nms.PAYS), (3, 5, 0.0), (3, 5, 1.0)]


@pytest.fixture(params=WAYS, ids=str, scope="module")
def way(request: pytest.FixtureRequest):
    """Suppression in blocks of these sizes, with more or fewer rounds before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "FIRST_BLOCK", request.param[0])
        patch.setattr(nms, "BLOCK", request.param[1])
        patch.setattr(nms, "PAYS", request.param[2])
        yield request.param


@pytest.mark.parametrize("kind", list(NmsKind))
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 60), classes=st.integers(1, 4), limit=st.sampled_from(LIMITS))
def test_suppression_equals_the_double_loop(
    way: tuple[int, int, float], kind: NmsKind, seed: int, count: int, classes: int, limit: float
) -> None:
    boxes, scores, class_ids = random_boxes(np.random.default_rng(seed), count, classes)
    assert suppress(boxes, scores, class_ids, limit, kind).tolist() == naive_suppress(
        boxes, scores, class_ids, limit, kind
    )


@st.composite
def awkward_boxes(draw: st.DrawFn, smallest_side: int = -1):
    """Boxes on a small grid, so that they touch, coincide and have IoUs equal to the limit; some empty or inverted.

    Moved and scaled by powers of two, so that float32 holds the corners exactly.
    """
    side = st.integers(smallest_side, 6)
    rows = draw(st.lists(st.tuples(st.integers(-5, 9), st.integers(-5, 9), side, side), max_size=25))
    x1, y1, wide, high = np.array(rows, np.float64).reshape(-1, 4).T
    scale, moved = draw(st.sampled_from([1.0, 2.0**-10, 2.0**20])), draw(st.sampled_from([0, -1000, 70_000]))
    boxes = ((np.stack([x1, y1, x1 + wide, y1 + high], axis=1) + moved) * scale).astype(np.float32)
    exact = draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows)))
    class_ids = draw(st.lists(st.sampled_from([0, 1, 2, 9418]), min_size=len(rows), max_size=len(rows)))
    return boxes, np.array(exact, np.float32) / 5, np.array(class_ids, np.int32)


@pytest.mark.parametrize("kind", list(NmsKind))
@settings(max_examples=150, deadline=None)
@given(case=awkward_boxes(), limit=st.sampled_from([*LIMITS, 1 / 3, 0.5, 0.6, 2 / 3, 5 / 6]))
def test_awkward_boxes_are_suppressed_as_by_the_double_loop(way: tuple[int, int, float], case, kind, limit) -> None:
    boxes, scores, class_ids = case
    expected = naive_suppress(boxes.astype(np.float64), scores, class_ids, limit, kind)
    assert suppress(boxes, scores, class_ids, limit, kind).tolist() == expected


@pytest.mark.parametrize("kind", list(NmsKind))
def test_boxes_that_are_no_numbers_stay_and_change_nothing_else(kind: NmsKind) -> None:
    boxes, scores, class_ids = random_boxes(np.random.default_rng(11), 100, 2)
    whole = suppress(boxes, scores, class_ids, 0.45, kind)
    broken = np.array(
        [[np.nan] * 4, [0, 0, np.inf, 1], [-np.inf, 0, np.inf, 1], [0, np.nan, 1, 1], [-3e38, -3e38, 3e38, 3e38]]
    )
    kept = suppress(
        np.concatenate([boxes, broken]).astype(np.float32),
        np.concatenate([scores, np.full(5, 0.01, np.float32)]),
        np.concatenate([class_ids, np.zeros(5, np.int32)]),
        0.45,
        kind,
    )
    assert len(whole) < 95
    assert kept.tolist() == [*whole.tolist(), 100, 101, 102, 103, 104]


@pytest.mark.parametrize("kind", list(NmsKind))
def test_blocks_and_a_cut_do_not_change_the_result(way: tuple[int, int, float], kind: NmsKind) -> None:
    boxes, scores, class_ids = random_boxes(np.random.default_rng(3), 900, 3)
    whole = naive_suppress(boxes, scores, class_ids, 0.45, kind)
    assert 100 < len(whole) < 700
    assert suppress(boxes, scores, class_ids, 0.45, kind).tolist() == whole
    for limit in (0, 1, 11, 64, len(whole), len(whole) + 1):
        assert suppress(boxes, scores, class_ids, 0.45, kind, limit=limit).tolist() == whole[:limit]


def test_a_limit_outside_0_to_1_is_refused() -> None:
    none = np.zeros(0, np.float32)
    for limit in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            suppress(none.reshape(0, 4), none, none.astype(np.int32), limit)


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


def test_diou_takes_the_distance_of_centres_to_the_power_of_six_tenths() -> None:
    boxes = np.array([[0, 0, 4, 4], [1, 0, 5, 4]], np.float64)  # d = 1, c = 25 + 16
    diou = 12 / 20 - (1 / 41) ** 0.6
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    assert suppress(boxes, scores, class_ids, diou - 1e-9, NmsKind.DIOU).tolist() == [0]
    assert suppress(boxes, scores, class_ids, diou + 1e-9, NmsKind.DIOU).tolist() == [0, 1]


def test_the_matrix_equals_the_plain_formula() -> None:
    rng = np.random.default_rng(5)
    a, b = random_boxes(rng, 20, 1)[0], random_boxes(rng, 15, 1)[0]
    np.testing.assert_allclose(iou_matrix(a, b), [[naive_iou(x, y) for y in b] for x in a], atol=1e-12)


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [3, 3, 2, 2]], np.float64)
    assert iou_matrix(boxes, boxes).tolist() == np.zeros((3, 3)).tolist()


def opencv_suppress(boxes_xyxy, scores, class_ids, limit: float) -> list[int]:
    boxes_xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(boxes_xywh.tolist(), scores.tolist(), class_ids.tolist(), -1.0, limit)
    return [int(index) for index in kept]


@settings(max_examples=300, deadline=None)
@given(case=awkward_boxes(smallest_side=1), limit=st.sampled_from(LIMITS))
def test_opencv_keeps_the_same_boxes_where_no_pair_is_at_the_limit(case, limit: float) -> None:
    boxes, scores, class_ids = case
    boxes = boxes.astype(np.float64)
    assume_not_at_the_limit(boxes, class_ids, limit)
    boxes -= min(boxes.min(), 0) if len(boxes) else 0
    assert suppress(boxes, scores, class_ids, limit).tolist() == opencv_suppress(boxes, scores, class_ids, limit)


def assume_not_at_the_limit(boxes, class_ids, limit: float) -> None:
    pairs = itertools.combinations(range(len(boxes)), 2)
    same = [naive_iou(boxes[i], boxes[k]) for i, k in pairs if class_ids[i] == class_ids[k]]
    assume(all(overlap == 0 or abs(overlap - limit) > 1e-6 for overlap in same))


def test_opencv_drops_some_boxes_whose_overlap_equals_the_limit() -> None:
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    dropped = []
    for wide, whole in itertools.combinations(range(1, 14), 2):
        boxes = np.array([[0, 0, whole, 1], [0, 0, wide, 1]], np.float64)
        limit = float(Fraction(wide, whole))
        assert suppress(boxes, scores, class_ids, limit).tolist() == [0, 1]
        if opencv_suppress(boxes, scores, class_ids, limit) != [0, 1]:
            dropped.append(limit)
    assert dropped


def test_opencv_takes_boxes_without_area_for_one() -> None:
    boxes = np.array([[0, 0, 0, 1], [3, 3, 4, 3]], np.float64)
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    assert opencv_suppress(boxes, scores, class_ids, 0.5) == [0]
    assert suppress(boxes, scores, class_ids, 0.5).tolist() == [0, 1]


def test_opencv_suppresses_across_classes_beyond_the_top_left_corner() -> None:
    boxes = np.array([[0, 0, 10, 10], [-11, -11, -1, -1]], np.float64)
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32)
    assert opencv_suppress(boxes, scores, class_ids, 0.5) == [0]
    assert suppress(boxes, scores, class_ids, 0.5).tolist() == [0, 1]
