"""An engine reproduces golden detections when nothing clear of the threshold is missing, extra or moved."""

import numpy as np
import pytest

from vedette.contracts.bundle import GoldenDetection, GoldenFile, GoldenPicture
from vedette.contracts.detections import Detections
from vedette.vision.golden import golden_differences

EXPECTED = (
    GoldenDetection(class_id=1, score=0.9, box_xyxy_px=(10, 10, 50, 50)),
    GoldenDetection(class_id=0, score=0.2505, box_xyxy_px=(60, 60, 90, 90)),
)
GOLDEN = GoldenFile(
    synthetic=False,
    score=0.25,
    nms_iou=0.45,
    score_tolerance=0.001,
    box_tolerance_px=1.0,
    pictures=(GoldenPicture(file="a.png", width=100, height=100, detections=EXPECTED),),
)


def found(*rows: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int32),
        ("cat", "dog"),
    )


DOG = (1, 0.9004, (10.4, 10, 50, 49.5))


def test_small_differences_and_a_score_at_the_threshold_are_no_difference() -> None:
    assert golden_differences(GOLDEN, EXPECTED, found(DOG)) == []
    assert golden_differences(GOLDEN, EXPECTED, found(DOG, (0, 0.2506, (60, 60, 90, 90)))) == []
    assert golden_differences(GOLDEN, EXPECTED, found(DOG, (0, 0.2502, (1, 1, 9, 9)))) == []


@pytest.mark.parametrize(
    "wrong", [(0, 0.9, (10, 10, 50, 50)), (1, 0.903, (10, 10, 50, 50)), (1, 0.9, (12, 10, 50, 50))]
)
def test_another_class_score_or_place_is_missing_and_not_expected(wrong) -> None:
    differences = golden_differences(GOLDEN, EXPECTED, found(wrong))
    assert [text.partition(":")[0] for text in differences] == ["missing", "not expected"]


def test_nothing_found_is_missing() -> None:
    assert golden_differences(GOLDEN, EXPECTED, found()) == ["missing: dog 0.900 at 10.0, 10.0, 50.0, 50.0"]
    assert golden_differences(GOLDEN, (), found()) == []
