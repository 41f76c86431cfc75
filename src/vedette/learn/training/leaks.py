"""Pictures that train and validation share, by what the network sees of them: the fitted pixels.

Two are the same when every fitted pixel is, whatever the files are called or encoded as. They look almost the same when
their 16x16 grey thumbnails, brightness taken away, differ by less than `NEAR_LEVELS` of 255 (root mean square): a JPEG
saved again at quality 40 does by 0.9 at most (BCCD and mask, 1217 pictures), two pictures of BCCD by 2.6 at least.
Pictures of one flat colour are not compared. Pure NumPy and OpenCV, 1 ms a picture.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 16
NEAR_LEVELS = 1.5
FLAT_LEVELS = 4.0  # a thumbnail that varies by less says too little
ROWS = 4096  # of a table of distances at once: 4096 x 20 000 float32 are 330 MB at most


class LeakChoice(str, Enum):
    """What becomes of training pictures that are validation pictures too."""

    REFUSE = "refuse"  # where they would falsify the figures; a few are named and kept
    DROP = "drop"  # train without them
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Print:
    """What two pictures are compared by."""

    pixels: bytes
    thumbnail: NDArray[np.float32]  # (THUMBNAIL_PX * THUMBNAIL_PX,) float32, mean 0


@dataclass(frozen=True, slots=True)
class Pair:
    """A training picture and the validation picture that it is, or nearly is."""

    train: str
    val: str


def print_of(image_hwc_rgb_u8: NDArray[np.uint8]) -> Print:
    """The print of a fitted picture."""
    digest = hashlib.blake2b(np.ascontiguousarray(image_hwc_rgb_u8).data, digest_size=16)
    small = cv2.resize(image_hwc_rgb_u8, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32).mean(axis=2).ravel()  # (THUMBNAIL_PX * THUMBNAIL_PX,) float32
    return Print(digest.digest(), grey - grey.mean())


def same_pictures(train: Sequence[tuple[str, Print]], val: Sequence[tuple[str, Print]]) -> list[Pair]:
    """Every training picture that is also a validation picture, in the order of training."""
    there: dict[bytes, str] = {}
    for name, one in val:
        there.setdefault(one.pixels, name)
    return [Pair(name, there[one.pixels]) for name, one in train if one.pixels in there]


def similar_pictures(train: Sequence[tuple[str, Print]], val: Sequence[tuple[str, Print]]) -> list[Pair]:
    """Training pictures that look almost like a validation picture, the nearest one named, and are not the same."""
    train = [(name, one) for name, one in train if one.thumbnail.std() >= FLAT_LEVELS]
    val = [(name, one) for name, one in val if one.thumbnail.std() >= FLAT_LEVELS]
    if not train or not val:
        return []
    there = np.stack([one.thumbnail for _, one in val])  # (val, thumbnail) float32
    squares = (there**2).sum(axis=1)
    pairs = []
    for start in range(0, len(train), ROWS):
        part = train[start : start + ROWS]
        here = np.stack([one.thumbnail for _, one in part])  # (rows, thumbnail) float32
        distances = (here**2).sum(axis=1)[:, None] + squares - 2 * here @ there.T  # (rows, val), squared
        for row, nearest in enumerate(distances.argmin(axis=1)):
            name, one = part[row]
            other = val[int(nearest)]
            near = float(((one.thumbnail - other[1].thumbnail) ** 2).mean()) < NEAR_LEVELS**2
            if near and one.pixels != other[1].pixels:
                pairs.append(Pair(name, other[0]))
    return pairs
