"""How a picture of any size becomes the network's input, and how boxes find their way back.

The one way from pixels to tensor, for training's validation, evaluation, engines, receipts and golden pictures:
`fit` (or, for frames, `resize_inner` and `fit_inner`) -> `network_pixels` -> `network_tensor`. An engine may compute
the last step itself. Formulas and measured differences: docs/reference/preprocessing.md.

Bilinear with half-pixel centres (OpenCV's INTER_LINEAR) on 8-bit pictures, as Darknet does when built with OpenCV;
or, for `ResizeMode.DARKNET`, corner onto corner and unrounded, as Darknet's own `resize_image` (`resize_corners`).
Letterbox is Darknet's in both directions: sizes and offsets by integer division (`letterbox_image`), grey of exactly
0.5, boxes back by exactly half of the free space (`correct_yolo_boxes`). 8-bit pictures cannot hold that grey: they
are padded with `PAD_U8`, and `network_pixels` puts the exact value there. OpenCV is imported by who resizes: the
process of a run, whose cameras fit their pictures elsewhere, starts a tenth of a second earlier without.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import Pixels, Placement, ResizeMode, Sampling

if TYPE_CHECKING:
    from vedette.contracts.bundle import InputSpec

PAD_U8 = 128
WHITE = 255  # what 1.0 is in pixels


def plan_placement(
    source_width_px: int, source_height_px: int, input_width_px: int, input_height_px: int, mode: ResizeMode
) -> Placement:
    """Where a source of this size will lie in the input.

    Raises:
        ValueError: when a size is not positive.
    """
    sizes = (source_width_px, source_height_px, input_width_px, input_height_px)
    if min(sizes) < 1:
        raise ValueError(
            f"sizes must be positive: source {sizes[0]}x{sizes[1]} px, network input {sizes[2]}x{sizes[3]} px"
        )
    if mode is ResizeMode.STRETCH:
        return Placement(*sizes, inner_width_px=input_width_px, inner_height_px=input_height_px)
    if mode is ResizeMode.DARKNET:
        whole = (input_width_px, input_height_px)
        return Placement(*sizes, *whole, sampling=Sampling.CORNERS)
    # W / iw < H / ih without a division, so that equal ratios cannot be torn apart by rounding
    if input_width_px * source_height_px < input_height_px * source_width_px:
        inner_width_px, inner_height_px = input_width_px, source_height_px * input_width_px // source_width_px
    else:
        inner_width_px, inner_height_px = source_width_px * input_height_px // source_height_px, input_height_px
    inner_width_px, inner_height_px = max(inner_width_px, 1), max(inner_height_px, 1)  # a hair-thin picture
    return Placement(
        *sizes,
        inner_width_px=inner_width_px,
        inner_height_px=inner_height_px,
        left_px=(input_width_px - inner_width_px) // 2,
        top_px=(input_height_px - inner_height_px) // 2,
    )


def fit(image_hwc_bgr_u8: NDArray[np.uint8], placement: Placement) -> Pixels:
    """A source picture at the network's size: (input height, input width, 3) RGB in 0..255.

    uint8, padding `PAD_U8`; with Darknet's sampling float32, unrounded. `network_pixels` makes the padding exact.

    Raises:
        ValueError: when the picture is not a three-channel uint8 picture of the placement's source size.
    """
    expected = (placement.source_height_px, placement.source_width_px, 3)
    if image_hwc_bgr_u8.shape != expected or image_hwc_bgr_u8.dtype != np.uint8:
        raise ValueError(
            f"expected a uint8 picture of shape {expected}; got {image_hwc_bgr_u8.dtype} {image_hwc_bgr_u8.shape}"
        )
    import cv2

    inner_bgr = resize_inner(image_hwc_bgr_u8, placement.inner_width_px, placement.inner_height_px, placement.sampling)
    inner_rgb: Pixels = np.asarray(cv2.cvtColor(inner_bgr, cv2.COLOR_BGR2RGB), inner_bgr.dtype)
    return fit_inner(inner_rgb, placement)


def fit_u8(image_hwc_bgr_u8: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """As `fit`, always in 8 bits (rounded to the nearest): for those who keep many pictures, or change them.

    Raises:
        ValueError: as `fit`.
    """
    fitted = fit(image_hwc_bgr_u8, placement)
    return np.asarray(fitted if fitted.dtype == np.uint8 else np.rint(fitted), np.uint8)


def prepare(image_hwc_bgr_u8: NDArray[np.uint8], spec: "InputSpec") -> tuple[Pixels, Placement]:
    """A picture of any size as a batch of one, (1, height, width, 3), exactly as the network gets it; and its place.

    Raises:
        ValueError: when it is not a three-channel uint8 picture.
    """
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    placement = plan_placement(width_px, height_px, spec.width, spec.height, spec.resize)
    return network_pixels(fit(image_hwc_bgr_u8, placement)[None], [placement], spec.pad_value), placement


def network_pixels(pixels_nhwc_rgb: Pixels, placements: Sequence[Placement], pad_value: float = 0.5) -> Pixels:
    """A batch of fitted pictures with the padding the network knows: what every engine's `infer` takes.

    Args:
        pixels_nhwc_rgb: (n, height, width, 3) in 0..255, as `fit` and `fit_inner` give them.
        placements: where each picture lies; they may differ.
        pad_value: of the padding, in 0..1.

    Returns:
        The argument itself when nothing is padded; else a new float32 array, with 127.5 for a `pad_value` of 0.5.
    """
    if not any(_pads(placement) for placement in placements):
        return pixels_nhwc_rgb
    exact = np.empty(pixels_nhwc_rgb.shape, np.float32)  # (n, height, width, 3)
    pad = np.float32(pad_value * WHITE)
    for picture, source, placement in zip(exact, pixels_nhwc_rgb, placements, strict=True):
        rows, columns = inner_slices(placement)
        picture[: rows.start] = picture[rows.stop :] = pad
        picture[rows, : columns.start] = picture[rows, columns.stop :] = pad
        picture[rows, columns] = source[rows, columns]
    return exact


def network_tensor(pixels_nhwc_rgb: Pixels, scale: float = 1 / WHITE) -> NDArray[np.float32]:
    """What the network computes on: (n, 3, height, width) float32, contiguous, `pixels * scale`.

    Divided by `1 / scale`, not multiplied: k / 255 is then the float32 nearest to it for every k, as in Darknet.
    """
    count, height, width, channels = pixels_nhwc_rgb.shape
    tensor = np.empty((count, channels, height, width), np.float32)
    divisor = np.float32(1 / scale)
    for channel in range(channels):  # one after the other is an eighth of the time of a transposed copy
        np.divide(pixels_nhwc_rgb[..., channel], divisor, out=tensor[:, channel], dtype=np.float32)
    return tensor


def inner_slices(placement: Placement) -> tuple[slice, slice]:
    """The rows and the columns of the input that the picture takes up."""
    bottom, right = placement.top_px + placement.inner_height_px, placement.left_px + placement.inner_width_px
    return slice(placement.top_px, bottom), slice(placement.left_px, right)


def _pads(placement: Placement) -> bool:
    inner = (placement.inner_width_px, placement.inner_height_px)
    return inner != (placement.input_width_px, placement.input_height_px)


def resize_inner(image_hwc_u8: NDArray[np.uint8], width_px: int, height_px: int, sampling: Sampling) -> Pixels:
    """A picture at another size, (height, width, channels), channels in the order they came: uint8, or as
    `resize_corners` gives it."""
    if sampling is Sampling.CORNERS:
        return resize_corners(image_hwc_u8, width_px, height_px)
    import cv2

    return np.asarray(cv2.resize(image_hwc_u8, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def resize_corners(image_hwc: Pixels, width_px: int, height_px: int) -> NDArray[np.float32]:
    """Darknet's own bilinear resize: corner pixels stay corner pixels; columns first, then rows, never rounded.

    The last row and column are exactly the picture's. One column (or row) wide, the first is taken.

    Args:
        image_hwc: (source height, source width, channels), uint8 or float32.

    Returns:
        (height, width, channels) float32 in the range that came.

    Source: facts of AlexeyAB/darknet image.c, `resize_image`.
    """
    if image_hwc.shape[:2] == (height_px, width_px):
        return image_hwc.astype(np.float32)
    left, right, right_share = _corner_neighbours(image_hwc.shape[1], width_px)
    above, below, below_share = _corner_neighbours(image_hwc.shape[0], height_px)
    needed, places = np.unique(np.concatenate([above, below]), return_inverse=True)  # rows that some result reads
    rows = image_hwc if len(needed) == image_hwc.shape[0] else image_hwc[needed]
    right_share = right_share[None, :, None]  # (1, width, 1)
    part = rows[:, left] * (1 - right_share)  # (needed rows, width, channels) float32
    part += rows[:, right] * right_share
    below_share = below_share[:, None, None]  # (height, 1, 1)
    resized = part[places[:height_px]] * (1 - below_share)  # (height, width, channels) float32
    resized += part[places[height_px:]] * below_share
    return np.asarray(resized, np.float32)


def _corner_neighbours(
    source_px: int, target_px: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each target pixel the two source pixels it lies between, and the share of the second, (target,) each."""
    scale = np.float32(source_px - 1) / np.float32(max(target_px - 1, 1))
    positions = np.arange(target_px, dtype=np.float32) * scale
    if target_px > 1:
        positions[-1] = source_px - 1  # whatever float32 made of it
    first = np.minimum(positions.astype(np.intp), source_px - 1)
    second = np.minimum(first + 1, source_px - 1)
    return first, second, (positions - first).astype(np.float32)


