"""Where a camera's objects were, and for how long: seconds in each cell of a coarse grid, hour by hour. Pure.

A cell gets the time since the frame detected on before, at most MOST_STEP_S, for each object whose anchor lies in it;
so the sums do not depend on how often detection ran. Kept are the last HOURS hours, 5 kB each.
"""

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Anchor

COLUMNS, ROWS = 48, 27
HOURS = 24
MOST_STEP_S = 2.0


class HeatMap:
    """One camera's; `add` and `seconds` may be called from different threads."""

    def __init__(self, anchor: Anchor = Anchor.BOTTOM_CENTRE) -> None:
        self._anchor = anchor
        self._by_hour: dict[int, NDArray[np.float32]] = {}
        self._last_s: float | None = None

    def add(self, stamp: FrameStamp, tracks: Tracks) -> None:
        """The tracks of the next frame that was detected on, also when there are none."""
        last_s, self._last_s = self._last_s, stamp.media_time_s
        if last_s is None or not len(tracks.track_ids):
            return
        step_s = min(max(stamp.media_time_s - last_s, 0.0), MOST_STEP_S)
        hour = int(stamp.captured_unix_s // 3600)
        grid = self._by_hour.get(hour)
        if grid is None:
            grid = self._begin(hour)
        for x1, y1, x2, y2 in tracks.boxes_xyxy_px.tolist():
            y_px = y2 if self._anchor is Anchor.BOTTOM_CENTRE else (y1 + y2) / 2
            column = int((x1 + x2) / 2 / stamp.width_px * COLUMNS)
            row = int(y_px / stamp.height_px * ROWS)
            grid[min(max(row, 0), ROWS - 1), min(max(column, 0), COLUMNS - 1)] += step_s

    def seconds(self, hours: int, now_unix_s: float) -> NDArray[np.float32]:
        """(ROWS, COLUMNS) float32: object-seconds of this hour and those before it, so many in all."""
        first = int(now_unix_s // 3600) - hours + 1
        grids = [grid for hour, grid in list(self._by_hour.items()) if hour >= first]
        total = np.zeros((ROWS, COLUMNS), np.float32)
        for grid in grids:
            total += grid
        return total

    def _begin(self, hour: int) -> NDArray[np.float32]:
        grid = np.zeros((ROWS, COLUMNS), np.float32)
        self._by_hour = {h: g for h, g in self._by_hour.items() if h > hour - HOURS} | {hour: grid}
        return grid
