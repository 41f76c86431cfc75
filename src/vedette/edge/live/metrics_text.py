"""The status as Prometheus text: what `/metrics` answers.

Source: Prometheus, "Exposition formats", text-based format 0.0.4. Names end in their unit; counters in `_total`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

CAMERA_COUNTERS = {
    "frames": "frames decoded",
    "drops": "frames that should have been detected on and were not",
    "restarts": "how often the camera's decoder was replaced",
    "reconnects": "how often the camera came back after it was away",
}
CAMERA_GAUGES = {"fps": "frames decoded a second", "detections_per_s": "frames detected on a second"}
RUN_COUNTERS = {"events": "events", "events_lost": "events that no target took"}
RUN_GAUGES = {
    "process_cpu_percent": "processor time of this program; 100 is one core",
    "machine_cpu_percent": "processor time of the machine; 100 is all cores",
    "memory_mb": "memory of this program",
}
BOX_GAUGES = {
    "hottest_c": "the highest temperature of the box",
    "total_mw": "power that goes into the board",
    "gpu_percent": "load of the GPU",
    "gpu_mhz": "clock of the GPU",
    "cpu_mhz": "clock of the processor",
}


def metrics_text(status: Mapping[str, Any]) -> str:
    """Prometheus text of a status as `Feed.status_to_json` gives it."""
    lines: list[str] = []
    for name, words in RUN_COUNTERS.items():
        _add(lines, f"vedette_{name}_total", "counter", words, [({}, status.get(name))])
    for name, words in RUN_GAUGES.items():
        _add(lines, f"vedette_{name}", "gauge", words, [({}, status.get(name))])
    cameras = status["cameras"]
    for name, words in CAMERA_COUNTERS.items():
        _add(
            lines, f"vedette_camera_{name}_total", "counter", words, [({"camera": c["name"]}, c[name]) for c in cameras]
        )
    for name, words in CAMERA_GAUGES.items():
        _add(lines, f"vedette_camera_{name}", "gauge", words, [({"camera": c["name"]}, c[name]) for c in cameras])
    up = [({"camera": c["name"]}, int(c["state"] == "running")) for c in cameras]
    _add(lines, "vedette_camera_running", "gauge", "1 while a camera gives pictures", up)
    away = [
        ({"camera": c["name"]}, status["now_unix_s"] - since if (since := c["offline_since_unix_s"]) else 0.0)
        for c in cameras
    ]
    _add(lines, "vedette_camera_offline_seconds", "gauge", "how long a camera has been away; 0 while it is here", away)
    _add_health(lines, status.get("health") or {})
    return "\n".join(lines) + "\n"


def _add_health(lines: list[str], health: Mapping[str, Any]) -> None:
    if not health:
        return
    words = "1 while heat or current slows the box down"
    _add(lines, "vedette_box_throttled", "gauge", words, [({}, int(bool(health["throttled"])))])
    for name, meaning in BOX_GAUGES.items():
        _add(lines, f"vedette_box_{name}", "gauge", meaning, [({}, health[name])])
    zones = [({"zone": zone}, heat) for zone, heat in health["temperatures_c"].items()]
    _add(lines, "vedette_box_temperature_c", "gauge", "temperature of a thermal zone", zones)
    rails = [({"rail": rail}, power) for rail, power in health["rails_mw"].items()]
    _add(lines, "vedette_box_rail_mw", "gauge", "power of a rail", rails)


def _add(lines: list[str], name: str, kind: str, words: str, samples: Sequence[tuple[Mapping[str, str], Any]]) -> None:
    """One metric; what is not known is left out."""
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in known:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{'{' + shown + '}' if shown else ''} {value:.10g}")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
