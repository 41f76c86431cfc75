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
CAMERA_STATES = ("opening", "running", "offline", "ended", "failed")
GATE_COUNTERS = {
    "gated": ("gated_frames", "frames left undecoded since nothing happened"),
    "gated_slots": ("gated_detections", "detections spared since nothing happened"),
}
CAMERA_GAUGES = {"fps": "frames decoded a second", "detections_per_s": "frames detected on a second"}
RECORDING_COUNTERS = {
    "stops": "how often writing stopped, such as on a full disk",
    "files": "files begun",
    "bytes": "bytes written",
    "removed": "clips removed by their quota",
    "dropped": "frames not recorded, events without a clip",
}
PUBLISHING_COUNTERS = {
    "stops": "how often the media server went away",
    "pictures": "pictures sent to the media server",
    "bytes": "bytes sent to the media server",
    "dropped": "pictures that the media server did not get",
}
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


def metrics_text(status: Mapping[str, Any], figures: Mapping[str, Any] | None = None) -> str:
    """Prometheus text of a status as `Feed.status_to_json` gives it, and of `Insight.figures` where a run has them."""
    lines: list[str] = []
    about = {name: str(status.get(name) or "") for name in ("box", "bundle", "engine")}
    version = {} if figures is None else {"version": figures["version"]}
    _add(lines, "vedette_info", "gauge", "what runs", [({**version, **about}, 1)])
    words = "when the run began, Unix time"
    _add(lines, "vedette_start_time_seconds", "gauge", words, [({}, status.get("started_unix_s"))])
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
    _add_outlets(lines, status)
    _add_states(lines, cameras)
    _add_health(lines, status.get("health") or {})
    if figures is not None:
        _add_totals(lines, figures["totals"])
        _add_stages(lines, figures)
        _add_sinks(lines, figures)
    return "\n".join(lines) + "\n"


def _add_states(lines: list[str], cameras: Sequence[Mapping[str, Any]]) -> None:
    states = [
        ({"camera": one["name"], "state": state}, int(one["state"] == state))
        for one in cameras
        for state in CAMERA_STATES
    ]
    _add(lines, "vedette_camera_state", "gauge", "1 for the state that a camera is in", states)
    for key, (name, words) in GATE_COUNTERS.items():
        samples = [({"camera": one["name"]}, one["gate"][key]) for one in cameras]
        _add(lines, f"vedette_camera_{name}_total", "counter", words, samples)
    shut = [({"camera": one["name"]}, int(one["gate"]["state"] == "shut")) for one in cameras]
    _add(lines, "vedette_camera_gate_shut", "gauge", "1 while nothing happens and only keyframes are decoded", shut)


def _add_totals(lines: list[str], totals: Mapping[str, Any]) -> None:
    crossings = [
        ({"camera": camera, "line": line, "class": class_name, "direction": direction}, count)
        for camera, places in totals.items()
        for line, classes in places["lines"].items()
        for class_name, by_direction in classes.items()
        for direction, count in by_direction.items()
    ]
    words = "objects that crossed a line, with those counted before this run"
    _add(lines, "vedette_crossings_total", "counter", words, crossings)
    zones = [
        ({"camera": camera, "zone": zone}, figures)
        for camera, places in totals.items()
        for zone, figures in places["zones"].items()
    ]
    inside = [(labels, figures["inside"]) for labels, figures in zones]
    _add(lines, "vedette_zone_inside", "gauge", "objects in a zone now", inside)
    passed = [
        ({**labels, "what": what}, figures[what])
        for labels, figures in zones
        for what in ("entered", "exited", "dwelled")
    ]
    words = "objects that entered, left or stayed in a zone, with those counted before this run"
    _add(lines, "vedette_zone_objects_total", "counter", words, passed)


def _add_outlets(lines: list[str], status: Mapping[str, Any]) -> None:
    """Recording, clips and publishing, those that were asked for."""
    recorded = [({"what": what}, status[what]) for what in ("recording", "clips") if status.get(what)]
    published = [({"camera": one["camera"]}, one) for one in status.get("publishing") or ()]
    for kind, ones, counters, words in (
        ("recording", recorded, RECORDING_COUNTERS, "1 while it is written, 0 while it has stopped"),
        ("publish", published, PUBLISHING_COUNTERS, "1 while a camera's video arrives at the media server"),
    ):
        working = [(labels, int(one["state"] == "working")) for labels, one in ones]
        _add(lines, f"vedette_{kind}_working", "gauge", words, working)
        for name, meaning in counters.items():
            samples = [(labels, one[name]) for labels, one in ones]
            _add(lines, f"vedette_{kind}_{name}_total", "counter", meaning, samples)
    free = [(labels, one["free_bytes"]) for labels, one in recorded]
    _add(lines, "vedette_recording_disk_free_bytes", "gauge", "free on the disk that is written to", free)


def _add_stages(lines: list[str], figures: Mapping[str, Any]) -> None:
    name = "vedette_stage_seconds"
    lines += [f"# HELP {name} how long a frame that is detected on spends in a stage", f"# TYPE {name} histogram"]
    for stage, (counts, sum_s) in figures["stages"].items():
        below = 0
        for bound, count in zip((*figures["buckets_s"], "+Inf"), counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{stage="{stage}",le="{bound}"}} {below}')
        lines += [f'{name}_sum{{stage="{stage}"}} {sum_s:.10g}', f'{name}_count{{stage="{stage}"}} {below}']
    busy = [({"stage": stage}, share) for stage, share in figures["busy"].items()]
    words = "share of the time that a stage works; near 1 it is the bottleneck"
    _add(lines, "vedette_stage_busy_ratio", "gauge", words, busy)


def _add_sinks(lines: list[str], figures: Mapping[str, Any]) -> None:
    sinks = figures["sinks"]
    for key, name, kind, words in (
        ("waiting", "vedette_sink_waiting", "gauge", "events that wait for a target"),
        ("published", "vedette_sink_published_total", "counter", "events that a target took"),
        ("lost", "vedette_sink_lost_total", "counter", "events that a target did not take"),
    ):
        _add(lines, name, kind, words, [({"sink": one["name"]}, one[key]) for one in sinks])
    counts = figures["counts"] or {}
    words = "events that wait to be written to the file of counts"
    _add(lines, "vedette_counts_waiting", "gauge", words, [({}, counts.get("waiting"))])
    words = "events that found no room to be counted"
    _add(lines, "vedette_counts_uncounted_total", "counter", words, [({}, counts.get("uncounted"))])


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
