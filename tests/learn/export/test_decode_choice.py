"""The decode kind of an ONNX detector follows from its shapes, or an error says what it could be."""

import pytest

from small_network import make_plan
from vedette.contracts.bundle import BoxForm, BoxLayout, BoxUnits, ScoreForm
from vedette.learn.export.decode_choice import DecodeWish, choose_boxes, choose_heads
from vedette.learn.export.errors import OnnxError

V4 = {"boxes": (1, 10647, 1, 4), "confs": (1, 10647, 80)}
V5 = {"output": (1, 25200, 85)}
V5_WITH_HEADS = V5 | {f"head{n}": (1, 3, side, side, 85) for n, side in enumerate((80, 40, 20))}
V8 = {"output0": (1, 84, 8400)}
V10 = {"output0": (1, 300, 6)}


@pytest.mark.parametrize(
    ("shapes", "kind", "outputs", "layout", "form", "units", "needs_nms"),
    [
        (V4, "boxes_scores", ("boxes", "confs"), "rows", "xyxy", "normalised", True),
        (V5, "boxes_objectness_scores", ("output",), "rows", "cxcywh", "pixels", True),
        (V5_WITH_HEADS, "boxes_objectness_scores", ("output",), "rows", "cxcywh", "pixels", True),
        (V8, "boxes_scores", ("output0",), "columns", "cxcywh", "pixels", True),
        (V10, "boxes_score_class", ("output0",), "rows", "xyxy", "pixels", False),
    ],
)
def test_common_exports_are_recognised(shapes, kind, outputs, layout, form, units, needs_nms) -> None:
    found = choose_boxes(shapes, 80, DecodeWish(), "net.onnx")
    assert (found.kind, found.outputs, found.classes) == (kind, outputs, 80)
    assert (found.layout.value, found.box_form.value, found.box_units.value) == (layout, form, units)
    assert found.needs_nms is needs_nms and found.score_form is ScoreForm.PROBABILITIES


def test_what_is_asked_for_stands_above_custom() -> None:
    wish = DecodeWish(
        box_form=BoxForm.XYXY, box_units=BoxUnits.NORMALISED, score_form=ScoreForm.LOGITS, needs_nms=False
    )
    found = choose_boxes({"out": (1, 300, 84)}, 80, wish, "net.onnx")
    assert (found.box_form, found.box_units, found.score_form) == (
        BoxForm.XYXY, BoxUnits.NORMALISED, ScoreForm.LOGITS,
    )  # fmt: skip
    assert not found.needs_nms


@pytest.mark.parametrize(
    ("shapes", "classes", "listed"),
    [
        (V10, 2, ["--decode boxes_scores", "--decode boxes_score_class"]),
        (V10, 1, ["--decode boxes_objectness_scores", "--decode boxes_score_class"]),
        ({"a": (1, 84, 8400), "b": (1, 84, 2100)}, 80, ["--output-name a", "--output-name b"]),
        ({"a": (1, 84, 84)}, 80, ["--box-layout rows", "--box-layout columns"]),
    ],
)
def test_an_ambiguous_shape_lists_every_reading_with_its_flags(shapes, classes, listed) -> None:
    with pytest.raises(OnnxError, match="may be read in more than one way") as caught:
        choose_boxes(shapes, classes, DecodeWish(), "net.onnx")
    assert all(flags in str(caught.value) for flags in listed)


@pytest.mark.parametrize(
    ("shapes", "classes", "wish"),
    [
        (V10, 2, DecodeWish(kind="boxes_score_class")),
        ({"a": (1, 84, 8400), "b": (1, 84, 2100)}, 80, DecodeWish(outputs=("b",))),
        ({"a": (1, 84, 84)}, 80, DecodeWish(layout=BoxLayout.COLUMNS)),
        (V4 | V8, 80, DecodeWish(outputs=("boxes", "confs"))),
    ],
)
def test_the_flag_named_settles_it(shapes, classes, wish) -> None:
    found = choose_boxes(shapes, classes, wish, "net.onnx")
    assert wish.kind in {None, found.kind} and wish.layout in {None, found.layout}
    assert wish.outputs in {(), found.outputs}


@pytest.mark.parametrize(
    ("shapes", "classes", "wish", "message"),
    [
        (V8, 3, DecodeWish(), "output0 would be boxes_scores with 80 classes or boxes_objectness_scores with 79"),
        (V8, 80, DecodeWish(kind="boxes_objectness_scores"), r"no output is of boxes_objectness_scores.*5 \+ classes"),
        ({"h": (1, 255, 13, 13)}, 80, DecodeWish(), "raw Darknet heads: give the cfg they belong to with --cfg"),
        (V8, 80, DecodeWish(outputs=("nope",)), r"no output 'nope'; it has output0 \(1, 84, 8400\)"),
        ({"p": (1, 1000)}, 80, DecodeWish(), r"it has p \(1, 1000\)"),
        ({"boxes": (1, 300, 4), "scores": (1, 300, 80)}, 80, DecodeWish(), "give --box-form .* and --box-units"),
        (V8, 80, DecodeWish(layout=BoxLayout.ROWS), "any decode kind in rows"),
    ],
)
def test_what_fits_nothing_is_refused_with_a_hint(shapes, classes, wish, message) -> None:
    with pytest.raises(OnnxError, match=message) as caught:
        choose_boxes(shapes, classes, wish, "net.onnx")
    assert str(caught.value).startswith("net.onnx: ") and "\n" not in str(caught.value)


def test_raw_heads_find_the_outputs_of_their_shapes() -> None:
    plan = make_plan()
    shapes = {f"out{head.grid_width}": (1, head.channels, head.grid_height, head.grid_width) for head in plan.heads}
    turned = {"other": (1, 7)} | dict(reversed(shapes.items()))
    found = choose_heads(turned, plan, (), "net.onnx")
    assert found.outputs == tuple(shapes)
    assert [head.anchors for head in found.heads] == [head.anchors for head in plan.heads]
    with pytest.raises(OnnxError, match=r"no output is the raw head \(batch, 16, 8, 8\) of"):
        choose_heads(dict(list(shapes.items())[:1]), plan, (), "net.onnx")
    with pytest.raises(OnnxError, match="no output 'nope'"):
        choose_heads(shapes, plan, ("nope",), "net.onnx")
