"""Does anything move? Pictures of one camera at about 240 cells across (`luma.small_luma`) are compared by cells.

A picture is still when it equals the one before and the one a second earlier. A cell differs when its brightness does
by more than noise explains, after the change common to the whole picture (clouds, exposure) is taken off; a few that
touch make a movement. What counts as noise is measured twice: over the picture (rain, grain and flicker are everywhere
at once, an object is not) and in each cell over a minute (a screen, a leaf), bounded, so that a busy place does not
come to count as noise. A change of the whole picture (light switched, camera turned) is a movement once; the new one is
then normal. What moves too little in a second to be seen is left to detections at a low rate.
Pure: time is passed in.
"""

import math
from collections import deque
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]  # (rows, columns) uint8, brightness of cells

LOOK_BACK_S = 1.0  # stillness is judged over this long
LEAST_LOOK = 0.8  # of it: pictures do not come exactly a second apart
LEAST_LEVELS = 8.0  # of 255; codecs move a cell's mean by 1 to 3 when nothing happens, soft shadows by 5 to 10
LEAST_AREA_PX = 192  # that changed in one piece, in pixels of the source: 24x8
LEAST_CELLS = 3
NOISE_MEMORY_S = 60.0
MOST_NOISE_LEVELS = 5.0
NOISE_FACTOR = 2.0
EVERYWHERE_FACTOR = 1.5
LEAST_COMMON = 2.0  # levels; below it there is nothing to take off
TILES = (4, 6)  # rows, columns
TILE_SHARE = 0.98  # of a tile's cells: rain strikes a few per cent of them
EVERYWHERE = 0.25  # what three quarters of the tiles have is no object
PIECE_FACTOR = 5  # where there is noise everywhere: times the least, and times the usual largest piece of a tile
WHOLE_LEVELS = 12.0  # half of the cells of three quarters of the tiles changed by more: another picture


class Look(Enum):
    """What the last second was; `UNSURE` while less than a second has been looked at."""

    STILL = "still"
    MOVING = "moving"
    UNSURE = "unsure"


class Change(Enum):
    """How two pictures differ."""

    NONE = "none"
    LOCAL = "local"
    WHOLE = "whole"


class ChangeFinder:
    """Compares pictures of one camera, whose cells are `cell_px` pixels wide, and learns its noise."""

    def __init__(self, cell_px: int) -> None:
        self._least_cells = max(LEAST_CELLS, math.ceil(LEAST_AREA_PX / cell_px**2))
        self._noise: NDArray[np.float32] | None = None  # (rows, columns) float32, levels
        self._limits: Luma = np.zeros((0, 0), np.uint8)  # what a cell may differ by: from its noise

    def compare(self, now: Luma, then: Luma, learn_s: float = 0.0) -> Change:
        """What changed; `learn_s` is how long this comparison stands for in the memory of noise."""
        if now.shape != then.shape:
            return Change.WHOLE
        if self._noise is None or self._noise.shape != now.shape:
            self._noise = np.zeros(now.shape, np.float32)
            self._limits = np.full(now.shape, LEAST_LEVELS, np.uint8)
        difference, common = _difference(now, then)
        everywhere, half = _everywhere(difference)
        if common > WHOLE_LEVELS or half > WHOLE_LEVELS:
            return Change.WHOLE
        least = min(EVERYWHERE_FACTOR * everywhere, 255.0)
        limits = self._limits if least <= LEAST_LEVELS else np.maximum(self._limits, np.uint8(least))
        changed = cv2.compare(difference, limits, cv2.CMP_GT)  # (rows, columns) uint8, 0 or 255
        least_cells = self._least_cells * (PIECE_FACTOR if least > LEAST_LEVELS else 1)
        found = Change.LOCAL if _has_object(changed, least_cells) else Change.NONE
        if learn_s > 0:
            self._learn(difference, 1 - math.exp(-learn_s / NOISE_MEMORY_S))
        return found

    def _learn(self, difference: Luma, rate: float) -> None:
        assert self._noise is not None
        seen = np.minimum(difference, np.uint8(MOST_NOISE_LEVELS))
        cv2.accumulateWeighted(seen, self._noise, rate)
        self._limits = (LEAST_LEVELS + NOISE_FACTOR * self._noise).astype(np.uint8)


