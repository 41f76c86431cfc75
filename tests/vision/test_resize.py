"""Pictures fit the network's input as Darknet fits them, and boxes come back to where they were."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.contracts.bundle import ResizeMode
from vedette.contracts.frame import Placement
from vedette.vision.resize import PAD_U8, boxes_to_input_px, boxes_to_source_px, fit, fit_inner, plan_placement

SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("source", "network", "inner", "corner"),
    [
        ((1920, 1080), (416, 416), (416, 234), (0, 91)),
        ((1080, 1920), (416, 416), (234, 416), (91, 0)),
        ((640, 427), (320, 320), (320, 213), (0, 53)),  # an odd free space of 107 rows
        ((500, 500), (320, 320), (320, 320), (0, 0)),
        ((768, 576), (416, 256), (341, 256), (37, 0)),
        ((5000, 2), (32, 32), (32, 1), (0, 15)),  # 0 rows by integer division; one is kept
    ],
)
def test_letterbox_is_darknets_integer_arithmetic(
    source: tuple[int, int], network: tuple[int, int], inner: tuple[int, int], corner: tuple[int, int]
) -> None:
    placement = plan_placement(*source, *network, ResizeMode.LETTERBOX)
    assert (placement.inner_width_px, placement.inner_height_px) == inner
    assert (placement.left_px, placement.top_px) == corner


@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40))
def test_letterbox_stays_inside_the_input_and_touches_two_sides(w: int, h: int, a: int, b: int) -> None:
    p = plan_placement(w, h, a * 32, b * 32, ResizeMode.LETTERBOX)
    assert p.inner_width_px == p.input_width_px or p.inner_height_px == p.input_height_px
    assert 1 <= p.inner_width_px <= p.input_width_px and 1 <= p.inner_height_px <= p.input_height_px
    assert 0 <= p.left_px <= p.input_width_px - p.inner_width_px


@pytest.mark.parametrize("mode", list(ResizeMode))
@given(w=SIDES, h=SIDES)
def test_boxes_come_back(mode: ResizeMode, w: int, h: int) -> None:
    placement = plan_placement(w, h, 416, 320, mode)
    boxes = np.array([[0, 0, w, h], [0.25 * w, 0.5 * h, 0.75 * w, h]], np.float64)
    np.testing.assert_allclose(
        boxes_to_source_px(boxes_to_input_px(boxes, placement), placement), boxes, atol=1e-6 * w * h
    )


def test_the_whole_inner_picture_is_the_whole_source() -> None:
    placement = plan_placement(1920, 1080, 416, 416, ResizeMode.LETTERBOX)
    box = np.array([[0, 91, 416, 325]], np.float32)
    np.testing.assert_allclose(boxes_to_source_px(box, placement), [[0, 0, 1920, 1080]], atol=1e-3)


def test_an_odd_free_space_comes_back_by_its_exact_half_as_in_darknet() -> None:
    placement = plan_placement(640, 427, 320, 320, ResizeMode.LETTERBOX)
    back = boxes_to_source_px(np.array([[0, 53.5, 320, 266.5]], np.float64), placement)
    np.testing.assert_allclose(back, [[0, 0, 640, 427]], atol=1e-9)


def test_fitting_is_opencvs_linear_resize_in_rgb() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    fitted = fit(picture, plan_placement(53, 37, 64, 32, ResizeMode.STRETCH))
    np.testing.assert_array_equal(fitted, cv2.resize(picture, (64, 32), interpolation=cv2.INTER_LINEAR)[:, :, ::-1])


def test_letterbox_pads_with_grey_around_the_picture() -> None:
    fitted = fit(np.full((10, 20, 3), 200, np.uint8), plan_placement(20, 10, 32, 32, ResizeMode.LETTERBOX))
    assert fitted.shape == (32, 32, 3)
    assert (fitted[:8] == PAD_U8).all() and (fitted[24:] == PAD_U8).all() and (fitted[8:24] == 200).all()


def test_an_inner_picture_is_padded_to_the_same_input() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    placement = plan_placement(160, 90, 64, 64, ResizeMode.LETTERBOX)
    inner = cv2.cvtColor(cv2.resize(picture, (64, 36), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(fit_inner(inner, placement), fit(picture, placement))


@pytest.mark.parametrize("size", [(0, 10, 32, 32), (10, 10, 32, -1)])
def test_sizes_that_are_none_are_refused(size: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        plan_placement(*size, ResizeMode.STRETCH)


def test_a_picture_of_another_size_is_refused() -> None:
    placement = Placement(10, 10, 32, 32, 32, 32)
    with pytest.raises(ValueError, match="expected a uint8 picture"):
        fit(np.zeros((10, 11, 3), np.uint8), placement)
    with pytest.raises(ValueError, match="expected an inner picture"):
        fit_inner(np.zeros((10, 11, 3), np.uint8), placement)
