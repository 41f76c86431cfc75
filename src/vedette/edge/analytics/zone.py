"""Zones: who is inside a polygon, since when, and who has stayed.

Inside is the even-odd rule with half-open edges: of two zones that share an edge a point lies in exactly one. An object
enters at once, also when it is first seen inside; it leaves when it has been outside, or unseen, for longer than
`EXIT_AFTER_S` or `LOST_AFTER_S`, so that trembling on the edge is neither an exit nor a new entry. `dwell_s` counts
from the entry to the last time inside. An object that crosses a zone between two detections was never seen inside.
"""

from dataclasses import dataclass
from enum import Enum

from vedette.edge.analytics.line import PointPx

EXIT_AFTER_S = 0.5
LOST_AFTER_S = 1.5  # longer than a tracker waits for a lost object


class Change(Enum):
    """What happened to an object's stay."""

    ENTERED = "entered"
    DWELLED = "dwelled"
    EXITED = "exited"


@dataclass(slots=True)
class Stay:
    """What a zone knows of one object inside it."""

    entered_s: float
    inside_s: float  # when it was last seen inside
    dwelled: bool = False

    @property
    def dwell_s(self) -> float:
        return self.inside_s - self.entered_s


@dataclass(frozen=True, slots=True)
class WatchedZone:
    """A polygon in source pixels. Keeps nothing: the caller holds one `Stay` for each object inside."""

    name: str
    polygon_xy_px: tuple[PointPx, ...]
    dwell_s: float | None = None

    def contains(self, x_px: float, y_px: float) -> bool:
        """Even-odd rule, half-open."""
        inside = False
        before_x, before_y = self.polygon_xy_px[-1]
        for corner_x, corner_y in self.polygon_xy_px:
            if (corner_y > y_px) != (before_y > y_px) and x_px < corner_x + (before_x - corner_x) * (
                y_px - corner_y
            ) / (before_y - corner_y):
                inside = not inside
            before_x, before_y = corner_x, corner_y
        return inside

    def see(self, stay: Stay | None, inside: bool, time_s: float) -> tuple[Stay | None, Change | None]:
        """An object is seen inside or outside: its stay from now on, and what to tell of it.

        With `EXITED` the stay that ended is returned, for its `dwell_s`.
        """
        if stay is None:
            return (Stay(time_s, time_s), Change.ENTERED) if inside else (None, None)
        if not inside:
            return stay, Change.EXITED if time_s - stay.inside_s > EXIT_AFTER_S else None
        stay.inside_s = time_s
        if self.dwell_s is not None and not stay.dwelled and stay.dwell_s >= self.dwell_s:
            stay.dwelled = True
            return stay, Change.DWELLED
        return stay, None
