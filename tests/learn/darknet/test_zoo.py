"""Families are the published ones at 80 classes and 416x416, and valid at any other size."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.errors import FamilyError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.zoo import FAMILIES, make_cfg


def plan(*arguments, **options):
    return plan_network(parse_cfg(make_cfg(*arguments, **options)))


@pytest.mark.parametrize(
    ("family", "layers", "params", "bflops"),
    [("yolov3-tiny", 24, 8_858_734, 5.565), ("yolov3", 107, 62_001_757, 65.864)],
)
def test_families_have_the_published_size(family, layers, params, bflops):
    planned = plan(family, 80, 416, 416)

    assert (len(planned.layers), planned.params) == (layers, params)
    assert planned.bflops == pytest.approx(bflops, abs=0.001)


@pytest.mark.real_data
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_the_published_ones_layer_by_layer(real_data, family):
    published = plan_network(read_cfg(real_data / "darknet" / "cfg" / f"{family}.cfg"))

    written = plan(family, 80, 416, 416)

    assert [replace(layer, line=0) for layer in written.layers] == [
        replace(layer, line=0) for layer in published.layers
    ]


def test_classes_set_the_filters_before_each_head():
    planned = plan("yolov3", 7, 416, 416)

    assert [head.channels for head in planned.heads] == [36, 36, 36]
    assert planned.class_count == 7


def test_anchors_follow_the_input_size():
    planned = plan("yolov3-tiny", 3, 832, 224)

    assert planned.heads[0].anchors == ((162.0, 44.15), (270.0, 91.0), (688.0, 171.77))
    assert [(head.stride, head.grid_width, head.grid_height) for head in planned.heads] == [(32, 26, 7), (16, 52, 14)]


def test_given_anchors_are_written_with_two_decimals():
    anchors = [(1.234, 2), (3, 4), (5, 6), (7, 8), (9, 10), (0.001, 1e4)]

    planned = plan("yolov3-tiny", 1, 64, 64, anchors)

    assert planned.heads[1].all_anchors == ((1.23, 2), (3, 4), (5, 6), (7, 8), (9, 10), (0.01, 10_000))


@pytest.mark.parametrize("family", FAMILIES)
def test_opencv_reads_what_is_written(family):
    text = make_cfg(family, 2, 96, 64)
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(text.encode(), np.uint8))  # the layers, without weights

    assert len(net.getUnconnectedOutLayersNames()) == len(plan(family, 2, 96, 64).heads)


def test_the_text_keeps_to_hank_ais_stricter_grammar():
    """No key twice in a section, no exponent, no other sign than digits and dots in numbers."""
    for section in (parse_cfg(make_cfg("yolov3", 1, 32, 64)).net, *parse_cfg(make_cfg("yolov3", 1, 32, 64)).layers):
        keys = [option.key for option in section.options]
        assert len(keys) == len(set(keys))
        for option in section.options:
            if option.key not in {"activation", "policy"}:
                assert set(option.value) <= set("-.,0123456789")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("yolov9", 1, 416, 416), "no family 'yolov9'.*yolov3-tiny, yolov3"),
        (("yolov3", 0, 416, 416), "0 classes"),
        (("yolov3", 10**9, 416, 416), "classes"),
        (("yolov3", 1, 400, 416), "width of 400: yolov3 needs a multiple of 32"),
        (("yolov3", 1, 416, 0), "height of 0"),
        (("yolov3", 1, 416, -32), "height of -32"),
        (("yolov3", 1, 32 * 10**6, 416), "width of 32000000"),
        (("yolov3-tiny", 1, 416, 416, [(1, 2)] * 9), "yolov3-tiny has 6 anchors, not 9"),
        (("yolov3-tiny", 1, 416, 416, [(1, float("nan"))] * 6), "positive"),
        (("yolov3-tiny", 1, 416, 416, [(0, 1)] * 6), "positive"),
    ],
)
def test_what_no_cfg_can_have_is_refused(arguments, message):
    with pytest.raises(FamilyError, match=message):
        make_cfg(*arguments)
