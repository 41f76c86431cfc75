"""Decoded outputs become the boxes that a plain loop over them gives, whatever their layout."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.contracts.bundle import BoxForm, BoxLayout, BoxUnits, DecodedBoxes, NmsKind, ScoreForm
from vedette.contracts.frame import ResizeMode
from vedette.vision.decoded_boxes import decode_boxes
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import plan_placement

WIDTH, HEIGHT = 96, 64
KINDS = ("boxes_scores", "boxes_objectness_scores", "boxes_score_class")


def make_spec(kind="boxes_scores", **changes):
    fields = {"outputs": ("out",), "classes": 3, "box_form": BoxForm.XYXY, "box_units": BoxUnits.PIXELS}
    return DecodedBoxes(kind=kind, **(fields | changes))


def probability(value, spec):
    return 1 / (1 + math.exp(-float(value))) if spec.score_form is ScoreForm.LOGITS else float(value)


def naive(rows, spec, score):
    """(box, class, score) for each row (values of one box) and class, in float64."""
    found = []
    for row in rows.astype(np.float64):
        a, b, c, d = row[:4]
        box = [a - c / 2, b - d / 2, a + c / 2, b + d / 2] if spec.box_form is BoxForm.CXCYWH else [a, b, c, d]
        if spec.box_units is BoxUnits.NORMALISED:
            box = [v * side for v, side in zip(box, [WIDTH, HEIGHT] * 2, strict=True)]
        if spec.kind == "boxes_score_class":
            candidates = [(int(row[5]), probability(row[4], spec))]
        elif spec.kind == "boxes_scores":
            candidates = [(number, probability(v, spec)) for number, v in enumerate(row[4:])]
        else:
            objectness = probability(row[4], spec)
            candidates = [(number, objectness * probability(v, spec)) for number, v in enumerate(row[5:])]
        found += [(box, number, value) for number, value in candidates if value > score]
    return found


def as_outputs(rows, spec):
    parts = [rows] if len(spec.outputs) == 1 else [rows[:, :4], rows[:, 4:]]
    return [np.ascontiguousarray(part.T if spec.layout is BoxLayout.COLUMNS else part) for part in parts]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    classes=st.integers(1, 5),
    kind=st.sampled_from(KINDS),
    outputs=st.sampled_from([("out",), ("boxes", "rest")]),
    layout=st.sampled_from(BoxLayout),
    form=st.sampled_from(BoxForm),
    units=st.sampled_from(BoxUnits),
    scores=st.sampled_from(ScoreForm),
    score=st.sampled_from([0.0, 0.001, 0.25, 0.5, 0.9]),
)
def test_any_layout_gives_what_a_loop_gives(
    seed, count, classes, kind, outputs, layout, form, units, scores, score
) -> None:
    spec = make_spec(
        kind, outputs=outputs, classes=classes, layout=layout, box_form=form, box_units=units, score_form=scores
    )
    rng = np.random.default_rng(seed)
    rows = rng.random((count, spec.values), dtype=np.float32)
    if scores is ScoreForm.LOGITS:
        rows[:, 4:] = rows[:, 4:] * 12 - 6
    if kind == "boxes_score_class":
        rows[:, 5] = rng.integers(0, classes, count)
    found = decode_boxes(as_outputs(rows, spec), spec, WIDTH, HEIGHT, score)
    expected = naive(rows, spec, score)
    near = [entry for entry in naive(rows, spec, score - 1e-6) if abs(entry[2] - score) < 1e-6]
    if near:  # float32 may fall on either side of the threshold
        return
    assert found.class_ids.tolist() == [number for _, number, _ in expected]
    np.testing.assert_allclose(found.scores, [value for _, _, value in expected], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.boxes_xyxy_input_px, np.array([box for box, _, _ in expected]).reshape(-1, 4), rtol=1e-5, atol=1e-4
    )
    assert found.boxes_xyxy_input_px.dtype == found.scores.dtype == np.float32 and found.class_ids.dtype == np.int32


def test_boxes_in_an_axis_of_their_own_are_read() -> None:
    spec = make_spec(outputs=("boxes", "confs"))
    boxes, scores = np.array([[[1, 2, 30, 40]]], np.float32), np.array([[0.1, 0.8, 0.3]], np.float32)  # (1, 1, 4)
    found = decode_boxes([boxes, scores], spec, WIDTH, HEIGHT, 0.25)
    assert found.class_ids.tolist() == [1, 2] and found.boxes_xyxy_input_px.tolist() == [[1, 2, 30, 40]] * 2


def test_the_threshold_is_strict() -> None:
    row = np.array([[0, 0, 9, 9, 0.5, 0.25, 0.0]], np.float32)
    assert len(decode_boxes([row], make_spec(), WIDTH, HEIGHT, 0.5)) == 0
    assert len(decode_boxes([row], make_spec(), WIDTH, HEIGHT, 0.4999)) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("form", list(BoxForm))
def test_a_box_that_has_no_possible_size_is_left_out(value, form) -> None:
    rows = np.array([[20, 20, 10, value, 0.9, 0, 0], [20, 20, 10, 10, 0.9, 0, 0]], np.float32)
    found = decode_boxes([rows], make_spec(box_form=form), WIDTH, HEIGHT, 0.5)
    assert len(found) == 1 and np.isfinite(found.boxes_xyxy_input_px).all()


def test_a_score_that_is_no_number_is_no_detection() -> None:
    rows = np.array([[0, 0, 9, 9, math.nan, 0.9, 0.9, 0.9]], np.float32)
    assert len(decode_boxes([rows], make_spec("boxes_objectness_scores"), WIDTH, HEIGHT, 0.1)) == 0


@pytest.mark.parametrize("number", [-1, 3, 1e9, math.nan])
def test_a_class_number_that_the_model_does_not_have_is_left_out(number) -> None:
    rows = np.array([[0, 0, 9, 9, 0.9, number], [0, 0, 9, 9, 0.8, 2]], np.float32)
    found = decode_boxes([rows], make_spec("boxes_score_class"), WIDTH, HEIGHT, 0.5)
    assert found.class_ids.tolist() == [2] and found.scores.tolist() == [pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("outputs", "shapes", "message"),
    [
        (("out",), [(5, 8)], r"output 'out': expected \(boxes, 7\); got \(5, 8\)"),
        (("out",), [(2, 5, 7)], r"expected \(boxes, 7\); got \(2, 5, 7\)"),
        (("out",), [(5, 7), (5, 7)], "expected 1 outputs, got 2"),
        (("a", "b"), [(5, 4), (6, 3)], "output 'a' holds 5 boxes, the other 6"),
    ],
)
def test_other_shapes_than_stated_are_refused(outputs, shapes, message) -> None:
    with pytest.raises(ValueError, match=message):
        decode_boxes([np.zeros(s, np.float32) for s in shapes], make_spec(outputs=outputs), WIDTH, HEIGHT, 0.5)


@pytest.mark.parametrize("needs_nms", [True, False])
def test_a_model_that_suppresses_itself_is_not_suppressed_again(needs_nms) -> None:
    rows = np.array([[0, 0, 40, 40, 0.7, 1], [1, 1, 40, 40, 0.9, 1], [50, 0, 60, 9, 0.8, 0]], np.float32)
    spec = make_spec("boxes_score_class", needs_nms=needs_nms)
    placement = plan_placement(WIDTH * 2, HEIGHT * 2, WIDTH, HEIGHT, ResizeMode.STRETCH)
    for most in (300, 2, 1):
        rules = DetectionRules(spec, ("a", "b", "c"), 0.25, 0.45, NmsKind.IOU, most)
        found = detections_from_heads([rows], rules, placement)
        expected = [0.9, 0.8] if needs_nms else [0.9, 0.8, 0.7]
        np.testing.assert_allclose(found.scores, expected[:most])
    assert found.boxes_xyxy_px.tolist() == [[2, 2, 80, 80]]


def test_every_kind_says_how_many_values_a_box_has() -> None:
    counts = {kind: make_spec(kind, classes=80).values for kind in KINDS}
    assert counts == {"boxes_scores": 84, "boxes_objectness_scores": 85, "boxes_score_class": 6}
