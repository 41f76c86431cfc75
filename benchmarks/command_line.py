"""How long `vedette --help` takes, in wall time of a whole process: the limit is 260 ms in the median."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUNS = 21
LIMIT_MS = 260.0


def measure() -> dict[str, Any]:
    """Median and least wall milliseconds of `vedette --help`, and of a bare interpreter beside it."""
    command = Path(sys.executable).parent / "vedette"
    ours = [_wall_ms([str(command), "--help"]) for _ in range(RUNS)]
    bare = [_wall_ms([sys.executable, "-c", "pass"]) for _ in range(RUNS)]
    median = statistics.median(ours)
    return {
        "help_median_ms": round(median, 1),
        "help_least_ms": round(min(ours), 1),
        "bare_python_median_ms": round(statistics.median(bare), 1),
        "limit_ms": LIMIT_MS,
        "within_limit": median <= LIMIT_MS,
        "runs": RUNS,
    }


def _wall_ms(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1e3
