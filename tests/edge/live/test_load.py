"""The machine's load is told to whichever thread asks, also to one that asks for the first time."""

import threading
import time

from vedette.edge.live.load import MachineLoad


def test_a_thread_that_asks_for_the_first_time_sees_the_load() -> None:
    load = MachineLoad()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        sum(range(10_000))
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(load.percent()))
    thread.start()
    thread.join()
    assert 0 < seen[0] <= 100
    assert 0 <= load.percent() <= 100
