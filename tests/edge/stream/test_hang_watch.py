"""A decoder that hangs is told from a silent camera and from a machine that has no time for it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vedette.edge.stream.hang_watch import HUNG_S, LOOK_EVERY_S, STARVED_S, HangWatch, Pulse, pulse_of


class Process:
    """What the kernel would say of it."""

    def __init__(self, cpu_s_each_look: float = 0.0, waits: bool = False) -> None:
        self.cpu_s, self.each_s, self.waits = 100.0, cpu_s_each_look, waits

    def __call__(self) -> Pulse:
        return Pulse(self.cpu_s, self.waits)


def misses(watch: HangWatch, process: Process, looks: int = 200) -> float:
    """For how long nothing may be heard of it."""
    for look in range(1, looks):
        process.cpu_s += process.each_s
        if watch.miss() is not None:
            return look * LOOK_EVERY_S
    return float("inf")


@pytest.mark.parametrize(
    ("process", "until_s"),
    [
        (Process(), HUNG_S),  # stopped, or waiting for what never comes
        (Process(cpu_s_each_look=0.5, waits=True), HUNG_S),  # goes round in circles
        (Process(cpu_s_each_look=0.2, waits=True), HUNG_S),  # the same on a busy machine
        (Process(cpu_s_each_look=0.01, waits=True), STARVED_S),  # others have the processor
    ],
)
def test_silence_is_a_hang_unless_the_machine_had_no_time_for_it(process: Process, until_s: float) -> None:
    assert misses(HangWatch(30.0, process), process) == until_s


def test_who_is_heard_of_in_time_is_well() -> None:
    watch = HangWatch(30.0, Process())
    for _ in range(100):
        assert not [hangs for _ in range(6) if (hangs := watch.miss())]
        watch.move()


def test_a_silent_camera_is_no_hang_until_its_own_time_is_over() -> None:
    watch, beats = HangWatch(9.0, Process()), 0
    while watch.beat(0.0) is None:
        assert watch.miss() is None
        beats += 1
    assert beats == 8


def test_who_waits_for_us_waits_as_long_as_we_let_it() -> None:
    watch = HangWatch(9.0, Process())
    assert [watch.beat(None) for _ in range(30)] == [None] * 30
    assert [watch.beat(0.0) for _ in range(8)] == [None] * 8, "from then on it counts anew"


def test_who_beats_but_works_on_one_packet_for_long_hangs() -> None:
    watch = HangWatch(30.0, Process())
    assert [watch.beat(working_s) for working_s in (1.0, 3.0)] == [None, None]
    assert watch.beat(4.0) == "it hung for 4 s in one packet"
    busy = Process(waits=True)
    watch = HangWatch(30.0, busy)
    assert [watch.beat(working_s) for working_s in (1.0, 4.0, 8.0)] == [None] * 3, "a slow machine"
    busy.cpu_s += 1.0
    assert watch.beat(9.0) is not None, "it had time enough"


def test_the_kernel_tells_who_is_stopped_and_who_is_busy() -> None:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until = time.monotonic() + 30
        while (pulse := pulse_of(process.pid)) is None or pulse.cpu_s < 0.1 or not pulse.waits:
            assert time.monotonic() < until, pulse
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        stopped = pulse_of(process.pid)
        assert stopped is not None and not stopped.waits
        assert pulse_of(process.pid) == stopped
    finally:
        process.kill()
        process.wait()
    assert pulse_of(process.pid) is None and pulse_of(None) is None
