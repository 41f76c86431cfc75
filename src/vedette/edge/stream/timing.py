"""A camera's two clocks: media time, which never runs backward, and how late the camera is against the wall clock.

Pure arithmetic; time is passed in, nothing sleeps here. Real streams repeat time stamps, leave them out, jump back when
a camera restarts, and start anywhere; a file played again starts where its last round ended.
"""

DEFAULT_INTERVAL_S = 1 / 25
SMALL_STEP_BACK_S = 1.0  # jitter of a muxer, as opposed to a clock that was set back
LARGEST_LIVE_GAP_S = 10.0  # a live camera's time stamps that jump further were set anew
LATE_SLOT_S = 0.5  # a detection this old is of no use to who watches
TOO_LATE_S = 1.5  # dropping slots did not help; leave frames undecoded
DRIFT = 0.001  # a camera's clock against ours, 1000 ppm: ten times a bad quartz


class MediaClock:
    """Presentation times -> seconds since the first frame, never backward."""

    def __init__(self, interval_s: float | None, live: bool) -> None:
        self.interval_s = interval_s if interval_s and 0 < interval_s <= 10 else DEFAULT_INTERVAL_S
        self._live = live
        self._last_pts_s: float | None = None
        self._last_s: float | None = None

    def stamp(self, pts_s: float | None, frames_left_out: int = 0) -> float:
        """The media time of the next frame; without a time stamp it is one frame interval later.

        `frames_left_out` were not decoded on purpose since the last: then a jump forward is believed, however far.
        """
        if self._last_s is None:
            self._last_s = 0.0
        elif pts_s is None or self._last_pts_s is None:
            self._last_s += self.interval_s * (1 + frames_left_out)
        else:
            step = pts_s - self._last_pts_s
            if -SMALL_STEP_BACK_S < step <= 0:
                return self._last_s  # hold; the last good time stamp stays the reference
            if step <= 0 or (self._live and step > LARGEST_LIVE_GAP_S and not frames_left_out):
                step = self.interval_s
            self._last_s += step
        self._last_pts_s = pts_s
        return self._last_s

    def preview(self, pts_s: float) -> float | None:
        """Which media time a frame of this presentation time would have; None when that cannot be told."""
        if self._last_s is None or self._last_pts_s is None:
            return None
        return self._last_s + pts_s - self._last_pts_s

    @property
    def last(self) -> tuple[float | None, float | None]:
        """Presentation time, where there is one, and media time of the last frame."""
        return self._last_pts_s, self._last_s

    def go_on(self, pts_s: float | None, media_time_s: float | None) -> None:
        """Continue a clock by its `last`; without a presentation time the next frame is one interval later."""
        self._last_pts_s, self._last_s = pts_s, media_time_s

    def restart(self) -> None:
        """The file begins again: its next frame comes one interval after the last."""
        self._last_pts_s = None


class FilePace:
    """Plays a file in its own time: a frame is due at the start plus its media time."""

    def __init__(self, start_s: float | None = None) -> None:
        self._start_s = start_s

    @property
    def start_s(self) -> float | None:
        """When media time 0 was, on the clock of `lateness_s`; None before the first frame."""
        return self._start_s

    def lateness_s(self, now_s: float, media_time_s: float) -> float:
        """How late this frame is; negative when it is early and must wait."""
        if self._start_s is None:
            self._start_s = now_s - media_time_s
        return now_s - self._start_s - media_time_s

    def skipped(self, media_skipped_s: float, spent_s: float) -> None:
        """Nothing to learn from it: a file's clock is ours."""


class LivePace:
    """How far behind its earliest frame a live camera has fallen.

    The earliest is forgotten slowly (`DRIFT`), because the camera's clock is not ours. A camera that had to be waited
    for while skipping was not behind at all (its stream had stalled): what it is late by is then its new normal.
    """

    start_s: float | None = None

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = 0.0

    def lateness_s(self, now_s: float, media_time_s: float) -> float:
        """How late this frame is, at least 0."""
        offset = now_s - media_time_s
        if self._offset_s is None:
            self._offset_s = offset
        else:
            self._offset_s = min(offset, self._offset_s + DRIFT * max(now_s - self._last_s, 0.0))
        self._last_s = now_s
        return offset - self._offset_s

    def skipped(self, media_skipped_s: float, spent_s: float) -> None:
        """Frames over `media_skipped_s` were left undecoded, which took `spent_s`."""
        if spent_s > media_skipped_s / 2:
            self._offset_s = None
