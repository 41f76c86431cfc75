"""How a run that may last for months is ended from outside: by Ctrl-C, by SIGTERM, or by its time."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the run in good order; the event given is set after Ctrl-C."""
    interrupted = threading.Event()

    def end(number: int, _frame: object) -> None:
        if number == signal.SIGINT:
            interrupted.set()
        # The handler runs in the thread that it interrupts, which may hold the very lock that stopping takes.
        threading.Thread(target=stop, name="vedette-stop", daemon=True).start()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_in_time(stop: Callable[[], None], after_s: float | None) -> Iterator[None]:
    """End the run after so long, unless the block is left before; None: never."""
    if after_s is None:
        yield
        return
    timer = threading.Timer(after_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
