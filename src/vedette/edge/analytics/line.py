"""Counting lines: which objects pass from one side to the other, once for each real passage.

In the picture y grows downward. Seen by a person who looks at the picture and stands on `start` facing `end`, side a is
on the left and side b on the right: for a line drawn from left to right, a is above it. The path of an object is the
straight way between its anchor points, so a crossing between two detections is found however far apart they are.

A path that touches the line or one of its ends exactly is judged as if all of it lay a hair further to the right and
down (Edelsbrunner & Muecke's simulation of simplicity, 1990), by the signs of cross products alone: so a path through
the common end of joined lines crosses the chain as often as one beside it does. An object that trembles on the line is
counted at its first passage, when it came from clearly beside it, and again only after it has been clear of the line
(by a share of its size); a passage made inside that margin is counted when the object comes out of it. So whenever an
object is clear of the line, its counted crossings add up to what its path truly did.
"""

from dataclasses import dataclass
from math import hypot

from vedette.contracts.event import Direction

CLEAR_SHARE = 0.15  # of the box's mean side; detectors' boxes tremble by 2 to 7 % of it

PointPx = tuple[float, float]


@dataclass(slots=True)
class Passage:
    """What a line knows of one object."""

    x_px: float
    y_px: float
    on_b: bool  # that point is on side b
    armed: bool  # the object has been clear of the line since it was last counted
    owed: int = 0  # passages a -> b less passages b -> a that were made but not yet counted


@dataclass(frozen=True, slots=True)
class CountingLine:
    """A line in source pixels. Keeps nothing: the caller holds one `Passage` for each object."""

    name: str
    start_xy_px: PointPx
    end_xy_px: PointPx

    def begin(self, x_px: float, y_px: float, size_px: float) -> Passage:
        """An object that is seen for the first time; where it came from is not guessed."""
        return Passage(x_px, y_px, self._is_on_b(x_px, y_px), armed=self._is_clear(x_px, y_px, size_px))

    def move(self, passage: Passage, x_px: float, y_px: float, size_px: float) -> list[Direction]:
        """The object goes straight to (x, y): the crossings to count now, nearly always none or one."""
        from_b, to_b = passage.on_b, self._is_on_b(x_px, y_px)
        if from_b == to_b and passage.armed:  # as nearly always
            passage.x_px, passage.y_px = x_px, y_px
            return []
        passed = 0 if from_b == to_b else self._passed(passage.x_px, passage.y_px, x_px, y_px, to_b=to_b)
        passage.x_px, passage.y_px, passage.on_b = x_px, y_px, to_b
        if not passed and passage.armed:
            return []
        passage.owed += passed
        clear = self._is_clear(x_px, y_px, size_px)
        if not (clear or (passage.armed and passed)):
            return []
        owed, passage.owed, passage.armed = passage.owed, 0, clear
        return [Direction.A_TO_B if owed > 0 else Direction.B_TO_A] * abs(owed)

    def _is_on_b(self, x_px: float, y_px: float) -> bool:
        (start_x, start_y), (end_x, end_y) = self.start_xy_px, self.end_xy_px
        return _is_right(end_x - start_x, end_y - start_y, x_px - start_x, y_px - start_y)

    def _passed(self, from_x: float, from_y: float, to_x: float, to_y: float, *, to_b: bool) -> int:
        """+1 when the way to the other side leads through the line from a to b, -1 from b to a, 0 when beside it."""
        (start_x, start_y), (end_x, end_y) = self.start_xy_px, self.end_xy_px
        back_x, back_y = from_x - to_x, from_y - to_y
        # seen from the two ends it is the way that is shifted, hence the offsets from them
        one_side = _is_right(back_x, back_y, from_x - start_x, from_y - start_y)
        if one_side == _is_right(back_x, back_y, from_x - end_x, from_y - end_y):
            return 0
        return 1 if to_b else -1

    def _is_clear(self, x_px: float, y_px: float, size_px: float) -> bool:
        (start_x, start_y), (end_x, end_y) = self.start_xy_px, self.end_xy_px
        along_x, along_y = end_x - start_x, end_y - start_y
        length_squared = along_x * along_x + along_y * along_y
        share = ((x_px - start_x) * along_x + (y_px - start_y) * along_y) / length_squared
        share = min(max(share, 0.0), 1.0)
        return hypot(x_px - start_x - share * along_x, y_px - start_y - share * along_y) > CLEAR_SHARE * size_px


def _is_right(along_x: float, along_y: float, off_x: float, off_y: float) -> bool:
    """Whether a point lies to the right of a vector; one exactly on it as if it were a hair further right and down."""
    cross = along_x * off_y - along_y * off_x
    if cross != 0:
        return cross > 0
    return along_y < 0 or (along_y == 0 and along_x > 0)
