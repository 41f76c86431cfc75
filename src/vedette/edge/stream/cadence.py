"""Which frames of one camera detection is due on: every Nth, or so many a second by media time.

Pure: indices and media times come in, decisions go out, so that a file gives the same slots in every run. Frames that
were left undecoded are counted as the slots they would have been.
"""

import math
from typing import Protocol

SLACK_S = 0.002  # containers round time stamps to a millisecond; a frame this early is on time
MOST_SLACK = 0.2  # of the time between slots


class Cadence(Protocol):
    """Called once for each frame, or run of frames left undecoded, in order."""

    def is_due(self, index: int, media_time_s: float) -> bool:
        """Whether the frame of this number and time is a slot."""
        ...

    def expects(self, index: int, media_time_s: float) -> bool:
        """What `is_due` would say of the frame, if those before it that were not asked about are not due."""
        ...

    def pass_over(self, before: int, count: int, until_s: float) -> int:
        """How many slots are among `count` undecoded frames, numbered from `before`, the last of them at `until_s`."""
        ...

    def spacing_s(self, interval_s: float) -> float:
        """Media time from slot to slot, where frames are `interval_s` apart."""
        ...

    def ask(self, fps: float) -> None:
        """Another rate from the next frame on; from any thread. For `PerSecond` only."""
        ...


class EveryNth:
    """Frames whose number is a multiple of `every`."""

    def __init__(self, every: int) -> None:
        self._every = every

    def is_due(self, index: int, media_time_s: float) -> bool:
        return index % self._every == 0

    def expects(self, index: int, media_time_s: float) -> bool:
        return index % self._every == 0

    def pass_over(self, before: int, count: int, until_s: float) -> int:
        after = before + count
        return -(-after // self._every) - -(-before // self._every)  # multiples of `every` in [before, after)

    def spacing_s(self, interval_s: float) -> float:
        return self._every * interval_s

    def ask(self, fps: float) -> None:
        raise ValueError(f"every {self._every}th frame is due, not {fps} a second")


class PerSecond:
    """The first frame at or behind each multiple of 1 / fps of media time; every frame where it has fewer a second.

    `after_s` continues a camera whose frames up to there were judged already. A rate that is asked for later counts
    from the last slot.
    """

    def __init__(self, fps: float, after_s: float | None = None) -> None:
        self._fps = self._asked = fps
        self._base_s = 0.0  # media time of tick 0
        self._tick = 0  # the next one
        self._last_slot_s = 0.0
        if after_s is not None:
            self._go_past(after_s)

    def is_due(self, index: int, media_time_s: float) -> bool:
        self._adopt()
        return self._go_past(media_time_s) > 0

    def expects(self, index: int, media_time_s: float) -> bool:
        return self._asked != self._fps or self._next_tick(media_time_s) > self._tick

    def pass_over(self, before: int, count: int, until_s: float) -> int:
        self._adopt()
        return min(count, self._go_past(until_s)) if count > 0 else 0

    def spacing_s(self, interval_s: float) -> float:
        return max(1 / self._fps, interval_s)

    def ask(self, fps: float) -> None:
        self._asked = fps

    def _adopt(self) -> None:
        asked = self._asked  # another thread may set it meanwhile
        if asked != self._fps:
            first = self._tick == 0 and self._base_s == 0.0
            self._fps, self._base_s, self._tick = asked, self._last_slot_s, 0 if first else 1

    def _go_past(self, media_time_s: float) -> int:
        """How many ticks lie up to here; the next is behind."""
        before = self._tick
        self._tick = max(self._next_tick(media_time_s), before)
        if self._tick > before:
            self._last_slot_s = media_time_s
        return self._tick - before

    def _next_tick(self, media_time_s: float) -> int:
        slack_s = min(SLACK_S, MOST_SLACK / self._fps)
        return math.floor((media_time_s + slack_s - self._base_s) * self._fps) + 1


def make_cadence(every: int, fps: float | None, after_s: float | None = None) -> Cadence:
    """By media time where `fps` is given, else by number."""
    return EveryNth(every) if fps is None else PerSecond(fps, after_s)
