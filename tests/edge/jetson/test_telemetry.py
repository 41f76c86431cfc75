"""How a box fares during a run: what throttles is told while it does, and tegrastats adds what /sys does not tell."""

import sys
import threading
import time
from pathlib import Path

import pytest

from box_images import write_sensors
from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.tegrastats import parse_tegrastats
from vedette.edge.jetson.telemetry import LOOK_EVERY_S, TELL_FOR_S, TegraStatsReader, Telemetry

LINE = "RAM 3012/7620MB (lfb 1x4MB) GR3D_FREQ 84%@[713] NVDEC 40%@115 tj@52.25C VDD_IN 17946mW/15710mW"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_sensors(tmp_path, "17000000.gpu", "hwmon")
    return tmp_path


def test_a_cool_box_does_not_throttle(root: Path) -> None:
    health = Telemetry(BoxFiles(root)).health()
    assert health is not None
    assert health.throttled == ()
    assert (health.hottest_c, health.total_mw, health.gpu_percent) == (39.5, 4006, 73.4)
    assert health.to_json()["hottest_c"] == 39.5


def test_a_computer_without_sensors_has_no_health(tmp_path: Path) -> None:
    assert Telemetry(BoxFiles(tmp_path)).health() is None


def test_heat_and_cooling_are_told_while_they_last(root: Path) -> None:
    clock = Clock()
    telemetry = Telemetry(BoxFiles(root), clock=clock)
    thermal = root / "sys/class/thermal"
    (thermal / "thermal_zone1/temp").write_text("98000")
    (thermal / "cooling_device1/cur_state").write_text("2")
    health = telemetry.health()
    assert health is not None
    assert health.throttled == ("CPU-therm at 98 °C, limit 97 °C", "cpu-balanced holds it back")
    (thermal / "thermal_zone1/temp").write_text("60000")
    (thermal / "cooling_device1/cur_state").write_text("0")
    clock.now_s += LOOK_EVERY_S / 2
    assert telemetry.health() is health  # not looked at again so soon
    clock.now_s += LOOK_EVERY_S
    again = telemetry.health()
    assert again is not None and again.throttled == ()


def test_a_counter_that_grows_is_told_for_a_minute(root: Path) -> None:
    clock = Clock()
    telemetry = Telemetry(BoxFiles(root), clock=clock)
    assert (health := telemetry.health()) is not None and health.throttled == ()  # it stood at 2 before
    (root / "sys/class/hwmon/hwmon4/oc1_event_cnt").write_text("3\n")
    clock.now_s += LOOK_EVERY_S
    assert (health := telemetry.health()) is not None and health.throttled == ("over-current OC1",)
    clock.now_s += TELL_FOR_S + LOOK_EVERY_S
    assert (health := telemetry.health()) is not None and health.throttled == ()


def test_tegrastats_adds_what_sys_does_not_tell(root: Path) -> None:
    health = Telemetry(BoxFiles(root), lambda: parse_tegrastats(LINE)).health()
    assert health is not None
    assert (health.gpu_percent, health.gpu_mhz, health.memory_used_mb) == (84.0, 713.0, 3012)
    assert health.engines_mhz == {"NVDEC": 115}
    assert health.total_mw == 4006  # the box's own sensors first


def test_the_newest_line_of_a_program_is_kept_until_it_is_stale() -> None:
    clock, printed = Clock(), threading.Event()
    script = f"import time; print('nonsense'); print({LINE!r}, flush=True); time.sleep(600)"
    with TegraStatsReader([sys.executable, "-c", script], clock) as reader:
        for _ in range(6000):
            if reader.newest() is not None or printed.wait(0.01):
                break
        newest = reader.newest()
        assert newest is not None and newest.ram_mb == 7620
        clock.now_s += 11
        assert reader.newest() is None


def test_a_program_that_is_not_there_or_ends_tells_nothing() -> None:
    with TegraStatsReader(["/nowhere/tegrastats"]) as reader:
        assert reader.newest() is None
    with TegraStatsReader([sys.executable, "-c", "pass"]) as reader:
        assert reader.newest() is None


def test_what_a_script_has_started_ends_with_it() -> None:
    script = f"(while :; do echo {LINE!r}; sleep 0.05; done) & wait"
    with TegraStatsReader(["sh", "-c", script]) as reader:
        for _ in range(6000):
            if reader.newest() is not None:
                break
            time.sleep(0.01)
        assert reader.newest() is not None
    assert "vedette-tegrastats" not in {thread.name for thread in threading.enumerate()}
