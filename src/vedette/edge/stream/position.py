"""Where a camera stands in its stream: all that a new decoder needs to go on where another one died."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """`index` is the next frame's; times are the last frame's: its time stamp in the file, and media time.

    `round_frames` counts the frames since the file (last) began. `pace_start_s` is when a paced file began, on the
    monotonic clock, which all processes share. None where there is nothing to know yet.
    """

    index: int = 0
    pts_s: float | None = None
    media_time_s: float | None = None
    round_frames: int = 0
    pace_start_s: float | None = None

    def to_json(self) -> list[Any]:
        """All fields in order."""
        return [self.index, self.pts_s, self.media_time_s, self.round_frames, self.pace_start_s]

    @classmethod
    def from_json(cls, document: Any) -> "Position":
        """Raises ValueError or TypeError when it is none."""
        index, pts_s, media_time_s, round_frames, pace_start_s = document
        times = (None if time is None else float(time) for time in (pts_s, media_time_s, pace_start_s))
        pts_s, media_time_s, pace_start_s = times
        return cls(int(index), pts_s, media_time_s, int(round_frames), pace_start_s)


BEGINNING = Position()


@dataclass(frozen=True, slots=True)
class Start:
    """Where a camera begins, or goes on after `heard_s` on the monotonic clock.

    `away`: since then the camera itself gave nothing; else its decoder died, and frames that it sent were missed.
    """

    position: Position = BEGINNING
    heard_s: float | None = None
    away: bool = False


NEW = Start()
