"""What of two pictures of cells differs: by how much, after common light; where noise is; in pieces of what size.

Pictures are some 240 cells across, so an operation of OpenCV takes a microsecond, and whatever makes an array of more
than a byte a cell takes several: such arrays are made where nothing cheaper has answered before, and in the same memory
each time. Every shortcut gives the answer of the long way; `motion` says what the answers mean.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]  # (rows, columns) uint8, brightness of cells

LEAST_LEVELS = 8.0  # of 255; codecs move a cell's mean by 1 to 3 when nothing happens, soft shadows by 5 to 10
EVERYWHERE_FACTOR = 1.5
LEAST_COMMON = 2  # levels; below it there is nothing to take off
WHOLE_LEVELS = 12.0  # half of the cells of three quarters of the tiles changed by more: another picture
LEVELS = np.arange(256)
SAMPLED = 4  # every 4th row and column tell what is common
TILES = (4, 6)  # rows, columns
TILE_SHARE = 0.98  # of a tile's cells: rain strikes a few per cent of them
EVERYWHERE = 0.25  # what three quarters of the tiles have is no object
PIECE_FACTOR = 5  # where there is noise everywhere: times the least, and times the usual largest piece of a tile
THICK = np.ones((3, 3), np.uint8)
# Of the cells that changed, those with all around them: belts have 18 to 40 %, rain of 120 streaks a frame none at all
LEAST_INNER, INNER_SHARE = 4, 0.02
SOLID_CELLS = 4  # side of a block


def find_difference(now: Luma, then: Luma) -> tuple[Luma, bool]:
    """Difference of every cell less the common one, (rows, columns) uint8; and whether that alone is another picture.

    What is common (clouds, exposure) is a straight line through the changes of the darker and the brighter half.
    """
    difference = np.asarray(cv2.absdiff(now, then), np.uint8)
    then_sample = then[::SAMPLED, ::SAMPLED].reshape(-1)  # (cells,) uint8
    bright = then_sample > int(_middle(then_sample))
    # The brighter are the smaller half: while less than half as many have changed, no median has
    changed = np.count_nonzero(difference[::SAMPLED, ::SAMPLED] >= LEAST_COMMON)
    if 2 * changed < np.count_nonzero(bright):
        return difference, False
    change = now[::SAMPLED, ::SAMPLED].reshape(-1).astype(np.int16) - then_sample
    if abs(_middle(change)) > WHOLE_LEVELS:
        return difference, True
    if not bright.any():
        return difference, False
    low, high = _middle(change[~bright]), _middle(change[bright])
    if max(abs(low), abs(high)) < LEAST_COMMON:
        return difference, False
    dark_level, bright_level = _middle(then_sample[~bright]), _middle(then_sample[bright])
    slope = (high - low) / max(bright_level - dark_level, 1.0)
    curve = LEVELS + low + (LEVELS - dark_level) * slope  # (256,) float64
    lit = cv2.LUT(then, np.clip(np.rint(curve), 0, 255).astype(np.uint8))
    return np.asarray(cv2.absdiff(now, lit), np.uint8), False


def find_changed(difference: Luma, limits: Luma, level: float) -> Luma:
    """255 where the difference is above the cell's limit and above the level, else 0; (rows, columns) uint8."""
    changed = cv2.compare(difference, limits, cv2.CMP_GT)
    if level >= 1:
        changed = cv2.min(changed, cv2.threshold(difference, level, 255, cv2.THRESH_BINARY)[1])
    return np.asarray(changed, np.uint8)


