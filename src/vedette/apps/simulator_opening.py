"""A simulator for the length of a block of a command, which leaves nothing behind however it is ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vedette.learn.sagemaker.simulator.opening import Simulator, SimulatorOptions

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_SIGNAL = 128  # shells tell a program that signal N ended as 128 + N


@contextmanager
def simulated(options: SimulatorOptions | None = None, folder: Path | None = None) -> Iterator[Simulator]:
    """A simulator in `folder`, or in a temporary one.

    SIGTERM and SIGHUP leave the block as Ctrl-C does; on the way out, which takes seconds, signals are passed over.

    Raises:
        SimulatorError: it cannot be started.
    """
    from vedette.learn.sagemaker.simulator.opening import open_simulator
    from vedette.learn.sagemaker.simulator.scratch import scratch_folder

    with _signals_kept() as pass_over, ExitStack() as stack:
        place = folder if folder is not None else stack.enter_context(scratch_folder("vedette-simulator-"))
        stack.callback(pass_over)
        running = stack.enter_context(open_simulator(place, options))
        stack.callback(pass_over)  # the first that is done in the end
        yield running


@contextmanager
def _signals_kept() -> Iterator[Callable[[], None]]:
    """What takes signals' effect away, until the block has ended; before, SIGTERM and SIGHUP raise SystemExit."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(LAST_SIGNAL + number)

    def pass_over() -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if before[number] is not signal.SIG_IGN:  # as `nohup` starts it
            signal.signal(number, leave)
    try:
        yield pass_over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
