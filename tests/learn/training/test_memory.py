"""Memory that a step frees stays with the process."""

import subprocess
import sys

import pytest

from vedette.learn.training.memory import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from vedette.learn.training.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
np.ones(64 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(64 << 20, np.uint8)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Page faults of ten arrays of 64 MiB, one after the other, in a process of its own."""
    told = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout
    kept, count = told.split()
    if kept != "True":
        pytest.skip("this C library has no such setting")
    return int(count)


def test_memory_that_is_freed_is_not_asked_for_again() -> None:
    assert faults("keep") < faults("leave") / 2


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.learn.training.memory.ctypes.CDLL", lambda _: object())
    assert keep_freed_memory() is False
