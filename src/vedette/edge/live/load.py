"""How busy the machine is between two looks, whichever thread looks: psutil's own figure starts anew in each thread."""

import psutil


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
