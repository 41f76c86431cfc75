"""Whether processes have ended, told by their ids.

A dead process whose parent is gone stays in the table as a zombie until process 1 reaps it, which in some containers
takes minutes: it counts as ended here, whoever reaps it and whenever.
"""

import time
from collections.abc import Iterable

import psutil

PATIENCE_S = 60.0


def is_running(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(pids: Iterable[int], patience_s: float = PATIENCE_S) -> None:
    """Fails naming those that still run when patience is over: death by a signal takes a moment to come about."""
    deadline = time.monotonic() + patience_s
    running = [*pids]
    while running := [pid for pid in running if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running after {patience_s:g} s: {running}"
        time.sleep(0.01)
