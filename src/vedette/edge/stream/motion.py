"""Does anything move? Pictures of one camera, some 240 cells across (`luma.small_luma`), are compared by cells.

A picture is still when it equals the one before and the one that was last detected on. A cell differs when its
brightness does by more than noise explains, after the change common to the whole picture (clouds, exposure) is taken
off; a few that touch make a movement; half as much is a hint of one. What counts as noise is measured twice: over the
picture (rain, grain and flicker are everywhere at once, in dots and lines; what is thicker are objects, as on a full
belt) and in each cell over a minute (a screen, a leaf), bounded, so that a busy place does not come to count as noise.
A camera that trembles is found out by what all of its picture does. A change of the whole picture (light switched,
camera turned) is a movement once; the new one is then normal. What moves slowly adds up against the picture last
detected on, until it is seen.
Pure: time is passed in.
"""

import math
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.edge.stream.cells import (
    EVERYWHERE_FACTOR,
    LEAST_LEVELS,
    PIECE_FACTOR,
    SOLID_CELLS,
    WHOLE_LEVELS,
    CellGrid,
    Luma,
    find_changed,
    find_difference,
    has_solid_block,
    is_thick,
)
from vedette.edge.stream.shake import ShakeFinder

STILL_S = 0.45  # without movement: three slots at six a second
LEAST_AREA_PX = 192  # that changed in one piece, in pixels of the source: 24x8
LEAST_CELLS = 3
NOISE_MEMORY_S = 60.0
MOST_NOISE_LEVELS = 5.0
NOISE_FACTOR = 2.0
MOST_UNLEARNED = 16  # pictures
SHAKEN_PIECES = 10  # times the least: what changed in a larger piece is no edge of something


class Look(Enum):
    """What was last; `UNSURE` until nothing has moved for `STILL_S`."""

    STILL = "still"
    MOVING = "moving"
    UNSURE = "unsure"


class Change(Enum):
    """How two pictures differ."""

    NONE = "none"
    LOCAL = "local"
    WHOLE = "whole"


