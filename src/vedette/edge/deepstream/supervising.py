"""Keeps deepstream-app going: judges by its **PERF lines whether it works, ends it when it hangs, starts it again.

Hung is: no **PERF line, or only rates of zero, for `hang_s`; before the first line, which an engine that must be built
may put off by many minutes, for `start_s`. Between starts it waits 1, 2, 4 .. 60 s; runs that lasted begin anew with
1 s. It gives up where starting again is no use: what can only play films to their end, a program that is not there,
`attempts` runs in a row without one picture.
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from vedette.edge.deepstream.perf_lines import AppLine, LineKind, read_line
from vedette.edge.deepstream.program import LineListener, Program

LOOK_S = 0.05
SOUND_S = 60.0  # a run that lasted as long, with pictures, was sound
TAIL_LINES = 6
NOT_THERE = {126, 127}  # of a shell that finds no program


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, and how often, before something is done about it."""

    start_s: float = 1800.0
    hang_s: float = 60.0
    stop_s: float = 10.0
    attempts: int = 5
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0


class Outcome(Enum):
    """How it all ended."""

    ENDED = "ended"  # the films are over
    STOPPED = "stopped"
    FAILED = "failed"


class Listener(Protocol):
    """Told from other threads: what is going on."""

    def on_start(self) -> None:
        """The program is about to be started."""
        ...

    def on_rates(self, rates_fps: tuple[float, ...], spent_s: float) -> None:
        """New rates of all sources, which held for `spent_s`."""
        ...

    def on_line(self, line: AppLine) -> None:
        """A warning or an error of the program's own."""
        ...

    def on_fall(self, reason: str, pause_s: float | None) -> None:
        """It is over for now; the next start comes after `pause_s`, never where that is None."""
        ...


class Supervisor:
    """One deepstream-app, started as often as it takes. `run` blocks; `stop` may be called from any thread."""

    def __init__(
        self,
        start: Callable[[LineListener], Program],
        patience: Patience,
        listener: Listener,
        *,
        sources: int,
        is_endless: bool,
    ) -> None:
        """`is_endless`: a live or looped source never ends, so that an end of the program is a fault."""
        self._start, self._patience, self._listener = start, patience, listener
        self._sources, self._is_endless = sources, is_endless
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.starts = self.broken_lines = 0
        self.reason = ""  # why it failed last
        self._reset()

    def run(self) -> Outcome:
        """Until the films are over, it is stopped, or it is no use."""
        in_vain = short = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._reset()
            self._listener.on_start()
            program = self._start(self._take_line)
            self.starts += 1
            reason, code = self._watch(program)
            if reason is None:
                return Outcome.STOPPED if self._stopping.is_set() else Outcome.ENDED
            had_pictures = self._moved_s is not None
            in_vain = 0 if had_pictures else in_vain + 1
            short = 1 if had_pictures and time.monotonic() - began >= SOUND_S else short + 1
            self.reason = self._with_tail(reason)
            if not self._is_endless or code in NOT_THERE or in_vain >= self._patience.attempts:
                self._listener.on_fall(self.reason, None)
                return Outcome.FAILED
            pause_s = min(self._patience.first_pause_s * 2.0 ** min(short - 1, 30), self._patience.longest_pause_s)
            self._listener.on_fall(self.reason, pause_s)
            self._stopping.wait(pause_s)
        return Outcome.STOPPED

    def stop(self) -> None:
        """End the program and the run."""
        self._stopping.set()

    def _reset(self) -> None:
        with self._lock:
            self._began_s = time.monotonic()
            self._first_s = self._began_s  # when the first rates came
            self._line_s: float | None = None  # when the last did
            self._moved_s: float | None = None  # when a rate was above zero last
            self._said: LineKind | None = None
            self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def _watch(self, program: Program) -> tuple[str | None, int]:
        """Why a run is a failure, None where it is not; and its exit code."""
        try:
            while not self._stopping.wait(LOOK_S):
                if program.has_ended():
                    code = program.close()
                    return self._why_ended(code), code
                hang = self._why_hung(time.monotonic())
                if hang is not None:
                    return hang, program.stop(self._patience.stop_s)
        finally:
            code = program.stop(self._patience.stop_s)
        return None, code

    def _why_ended(self, code: int) -> str | None:
        if code < 0:
            return f"deepstream-app was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
        if code == 0 and self._said is not LineKind.FAILURE:
            return "deepstream-app ended, though its cameras have no end" if self._is_endless else None
        return f"deepstream-app failed (exit code {code})"

    def _why_hung(self, now_s: float) -> str | None:
        patience = self._patience
        with self._lock:
            line_s, moved_s, first_s = self._line_s, self._moved_s, self._first_s
        if line_s is None:
            late = now_s - first_s > patience.start_s
            return f"deepstream-app did not begin within {patience.start_s:g} s" if late else None
        if now_s - line_s > patience.hang_s:
            return f"deepstream-app hangs: no **PERF line for {patience.hang_s:g} s"
        if now_s - (first_s if moved_s is None else moved_s) > patience.hang_s:
            return f"deepstream-app hangs: no picture of any camera for {patience.hang_s:g} s"
        return None

    def _take_line(self, raw: bytes) -> None:
        line, now_s = read_line(raw), time.monotonic()
        if line.kind is LineKind.RATES and line.instance == 0 and len(line.rates_fps) == self._sources:
            with self._lock:
                spent_s = now_s - (self._began_s if self._line_s is None else self._line_s)
                if self._line_s is None:
                    self._first_s = now_s
                self._line_s = now_s
                if any(line.rates_fps):
                    self._moved_s = now_s
            self._listener.on_rates(line.rates_fps, spent_s)
            return
        if line.kind in {LineKind.RATES, LineKind.BROKEN}:
            self.broken_lines += 1
            return
        if line.kind is LineKind.HEADING:
            return
        with self._lock:
            self._tail.append(line.text)
            if line.kind in {LineKind.SUCCESS, LineKind.FAILURE}:
                self._said = line.kind
        if line.kind in {LineKind.WARNING, LineKind.ERROR}:
            self._listener.on_line(line)

    def _with_tail(self, reason: str) -> str:
        with self._lock:
            tail = [text for text in self._tail if text]
        return reason + (f"; it said last: {' / '.join(tail)}" if tail else "")
