"""Pictures as AlexeyAB's Darknet shows them to a learning detector: jitter, resize, flip, colours, blur, noise, mosaic.

Guarantees: everything random comes from the generator passed in. Pictures come in at the network's size (Darknet's
come as they lie on the disk; in parts of a picture everything is the same), and leave at the size asked for. What lies
beyond a picture has its mean colour. Objects keep whatever of them is inside, however little; those smaller than a
pixel go. Hue is turned by 8-bit HSV, saturated at its ends, as OpenCV does it for Darknet. Source: AlexeyAB/darknet
data.c, image_opencv.cpp.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.augment import LabelledPicture
from vedette.learn.training.darknet_recipe import DarknetRecipe

MOSAIC_CHANCE = 0.5
CUT_LOW, CUT_HIGH = 0.2, 0.8  # where the four pictures of a mosaic may meet, in parts of a side
HUE_RANGE = 179
BACKGROUND_KERNEL = 17
SIZE_COEFFICIENT = 1.4  # of random=1
SAME_SIZE_STEPS = 10
LARGEST_AT_END = 100  # steps


@dataclass(frozen=True, slots=True)
class _Crop:
    """The part of a picture that is shown, in parts of its sides: may begin below 0 and end beyond 1."""

    left: float
    top: float
    right: float
    bottom: float
    flip: bool


def change(
    pictures: Sequence[LabelledPicture], recipe: DarknetRecipe, rng: np.random.Generator, size_px: tuple[int, int]
) -> LabelledPicture:
    """One training picture of `size_px` (width, height) from one, or a mosaic from four."""
    width, height = size_px
    if len(pictures) == 1:
        changed, _ = _change_one(pictures[0], recipe, rng, size_px, corner=None)
        return changed
    cut = (int(rng.uniform(width * CUT_LOW, width * CUT_HIGH)), int(rng.uniform(height * CUT_LOW, height * CUT_HIGH)))
    image = np.zeros((height, width, 3), np.uint8)
    boxes, classes = [], []
    for number, picture in enumerate(pictures):
        corner = (number % 2, number // 2)
        changed, crop = _change_one(picture, recipe, rng, size_px, corner)
        window, shift = _window(corner, cut, crop, size_px)
        left, top, right, bottom = window
        image[top:bottom, left:right] = changed.image_hwc_rgb_u8[
            top - shift[1] : bottom - shift[1], left - shift[0] : right - shift[0]
        ]
        bounds = window if recipe.mosaic_bound else (0, 0, width, height)
        moved = changed.boxes_xyxy_px + np.array([*shift, *shift], np.float32)
        kept, kinds = _keep_inside(moved, changed.class_ids, bounds)
        boxes.append(kept)
        classes.append(kinds)
    return LabelledPicture(image, np.concatenate(boxes), np.concatenate(classes))


def input_size(
    recipe: DarknetRecipe, size_px: tuple[int, int], seed: tuple[int, ...], step: int, steps_left: float
) -> tuple[int, int]:
    """Width and height of the pictures of a step: with `random`, another every ten steps, the largest at both ends."""
    if not recipe.random:
        return size_px
    largest = SIZE_COEFFICIENT if recipe.random == 1 else max(recipe.random, 1 / recipe.random)
    rng = np.random.default_rng((*seed, step // SAME_SIZE_STEPS))
    factor = _scale(largest, rng)
    if step < SAME_SIZE_STEPS or steps_left < LARGEST_AT_END:
        return _stepped(size_px, largest, recipe.resize_step)
    found = _stepped(size_px, factor, recipe.resize_step)
    grown = any(side > own for side, own in zip(found, size_px, strict=True))
    return size_px if factor < 1 and grown else found


def _stepped(size_px: tuple[int, int], factor: float, step_px: int) -> tuple[int, int]:
    width, height = (max(int(factor * side / step_px + 1.5) * step_px, step_px) for side in size_px)
    return width, height


def _scale(largest: float, rng: np.random.Generator) -> float:
    """Between 1 and `largest`, or, half of the time, one part in that."""
    factor = float(rng.uniform(1, max(largest, 1 / largest)))
    return factor if rng.random() < 0.5 else 1 / factor


def _change_one(
    picture: LabelledPicture,
    recipe: DarknetRecipe,
    rng: np.random.Generator,
    size_px: tuple[int, int],
    corner: tuple[int, int] | None,
) -> tuple[LabelledPicture, _Crop]:
    crop = _draw_crop(recipe, rng, corner)
    colours = (
        float(rng.uniform(-recipe.hue, recipe.hue)),
        _scale(recipe.saturation, rng),
        _scale(recipe.exposure, rng),
    )
    boxes, classes = _crop_boxes(picture, crop, size_px)
    image = _change_colour(_crop_image(picture.image_hwc_rgb_u8, crop, size_px), *colours)
    if recipe.blur:
        image = _blur(image, boxes, recipe.blur, rng)
    if recipe.gaussian_noise and rng.random() < 0.5:
        noise = rng.normal(0, recipe.gaussian_noise, image.shape).clip(0, 255)  # Darknet's is of bytes: never below 0
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return LabelledPicture(image, boxes, classes), crop


def _draw_crop(recipe: DarknetRecipe, rng: np.random.Generator, corner: tuple[int, int] | None) -> _Crop:
    """What is cut off each side (below 0: added to it); half of the pictures of a mosaic are pushed to their corner."""
    cuts = rng.uniform(-recipe.jitter, recipe.jitter, 4)  # left, right, top, bottom
    reach = (1 - 1 / min(recipe.resize, 1 / recipe.resize)) / 2, (1 - 1 / max(recipe.resize, 1 / recipe.resize)) / 2
    zoom = rng.uniform(reach[0], 0.0 if recipe.resize < 1 else reach[1], 2)
    cuts += [zoom[0], zoom[1], zoom[0], zoom[1]]
    flip = recipe.flip and bool(rng.random() < 0.5)
    if corner is not None and rng.random() < 0.5:
        towards_low = (corner[0] == 0) != flip  # the side of the source that is seen at the outer border of the mosaic
        for first, keeps_low in ((0, not towards_low), (2, corner[1] == 1)):
            kept, freed = (first, first + 1) if keeps_low else (first + 1, first)
            cuts[kept] += cuts[freed]
            cuts[freed] = 0.0
    if 1 - cuts[0] - cuts[1] <= 0 or 1 - cuts[2] - cuts[3] <= 0:
        cuts[:] = 0.0
    return _Crop(cuts[0], cuts[2], 1 - cuts[1], 1 - cuts[3], flip)


def _crop_image(image: NDArray[np.uint8], crop: _Crop, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """The part of a picture at `size_px`."""
    height, width = image.shape[:2]
    across = size_px[0] / ((crop.right - crop.left) * width)
    down = size_px[1] / ((crop.bottom - crop.top) * height)
    left, top = crop.left * width, crop.top * height
    # pixel centres lie at half integers, hence the halves
    matrix = np.array([[across, 0, (0.5 - left) * across - 0.5], [0, down, (0.5 - top) * down - 0.5]])
    if crop.flip:
        matrix[0] = [-across, 0, size_px[0] - 1 - matrix[0, 2]]
    mean = cv2.mean(image)[:3]
    fill = (mean[0], mean[1], mean[2])
    border = cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(image, matrix, size_px, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill), np.uint8
    )


def _crop_boxes(
    picture: LabelledPicture, crop: _Crop, size_px: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes go along, and are cut at the borders."""
    height, width = picture.image_hwc_rgb_u8.shape[:2]
    span = np.array([crop.right - crop.left, crop.bottom - crop.top] * 2)
    parts = (picture.boxes_xyxy_px / [width, height, width, height] - [crop.left, crop.top] * 2) / span  # (n, 4)
    if crop.flip:
        parts = np.stack([1 - parts[:, 2], parts[:, 1], 1 - parts[:, 0], parts[:, 3]], axis=1)
    scaled = (parts * [*size_px, *size_px]).astype(np.float32)
    return _keep_inside(scaled, picture.class_ids, (0, 0, *size_px))


