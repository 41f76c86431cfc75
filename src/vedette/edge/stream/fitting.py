"""Decoded frame -> the network's input, and the full picture kept for whoever wants to look.

Only frames that will be detected on come here. Planar YUV is sampled plane by plane as `vision.resize` samples
(bilinear, half-pixel centres) and coloured afterwards, at the network's size: 0.25 ms for 1080p -> 416x416, where
converting the whole picture first costs 0.9 ms. On x86 OpenCV may use Intel's IPP for it, which is twice as quick as
its own sampling and nearer to exact arithmetic (at most 0.52 of a level off and no bias, against 0.80 and 0.13 too
dark). `ResizeMode.DARKNET` is what `vision.resize` does on the whole converted picture, at that cost, and unrounded.
What 8 bits cannot hold of a letterbox comes in with the engine (`vision.resize.network_pixels`). libswscale's
FAST_BILINEAR costs the same but samples from the top left corner, 1.8 source pixels off at 1080p -> 416. Matrices:
ITU-T H.273 (matrix coefficients); a stream that does not state one is taken as BT.601, as libswscale and OpenCV do.
Rotation is display-matrix metadata in quarter turns.
"""

import threading
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vedette.contracts.frame import InputShape, Pixels, Placement, Sampling
from vedette.edge.stream.placing import Placing
from vedette.vision.resize import fit_inner, resize_inner

PLANAR_YUV = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# AVColorSpace -> (Kr, Kb), H.273 table 4; 2 is "unspecified"
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
# Exact chroma, no dither of the last bit: libswscale's quick default is 1 to 1.5 levels too dark on average.
# PyAV 17, the last for Python 3.10, cannot ask for better.
ACCURATE = (
    Interpolation.BILINEAR | getattr(Interpolation, "FULL_CHR_H_INT", 0) | getattr(Interpolation, "ACCURATE_RND", 0)
)


@cache
def _colour_matrix(colorspace: int, full_range: bool) -> NDArray[np.float32]:
    """(3, 4): R, G and B of 8-bit Y, U, V and 1."""
    kr, kb = LUMA_WEIGHTS[colorspace]
    kg = 1.0 - kr - kb
    y, c, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    rv, bu = 2 * (1 - kr) * c, 2 * (1 - kb) * c
    gu, gv = -kb / kg * bu, -kr / kg * rv
    rows = ((y, 0.0, rv), (y, gu, gv), (y, bu, 0.0))
    return np.array([(*row, -black * y - 128 * (row[1] + row[2])) for row in rows], np.float32)


class FrameFitter:
    """Fits the frames of one camera; the placement follows when its resolution changes. For one thread."""

    def __init__(self, network_input: InputShape) -> None:
        self._placing = Placing(network_input)

    def fit(self, frame: VideoFrame, place: NDArray[np.uint8] | None = None) -> tuple[Pixels, Placement]:
        """(input height, input width, 3) RGB, contiguous, upright, as `vision.resize.fit`; and where the picture is.

        A `place` of that size is what is returned, if the picture can be made there at once (planes, upright, no
        padding): then it need not be copied to it.
        """
        turns = quarter_turns(frame)
        size = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
        placement = self._placing.place(*size)
        inner = (placement.inner_width_px, placement.inner_height_px)
        if turns % 2:
            inner = (inner[1], inner[0])
        image = _resized_rgb(frame, inner, placement.sampling, None if turns else place)
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        return fit_inner(image, placement), placement


class FullFrame:
    """`contracts.ports.FullPicture` over a decoded frame; converts when asked, in the asking thread."""

    def __init__(self, frame: VideoFrame, turns: int | None = None) -> None:
        """`turns` are quarter turns counter-clockwise; the frame's own when left out."""
        self.frame = frame
        self._turns = quarter_turns(frame) if turns is None else turns
        self._lock = threading.Lock()  # a conversion writes into the frame's colour fields for its duration

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR, upright; scaled down, aspect kept, when wider than `max_width_px`."""
        frame, turns = self.frame, self._turns
        width, height = frame.width, frame.height
        upright_width = height if turns % 2 else width
        if max_width_px is not None and upright_width > max_width_px:
            scale = max_width_px / upright_width
            width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        with self._lock:
            image = _converted(frame, width, height, "bgr24")
        return np.ascontiguousarray(np.rot90(image, turns))


def quarter_turns(frame: VideoFrame) -> int:
    """How many quarter turns, counter-clockwise, set the frame upright."""
    return round(frame.rotation / 90) % 4


def _resized_rgb(
    frame: VideoFrame, size: tuple[int, int], sampling: Sampling, place: NDArray[np.uint8] | None
) -> Pixels:
    """(height, width, 3) RGB, not rotated, of a size given as width and height; in `place`, if it fits there."""
    by_planes = frame.format.name in PLANAR_YUV and frame.colorspace in LUMA_WEIGHTS
    if not by_planes or sampling is Sampling.CORNERS:
        whole = _converted(frame, frame.width, frame.height, "rgb24")
        return resize_inner(whole, *size, sampling)
    cv2.ipp.setUseIPP_NotExact(True)  # for this thread: not equal to OpenCV's own sampling
    try:
        planes = [cv2.resize(_pixels_of(plane), size, interpolation=cv2.INTER_LINEAR) for plane in frame.planes]
    finally:
        cv2.ipp.setUseIPP_NotExact(False)
    full_range = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    matrix = _colour_matrix(frame.colorspace, full_range)
    if place is not None and place.shape[1::-1] == size:
        cv2.transform(cv2.merge(planes), matrix, dst=place)
        return place
    return np.asarray(cv2.transform(cv2.merge(planes), matrix), np.uint8)


def _pixels_of(plane: VideoPlane) -> NDArray[np.uint8]:
    """(height, width) of a plane whose rows may be longer."""
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _converted(frame: VideoFrame, width_px: int, height_px: int, pixel_format: str) -> NDArray[np.uint8]:
    # One thread: the library's own default starts a pool of threads for each conversion context
    small = _thread_reformatter().reformat(
        frame, width=width_px, height=height_px, format=pixel_format, interpolation=ACCURATE, threads=1
    )
    return np.asarray(small.to_ndarray(), np.uint8)


class _PerThread(threading.local):
    reformatter: VideoReformatter | None = None


_PER_THREAD = _PerThread()


def _thread_reformatter() -> VideoReformatter:
    """This thread's conversion context; it is cached because setting one up costs more than a small conversion."""
    if _PER_THREAD.reformatter is None:
        _PER_THREAD.reformatter = VideoReformatter()
    return _PER_THREAD.reformatter
