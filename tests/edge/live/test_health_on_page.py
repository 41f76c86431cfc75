"""A box that throttles says so: on the live page, in the status and in the metrics."""

from collections.abc import Callable
from dataclasses import replace
from urllib.request import urlopen

import pytest
from live_wall import camera_status, status
from looking import Look, wait_until

from vedette.contracts.box_health import BoxHealth
from vedette.contracts.status import Status
from vedette.edge.live.metrics_text import metrics_text
from vedette.edge.live.page import LivePage

HOT = BoxHealth(
    throttled=("CPU-therm at 98 °C, limit 97 °C",),
    temperatures_c={"CPU-therm": 98.0, "GPU-therm": 91.5},
    rails_mw={"VDD_IN": 12_345},
    total_mw=12_345,
    gpu_percent=73.4,
)


def told(health: BoxHealth | None) -> Callable[[], Status]:
    return lambda: replace(status(camera_status("yard"), camera_status('d"oor'))(), health=health)


@pytest.mark.needs_server
def test_metrics_of_the_run_its_cameras_and_the_box() -> None:
    with LivePage(port=0, status=told(HOT)) as page, urlopen(f"{page.url}metrics", timeout=20) as response:
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = response.read().decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert "vedette_box_throttled 1" in samples
    assert 'vedette_box_temperature_c{zone="GPU-therm"} 91.5' in samples
    assert 'vedette_box_rail_mw{rail="VDD_IN"} 12345' in samples
    assert any(line.startswith('vedette_camera_frames_total{camera="d\\"oor"} ') for line in samples)
    assert not any("gpu_mhz" in line for line in lines)  # not known
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == sum(
        line.startswith("# TYPE") for line in lines
    )


def test_a_box_without_sensors_has_no_metrics_of_its_own() -> None:
    document = {**told(None)().to_json(), "process_cpu_percent": 1.0}
    assert "vedette_box" not in metrics_text(document)
    assert "vedette_process_cpu_percent 1\n" in metrics_text(document)


@pytest.mark.needs_browser
@pytest.mark.needs_server
def test_the_page_warns_while_the_box_throttles(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=told(HOT)) as page:
        seen = look(page)
        wait_until(seen, lambda: seen.tab.locator("#throttled").is_visible())
        assert "throttling" in seen.tab.locator("#throttled").inner_text()
        assert "CPU-therm at 98 °C" in seen.tab.locator("#throttled").inner_text()
        meters = " ".join(seen.texts("#meters div"))
        assert "98" in meters and "12.3" in meters and "73" in meters
        page.set_status(told(replace(HOT, throttled=())))
        wait_until(seen, lambda: not seen.tab.locator("#throttled").is_visible())
        page.set_status(told(None))
        wait_until(seen, lambda: "Hottest" not in " ".join(seen.texts("#meters div")))
        assert [text for text in seen.complaints if "error" in text.lower()] == []
