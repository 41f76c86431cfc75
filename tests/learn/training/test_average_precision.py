"""Average precision equals pycocotools on made-up data: crowds, equal scores, empty classes, crowded pictures."""

import contextlib
import io
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import (
    ClassMatches,
    Truths,
    interpolated_precision,
    match_boxes,
    match_class,
    overlap_matrix,
)


def truths_from(rows: list[tuple[tuple[float, ...], int, bool]]) -> Truths:
    return Truths(
        np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4),
        np.array([class_id for _, class_id, _ in rows], np.int32),
        np.array([ignored for _, _, ignored in rows], np.bool_),
    )


def detections_from(rows: list[tuple[tuple[float, ...], int, float]], names: tuple[str, ...]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([class_id for _, class_id, _ in rows], np.int32),
        names,
    )


def pycocotools_precision(truths: list[Truths], detections: list[Detections], class_count: int) -> np.ndarray:
    """(10, 101, classes, 4 areas) as COCOeval.accumulate leaves it for 100 detections; -1 without objects."""
    annotations = []
    for picture, truth in enumerate(truths, start=1):
        for (x1, y1, x2, y2), class_id, ignored in zip(
            truth.boxes_xyxy_px, truth.class_ids, truth.ignored, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture,
                    "category_id": int(class_id) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(ignored),
                }
            )
    results = [
        [picture, x1, y1, x2 - x1, y2 - y1, score, class_id + 1]
        for picture, found in enumerate(detections, start=1)
        for (x1, y1, x2, y2), score, class_id in zip(
            found.boxes_xyxy_px.astype(np.float64), found.scores, found.class_ids, strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": picture} for picture in range(1, len(truths) + 1)],
            "annotations": annotations,
            "categories": [{"id": class_id + 1, "name": str(class_id)} for class_id in range(class_count)],
        }
        coco.createIndex()
        found = coco.loadRes(np.array(results, np.float64).reshape(-1, 7)) if results else COCO()
        evaluation = COCOeval(coco, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[..., -1]


AREAS_PX2 = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))  # pycocotools: all, small, medium, large


def assert_equals_pycocotools(truths: list[Truths], detections: list[Detections], class_count: int) -> None:
    expected = pycocotools_precision(truths, detections, class_count)
    for class_id, (place, areas) in product(range(class_count), enumerate(AREAS_PX2)):
        matches = match_class(truths, detections, class_id, [areas] * len(truths))
        if matches.objects:
            precision = interpolated_precision(matches)
            np.testing.assert_allclose(precision, expected[:, :, class_id, place], rtol=0, atol=1e-12)
        else:
            assert (expected[:, :, class_id, place] == -1).all()


# Corners on a coarse grid make equal boxes, equal overlaps and IoUs that lie exactly on a threshold common.
corner = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
score = st.integers(1, 8).map(lambda tenths: tenths / 8)  # exact in float32; ties are common
NAMES = ("a", "b", "c")
truth_rows = st.lists(st.tuples(corner, st.integers(0, 1), st.booleans()), max_size=8)
detection_rows = st.lists(st.tuples(corner, st.integers(0, 2), score), min_size=0, max_size=14)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(truth_rows, detection_rows), min_size=1, max_size=4))
def test_precision_equals_pycocotools_with_crowds_ties_and_empty_classes(pictures) -> None:
    detections = [detections_from(found, NAMES) for _, found in pictures]
    if not sum(len(d) for d in detections):
        return  # pycocotools cannot load an empty result
    assert_equals_pycocotools([truths_from(truth) for truth, _ in pictures], detections, len(NAMES))


@pytest.mark.parametrize("seed", range(4))
def test_precision_equals_pycocotools_on_large_jittered_data_with_over_100_detections(seed: int) -> None:
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for _ in range(12):
        count = int(random.integers(0, 40))
        start = random.uniform(0, 500, (count, 2))
        boxes = np.concatenate([start, start + random.uniform(5, 120, (count, 2))], axis=1)  # (t, 4)
        class_ids = random.integers(0, 3, count).astype(np.int32)
        truths.append(Truths(boxes, class_ids, random.random(count) < 0.15))
        copies = np.repeat(np.arange(count), 10)
        jittered = boxes[copies] + random.normal(0, 4, (len(copies), 4))  # (d, 4)
        jittered[:, 2:] = np.maximum(jittered[:, 2:], jittered[:, :2] + 1)
        wrong = random.random(len(copies)) < 0.1
        found_ids = np.where(wrong, random.integers(0, 3, len(copies)), class_ids[copies]).astype(np.int32)
        scores = np.round(random.random(len(copies)), 2).astype(np.float32)
        detections.append(Detections(jittered.astype(np.float32), scores, found_ids, NAMES))
    assert max((d.class_ids == 0).sum() for d in detections) > 100  # so that the limit of 100 is at work
    assert_equals_pycocotools(truths, detections, 3)


def test_perfect_detections_have_precision_one_everywhere() -> None:
    truths = [truths_from([((0, 0, 10, 10), 0, False), ((20, 20, 40, 50), 0, False)])]
    found = [detections_from([((0, 0, 10, 10), 0, 0.9), ((20, 20, 40, 50), 0, 0.4)], ("a",))]
    np.testing.assert_allclose(interpolated_precision(match_class(truths, found, 0)), 1.0)


def test_second_detection_of_one_object_is_a_false_alarm() -> None:
    hits, swallowed = match_boxes(
        np.array([[0, 0, 10, 10.0], [0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10.0]]), np.array([False])
    )
    assert hits[0].tolist() == [True, False]
    assert not swallowed.any()


def test_ignored_region_swallows_every_detection_inside_it_by_the_detections_own_area() -> None:
    region = np.array([[0, 0, 100, 100.0]])
    inside = np.array([[5, 5, 15, 15.0], [50, 50, 60, 60.0], [95, 95, 105, 105.0]])
    hits, swallowed = match_boxes(inside, region, np.array([True]))
    assert not hits.any()
    assert swallowed[0].tolist() == [True, True, False]  # the last lies in it by a quarter only
    assert overlap_matrix(inside, region, np.array([True]))[:, 0].tolist() == [1.0, 1.0, 0.25]
    assert overlap_matrix(inside, region, np.array([False]))[0, 0] == pytest.approx(0.01)


def test_a_detection_prefers_a_real_object_to_an_ignored_region() -> None:
    boxes = np.array([[0, 0, 10, 10.0]])
    both = np.array([[0, 0, 10, 10.0], [0, 0, 10, 9.0]])
    hits, swallowed = match_boxes(boxes, both, np.array([True, False]))
    assert hits[:, 0].tolist() == [True] * 9 + [False]  # IoU 0.9 with the real one
    assert swallowed[:, 0].tolist() == [False] * 9 + [True]


def test_class_without_objects_has_no_average_precision() -> None:
    nothing = ClassMatches(np.zeros(0), np.zeros((10, 0), np.bool_), np.zeros((10, 0), np.bool_), 0)
    with pytest.raises(ValueError, match="without objects"):
        interpolated_precision(nothing)


def test_truths_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="Truths need"):
        Truths(np.zeros((2, 4)), np.zeros(1, np.int32), np.zeros(2, np.bool_))
