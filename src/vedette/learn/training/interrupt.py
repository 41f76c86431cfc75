"""Ctrl-C between two steps instead of within one: the first asks to stop, the second stops at once.

torchrun ends its processes with SIGTERM, which one of several takes the same way, as often as it comes.
"""

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
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def stop_between_steps(*, also_term: bool = False) -> Iterator[StopRequest]:
    """Take over Ctrl-C, and SIGTERM if asked to, for a while; only the main thread can, elsewhere nothing changes."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM) if also_term else (signal.SIGINT,)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
