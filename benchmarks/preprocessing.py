"""Microseconds from a 1080p picture to the network's tensor at 416x416, by step and mode, on one core; and how far
OpenCV's bilinear resize lies from Darknet's own on real pictures (VEDETTE_DATA, or ../shared/data; else left out).

`fit` resizes and pads; `network_pixels` makes the grey exact; `network_tensor` is float, scale and layout, which
OpenVINO computes inside its model when pictures are stretched. Median of many runs. Differences are in 8-bit levels,
both unrounded sides of 150 COCO pictures stretched to the size stated: mean over all values, the mean of the worst
picture, the 99th percentile and the largest of all values.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import ResizeMode
from vedette.vision.resize import fit, network_pixels, network_tensor, plan_placement, resize_corners

SOURCE_PX, INPUT_PX = (1920, 1080), 416
COMPARED_PX = (320, 416)
RUNS = 301
SLOW_RUNS = 31


def measure() -> dict[str, Any]:
    """Times by mode, and the differences between the two resizes."""
    cv2.setNumThreads(1)
    picture = np.random.default_rng(0).integers(0, 256, (SOURCE_PX[1], SOURCE_PX[0], 3), dtype=np.uint8)
    return {
        "source_px": SOURCE_PX,
        "input_px": INPUT_PX,
        "median_us": {mode.value: _times(picture, mode) for mode in ResizeMode},
        "opencv_against_darknet_levels": _differences(),
        "runs": RUNS,
    }


def _times(picture: NDArray[np.uint8], mode: ResizeMode) -> dict[str, float]:
    placement = plan_placement(*SOURCE_PX, INPUT_PX, INPUT_PX, mode)
    fitted = fit(picture, placement)[None]
    pixels = network_pixels(fitted, [placement])
    runs = SLOW_RUNS if mode is ResizeMode.DARKNET else RUNS
    return {
        "fit": _median_us(lambda: fit(picture, placement), runs),
        "network_pixels": _median_us(lambda: network_pixels(fitted, [placement]), RUNS),
        "network_tensor": _median_us(lambda: network_tensor(pixels), RUNS),
    }


def _differences() -> dict[str, Any] | None:
    root = Path(os.environ.get("VEDETTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    paths = sorted((root / "coco" / "images").glob("*.jpg"))
    if not paths:
        return None
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8) for path in paths]
    return {"pictures": len(pictures), **{str(side): _difference(pictures, side) for side in COMPARED_PX}}


def _difference(pictures: list[NDArray[np.uint8]], side: int) -> dict[str, float]:
    size = (side, side)
    levels = np.stack(
        [
            np.abs(cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) - theirs)
            for picture, theirs in ((picture, resize_corners(picture, *size)) for picture in pictures)
        ]
    )  # (pictures, side, side, 3)
    figures = {
        "mean": levels.mean(dtype=np.float64),
        "worst_picture_mean": levels.mean(axis=(1, 2, 3), dtype=np.float64).max(),
        "percentile_99": np.percentile(levels, 99),
        "largest": levels.max(),
    }
    return {name: round(float(value), 2) for name, value in figures.items()}


def _median_us(action: Callable[[], object], runs: int) -> float:
    times_us = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times_us.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times_us), 1)
