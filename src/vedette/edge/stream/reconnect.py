"""How a live camera that went away is opened again: when, how often, and what is said about it.

A camera that answers again gives frames within ten seconds: the longest pause, an attempt that hangs at the wrong
moment, and opening fit into that. Pauses grow and are drawn by lot (jitter), so that cameras behind one switch do not
come back in step. A camera that refuses the password is asked much more rarely, since cameras lock out whoever shows a
wrong one too often; `hurry` makes the next attempt at once. Files and films are never opened again. In the log is one
line each way, at most one pair a minute.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from vedette.edge.stream.camera_spec import CameraSpec, SourceKind
from vedette.edge.stream.errors import Retry
from vedette.edge.stream.statistics import CameraCounters

FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 3.0
MOST_PAUSE_ODD_S = 6.0  # it answers, but not with video: a wrong path costs more than a camera that is off
FIRST_SLOW_PAUSE_S, MOST_SLOW_PAUSE_S = 10.0, 300.0
QUICK_TRIES = 5  # a camera that has worked with these settings: it may refuse only because it is starting
STEADY_S = 10.0  # who stays so long begins with the shortest pause again
QUIET_S = 60.0  # between two pairs of lines
_LOG = logging.getLogger(__name__)


class BackOff:
    """The next pause. Pure but for the lot that it draws."""

    def __init__(self, lot: Callable[[], float] = random.random) -> None:
        self._lot = lot
        self._tries = self._slow_tries = 0

    def pause_s(self, retry: Retry, *, has_worked: bool) -> float:
        """How long to wait after one more failure: from half of a length to the whole, which doubles each time."""
        self._tries += 1
        first_s, most_s, tries = FIRST_PAUSE_S, MOST_PAUSE_S, self._tries
        if retry is Retry.SLOWLY and not has_worked:
            most_s = MOST_PAUSE_ODD_S
        elif retry is Retry.SELDOM and not (has_worked and self._tries <= QUICK_TRIES):
            self._slow_tries += 1
            first_s, most_s, tries = FIRST_SLOW_PAUSE_S, MOST_SLOW_PAUSE_S, self._slow_tries
        longest_s: float = min(first_s * 2 ** min(tries - 1, 16), most_s)
        return longest_s * (0.5 + 0.5 * self._lot())

    def reset(self) -> None:
        """It has been well for a while."""
        self._tries = self._slow_tries = 0


class Comeback:
    """One camera's way back. For the thread that opens the camera."""

    def __init__(
        self, spec: CameraSpec, counters: CameraCounters, hurry: threading.Event, give_up_after_s: float | None
    ) -> None:
        """`hurry`, set from any thread, ends the wait under way or, between two, the next one.

        Without `give_up_after_s` it is tried for ever; 0 is not at all.
        """
        self._spec = spec
        self._counters = counters
        self._hurry = hurry
        self._give_up_after_s = give_up_after_s
        self._back_off = BackOff()
        self._since_s = 0.0  # when it went away, on the monotonic clock
        self._tried_s = time.monotonic()  # when it was opened last
        self._had_frames = False
        self._returned_s = float("inf")
        self._told: set[Retry] | None = None  # what was said of this absence; None: it is here
        self._quiet_until_s = float("-inf")
        self._unsaid = 0  # absences that no line was written about
        counters.on_return = self._note_return

    def wait(self, reason: str, retry: Retry, seen_s: float | None) -> str | None:
        """After a failure: blocks until the camera is to be opened again, or somebody is in a hurry.

        `seen_s` is when the last frame came, on the monotonic clock, if one ever did. Returns a sentence when the
        camera is given up instead.
        """
        if self._spec.kind is SourceKind.FILE or retry is Retry.NEVER or self._give_up_after_s == 0:
            return reason
        now_s = time.monotonic()
        if self._told is None and now_s - self._returned_s >= STEADY_S:
            self._back_off.reset()
        pause_s = self._back_off.pause_s(retry, has_worked=self._counters.frames > 0)
        if self._told is None:
            self._go_away(now_s if seen_s is None else seen_s)
        else:  # a try that hung was a pause, too
            pause_s = max(pause_s - (now_s - self._tried_s), FIRST_PAUSE_S / 2)
        if self._give_up_after_s is not None:
            left_s = self._since_s + self._give_up_after_s - now_s
            if left_s <= 0:
                return f"{reason}; it did not come back within {self._give_up_after_s:g} s and is given up"
            pause_s = min(pause_s, left_s)
        self._counters.go_offline(reason, time.time() - (now_s - self._since_s))
        self._tell(reason, retry, now_s)
        self._hurry.wait(pause_s)
        self._hurry.clear()
        self._tried_s = time.monotonic()
        return None

    def _go_away(self, since_s: float) -> None:
        self._since_s, self._told = since_s, set()
        self._had_frames = self._counters.frames > 0

    def _tell(self, reason: str, retry: Retry, now_s: float) -> None:
        """Say that it is away; say it again only when somebody must do something about it."""
        assert self._told is not None
        if retry in self._told or (self._told and retry is Retry.SOON) or now_s < self._quiet_until_s:
            return
        self._told.add(retry)
        how = "until it answers" if retry is Retry.SOON else "now and then"
        before = f" (it was away {self._unsaid} more times since it was last told of)" if self._unsaid else ""
        self._unsaid = 0
        _LOG.warning("%s; it is tried again %s%s", reason, how, before)

    def _note_return(self) -> None:
        """The first frame came."""
        now_s = time.monotonic()
        self._counters.reconnects += self._had_frames
        if not self._told:
            self._unsaid += 1
        else:
            self._quiet_until_s = now_s + QUIET_S
            _LOG.warning("camera '%s' is back after %.0f s", self._spec.name, now_s - self._since_s)
        self._returned_s, self._told = now_s, None
