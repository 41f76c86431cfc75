"""Outputs that cannot be what they are packed as are told by their values, with the flag that would make sense."""

import numpy as np
import pytest

from vedette.contracts.bundle import DecodedBoxes, InputSpec
from vedette.learn.export.errors import OnnxError
from vedette.learn.export.plausible import require_plausible

SPEC = InputSpec(width=320, height=192)
SIDES = np.array([SPEC.width, SPEC.height] * 2, np.float32)


def make_decode(kind="boxes_scores", form="xyxy", units="pixels", **changes):
    return DecodedBoxes(kind=kind, outputs=("out",), classes=4, box_form=form, box_units=units, **changes)


def written(form, units, rest):
    """40 boxes in the picture, written in a form and units, with the rest behind them: (1, 40, 4 + rest)."""
    rng = np.random.default_rng(5)
    first, second = np.sort(rng.random((2, 40, 2)), axis=0) * 0.95
    corners = np.concatenate([first, second + 0.05], axis=1) * SIDES
    if form == "cxcywh":
        corners = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    boxes = corners / SIDES if units == "normalised" else corners
    return np.concatenate([boxes, rest], axis=1)[None].astype(np.float32)


RANDOM = np.random.default_rng(6).random((40, 4))
WAYS = [(form, units) for form in ("xyxy", "cxcywh") for units in ("pixels", "normalised")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stated", WAYS)
def test_the_right_form_and_units_pass_and_the_wrong_ones_are_put_right(way, stated) -> None:
    output = written(*way, RANDOM)
    decode = make_decode(form=stated[0], units=stated[1])
    if way == stated:
        require_plausible([[output]], decode, SPEC, "net.onnx")
        return
    with pytest.raises(OnnxError, match=f"as --box-form {way[0]} --box-units {way[1]} 100% are"):
        require_plausible([[output]], decode, SPEC, "net.onnx")


@pytest.mark.parametrize(
    ("decode", "rest", "message"),
    [
        (make_decode(), RANDOM * 9 - 4, "scores from .* are no probabilities in 0..1; give .* --score-form logits"),
        (make_decode(score_form="logits"), RANDOM, "are probabilities already; leave out --score-form logits"),
        (make_decode("boxes_objectness_scores"), np.hstack([RANDOM[:, :1] * 9, RANDOM]), "objectness from"),
        (make_decode("boxes_score_class"), RANDOM[:, :2], "a class number is 0.* names file that belongs to it"),
        (make_decode("boxes_score_class"), np.hstack([RANDOM[:, :1], np.full((40, 1), 7)]), "a class number is 7"),
        (make_decode(), RANDOM * np.nan, "holds values that are no numbers"),
        (make_decode(), np.hstack([RANDOM, RANDOM]), r"not boxes_scores: output 'out': expected \(boxes, 8\)"),
    ],
)
def test_values_that_cannot_be_are_refused(decode, rest, message) -> None:
    with pytest.raises(OnnxError, match=message) as caught:
        require_plausible([[written("xyxy", "pixels", rest)]], decode, SPEC, "net.onnx")
    assert str(caught.value).startswith("net.onnx: ") and "\n" not in str(caught.value)


def test_boxes_outside_the_picture_make_sense_in_no_reading() -> None:
    output = written("xyxy", "pixels", RANDOM)
    output[..., :4] += 5000
    with pytest.raises(OnnxError, match="0% are in the picture and have a size; nor would another form"):
        require_plausible([[output]], make_decode(), SPEC, "net.onnx")


def test_empty_places_of_a_model_that_chose_its_boxes_do_not_count() -> None:
    output = written("xyxy", "pixels", np.hstack([RANDOM[:, :1], np.zeros((40, 1))]))
    output[:, 3:] = 0
    output[:, 3:, 5] = -1
    require_plausible([[output]], make_decode("boxes_score_class"), SPEC, "net.onnx")


def test_a_number_of_boxes_that_changes_is_refused() -> None:
    outputs = [[written("xyxy", "pixels", RANDOM)[:, :count]] for count in (40, 39)]
    with pytest.raises(OnnxError, match="changes from picture to picture"):
        require_plausible(outputs, make_decode(), SPEC, "net.onnx")


def test_other_types_than_float32_are_refused() -> None:
    with pytest.raises(OnnxError, match="output 'out' is float16; export"):
        require_plausible([[written("xyxy", "pixels", RANDOM).astype(np.float16)]], make_decode(), SPEC, "net.onnx")
