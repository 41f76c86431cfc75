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
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]  # (rows, columns) uint8, brightness of cells

STILL_S = 0.45  # without movement: three slots at six a second
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
THICK = np.ones((3, 3), np.uint8)
# Of the cells that changed, those with all around them: belts have 18 to 40 %, rain of 120 streaks a frame none at all
LEAST_INNER, INNER_SHARE = 4, 0.02
LEAST_SHAKE, MOST_SHAKE = 0.04, 1.0  # cells that a trembling camera shifts its picture by; a firm one's: below 0.02
SOLID_CELLS = 4  # side of a block
SHAKEN_PIECES = 10  # times the least: what changed in a larger piece is no edge of something
LEAST_TEXTURE = 0.01  # squared variance of brightness between cells, without which no shift can be told
AROUND = np.ones((5, 5), np.uint8)
WHOLE_LEVELS = 12.0  # half of the cells of three quarters of the tiles changed by more: another picture


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
        largest = self._largest_piece(difference, self._limits, (everywhere, half), self._least_cells)
        found = Change.LOCAL if largest else Change.NONE
        if 0 < largest < SHAKEN_PIECES * self._least_cells:
            shake = _find_shake(now, then, difference, self._limits)
            if shake is not None:
                shaken, slack = shake
                limits = cv2.add(self._limits, slack)
                rest = _difference(now, shaken)[0]
                if not self._largest_piece(rest, limits, (everywhere, half), self._least_cells):
                    found = Change.NONE
        if learn_s > 0:
            self._learn(difference, 1 - math.exp(-learn_s / NOISE_MEMORY_S))
        return found

    def hints(self, now: Luma, then: Luma) -> bool:
        """Whether there may be a change: differences half as large as `compare` asks for, in a quarter of the cells."""
        if self._limits.shape != now.shape or now.shape != then.shape:
            return True
        difference, common = _difference(now, then)
        noise = _everywhere(difference, LEAST_LEVELS / 2)
        least_cells = max(LEAST_CELLS, self._least_cells // 4)
        return common > WHOLE_LEVELS or self._largest_piece(difference, self._limits // 2, noise, least_cells) > 0

    @staticmethod
    def _largest_piece(difference: Luma, limits: Luma, noise: tuple[float, float], least_cells: int) -> int:
        """Cells of the largest piece that lies above its limits and above what the whole picture has; 0: none does.

        As many as the picture has where there is a solid one; how large it is takes several times as long to tell.
        Solid are objects, be they everywhere (a full belt), and not drops or grain: of noise (`_everywhere`) only what
        half of the cells have counts against them.
        """
        few, half = (min(EVERYWHERE_FACTOR * level, 255.0) for level in noise)
        noisy = few > LEAST_LEVELS
        changed = cv2.compare(difference, np.maximum(limits, np.uint8(half)), cv2.CMP_GT)  # (rows, columns) 0 or 255
        if _is_thick(changed) if noisy else least_cells <= SOLID_CELLS**2 and _has_solid_block(changed):
            return difference.size
        if noisy:
            changed = cv2.compare(difference, np.maximum(limits, np.uint8(few)), cv2.CMP_GT)
        return _largest_object(changed, least_cells * (PIECE_FACTOR if noisy else 1))

    def _learn(self, difference: Luma, rate: float) -> None:
        assert self._noise is not None
        seen = np.minimum(difference, np.uint8(MOST_NOISE_LEVELS))
        cv2.accumulateWeighted(seen, self._noise, rate)
        self._limits = (LEAST_LEVELS + NOISE_FACTOR * self._noise).astype(np.uint8)


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


def _difference(now: Luma, then: Luma) -> tuple[Luma, float]:
    """Difference of every cell less the common one, (rows, columns) uint8; and the common one's size.

    What is common (clouds, exposure) is a straight line through the changes of the darker and the brighter half.
    """
    sample = then[::4, ::4]
    change = now[::4, ::4].astype(np.int16) - sample  # (rows / 4, columns / 4) int16
    common = _middle(change)
    middle = _middle(sample)
    bright = sample > middle
    if not bright.any() or abs(common) > WHOLE_LEVELS:
        return np.asarray(cv2.absdiff(now, then), np.uint8), abs(common)
    low, high = _middle(change[~bright]), _middle(change[bright])
    if max(abs(low), abs(high)) >= LEAST_COMMON:
        dark_level, bright_level = _middle(sample[~bright]), _middle(sample[bright])
        slope = (high - low) / max(bright_level - dark_level, 1.0)
        levels = np.arange(256)
        curve = levels + low + (levels - dark_level) * slope  # (256,) float64
        then = np.asarray(cv2.LUT(then, np.clip(np.rint(curve), 0, 255).astype(np.uint8)), np.uint8)
    return np.asarray(cv2.absdiff(now, then), np.uint8), abs(common)


def _find_shake(now: Luma, then: Luma, difference: Luma, limits: Luma) -> tuple[Luma, Luma] | None:
    """The earlier picture as a camera that trembled since would have shown it; what every cell of it may be wrong by.

    None where it did not tremble. The shift is that of all cells but those that changed, and what is around them (Lucas
    and Kanade 1981).
    """
    aside = cv2.dilate(cv2.compare(difference, limits, cv2.CMP_GT), AROUND)  # (rows, columns) uint8, 0 or 255
    across = cv2.Sobel(then, cv2.CV_32F, 1, 0, scale=1 / 8)  # (rows, columns) float32, levels a cell
    down = cv2.Sobel(then, cv2.CV_32F, 0, 1, scale=1 / 8)
    rest = (aside == 0).astype(np.float32)
    change = cv2.subtract(now, then, dtype=cv2.CV_32F) * rest
    across_rest, down_rest = across * rest, down * rest
    pairs = ((across, across_rest), (across, down_rest), (down, down_rest), (change, across), (change, down))
    xx, xy, yy, x, y = (float(np.vdot(one, other)) for one, other in pairs)
    determinant = xx * yy - xy * xy
    if determinant < LEAST_TEXTURE * now.size**2:
        return None
    right, below = (yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant
    if not LEAST_SHAKE < math.hypot(right, below) < MOST_SHAKE:
        return None
    shift = right * across + below * down
    shaken = np.asarray(np.clip(then + shift, 0, 255), np.uint8)
    return shaken, np.asarray(np.clip(np.abs(shift), 0, 255), np.uint8)


def _middle(values: NDArray[Any]) -> float:
    """The upper median; a fifth of what `np.median` takes for so few."""
    flat = values.reshape(-1)
    return float(np.partition(flat, flat.size // 2)[flat.size // 2])


def _everywhere(difference: Luma, least: float = LEAST_LEVELS) -> tuple[float, float]:
    """What three quarters of the tiles exceed in a few of their cells, and in half of them, in levels.

    Nothing where it cannot come to `least` levels, times `EVERYWHERE_FACTOR`: that is told by counting.
    """
    above = cv2.countNonZero(cv2.compare(difference, int(least / EVERYWHERE_FACTOR), cv2.CMP_GT))
    if above < (1 - EVERYWHERE) * (1 - TILE_SHARE) * difference.size / 2:  # half: tiles do not cover all of it
        return 0.0, 0.0
    rows, columns = (side // tiles for side, tiles in zip(difference.shape, TILES, strict=True))
    if rows == 0 or columns == 0:
        return 0.0, float(np.median(difference))
    inner = difference[: rows * TILES[0], : columns * TILES[1]].reshape(TILES[0], rows, TILES[1], columns)
    tiles, of_each = TILES[0] * TILES[1], rows * columns
    # By counting, in a quarter of the time that selecting takes: (tile rows, rows, tile columns, columns) int64
    numbered = inner + 256 * np.arange(tiles).reshape(TILES[0], 1, TILES[1], 1)
    up_to = np.bincount(numbered.reshape(-1), minlength=256 * tiles).reshape(tiles, 256).cumsum(axis=1)
    place = int(EVERYWHERE * tiles)
    few, half = (
        np.partition((up_to <= rank).sum(axis=1), place)[place]
        for rank in (int(TILE_SHARE * (of_each - 1)), of_each // 2)
    )
    return float(few), float(half)


def _has_solid_block(changed: Luma) -> bool:
    """Whether all cells of some block changed: no edge of something, and nothing that rain or grain does."""
    rows, columns = changed.shape[0] // SOLID_CELLS, changed.shape[1] // SOLID_CELLS
    if not rows or not columns or cv2.countNonZero(changed) < SOLID_CELLS**2:
        return False
    inner = changed[: rows * SOLID_CELLS, : columns * SOLID_CELLS]
    halves = cv2.resize(inner, (columns * SOLID_CELLS // 2, rows * SOLID_CELLS // 2), interpolation=cv2.INTER_AREA)
    return bool(cv2.resize(halves, (columns, rows), interpolation=cv2.INTER_AREA).max() == 255)


def _is_thick(changed: Luma) -> bool:
    """Whether what changed is more than lines and dots: things, or their edges, and not drops and grain."""
    inner = cv2.countNonZero(cv2.erode(changed, THICK, borderValue=0))
    return inner >= max(LEAST_INNER, INNER_SHARE * cv2.countNonZero(changed))


def _largest_object(changed: Luma, least_cells: int) -> int:
    """Cells of the largest piece, if it is large, and larger than pieces are all over the picture; else 0."""
    if cv2.countNonZero(changed) < least_cells:
        return 0
    _, _, statistics, centres_xy = cv2.connectedComponentsWithStats(changed, connectivity=8)
    cells = statistics[1:, cv2.CC_STAT_AREA]
    if len(cells) >= TILES[0] * TILES[1] / 2:
        tiles = (centres_xy[1:, ::-1] * TILES / changed.shape).astype(np.intp)  # (pieces, 2) row and column
        largest = np.zeros(TILES, np.int32)
        np.maximum.at(largest, (tiles[:, 0], tiles[:, 1]), cells)
        least_cells = max(least_cells, int(PIECE_FACTOR * np.median(largest)))
    found = int(cells.max(initial=0))
    return found if found >= least_cells else 0
