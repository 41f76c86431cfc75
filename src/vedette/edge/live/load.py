"""How busy the machine, and this program with its decoder processes, are between two looks, whichever thread looks."""

import contextlib
import time

import psutil

WEIGH_EVERY_S = 5.0  # the system goes through every page for it


class ProgramLoad:
    """This process and everything below it, measured as `MachineLoad`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._spent_s, self._at_s = _spent_s(self._family()), time.monotonic()
        self._memory_bytes, self._weighed_s = 0, float("-inf")

    def percent_and_mb(self) -> tuple[float, float]:
        """Processor time, 100 is one core; and memory, where the system can with pages that are shared counted once."""
        family = self._family()
        spent_s, at_s = _spent_s(family), time.monotonic()
        # A process that has ended takes its time along
        spent, of = max(spent_s - self._spent_s, 0.0), at_s - self._at_s
        self._spent_s, self._at_s = spent_s, at_s
        if at_s - self._weighed_s >= WEIGH_EVERY_S:
            self._memory_bytes, self._weighed_s = _memory_bytes(family), at_s
        return (round(100 * spent / of, 1) if of > 0 else 0.0), round(self._memory_bytes / 1e6, 1)

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


def _spent_s(family: list[psutil.Process]) -> float:
    spent_s = 0.0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            times = process.cpu_times()
            spent_s += times.user + times.system
    return spent_s


def _memory_bytes(family: list[psutil.Process]) -> int:
    memory_bytes = 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            memory_bytes += getattr(memory, "pss", memory.rss)
    return memory_bytes


class MachineLoad:
    """Measures from one call of `percent` to the next, or from construction."""

    def __init__(self) -> None:
        self._busy_s, self._all_s = _times()

    def percent(self) -> float:
        """Share of all cores' time that was not idle, 0..100; 0 when no time has passed."""
        busy_s, all_s = _times()
        spent, of = busy_s - self._busy_s, all_s - self._all_s
        self._busy_s, self._all_s = busy_s, all_s
        return round(min(max(100 * spent / of, 0.0), 100.0), 1) if of > 0 else 0.0


def _times() -> tuple[float, float]:
    """Busy and all seconds of all cores since the machine started. Linux counts guests in user time already."""
    times = psutil.cpu_times()
    counted = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return counted - times.idle - getattr(times, "iowait", 0.0), counted
