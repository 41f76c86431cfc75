"""Ctrl-C between two steps instead of within one: the first asks to stop, the second stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set once somebody has asked for the run to stop."""

    def __init__(self) -> None:
        self.wanted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def stop_between_steps() -> Iterator[StopRequest]:
    """Take over Ctrl-C for a while; only the main thread can, elsewhere nothing changes."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGINT, request)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
