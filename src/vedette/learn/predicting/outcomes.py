"""What comes of one picture, and the plain loop over many in this process.

An outcome depends on the picture and the detector only, never on who makes it or in which order: that is what makes the
results of several processes, and of a cluster, those of one process bit for bit. A picture that cannot be read is an
outcome too; any other error ends the loop.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.learn.data.errors import PictureError
from vedette.learn.data.pictures import read_picture

Predict = Callable[[NDArray[np.uint8]], Detections]  # a BGR picture of any size -> boxes in its pixels
Opener = Callable[[], Predict]  # picklable: it is called in the process that does the work


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found in one picture."""

    detections: Detections
    width_px: int
    height_px: int
    seconds: float  # without reading the file


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is nothing for a picture."""

    reason: str


Outcome = Found | Failed
Outcomes = Generator[tuple[int, Outcome], None, None]  # (place among the pictures, outcome), in any order


def outcome_of(predict: Predict, picture: Path) -> Outcome:
    """Read one picture and detect in it."""
    try:
        image_hwc_bgr_u8 = read_picture(picture)  # (h, w, 3)
    except PictureError as error:
        return Failed(str(error))
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    began = time.monotonic()
    found = predict(image_hwc_bgr_u8)
    return Found(found, width_px, height_px, time.monotonic() - began)


def outcomes_here(predict: Predict, pictures: Sequence[Path]) -> Outcomes:
    """One picture after the other, in this process."""
    for number, picture in enumerate(pictures):
        yield number, outcome_of(predict, picture)