class ChangeFinder:
    """Compares pictures of one camera, whose cells are `cell_px` pixels wide, and learns its noise. For one thread."""

    def __init__(self, cell_px: int) -> None:
        self._least_cells = max(LEAST_CELLS, math.ceil(LEAST_AREA_PX / cell_px**2))
        self._grid: CellGrid | None = None
        self._shakes = ShakeFinder()
        self._noise: NDArray[np.float32] = np.zeros((0, 0), np.float32)  # (rows, columns) float32, levels
        self._levels = self._noise
        self._limits: Luma = np.zeros((0, 0), np.uint8)  # what a cell may differ by: from its noise
        self._unlearned: list[tuple[Luma, float]] = []  # differences and rates: several take little longer than one

    def compare(self, now: Luma, then: Luma, learn_s: float = 0.0) -> Change:
        """What changed; `learn_s` is how long this comparison stands for in the memory of noise."""
        if now.shape != then.shape:
            return Change.WHOLE
        grid = self._grid
        if grid is None or grid.shape != now.shape:
            grid = self._begin(now)
        difference, is_another = find_difference(now, then)
        if is_another:
            return Change.WHOLE
        found = Change.NONE
        if np.count_nonzero(difference > int(LEAST_LEVELS)) >= min(
            self._least_cells, grid.few_cells
        ):  # no limit is lower
            found = self._judge(grid, now, then, difference)
        if learn_s > 0 and found is not Change.WHOLE:
            self._unlearned.append((difference, 1 - math.exp(-learn_s / NOISE_MEMORY_S)))
            if len(self._unlearned) == MOST_UNLEARNED:
                self._learn()
        return found

    def _judge(self, grid: CellGrid, now: Luma, then: Luma, difference: Luma) -> Change:
        noise, limits = grid.everywhere(difference), self._learn()
        if noise[1] > WHOLE_LEVELS:
            return Change.WHOLE
        largest = _largest_piece(grid, difference, limits, noise, self._least_cells)
        if 0 < largest < SHAKEN_PIECES * self._least_cells:
            shake = self._shakes.find(now, then, find_changed(difference, limits, 0))
            if shake is not None:
                shaken, slack = shake
                rest, limits = find_difference(now, shaken)[0], np.asarray(cv2.add(limits, slack), np.uint8)
                largest = _largest_piece(grid, rest, limits, noise, self._least_cells)
        return Change.LOCAL if largest else Change.NONE

    def hints(self, now: Luma, then: Luma) -> bool:
        """Whether there may be a change: differences half as large as `compare` asks for, in a quarter of the cells."""
        grid = self._grid
        if grid is None or grid.shape != now.shape or now.shape != then.shape:
            return True
        difference, is_another = find_difference(now, then)
        if is_another:
            return True
        least, least_cells = int(LEAST_LEVELS / 2), max(LEAST_CELLS, self._least_cells // 4)
        if np.count_nonzero(difference > least) < min(least_cells, grid.few_cells):
            return False
        noise, limits = grid.everywhere(difference, least), self._learn() // 2
        return _largest_piece(grid, difference, limits, noise, least_cells) > 0

    def _begin(self, picture: Luma) -> CellGrid:
        """Pictures of another shape: all that was learned is of no use."""
        self._grid = CellGrid((picture.shape[0], picture.shape[1]))
        self._noise, self._levels = np.zeros(picture.shape, np.float32), np.empty(picture.shape, np.float32)
        self._limits = np.full(picture.shape, LEAST_LEVELS, np.uint8)
        self._unlearned.clear()
        return self._grid

    def _learn(self) -> Luma:
        """What a cell may differ by, with all that was seen up to now."""
        for difference, rate in self._unlearned:
            seen = cv2.threshold(difference, MOST_NOISE_LEVELS, 255, cv2.THRESH_TRUNC)[1]  # no more than that
            cv2.accumulateWeighted(seen, self._noise, rate)
        if self._unlearned:
            self._unlearned.clear()
            np.multiply(self._noise, NOISE_FACTOR, out=self._levels)
            self._limits = np.add(self._levels, LEAST_LEVELS, out=self._levels).astype(np.uint8)
        return self._limits


def _largest_piece(grid: CellGrid, difference: Luma, limits: Luma, noise: tuple[float, float], least_cells: int) -> int:
    """Cells of the largest piece that lies above its limits and above what the whole picture has; 0: none does.

    As many as the picture has where there is a solid one; how large it is takes several times as long to tell.
    Solid are objects, be they everywhere (a full belt), and not drops or grain: of noise (`CellGrid.everywhere`) only
    what half of the cells have counts against them.
    """
    few, half = (min(EVERYWHERE_FACTOR * level, 255.0) for level in noise)
    noisy = few > LEAST_LEVELS
    changed = find_changed(difference, limits, half)
    if is_thick(changed) if noisy else least_cells <= SOLID_CELLS**2 and has_solid_block(changed):
        return difference.size
    if noisy:
        changed = find_changed(difference, limits, few)
    return grid.largest_object(changed, least_cells * (PIECE_FACTOR if noisy else 1))


class MotionWatch:
    """Whether one camera's picture moves, from pictures some tenths of a second apart."""

    def __init__(self, finder: ChangeFinder) -> None:
        self._finder = finder
        self._newest: Luma | None = None
        self._newest_s = self._still_since_s = 0.0
        self._detected: Luma | None = None

    def see(self, luma: Luma, time_s: float) -> Look:
        """Take the next picture. A change of the whole picture is movement; what follows is compared with the new one.

        The first picture of all is `UNSURE`.
        """
        before, self._newest = self._newest, luma
        if before is None or time_s < self._newest_s:
            self._newest_s = self._still_since_s = time_s
            return Look.UNSURE
        moves = self._finder.compare(luma, before, learn_s=time_s - self._newest_s) is not Change.NONE
        if not moves and self._detected is not None and self._detected is not before:
            moves = self._finder.compare(luma, self._detected) is not Change.NONE
        self._newest_s = time_s
        if moves:
            self._still_since_s = time_s
            return Look.MOVING
        return Look.STILL if time_s - self._still_since_s >= STILL_S else Look.UNSURE

    def detected(self) -> None:
        """The newest picture was detected on."""
        self._detected = self._newest

    def may_have_changed(self) -> bool:
        """Whether the newest picture differs from the one last detected on, as far as can be told."""
        if self._newest is None or self._detected is None:
            return True
        return self._finder.hints(self._newest, self._detected)

    def restart(self, luma: Luma, time_s: float) -> None:
        """Nothing was looked at for a while, and nothing moved: go on from this picture."""
        self._newest, self._newest_s, self._still_since_s = luma, time_s, time_s