def has_solid_block(changed: Luma) -> bool:
    """Whether all cells of some block changed: no edge of something, and nothing that rain or grain does."""
    rows, columns = changed.shape[0] // SOLID_CELLS, changed.shape[1] // SOLID_CELLS
    if not rows or not columns or cv2.countNonZero(changed) < SOLID_CELLS**2:
        return False
    inner = changed[: rows * SOLID_CELLS, : columns * SOLID_CELLS]
    halves = cv2.resize(inner, (columns * SOLID_CELLS // 2, rows * SOLID_CELLS // 2), interpolation=cv2.INTER_AREA)
    blocks = cv2.resize(halves, (columns, rows), interpolation=cv2.INTER_AREA)
    return cv2.norm(blocks, cv2.NORM_INF) == 255


def is_thick(changed: Luma) -> bool:
    """Whether what changed is more than lines and dots: things, or their edges, and not drops and grain."""
    inner = cv2.countNonZero(cv2.erode(changed, THICK, borderValue=0))
    return inner >= max(LEAST_INNER, INNER_SHARE * cv2.countNonZero(changed))


class CellGrid:
    """What is to be known about pictures of one shape, and memory to find it in. For one thread."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._tile_rows, self._tile_columns = (side // tiles for side, tiles in zip(shape, TILES, strict=True))
        self._inner = (slice(TILES[0] * self._tile_rows), slice(TILES[1] * self._tile_columns))
        numbers = np.arange(TILES[0] * TILES[1], dtype=np.uint8).reshape(TILES)
        self._tile_of = np.kron(numbers, np.ones((self._tile_rows, self._tile_columns), np.uint8))  # of the inner cells
        self._sums = np.empty((shape[0] + 1, shape[1] + 1), np.int32)
        self._labels = np.empty(shape, np.int32)
        of_each = self._tile_rows * self._tile_columns
        # So few cells are no object, no solid block and nothing thick, and leave half of most tiles as they were
        self.few_cells = min(SOLID_CELLS**2, int((1 - EVERYWHERE) * TILES[0] * TILES[1]) * -(-of_each // 2))

    def everywhere(self, difference: Luma, least: float = LEAST_LEVELS) -> tuple[float, float]:
        """What three quarters of the tiles exceed in a few of their cells, and in half of them, in levels.

        Nothing where it does not come to `least` levels, times `EVERYWHERE_FACTOR`.
        """
        level = int(least / EVERYWHERE_FACTOR)
        above = cv2.threshold(difference, level, 1, cv2.THRESH_BINARY)[1]
        few_of_all = (1 - EVERYWHERE) * (1 - TILE_SHARE) * difference.size
        if cv2.countNonZero(above) < few_of_all / 2:  # half: tiles do not cover all of it
            return 0.0, 0.0
        of_each = self._tile_rows * self._tile_columns
        if not of_each:
            return 0.0, float(np.median(difference))
        tiles, place, rank = TILES[0] * TILES[1], int(EVERYWHERE * TILES[0] * TILES[1]), int(TILE_SHARE * (of_each - 1))
        if np.count_nonzero(self._sum_tiles(above) >= of_each - rank) < tiles - place:  # the first is not above `level`
            return 0.0, 0.0
        inner = difference[self._inner]
        counts = cv2.calcHist([self._tile_of, inner], [0, 1], None, [tiles, 256], [0, tiles, 0, 256])
        up_to = counts.astype(np.int32).cumsum(axis=1)  # (tiles, 256) int
        few, half = (np.sort(np.count_nonzero(up_to <= at, axis=1))[place] for at in (rank, of_each // 2))
        return float(few), float(half)

    def _sum_tiles(self, cells: Luma) -> NDArray[np.int32]:
        """The sum of each tile, (tile rows, tile columns)."""
        sums = cv2.integral(cells, self._sums)
        rows, columns = (inner.stop + 1 for inner in self._inner)
        corners = sums[: rows : self._tile_rows, : columns : self._tile_columns]
        rows_between = corners[1:] - corners[:-1]
        return np.asarray(rows_between[:, 1:] - rows_between[:, :-1], np.int32)

    def largest_object(self, changed: Luma, least_cells: int) -> int:
        """Cells of the largest piece, if it is large, and larger than pieces are all over the picture; else 0."""
        if cv2.countNonZero(changed) < least_cells:
            return 0
        # OpenCV's own statistics of pieces take ten times as long as the pieces themselves
        count, labels = cv2.connectedComponents(changed, self._labels, 8)
        where = np.flatnonzero(changed > 0)
        piece_of = labels.reshape(-1)[where]
        cells = np.bincount(piece_of, minlength=count)[1:]
        found = int(cells.max())
        if found >= least_cells and len(cells) >= TILES[0] * TILES[1] / 2:
            tiles = [  # row and column of each piece's middle
                (np.bincount(piece_of, at, count)[1:] / cells * tiles / side).astype(np.intp)
                for at, tiles, side in zip(np.divmod(where, self.shape[1]), TILES, self.shape, strict=True)
            ]
            largest = np.zeros(TILES, np.intp)
            np.maximum.at(largest, tuple(tiles), cells)
            usual = np.sort(largest, axis=None)[(largest.size - 1) // 2 : largest.size // 2 + 1].mean()  # the median
            least_cells = max(least_cells, int(PIECE_FACTOR * usual))
        return found if found >= least_cells else 0


def _middle(values: NDArray[Any]) -> float:
    """The upper median of brightness, or of its changes; a tenth of what `np.median` takes for so few."""
    flat = values.reshape(-1)
    if flat.dtype == np.uint8:
        return float(np.partition(flat, flat.size // 2)[flat.size // 2])
    counts = np.bincount(flat + 255)  # of changes from -255 to 255
    return float(counts.cumsum().searchsorted(flat.size // 2, side="right")) - 255.0