class MotionWatch:
    """Whether one camera's picture moves, from pictures some tenths of a second apart."""

    def __init__(self, finder: ChangeFinder) -> None:
        self._finder = finder
        self._past: deque[tuple[float, Luma]] = deque(maxlen=64)  # bounded also for pictures of every frame

    def see(self, luma: Luma, time_s: float) -> Look:
        """Take the next picture. A change of the whole picture is movement; what follows is compared with the new one.

        The first picture of all is neither.
        """
        past = self._past
        if past and time_s < past[-1][0]:
            past.clear()
        while len(past) > 1 and past[1][0] <= time_s - LOOK_BACK_S:
            past.popleft()
        change = Change.NONE
        if past:
            change = self._finder.compare(luma, past[-1][1], learn_s=time_s - past[-1][0])
            if change is Change.NONE and len(past) > 1:
                change = self._finder.compare(luma, past[0][1])
        if change is Change.WHOLE:
            past.clear()
        past.append((time_s, luma))
        if change is not Change.NONE:
            return Look.MOVING
        return Look.STILL if time_s - past[0][0] >= LEAST_LOOK * LOOK_BACK_S else Look.UNSURE

    def restart(self, luma: Luma, time_s: float) -> None:
        """Nothing was looked at for a while, and nothing moved: go on from this picture."""
        self._past.clear()
        self._past.append((time_s, luma))


def _difference(now: Luma, then: Luma) -> tuple[Luma, float]:
    """Difference of every cell less the common one, (rows, columns) uint8; and the common one's size.

    What is common (clouds, exposure) is a straight line through the changes of the darker and the brighter half.
    """
    sample = then[::4, ::4]
    change = now[::4, ::4].astype(np.int16) - sample  # (rows / 4, columns / 4) int16
    common = float(np.median(change))
    middle = np.median(sample)
    bright = sample > middle
    if not bright.any() or abs(common) > WHOLE_LEVELS:
        return np.asarray(cv2.absdiff(now, then), np.uint8), abs(common)
    low, high = float(np.median(change[~bright])), float(np.median(change[bright]))
    if max(abs(low), abs(high)) >= LEAST_COMMON:
        dark_level, bright_level = float(np.median(sample[~bright])), float(np.median(sample[bright]))
        slope = (high - low) / max(bright_level - dark_level, 1.0)
        levels = np.arange(256)
        curve = levels + low + (levels - dark_level) * slope  # (256,) float64
        then = np.asarray(cv2.LUT(then, np.clip(np.rint(curve), 0, 255).astype(np.uint8)), np.uint8)
    return np.asarray(cv2.absdiff(now, then), np.uint8), abs(common)


def _everywhere(difference: Luma) -> tuple[float, float]:
    """What three quarters of the tiles exceed in a few of their cells, and in half of them, in levels."""
    rows, columns = (side // tiles for side, tiles in zip(difference.shape, TILES, strict=True))
    if rows == 0 or columns == 0:
        return 0.0, float(np.median(difference))
    inner = difference[: rows * TILES[0], : columns * TILES[1]].reshape(TILES[0], rows, TILES[1], columns)
    cells = inner.transpose(0, 2, 1, 3).reshape(TILES[0] * TILES[1], rows * columns)  # (tiles, cells of each)
    half, few = cells.shape[1] // 2, int(TILE_SHARE * (cells.shape[1] - 1))
    ordered = np.partition(cells, (half, few), axis=1)[:, [half, few]]  # (tiles, 2)
    place = int(EVERYWHERE * len(ordered))
    tiles = np.partition(ordered, place, axis=0)[place]
    return float(tiles[1]), float(tiles[0])


def _has_object(changed: Luma, least_cells: int) -> bool:
    """Whether a piece is large, and larger than pieces are all over the picture."""
    if cv2.countNonZero(changed) < least_cells:
        return False
    _, _, statistics, centres_xy = cv2.connectedComponentsWithStats(changed, connectivity=8)
    cells = statistics[1:, cv2.CC_STAT_AREA]
    if len(cells) < TILES[0] * TILES[1] / 2:
        return bool(cells.max(initial=0) >= least_cells)
    tiles = (centres_xy[1:, ::-1] * TILES / changed.shape).astype(np.intp)  # (pieces, 2) row and column
    largest = np.zeros(TILES, np.int32)
    np.maximum.at(largest, (tiles[:, 0], tiles[:, 1]), cells)
    return bool(cells.max() >= max(least_cells, PIECE_FACTOR * np.median(largest)))
