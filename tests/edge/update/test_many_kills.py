"""A thousand installations and rollbacks, each killed at a random time: old or new, and one restart brings the new."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden_squares import write_golden_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 1000
HERE = Path(__file__).parent


def test_no_random_kill_leaves_half_a_release(tmp_path: Path) -> None:
    bundles = [write_golden_bundle(tmp_path / f"b{number}", version=str(number)).path for number in range(4)]
    seed = os.environ.get("VEDETTE_SEED", "1")
    command = [sys.executable, HERE / "killed_installs.py", str(KILLS), seed, tmp_path / "box", *bundles]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(HERE.parents[1])}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    sys.stdout.write(f"seed {seed}: {done.stdout}\n")
    assert report["kills"] == KILLS
    assert 0 < report["came"] < KILLS  # some were killed before the switch, some after it
