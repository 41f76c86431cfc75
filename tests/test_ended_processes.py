"""The tests' own judgement of what has ended: a process that lives is never taken for a dead one, nor the reverse."""

import os
import signal
import subprocess
import sys

import pytest

from ended_processes import is_running, wait_until_ended


def test_a_process_that_lives_is_found_running_and_named() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_running(process.pid)
        with pytest.raises(AssertionError, match=rf"still running after 0.1 s: \[{process.pid}\]"):
            wait_until_ended([process.pid], 0.1)
        process.send_signal(signal.SIGSTOP)
        assert is_running(process.pid)
        process.kill()


def test_a_dead_process_that_nobody_has_reaped_has_ended() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    os.kill(process.pid, 0)
    assert not is_running(process.pid)
    wait_until_ended([process.pid], 0.0)
    process.wait()
    assert not is_running(process.pid)
