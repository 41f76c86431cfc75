"""How far this machine runs behind itself: what a limit in seconds may be exceeded by on a busy one.

A thread asks to sleep 10 ms again and again; what it sleeps too long is time that others had the processor. On an idle
machine the slack is close to nothing, so limits stay what they say.
"""

import threading
import time
from types import TracebackType

TICK_S = 0.01
STEPS = 20  # handing over from process to process and back: starting, opening, decoding, telling, taking


class LagMeter:
    """Use as a context around what is timed."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> "LagMeter":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def slack_s(self) -> float:
        """So much later may come what takes a few steps, so far."""
        return STEPS * self._worst_s

    def _measure(self) -> None:
        before = time.monotonic()
        while not self._done.wait(TICK_S):
            now = time.monotonic()
            self._worst_s = max(self._worst_s, now - before - TICK_S)
            before = now
