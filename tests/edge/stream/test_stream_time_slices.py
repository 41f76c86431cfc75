"""A kernel that knows slices gives the longer one, to threads as well; asking never does harm."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, threading
from pathlib import Path
from vedette.edge.stream.time_slices import SLICE_S, lengthen_time_slices
def slice_ns(task):
    lines = Path(f"/proc/self/task/{task}/sched").read_text().splitlines()
    return [int(line.split(":")[1]) for line in lines if line.startswith("se.slice")]
before = (os.nice(3), os.sched_getscheduler(0))
asked = lengthen_time_slices()
assert before == (os.nice(0), os.sched_getscheduler(0))
seen = []
thread = threading.Thread(target=lambda: seen.extend(slice_ns(threading.get_native_id())))
thread.start()
thread.join()
print(asked, all(value == round(SLICE_S * 1e9) for value in seen), len(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has it")
def test_the_wish_is_granted_or_ignored_and_nothing_else_changes():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    asked, granted, shown = result.stdout.split()
    assert asked == "True"
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release >= (6, 12) and Path("/proc/self/sched").is_file() and shown != "0":
        assert granted == "True"
