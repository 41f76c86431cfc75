"""Whether a live camera's decoder hangs: told from a camera that is silent, and from a machine that is overloaded.

A decoder's second thread beats once a second, whatever its camera does, and says for how long the first thread has been
at work on one packet (waiting for the network, or for us, is no work). Silence, or work, for `HUNG_S` is a hang, unless
the kernel says that the process did not get the processor: a thread of it waits for one (or for the disk), and since
the first missed beat it had less than `ENOUGH_CPU_S`. Then it has up to `STARVED_S`. A process that is stopped, waits
for something that never comes, or goes round in circles is none of that. Silence is counted in looks at the socket, not
by the clock, so that a run that was itself held up hears first what was said meanwhile.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vedette.edge.stream.decoder_messages import BEAT_EVERY_S

LOOK_EVERY_S = 0.5
HUNG_S = 3.5  # with a beat a second, killing and the look: noticed within 5 s
STARVED_S = 15.0
ENOUGH_CPU_S = 0.5  # a picture of 8K takes a third of it
WAITS_FOR_MACHINE = frozenset("RD")


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the kernel says of a process: processor time so far; whether a thread waits for processor or disk."""

    cpu_s: float
    waits: bool


class HangWatch:
    """One decoder's life. `patience_s`: how long it may take to come one packet further, however well it beats."""

    def __init__(self, patience_s: float, pulse: Callable[[], Pulse | None]) -> None:
        self.patience_s = patience_s
        self._pulse = pulse
        self._silent_s = self._unmoved_s = 0.0
        self._cpu_before_s: float | None = None  # when it was first missed

    def move(self) -> None:
        """It said something of its camera."""
        self._silent_s = self._unmoved_s = 0.0
        self._cpu_before_s = None

    def beat(self, working_s: float | None) -> str | None:
        """It lives; why it hangs nevertheless, as part of a sentence, or None. None: it waits for us."""
        if working_s is None:
            self.move()
            return None
        self._silent_s = 0.0
        self._unmoved_s += BEAT_EVERY_S
        if self._unmoved_s >= self.patience_s:
            return f"it got nowhere for {self._unmoved_s:.0f} s"
        return self._judge(working_s, "it hung for {:.0f} s in one packet")

    def miss(self) -> str | None:
        """Nothing came for another `LOOK_EVERY_S`; why it hangs, as part of a sentence, or None."""
        self._silent_s += LOOK_EVERY_S
        return self._judge(self._silent_s, "it hung for {:.1f} s")

    def _judge(self, for_s: float, words: str) -> str | None:
        if for_s < LOOK_EVERY_S:
            self._cpu_before_s = None
            return None
        if self._cpu_before_s is None:
            pulse = self._pulse()
            self._cpu_before_s = 0.0 if pulse is None else pulse.cpu_s
        if for_s < HUNG_S or (for_s < STARVED_S and self._is_starved(self._cpu_before_s)):
            return None
        return words.format(for_s)

    def _is_starved(self, cpu_before_s: float) -> bool:
        pulse = self._pulse()
        return pulse is not None and pulse.waits and pulse.cpu_s - cpu_before_s < ENOUGH_CPU_S


def pulse_of(pid: int | None) -> Pulse | None:
    """Of a process of this machine; None where there is none, or no /proc."""
    if pid is None:
        return None
    try:
        cpu_ticks = sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:13]))
        threads = [_fields(task / "stat")[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    except (OSError, ValueError, IndexError):  # it is just ending
        return None
    return Pulse(cpu_ticks / os.sysconf("SC_CLK_TCK"), bool(WAITS_FOR_MACHINE.intersection(threads)))


def _fields(stat: Path) -> list[str]:
    """From the state on: what is before it, the name, may hold anything. Source: proc(5)."""
    return stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
