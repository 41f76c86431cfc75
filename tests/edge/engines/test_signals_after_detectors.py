"""A process that opened and gave up detectors, in any order and on any thread, still takes Ctrl-C as Ctrl-C."""

import subprocess
import sys
from pathlib import Path

import pytest

from small_bundle import make_bundle
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import installed_engines

OPENED_AND_GIVEN_UP = """
import os, signal, sys, threading
from pathlib import Path
from vedette.bundle_folder import open_bundle
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import open_detector

bundle, engine = open_bundle(Path(sys.argv[1])), EngineChoice(sys.argv[2])
held = [open_detector(bundle, engine) for _ in range(2)]
if sys.argv[3] == "another thread":
    giving_up = threading.Thread(target=held.clear)
    giving_up.start()
    giving_up.join()
else:
    del held[0]
    del held[0]
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("where", ["another thread", "the oldest first"])
@pytest.mark.parametrize("engine", installed_engines())
def test_ctrl_c_is_ctrl_c_after_detectors_were_given_up(tmp_path: Path, engine: EngineChoice, where: str):
    make_bundle(tmp_path / "bundle")
    command = [sys.executable, "-c", OPENED_AND_GIVEN_UP, str(tmp_path / "bundle"), engine.value, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
