"""Real trained nets on real pictures: what is detected here, and its AP, against what Darknet itself (C, FP32) has.

Source, tolerances and the two reasons for which a detection may be on one side only: `darknet_detections`. Such
detections are printed here one by one, and docs/reference/parity.md lists them. The grey around a letterboxed picture
is 0.5 on both sides.
"""

import sys

import pytest

import darknet_detections
from darknet_detections import (
    AVERAGE_PRECISION,
    ENGINES,
    LEAST_IOU,
    NETS,
    RESIZES,
    SCORE_TOLERANCE,
    Verdict,
    compare_detections,
    measure_ap,
)
from vedette.contracts.frame import ResizeMode

FAST_PICTURES = 20
# Points of AP. Darknet's rows with its own resize include its own JPEG loader; here OpenCV reads the pictures.
AP_TOLERANCE = {ResizeMode.STRETCH: 0.1, ResizeMode.LETTERBOX: 0.1, ResizeMode.DARKNET: 0.3}


@pytest.mark.real_data
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("resize", RESIZES, ids=lambda mode: mode.value)
def test_trained_net_detects_what_darknet_detects(real_data, darknet_oracle, resize, engine):
    verdict = compare_detections(real_data, darknet_oracle, NETS[0], resize, engine=engine, pictures=FAST_PICTURES)

    assert verdict.matched > 200
    assert_same(verdict)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("resize", RESIZES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("net", NETS)
def test_trained_net_detects_what_darknet_detects_on_all_pictures(real_data, darknet_oracle, net, resize, engine):
    verdict = compare_detections(real_data, darknet_oracle, net, resize, engine=engine)
    counts = f"{net} {resize.value} {engine}: {verdict.matched} matched"
    sys.stdout.write("\n".join(["", counts, *verdict.on_the_edge, ""]))

    assert verdict.matched > 2700
    assert_same(verdict)


def assert_same(verdict: Verdict) -> None:
    """As many of each class on both sides, but for those that rounding decides about; those must be few."""
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.least_iou >= LEAST_IOU and verdict.largest_score_difference <= SCORE_TOLERANCE
    assert verdict.matched > 100 * len(verdict.on_the_edge)
    if not verdict.on_the_edge:
        assert verdict.here == verdict.darknets
    assert sum(verdict.here.values()) + sum(verdict.darknets.values()) == 2 * verdict.matched + len(verdict.on_the_edge)
    assert verdict.here.total() and len(verdict.here) > 10  # classes


@pytest.mark.real_data
def test_comparison_notices_another_nms_limit(real_data, darknet_oracle, monkeypatch):
    monkeypatch.setattr(darknet_detections, "NMS_IOU", 0.5)
    assert compare_detections(real_data, darknet_oracle, NETS[0], ResizeMode.STRETCH, pictures=FAST_PICTURES).wrong


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("case", AVERAGE_PRECISION, ids=lambda case: f"{case[0]}-{case[1].value}-{case[2].value}")
def test_average_precision_on_coco_is_darknets(real_data, case):
    assert measure_ap(real_data, *case) == pytest.approx(AVERAGE_PRECISION[case], abs=AP_TOLERANCE[case[1]])
