"""A run is ended from outside in good order, and the handlers are as before when it is over."""

import os
import signal
import threading

from vedette.apps.beside import working_beside
from vedette.apps.run_ending import stopped_by_signals, stopped_in_time


def test_signals_stop_a_run_and_only_ctrl_c_counts_as_interrupting() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, is_ctrl_c in ((signal.SIGTERM, False), (signal.SIGINT, True)):
        stopped = threading.Event()
        with stopped_by_signals(stopped.set) as interrupted:
            os.kill(os.getpid(), number)
            assert stopped.wait(30)
            assert interrupted.is_set() is is_ctrl_c
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_run_may_hold_the_lock_that_stopping_takes_when_the_signal_comes() -> None:
    lock, stopped = threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            stopped.set()

    with stopped_by_signals(stop):
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(30)


def test_a_run_ends_when_its_time_is_over_and_not_after_it_has_ended() -> None:
    stopped, late = threading.Event(), threading.Event()
    with stopped_in_time(stopped.set, 0.01):
        assert stopped.wait(30)
    before = set(timers())
    with stopped_in_time(late.set, 3600.0):
        (timer,) = set(timers()) - before
    timer.join(30)
    assert not timer.is_alive() and not late.is_set()
    with stopped_in_time(late.set, None):
        assert not set(timers()) - before


def timers() -> list[threading.Thread]:
    """Those of other tests may still run."""
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_work_beside_a_block_ends_with_it_however_it_ends() -> None:
    ended = threading.Event()

    def work(over: threading.Event) -> None:
        assert over.wait(30)
        ended.set()

    try:
        with working_beside(work, "test"):
            raise KeyError
    except KeyError:
        assert ended.is_set()