def fit_inner(inner_hwc_rgb: Pixels, placement: Placement) -> Pixels:
    """Pad a picture that has been resized to the placement's inner size already.

    Returns:
        (input height, input width, 3) RGB, dtype kept; the argument itself when there is nothing to pad.

    Raises:
        ValueError: when the picture does not have the inner size.
    """
    expected = (placement.inner_height_px, placement.inner_width_px, 3)
    if inner_hwc_rgb.shape != expected:
        raise ValueError(f"expected an inner picture of shape {expected}; got {inner_hwc_rgb.shape}")
    if not _pads(placement):
        return inner_hwc_rgb
    padded = np.full((placement.input_height_px, placement.input_width_px, 3), PAD_U8, inner_hwc_rgb.dtype)
    padded[inner_slices(placement)] = inner_hwc_rgb
    return padded


def boxes_to_source_px(
    boxes_xyxy_input_px: NDArray[np.floating[Any]], placement: Placement
) -> NDArray[np.floating[Any]]:
    """Boxes in input pixels to source pixels, (n, 4), same dtype; not clipped."""
    scale, offset = _scale_and_offset(placement, boxes_xyxy_input_px.dtype)
    return np.asarray((boxes_xyxy_input_px - offset) / scale)


def boxes_to_input_px(
    boxes_xyxy_source_px: NDArray[np.floating[Any]], placement: Placement
) -> NDArray[np.floating[Any]]:
    """Boxes in source pixels to input pixels, (n, 4), same dtype: the inverse of `boxes_to_source_px`."""
    scale, offset = _scale_and_offset(placement, boxes_xyxy_source_px.dtype)
    return np.asarray(boxes_xyxy_source_px * scale + offset)


def _scale_and_offset(
    placement: Placement, dtype: np.dtype[Any]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Input pixels per source pixel, and the padding before the picture, for x1 y1 x2 y2: two (4,)."""
    scale_xy = (
        placement.inner_width_px / placement.source_width_px,
        placement.inner_height_px / placement.source_height_px,
    )
    offset_xy = (
        (placement.input_width_px - placement.inner_width_px) / 2,
        (placement.input_height_px - placement.inner_height_px) / 2,
    )
    return np.array(scale_xy * 2, dtype), np.array(offset_xy * 2, dtype)
