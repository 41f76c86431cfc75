"""Pictures fit the network's input as Darknet fits them, and boxes come back to where they were."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.contracts.bundle import InputSpec
from vedette.contracts.frame import Placement, ResizeMode, Sampling
from vedette.vision.resize import (
    PAD_U8,
    boxes_to_input_px,
    boxes_to_source_px,
    fit,
    fit_inner,
    fit_u8,
    network_pixels,
    network_tensor,
    plan_placement,
    prepare,
    resize_corners,
)

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


def naive_resize_corners(image: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Pixel by pixel in float64: what lies between four neighbours, corners on corners."""
    high, wide = image.shape[:2]
    resized = np.zeros((height_px, width_px, image.shape[2]))
    for row in range(height_px):
        for column in range(width_px):
            y, x = row * (high - 1) / max(height_px - 1, 1), column * (wide - 1) / max(width_px - 1, 1)
            top, left = int(y + 1e-9), int(x + 1e-9)
            low, right = min(top + 1, high - 1), min(left + 1, wide - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[low, left] * (1 - (x - left)) + image[low, right] * (x - left)
            resized[row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return resized


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 40)] * 4, st.integers(0, 10**6))
def test_darknets_resize_equals_the_plain_formula(wide: int, high: int, width_px: int, height_px: int, seed: int):
    picture = np.random.default_rng(seed).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    expected = naive_resize_corners(picture, width_px, height_px)
    floats = resize_corners(picture.astype(np.float32), width_px, height_px)
    assert floats.dtype == np.float32 and np.abs(floats - expected).max() < 0.01
    np.testing.assert_array_equal(resize_corners(picture, width_px, height_px), floats)


def test_darknets_resize_keeps_corners_and_opencvs_does_not() -> None:
    ramp = np.repeat(np.linspace(0, 250, 6, dtype=np.uint8)[None, :, None], 3, axis=2)  # (1, 6, 3): 0, 50, ... 250
    assert resize_corners(ramp, 3, 1)[0, :, 0].tolist() == [0, 125, 250]
    assert cv2.resize(ramp, (3, 1), interpolation=cv2.INTER_LINEAR)[0, :, 0].tolist() == [25, 125, 225]


def test_darknet_mode_is_a_stretch_with_darknets_resize() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    placement = plan_placement(53, 37, 64, 32, ResizeMode.DARKNET)
    assert placement == Placement(53, 37, 64, 32, 64, 32, sampling=Sampling.CORNERS)
    fitted = fit(picture, placement)
    assert fitted.dtype == np.float32
    np.testing.assert_array_equal(fitted, resize_corners(picture, 64, 32)[:, :, ::-1])


@pytest.mark.parametrize("mode", list(ResizeMode))
def test_pictures_to_keep_are_those_of_the_network_in_8_bits(mode: ResizeMode) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    placement = plan_placement(53, 37, 64, 64, mode)
    kept, fitted = fit_u8(picture, placement), fit(picture, placement)
    assert kept.dtype == np.uint8 and kept.shape == (64, 64, 3)
    rounding = np.abs(kept - fitted.astype(np.float64)).max()
    assert 0.4 < rounding <= 0.5 if mode is ResizeMode.DARKNET else rounding == 0


def test_a_picture_of_the_networks_size_is_left_alone() -> None:
    picture = np.random.default_rng(4).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    fitted = fit(picture, plan_placement(64, 32, 64, 32, ResizeMode.DARKNET))
    np.testing.assert_array_equal(fitted, picture[:, :, ::-1])


def test_the_grey_of_a_letterbox_is_exactly_a_half() -> None:
    picture = np.random.default_rng(5).integers(0, 256, (48, 101, 3), dtype=np.uint8)
    pixels, placement = prepare(picture, InputSpec(width=96, height=64, resize=ResizeMode.LETTERBOX))
    tensor = network_tensor(pixels)
    assert (placement.top_px, placement.inner_height_px) == (9, 45)
    assert (tensor[:, :, :9] == 0.5).all() and (tensor[:, :, 54:] == 0.5).all()
    inner = cv2.resize(picture, (96, 45), interpolation=cv2.INTER_LINEAR)[:, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(tensor[0, :, 9:54], (inner / 255).astype(np.float32))


@given(SIDES, SIDES, st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_exact_grey_stands_wherever_the_picture_does_not(w: int, h: int, a: int, b: int) -> None:
    placement = plan_placement(w, h, a * 32, b * 32, ResizeMode.LETTERBOX)
    white = np.full((placement.inner_height_px, placement.inner_width_px, 3), 255, np.uint8)
    pixels = network_pixels(fit_inner(white, placement)[None], [placement])
    values, counts = np.unique(pixels, return_counts=True)
    area = placement.inner_height_px * placement.inner_width_px * 3
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        value: count for value, count in ((127.5, pixels.size - area), (255, area)) if count
    }


def test_pictures_of_one_batch_are_padded_each_in_its_place() -> None:
    shapes = [(48, 100, 3), (100, 48, 3), (70, 70, 3)]
    pictures = [np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8) for n, shape in enumerate(shapes)]
    spec = InputSpec(width=64, height=64, resize=ResizeMode.LETTERBOX)
    placements = [plan_placement(shape[1], shape[0], 64, 64, spec.resize) for shape in shapes]
    batch = np.stack([fit(*pair) for pair in zip(pictures, placements, strict=True)])
    before = batch.copy()
    together = network_pixels(batch, placements)
    for alone, picture in zip(together, pictures, strict=True):
        np.testing.assert_array_equal(alone, prepare(picture, spec)[0][0])
    np.testing.assert_array_equal(batch, before)


def test_a_batch_without_padding_is_handed_on_as_it_is() -> None:
    batch = np.zeros((2, 32, 64, 3), np.uint8)
    for mode in ResizeMode:  # twice as wide as high, like the input
        assert network_pixels(batch, [plan_placement(128, 64, 64, 32, mode)] * 2) is batch


def test_other_greys_are_written_as_the_bundle_says() -> None:
    placement = plan_placement(64, 32, 64, 64, ResizeMode.LETTERBOX)
    fitted = fit(np.zeros((32, 64, 3), np.uint8), placement)[None]
    assert network_pixels(fitted, [placement], 114 / 255)[0, 0, 0, 0] == np.float32(114)


def test_every_8_bit_value_becomes_the_nearest_float() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, axis=3)  # (1, 1, 256, 3)
    expected = (np.arange(256) / 255).astype(np.float32)
    for pixels in (ramp, ramp.astype(np.float32)):
        tensor = network_tensor(pixels)
        assert tensor.dtype == np.float32 and tensor.shape == (1, 3, 1, 256) and tensor.flags.c_contiguous
        np.testing.assert_array_equal(tensor[0, 1, 0], expected)
    np.testing.assert_array_equal(network_tensor(ramp, 1.0)[0, 2, 0], np.arange(256, dtype=np.float32))


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
