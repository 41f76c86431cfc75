"""A decoded frame's brightness in 160 to 320 cells across: all that looking for movement needs.

0.1 ms for 1080p: cells are means of squares of pixels, so that a sensor's noise is averaged away, and their sides are
powers of two, since OpenCV halves pictures several times as fast as it shrinks them otherwise. The picture is not
turned upright: movement does not care. Sizes that no cell divides lose a few pixels at the right and bottom.
"""

import math
from typing import Any, cast

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

CELLS_ACROSS = 240  # about
# Formats whose first plane is 8-bit luma, one byte a pixel
LUMA_FIRST = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray", "yuv410p", "yuv411p"}
)


def cell_size_px(width_px: int) -> int:
    """Side of a cell in pixels of the picture: 8 for 1080p."""
    return int(2 ** max(round(math.log2(width_px / CELLS_ACROSS)), 0))


def small_luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """(height // cell, width // cell) uint8: mean brightness of every cell."""
    if frame.format.name in LUMA_FIRST:
        plane = frame.planes[0]
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
        return shrink_luma(rows[: plane.height, : plane.width])
    grey = frame.reformat(format="gray", interpolation=Interpolation.FAST_BILINEAR, threads=1)
    return shrink_luma(np.asarray(grey.to_ndarray(), np.uint8))


def shrink_luma(luma_hw_u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means over squares, by halving; each step rounds."""
    height, width = luma_hw_u8.shape
    cell = min(cell_size_px(width), height)
    rows, columns = height // cell, width // cell
    inner = luma_hw_u8[: rows * cell, : columns * cell]
    if cell == 1:
        return inner.copy()  # the frame's memory is not ours to keep
    while cell > 1:
        cell //= 2
        inner = np.asarray(cv2.resize(inner, (columns * cell, rows * cell), interpolation=cv2.INTER_AREA), np.uint8)
    return inner
