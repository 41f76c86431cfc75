"""What systemd is told of a run, and when the watchdog goes hungry."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from simulators.clips import write_clip
from small_bundle import make_bundle
from vedette.apps.service_notice import Progress, service_notices
from vedette.edge.stream.statistics import CameraCounters, CameraState, CameraStatistics

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "vedette.service"
PATIENCE_S = 120.0


def camera(state: CameraState = CameraState.RUNNING, **counts: int) -> CameraStatistics:
    return replace(CameraCounters("yard").snapshot(0.0), state=state, **counts)


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        (camera(detected=5), camera(detected=6), True),
        (camera(detected=5, frames=50), camera(detected=5, frames=50), False),  # it runs, and gives nothing
        (camera(frames=50), camera(frames=60), True),  # nothing was due
        (camera(frames=50), camera(frames=60, drops=2), False),  # something was due, and nobody detects
        (camera(gated=5), camera(gated=50), True),  # the gate is shut
        (camera(gated_slots=5), camera(gated_slots=6, drops=3), True),
        (camera(frames=50), camera(CameraState.OPENING, frames=50), True),  # away: no reason to start again
        (camera(frames=50), camera(CameraState.FAILED, frames=50), True),
        (camera(frames=50), camera(CameraState.ENDED, frames=50), True),
    ],
)
def test_progress_is_detection_or_that_none_was_due(
    before: CameraStatistics, after: CameraStatistics, goes_on: bool
) -> None:
    progress = Progress()
    assert progress.goes_on([before])
    assert progress.goes_on([after]) is goes_on


def test_one_camera_that_goes_on_is_enough() -> None:
    progress = Progress()
    still = replace(camera(), camera="still")
    progress.goes_on([camera(detected=1), still])
    assert progress.goes_on([camera(detected=2), still])


class Supervisor:
    """A socket in systemd's place."""

    def __init__(self, place: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(place))
        self.line.settimeout(PATIENCE_S)
        self.environment = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"}
        self.heard: list[str] = []

    def wait_for(self, message: str, times: int = 1) -> None:
        count = 0
        while count < times:
            told = self.line.recv(4096).decode().splitlines()
            self.heard += told
            count += sum(line.startswith(message) for line in told)


def test_a_real_run_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    bundle, clip = make_bundle(tmp_path / "bundle").path, write_clip(tmp_path / "yard.mp4", frames=100)
    supervisor = Supervisor(tmp_path / "notify")
    command = ["run", "--bundle", bundle, "--camera", clip, "--realtime", "--loop", "--gate", "off"]
    running = subprocess.Popen(
        [sys.executable, "-m", "vedette", *map(str, command)],
        env=os.environ | supervisor.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        supervisor.wait_for("READY=1")
        assert "WATCHDOG=1" not in supervisor.heard
        supervisor.wait_for("WATCHDOG=1", 4)
        supervisor.wait_for("STATUS=1 of 1 cameras running")  # opening counts as well as going on
        running.send_signal(signal.SIGTERM)
        supervisor.wait_for("STOPPING=1")
        assert running.wait(PATIENCE_S) == 0
    finally:
        running.kill()
        running.wait()
        supervisor.line.close()


def test_a_run_that_hangs_feeds_no_watchdog(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "notify")
    hung = [camera(detected=5, frames=50)]
    with service_notices(lambda: hung, supervisor.environment):
        supervisor.wait_for("READY=1")
        supervisor.wait_for("STATUS=1 of 1 cameras running, 0.0 detections/s", 4)
    supervisor.wait_for("STOPPING=1")
    supervisor.line.close()
    assert supervisor.heard.count("WATCHDOG=1") == 1  # the first look has nothing to compare with


def test_the_watchdog_of_another_process_is_not_fed(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "notify")
    environment = supervisor.environment | {"WATCHDOG_PID": "1"}
    began = time.monotonic()
    with service_notices(lambda: [camera()], environment):
        supervisor.wait_for("READY=1")
    supervisor.wait_for("STOPPING=1")
    supervisor.line.close()
    assert "WATCHDOG=1" not in supervisor.heard
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("address", ["", "nowhere", "/nowhere/notify", "@vedette-nobody-listens"])
def test_a_run_needs_no_supervisor(address: str) -> None:
    with service_notices(lambda: [camera()], {"NOTIFY_SOCKET": address}):
        pass


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # keys as written
    unit.read_string(UNIT.read_text("utf-8"))
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["User"]) == ("notify", "main", "vedette")
    assert int(service["WatchdogSec"]) >= 30
    assert service["CapabilityBoundingSet"] == ""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "vedette.service"
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/vedette/bin/vedette", sys.executable))
    done = subprocess.run(
        [program, "verify", "--man=no", copy], capture_output=True, text=True, check=False, timeout=60
    )
    about = [line for line in done.stderr.splitlines() if "vedette.service" in line]
    assert about == []
