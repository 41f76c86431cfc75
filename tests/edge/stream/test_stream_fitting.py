"""A fitted frame shows what a plain conversion and resize shows, for every matrix, range, format and rotation."""

import av
import cv2
import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import Interpolation

from simulators.blob_detector import blob_manifest
from simulators.clips import turn_clip, write_clip
from vedette.contracts.frame import ResizeMode, Sampling
from vedette.edge.stream.fitting import ACCURATE, FrameFitter, FullFrame
from vedette.vision.resize import fit, plan_placement

# PyAV 17 cannot ask libswscale for exact rounding, so what we compare with there is up to 1.5 levels too dark
YARDSTICK_ERROR = 0.0 if hasattr(Interpolation, "ACCURATE_RND") else 1.5


def photo(width: int = 320, height: int = 180) -> np.ndarray:
    """A smooth colourful picture: (height, width, 3) uint8 RGB."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [128 + 100 * np.sin(x / a + y / b) for a, b in ((17, 31), (23, -19), (-29, 13))]
    return np.stack(waves, axis=2).astype(np.uint8)


def yuv_frame(pixel_format: str, colorspace: int, color_range: int) -> VideoFrame:
    frame = VideoFrame.from_ndarray(photo(), format="rgb24").reformat(
        format=pixel_format, dst_color_range=color_range or None
    )
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


def fitter(width: int, height: int, mode: ResizeMode = ResizeMode.STRETCH) -> FrameFitter:
    return FrameFitter(blob_manifest(width, height, mode).input)


@pytest.mark.parametrize("color_range", [0, 1, 2])
@pytest.mark.parametrize("colorspace", [1, 2, 5, 6, 9])
def test_colours_are_those_of_an_exact_conversion(colorspace: int, color_range: int):
    frame = yuv_frame("yuv420p", colorspace, color_range)
    whole = frame.to_ndarray(format="rgb24", interpolation=ACCURATE)
    expected = cv2.resize(whole, (96, 64), interpolation=cv2.INTER_LINEAR).astype(int)
    image, _ = fitter(96, 64).fit(frame)
    difference = np.abs(image - expected)
    assert difference.mean() < 1.0 + YARDSTICK_ERROR and np.percentile(difference, 99) <= 4 + 2 * YARDSTICK_ERROR
    assert np.abs((image - expected).mean(axis=(0, 1))).max() < 0.6 + YARDSTICK_ERROR  # no tint


@pytest.mark.parametrize("size", [(96, 64), (416, 234), (401, 203)])
def test_planes_are_sampled_as_exact_arithmetic_says(size: tuple[int, int]):
    random = np.random.default_rng(5)
    luma = random.integers(0, 256, (240, 424)).astype(np.uint8)
    frame = VideoFrame(424, 240, "yuvj420p")
    for plane, values in zip(frame.planes, (luma, *[np.full((120, 212), 128, np.uint8)] * 2), strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
        rows[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.color_range = 2
    image, _ = fitter(*size).fit(frame)
    error = image - bilinear(luma, *size)[:, :, None]
    assert np.abs(error).max() < 0.85 and abs(error.mean()) < 0.15


def bilinear(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """Half-pixel centres, edges repeated, in float64."""
    for axis, length in ((1, width), (0, height)):
        before = plane.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * before / length - 0.5, 0, before - 1)
        first = np.minimum(np.floor(place).astype(int), before - 2)
        share = (place - first).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = plane.take(first, axis) * (1 - share) + plane.take(first + 1, axis) * share
    return plane


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "nv12", "yuv420p10le", "gray", "bgr24", "yuyv422"])
def test_every_pixel_format_is_fitted(pixel_format: str):
    frame = VideoFrame.from_ndarray(photo(), format="rgb24").reformat(format=pixel_format)
    whole = frame.to_ndarray(format="rgb24") if pixel_format != "gray" else frame.reformat(format="rgb24").to_ndarray()
    expected = cv2.resize(whole, (96, 64), interpolation=cv2.INTER_LINEAR).astype(int)
    image, _ = fitter(96, 64).fit(frame)
    assert image.shape == (64, 96, 3) and image.dtype == np.uint8
    assert np.abs(image - expected).mean() < 2.5


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
def test_darknets_resize_is_that_of_single_pictures(pixel_format: str):
    frame = yuv_frame(pixel_format, 2, 0)
    image, placement = fitter(96, 64, ResizeMode.DARKNET).fit(frame)
    picture = FullFrame(frame).to_bgr()
    expected = fit(picture, plan_placement(320, 180, 96, 64, ResizeMode.DARKNET))
    assert placement.sampling is Sampling.CORNERS
    assert image.dtype == np.float32 and np.abs(image - expected).max() <= 1
    assert np.abs(image - fitter(96, 64).fit(frame)[0]).max() > 10  # OpenCV's sampling shows


@pytest.mark.parametrize("size", [(320, 180), (91, 160), (97, 97)])
@pytest.mark.parametrize("mode", list(ResizeMode))
def test_a_frame_is_fitted_as_a_picture_is(mode: ResizeMode, size: tuple[int, int]):
    image, placement = fitter(96, 64, mode).fit(VideoFrame.from_ndarray(photo(*size), format="rgb24"))
    expected = plan_placement(*size, 96, 64, mode)
    assert placement == expected
    np.testing.assert_array_equal(image, fit(np.ascontiguousarray(photo(*size)[:, :, ::-1]), expected))


def test_a_picture_is_made_in_its_place_where_it_can_be():
    frame, place = yuv_frame("yuv420p", 2, 0), np.zeros((64, 96, 3), np.uint8)
    expected, _ = fitter(96, 64).fit(frame)
    image, _ = fitter(96, 64).fit(frame, place)
    assert image is place and np.array_equal(place, expected)
    untouched = np.zeros((96, 96, 3), np.uint8)
    image, _ = fitter(96, 96, ResizeMode.LETTERBOX).fit(frame, untouched)
    assert image is not untouched and image.any() and not untouched.any()
    assert not cv2.ipp.useIPP_NotExact()  # pictures are fitted in the same threads


def test_letterbox_pads_and_says_where_the_picture_lies():
    image, placement = fitter(96, 96, ResizeMode.LETTERBOX).fit(yuv_frame("yuv420p", 2, 0))
    assert (placement.inner_width_px, placement.inner_height_px, placement.top_px) == (96, 54, 21)
    assert (image[:21] == 128).all() and (image[75:] == 128).all() and image.flags.c_contiguous
    assert image[21:75].std() > 20


def test_a_change_of_resolution_moves_the_placement():
    fit_frame = fitter(96, 64).fit
    sizes = [fit_frame(VideoFrame.from_ndarray(photo(*size), format="rgb24"))[1] for size in [(320, 180), (160, 120)]]
    assert [(p.source_width_px, p.source_height_px) for p in sizes] == [(320, 180), (160, 120)]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_metadata_is_honoured(tmp_path, quarters: int):
    path = write_clip(tmp_path / "turned.mp4", frames=3)
    plain = next(av.open(str(path)).decode(video=0))
    turn_clip(path, quarters)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation % 360 == 90 * quarters
        picture = FullFrame(frame).to_bgr()
        expected = np.rot90(FullFrame(plain).to_bgr(), quarters)
        assert np.array_equal(picture, expected)
        size = (60, 100) if quarters % 2 else (100, 60)
        image, placement = fitter(*size).fit(frame)
        assert (placement.source_height_px, placement.source_width_px) == expected.shape[:2]
        wanted = cv2.resize(np.ascontiguousarray(expected[:, :, ::-1]), size, interpolation=cv2.INTER_LINEAR)
        assert np.abs(image.astype(int) - wanted).mean() < 2


def test_the_full_picture_is_scaled_down_only_when_wider():
    picture = FullFrame(VideoFrame.from_ndarray(photo(), format="rgb24"))
    assert picture.to_bgr(100).shape == (56, 100, 3)
    assert np.array_equal(picture.to_bgr(1000), photo()[:, :, ::-1])
