"""Runs `vedette` as a child: its lines go to the log, SIGTERM becomes the Ctrl-C on which it finishes its step.

The child dies with its parent (prctl, Linux), so that nothing writes on into a folder that a restarted job reads. What
a stop leaves of the time goes to it; after that it is killed, and its files, each written whole, are what remains.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from types import FrameType
from typing import IO

POLL_S = 0.2
TAIL_LINES = 40
PR_SET_PDEATHSIG = 1  # linux/prctl.h
INTERRUPTED = 130  # how `vedette` ends on Ctrl-C

Say = Callable[[str], None]


class Stop:
    """Whether and when somebody has asked for the job to stop: SIGTERM, or Ctrl-C in a rehearsal."""

    def __init__(self) -> None:
        self.asked_at_s: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler; what counts is the first."""
        if self.asked_at_s is None:
            self.asked_at_s = time.monotonic()

    @property
    def is_asked(self) -> bool:
        return self.asked_at_s is not None

    def lasts_longer_than(self, budget_s: float) -> bool:
        return self.asked_at_s is not None and time.monotonic() - self.asked_at_s > budget_s


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Take SIGTERM and SIGINT over for a while."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child went: its exit code (negative: the signal that killed it), its output, the end of its messages."""

    code: int
    output: str
    tail: tuple[str, ...]
    was_killed: bool  # here, because the time was over or it had not begun

    @property
    def was_stopped(self) -> bool:
        return self.code == INTERRUPTED or self.was_killed

    def complaint(self) -> str:
        """What a person should read first: the command's one message, or else what killed it."""
        starts = [number for number, line in enumerate(self.tail) if line.startswith("vedette: ")]
        if starts:
            return " ".join(self.tail[starts[-1] :]).removeprefix("vedette: ")
        last = " ".join(line.strip(" │╭╮╰╯─") for line in self.tail[-6:]).strip()
        if self.code == -signal.SIGKILL:
            return f"killed, most likely for want of memory: a smaller 'batch' or a larger instance. Last lines: {last}"
        if self.code < 0:
            return f"died of signal {-self.code} ({signal.strsignal(-self.code)}). Last lines: {last}"
        return last or f"ended with code {self.code} and said nothing"


def run_child(
    arguments: Sequence[str],
    stop: Stop,
    budget_s: float,
    *,
    interrupt: bool,
    say: Say,
    watch: Callable[[], None],
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a module with its arguments to its end. `watch` is called now and then; `environment` is added to this one's.

    Once a stop is asked for, the child gets Ctrl-C (if `interrupt`) and, `budget_s` after the request, is killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment} if environment else None,
        start_new_session=True,  # Ctrl-C in a terminal reaches this program alone, which passes it on
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - only calls what was loaded before; no thread holds its lock
    )
    output: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    readers = [
        Thread(target=_read, args=(process.stdout, output.append, None), daemon=True),
        Thread(target=_read, args=(process.stderr, tail.append, say), daemon=True),
    ]
    for reader in readers:
        reader.start()
    killed = interrupted = False
    try:
        while process.poll() is None:
            if stop.is_asked and interrupt and not interrupted:
                interrupted = True
                if tail:
                    say("asked to stop: finishing the step at hand")
                    process.send_signal(signal.SIGINT)
                else:  # it is still loading, has begun nothing, and would not take Ctrl-C well
                    killed = True
                    process.kill()
            if stop.lasts_longer_than(budget_s) and not killed:
                killed = True
                say(f"not done {budget_s:.0f} s after the request to stop: going on with what is written")
                process.kill()
            watch()
            _wait(process)
    finally:
        if process.poll() is None:
            process.kill()
        code = process.wait()
        for reader in readers:
            reader.join()
    watch()
    return Ended(code, "\n".join(output), tuple(tail), killed)


def _wait(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return


def _read(stream: IO[str], keep: Callable[[str], None], say: Say | None) -> None:
    with stream:
        for line in stream:
            text = line.rstrip("\n")
            keep(text)
            if say is not None:
                say(text)


def die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec; the library is opened before, for nothing may be loaded there."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(INTERRUPTED)

    return tie
