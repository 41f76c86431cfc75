"""Pictures as the network is fed them while it learns: mosaic, zoom, shift, flip, colour; boxes go along exactly.

Guarantees: everything random comes from the generator passed in, so a sample depends on (seed, epoch, index) alone.
Input and output are RGB at the network's input size. Each tile is warped straight into its rectangle of the output,
so a mosaic of four costs about what one picture does. Mosaic: Bochkovskiy et al. 2020, arXiv:2004.10934.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.vision.resize import PAD_U8

IGNORED_CLASS = -1  # as in learn.darknet.loss, which this module must not import (it needs no torch)

LEAST_SIDE_PX = 2.0  # smaller remains of a box teach nothing


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture at the network's input size with its objects in its pixels."""

    image_hwc_rgb_u8: NDArray[np.uint8]  # (height, width, 3)
    boxes_xyxy_px: NDArray[np.float32]  # (n, 4)
    class_ids: NDArray[np.int64]  # (n,) IGNORED_CLASS where the object neither rewards nor punishes


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How far pictures are changed; fractions of the input size, of full turns of hue, and so on."""

    mosaic: float = 1.0  # chance of four pictures instead of one
    zoom: float = 0.5  # scale between 1 - zoom and 1 + zoom
    stretch: float = 0.1  # width against height, up to this much either way
    shift: float = 0.1
    flip: float = 0.5  # chance of left and right exchanged
    hue: float = 0.015
    saturation: float = 0.6
    brightness: float = 0.4
    least_visible: float = 0.3  # less of an object than this inside the output is ignored, not learnt
    balance: float = 0.0  # pictures with rare classes fill mosaics more often: rarity to this power; 0 is by chance
    sizes: float = 0.0  # each batch is made at an input size between 1 - sizes and 1 + sizes, in whole strides


@dataclass(frozen=True, slots=True)
class _Tile:
    """Where a picture goes: output = source * scale + shift, shown only inside `left, top, right, bottom`."""

    scale_xy: tuple[float, float]
    shift_xy: tuple[float, float]
    window: tuple[int, int, int, int]


def augment(
    pictures: Sequence[LabelledPicture],
    settings: AugmentSettings,
    rng: np.random.Generator,
    size_px: tuple[int, int] | None = None,
) -> LabelledPicture:
    """One training picture from one, or a mosaic from four, pictures of equal size; of that size, or of `size_px`."""
    height, width = pictures[0].image_hwc_rgb_u8.shape[:2]
    tiles = _plan_tiles(len(pictures), width, height, settings, rng)
    if size_px is not None and size_px != (width, height):
        tiles = [_resized(tile, size_px[0] / width, size_px[1] / height) for tile in tiles]
        width, height = size_px
    image = np.full((height, width, 3), PAD_U8, np.uint8)
    boxes, classes = [], []
    for picture, tile in zip(pictures, tiles, strict=True):
        _draw(image, picture.image_hwc_rgb_u8, tile)
        moved, kinds = _move_boxes(picture, tile, settings.least_visible)
        boxes.append(moved)
        classes.append(kinds)
    all_boxes, all_classes = np.concatenate(boxes), np.concatenate(classes)
    if rng.random() < settings.flip:
        image = np.ascontiguousarray(image[:, ::-1])
        all_boxes = np.stack([width - all_boxes[:, 2], all_boxes[:, 1], width - all_boxes[:, 0], all_boxes[:, 3]], 1)
    return LabelledPicture(_change_colour(image, settings, rng), all_boxes.astype(np.float32), all_classes)


def _plan_tiles(
    count: int, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> list[_Tile]:
    """One tile that fills the output, or four that meet at a random point of it."""
    zoom = rng.uniform(1 - settings.zoom, 1 + settings.zoom)
    aspect = np.exp(rng.uniform(-settings.stretch, settings.stretch))
    scale = (float(zoom * aspect), float(zoom / aspect))
    if count == 1:
        shift = (
            (1 - scale[0]) * width / 2 + rng.uniform(-settings.shift, settings.shift) * width,
            (1 - scale[1]) * height / 2 + rng.uniform(-settings.shift, settings.shift) * height,
        )
        return [_Tile(scale, (float(shift[0]), float(shift[1])), (0, 0, width, height))]
    meet_x, meet_y = (int(side * rng.uniform(0.25, 0.75)) for side in (width, height))
    tiles = []
    for index in range(4):
        right, low = index % 2, index // 2
        left, end_x = (meet_x, width) if right else (0, meet_x)
        top, end_y = (meet_y, height) if low else (0, meet_y)
        shift_x = _place(left, end_x, scale[0] * width, rng)
        shift_y = _place(top, end_y, scale[1] * height, rng)
        tiles.append(_Tile(scale, (shift_x, shift_y), (left, top, end_x, end_y)))
    return tiles


def _resized(tile: _Tile, across: float, down: float) -> _Tile:
    """The tile of an output that is so many times as wide and as high."""
    left, top, right, bottom = tile.window
    (scale_x, scale_y), (shift_x, shift_y) = tile.scale_xy, tile.shift_xy
    window = (round(left * across), round(top * down), round(right * across), round(bottom * down))
    return _Tile((scale_x * across, scale_y * down), (shift_x * across, shift_y * down), window)


def _place(start: int, end: int, length: float, rng: np.random.Generator) -> float:
    """Where a picture of `length` begins so that it covers the window if it can, else lies inside it."""
    low, high = sorted((float(start), end - length))
    return float(rng.uniform(low, high))


def _draw(image: NDArray[np.uint8], source: NDArray[np.uint8], tile: _Tile) -> None:
    """Warp a picture into its window of the output."""
    left, top, right, bottom = tile.window
    (scale_x, scale_y), (shift_x, shift_y) = tile.scale_xy, tile.shift_xy
    # pixel centres lie at half integers of the continuous coordinates that boxes have, hence the halves
    matrix = np.array(
        [
            [scale_x, 0.0, 0.5 * scale_x + shift_x - left - 0.5],
            [0.0, scale_y, 0.5 * scale_y + shift_y - top - 0.5],
        ]
    )
    image[top:bottom, left:right] = cv2.warpAffine(
        source,
        matrix,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD_U8, PAD_U8, PAD_U8),
    )


def _move_boxes(
    picture: LabelledPicture, tile: _Tile, least_visible: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes in the output, cut to the tile's window; what is mostly cut off becomes ignored, specks disappear."""
    scale = np.array(tile.scale_xy * 2, np.float32)
    whole = picture.boxes_xyxy_px * scale + np.array(tile.shift_xy * 2, np.float32)  # (n, 4)
    left, top, right, bottom = tile.window
    seen = np.clip(whole, np.array([left, top] * 2, np.float32), np.array([right, bottom] * 2, np.float32))
    sides = seen[:, 2:] - seen[:, :2]  # (n, 2)
    visible = sides.prod(axis=1) / np.maximum((whole[:, 2:] - whole[:, :2]).prod(axis=1), 1e-6)
    classes = np.where(visible < least_visible, IGNORED_CLASS, picture.class_ids)
    keep = (sides > 0).all(axis=1) & ((sides >= LEAST_SIDE_PX).all(axis=1) | (visible > 0.99))
    return seen[keep].astype(np.float32), classes[keep].astype(np.int64)


def _change_colour(image: NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hue turned, saturation and brightness scaled, by tables on OpenCV's HSV."""
    gains = rng.uniform(-1, 1, 3) * (settings.hue, settings.saturation, settings.brightness) + 1
    ramp = np.arange(256, dtype=np.float64)
    hue = ((ramp + (gains[0] - 1) * 180) % 180).astype(np.uint8)
    saturation, brightness = (np.clip(ramp * gain, 0, 255).astype(np.uint8) for gain in gains[1:])
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    changed = [cv2.LUT(plane, table) for plane, table in zip(planes, (hue, saturation, brightness), strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2RGB), np.uint8)
