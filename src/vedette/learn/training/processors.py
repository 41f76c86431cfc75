"""How many threads read and change pictures: from the processors that this process may use."""

import os

MOST_READERS, LEAST_READERS = 16, 4
MOST_CHANGING = 8


def processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reading_threads() -> int:
    """For reading pictures before the first epoch; decoding releases the interpreter's lock, and disks let wait."""
    return min(max(processors(), LEAST_READERS), MOST_READERS)


def changing_threads(device: str, processes: int = 1) -> int:
    """For augmenting pictures beside the steps of one of so many `processes` on this computer.

    Where processors learn, one is enough (it needs a twentieth of the time that a step does), and more would take their
    time from the step. Where a GPU learns, they have nothing else to do.
    """
    if device != "cuda":
        return 1
    return min(max(processors() // processes - 1, 1), MOST_CHANGING)