def _keep_inside(
    boxes: NDArray[np.float32], classes: NDArray[np.int64], bounds: tuple[int, int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    low, high = np.array(bounds[:2] * 2, np.float32), np.array(bounds[2:] * 2, np.float32)
    cut = np.clip(boxes, low, high)  # (n, 4)
    keep = ((cut[:, 2:] - cut[:, :2]) >= 1).all(axis=1)
    return cut[keep].astype(np.float32), classes[keep].astype(np.int64)


def _window(
    corner: tuple[int, int], cut: tuple[int, int], crop: _Crop, size_px: tuple[int, int]
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Where in the mosaic a picture is shown, and how far it is moved for that, without what was added around it."""
    spare_low = (max(0.0, -crop.left), max(0.0, -crop.top))
    spare_high = (max(0.0, crop.right - 1), max(0.0, crop.bottom - 1))
    if crop.flip:
        spare_low, spare_high = (spare_high[0], spare_low[1]), (spare_low[0], spare_high[1])
    low, high, shift = [0, 0], list(size_px), [0, 0]
    for axis in (0, 1):
        side = size_px[axis]
        if corner[axis]:
            low[axis] = cut[axis]
            shift[axis] = cut[axis] - min(cut[axis], int(spare_low[axis] * side))
        else:
            high[axis] = cut[axis]
            rest = side - cut[axis]
            shift[axis] = min(rest, int(spare_high[axis] * side)) - rest
    return (low[0], low[1], high[0], high[1]), (shift[0], shift[1])


def _change_colour(image: NDArray[np.uint8], hue: float, saturation: float, exposure: float) -> NDArray[np.uint8]:
    if hue == 0 and saturation == 1 and exposure == 1:
        return image
    ramp = np.arange(256, dtype=np.float64)
    tables = [
        np.clip(np.rint(t), 0, 255).astype(np.uint8)
        for t in (ramp + HUE_RANGE * hue, ramp * saturation, ramp * exposure)
    ]
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    changed = [cv2.LUT(plane, table) for plane, table in zip(planes, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2RGB), np.uint8)


def _blur(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], strength: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Nothing, all but the objects, or everything, a third of the time each."""
    way = int(rng.integers(3))
    if way == 0:
        return image
    sides = boxes[:, 2:] - boxes[:, :2]
    smallest = int(sides.min()) if len(sides) else 0
    kernel = BACKGROUND_KERNEL if way == 1 or strength == 1 else min(strength, smallest // 8) // 2 * 2 + 1
    blurred = np.asarray(cv2.GaussianBlur(image, (kernel, kernel), 0), np.uint8)
    if way == 1 or strength == 1:
        for left, top, right, bottom in boxes.astype(int):
            blurred[top:bottom, left:right] = image[top:bottom, left:right]
    return blurred
