"""Has the camera trembled? All of its picture shifts alike then, by less than a cell, and every edge shows it.

The shift is that of all cells but those that changed, and what is around them (Lucas and Kanade 1981).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.edge.stream.cells import Luma

LEAST_SHAKE, MOST_SHAKE = 0.04, 1.0  # cells that a trembling camera shifts its picture by; a firm one's: below 0.02
LEAST_TEXTURE = 0.01  # squared variance of brightness between cells, without which no shift can be told
AROUND = np.ones((5, 5), np.uint8)


class ShakeFinder:
    """One camera's; keeps the memory that it calculates in, a megabyte at most. For one thread."""

    def __init__(self) -> None:
        self._planes = np.empty((6, 0, 0), np.float32)

    def find(self, now: Luma, then: Luma, changed: Luma) -> tuple[Luma, Luma] | None:
        """The earlier picture as a camera that trembled would show it now; what every cell of it may be wrong by.

        None where it did not tremble. `changed` is not 0 where cells are no witnesses.
        """
        if self._planes.shape[1:] != now.shape:
            self._planes = np.empty((6, *now.shape), np.float32)
        across, down, across_rest, down_rest, change, rest = self._planes  # (rows, columns) float32, levels a cell
        cv2.Sobel(then, cv2.CV_32F, 1, 0, dst=across, scale=1 / 8)
        cv2.Sobel(then, cv2.CV_32F, 0, 1, dst=down, scale=1 / 8)
        np.copyto(rest, cv2.dilate(changed, AROUND) == 0)
        cv2.subtract(now, then, dst=change, dtype=cv2.CV_32F)
        for plane, of_rest in ((change, change), (across, across_rest), (down, down_rest)):
            np.multiply(plane, rest, out=of_rest)
        pairs = ((across, across_rest), (across, down_rest), (down, down_rest), (change, across), (change, down))
        xx, xy, yy, x, y = (float(np.vdot(one, other)) for one, other in pairs)
        determinant = xx * yy - xy * xy
        if determinant < LEAST_TEXTURE * now.size**2:
            return None
        right, below = (yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant
        if not LEAST_SHAKE < math.hypot(right, below) < MOST_SHAKE:
            return None
        shift = np.add(np.multiply(across, right, out=across), np.multiply(down, below, out=down), out=across)
        shaken = _in_levels(np.add(shift, then, out=down))
        return shaken, _in_levels(np.abs(shift, out=shift))


def _in_levels(values: NDArray[np.float32]) -> Luma:
    return np.clip(values, 0, 255, out=values).astype(np.uint8)
