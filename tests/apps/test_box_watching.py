"""A real run tells how its box fares, tegrastats included where there is one, and leaves no program behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ended_processes import is_running
from simulators.clips import write_clip
from small_bundle import make_bundle
from vedette.edge.live.metrics_text import BOX_GAUGES, CAMERA_COUNTERS, CAMERA_GAUGES, RUN_COUNTERS, RUN_GAUGES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "box-health.md"
LINE = "RAM 3012/7620MB (lfb 1x4MB) CPU [5%@1510] GR3D_FREQ 84%@[713] NVDEC 40%@115 tj@52.25C VDD_IN 17946mW/15710mW"
PATIENCE_S = 120.0


def write_tegrastats(folder: Path) -> Path:
    """A program in tegrastats' place, which says as whom it runs."""
    folder.mkdir()
    program = folder / "tegrastats"
    program.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\nwhile true; do echo '{LINE}'; sleep 0.2; done\n")
    program.chmod(0o755)
    return program


def told(process: "subprocess.Popen[str]", pattern: str) -> str:
    """What a line of its standard error says."""
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(pattern, line)
        if found is not None:
            return found[1]
    raise AssertionError(f"it ended without saying {pattern}")


@pytest.mark.needs_server
def test_the_status_of_a_run_holds_the_health_of_its_box(tmp_path: Path) -> None:
    program = write_tegrastats(tmp_path / "bin")
    bundle, clip = make_bundle(tmp_path / "bundle").path, write_clip(tmp_path / "yard.mp4", frames=100)
    command = ["run", "--bundle", bundle, "--camera", clip, "--realtime", "--loop", "--show", ":0"]
    running = subprocess.Popen(
        [sys.executable, "-m", "vedette", *map(str, command)],
        env=os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = told(running, r"live page: (\S+)")
        until, health = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < until and (health is None or health["engines_mhz"] == {}):
            with urllib.request.urlopen(f"{url}status.json", timeout=20) as response:
                health = json.loads(response.read())["health"]
            time.sleep(0.05)
        assert health is not None
        assert (health["engines_mhz"], health["gpu_percent"], health["memory_mb"]) == ({"NVDEC": 115}, 84.0, 7620)
        with urllib.request.urlopen(f"{url}metrics", timeout=20) as response:
            assert "vedette_box_gpu_percent 84\n" in response.read().decode()
        pid = int((program.parent / "pid").read_text())
        assert is_running(pid)
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 0
    finally:
        running.kill()
        running.wait()
        assert running.stderr is not None
        running.stderr.close()
    assert not is_running(pid)


def test_every_metric_is_described() -> None:
    text = DOCUMENT.read_text("utf-8")
    names = [f"vedette_{name}_total" for name in RUN_COUNTERS] + [f"vedette_{name}" for name in RUN_GAUGES]
    names += [f"vedette_camera_{name}_total" for name in CAMERA_COUNTERS]
    names += [f"vedette_camera_{name}" for name in (*CAMERA_GAUGES, "running")]
    names += [f"vedette_box_{name}" for name in (*BOX_GAUGES, "throttled", "temperature_c", "rail_mw")]
    assert [name for name in names if f"`{name}`" not in text] == []
