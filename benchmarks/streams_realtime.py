"""Cameras in real time: clips paced by their time stamps and looped, the gate off, detection on every 5th frame.

Rows of `drawn` belts, whose detector tells events: N at 416x416 is the largest number up to 8 whose N x 30 frames a
second lie within 0.90 of the floor measured in the same run, then all 8 at 416x256. Rows of real `footage`, all 8 at
416x256: the busy clip in three codings (its detections mean nothing there; VEDETTE_DATA). After three minutes: slots
missed (limit 1 %), and the time from a frame's capture to its event's arrival at a sink, 95th percentile (limit 400
ms); where nothing happens, to the moment its detections are tracked. A row that was measured takes the place of the
one that was recorded before, the others stay; docs/reference/streams.md gets the table.

    python -m benchmarks.streams_realtime [--only footage|drawn|ROW ...] [--cameras N] [--seconds 180] [--json FILE]
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.recording import identify_code, record
from benchmarks.stream_material import CAMERAS, MIDDLE, Workload, coded_clips, data_folder, scene_bundle, scene_clips
from benchmarks.stream_measuring import ROOT, floor, weigh
from benchmarks.streams import write_pipeline
from benchmarks.streams_tables import write

SECONDS, FPS, WITHIN = 180, 30, 0.90
LIMITS = {"missed_slots_share": 0.01, "event_latency_p95_ms": 400}
RESULT = ROOT / "benchmarks" / "results" / "streams_realtime.json"


@dataclass(frozen=True)
class Row:
    """One row of the table: drawn belts, or the busy clip in one coding; without a number of cameras what fits."""

    group: str
    size: str
    coding: str = ""
    cameras: int | None = CAMERAS

    @property
    def what(self) -> str:
        """In words."""
        return f"the busy clip as {self.coding}" if self.coding else "drawn belts"


ROWS = {
    "416x416": Row("drawn", "416x416", cameras=None),
    "416x256": Row("drawn", "416x256"),
    "busy-h264": Row("footage", "416x256", "H.264"),
    "busy-b-frames": Row("footage", "416x256", "H.264, B-frames"),
    "busy-h265": Row("footage", "416x256", "H.265"),
}


def measure() -> dict[str, Any]:
    """Every row; those of real footage where there is any."""
    return {name: measure_row(row) for name, row in ROWS.items() if not row.coding or data_folder() is not None}


def measure_row(row: Row, seconds: int = SECONDS, precision: str = "int8") -> dict[str, Any]:
    """One row, with its floor."""
    workload = _workload(row)
    bare = floor(workload.bundle, precision, workload.clips)
    floor_fps = bare["frames"] / bare["wall_s"]
    count = row.cameras or max(min(int(WITHIN * floor_fps / FPS), CAMERAS), 1)
    pipeline = write_pipeline(workload, workload.clips[:count], precision, realtime=True, loop=True)
    ours = weigh(["-m", "benchmarks.streams_realtime", "--child", pipeline, "--seconds", seconds])
    said, over_time = ours["said"], ours["pss_mib_over_time"]
    return {
        "what": row.what,
        "size": row.size,
        "precision": precision,
        "cameras": count,
        "floor_frames_per_s": round(floor_fps, 1),
        "share_of_floor": round(count * FPS / floor_fps, 3),
        "processor_share": round(ours["cpu_s"] / said["seconds"], 3),
        "memory_mib": round(ours["pss_mib"]),
        "memory_mib_over_time": over_time[:: max(len(over_time) // 60, 1)],
        **said,
        "limits": LIMITS,
    }


def _workload(row: Row) -> Workload:
    clips, lines = scene_clips()
    name = f"realtime-{row.size}"
    if row.coding:
        if data_folder() is None:
            raise SystemExit(
                "the busy clip is needed: set VEDETTE_DATA to the folder that has videos/busy_1080p30_h264.mp4"
            )
        clips, lines = (coded_clips()[row.coding],) * CAMERAS, (MIDDLE,) * CAMERAS
    return Workload(name, clips, lines, scene_bundle(row.size), row.what)


def _child(pipeline: Path, seconds: float) -> dict[str, Any]:
    """Run for so long with a sink that notes when events arrive."""
    from vedette.apps import run
    from vedette.apps.pipeline_file import read_pipeline

    settings = read_pipeline(pipeline)
    sink = _Stopwatch()
    with run.start_spawner(settings) as spawner:
        opened, detector = run.open_pipeline_detector(settings)
        watch = run.build_watch(settings, opened, detector, None, sinks=[sink], spawner=spawner)
        tracked_ms = _time_results(watch)
        timer = threading.Timer(seconds, watch.stop)
        timer.start()
        began = time.monotonic()
        watch.run()
        took_s = time.monotonic() - began
    cameras = watch.statistics()
    slots, drops = sum(camera.slots for camera in cameras), sum(camera.drops for camera in cameras)
    return {
        "seconds": round(took_s, 1),
        "frames_per_s": round(sum(camera.frames for camera in cameras) / took_s, 1),
        "slots": slots,
        "missed_slots": drops,
        "missed_slots_share": round(drops / slots, 5),
        "skipped_frames": sum(camera.skipped for camera in cameras),
        "restarts": sum(camera.restarts for camera in cameras),
        "events": len(sink.latencies_ms),
        "event_latency_ms": _percentiles(sink.latencies_ms),
        "detection_latency_ms": _percentiles(tracked_ms),
    }


def _time_results(watch: Any) -> list[float]:
    """Milliseconds from each frame's capture until its detections were tracked and its events sent, as they come."""
    handle = watch.on_results
    latencies_ms: list[float] = []

    def handle_and_note(results: Sequence[Any]) -> None:
        captured_s = [frame.stamp.captured_unix_s for frame, _, _ in results]
        handle(results)
        now_s = time.time()
        latencies_ms.extend(1e3 * (now_s - one) for one in captured_s)

    watch.on_results = handle_and_note
    return latencies_ms


def _percentiles(latencies_ms: list[float]) -> dict[str, int] | None:
    import numpy as np

    if not latencies_ms:
        return None
    values = np.percentile(latencies_ms, (50, 95, 99))
    return {name: round(float(value)) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


class _Stopwatch:
    """`contracts.ports.EventSink`."""

    name, published, lost = "stopwatch", 0, 0

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []

    def publish(self, event: Any) -> None:
        captured_s = datetime.fromisoformat(event.time.replace("Z", "+00:00")).timestamp()
        self.latencies_ms.append(1e3 * (time.time() - captured_s))

    def close(self) -> None: ...


def merge(recorded: dict[str, Any] | None, measured: dict[str, Any]) -> dict[str, Any]:
    """The record with the rows just measured in place of older ones; each row says what it was measured with."""
    told = {key: measured[key] for key in ("measured_utc", "commit", "changed_files")}
    rows = {name: row | told for name, row in measured["figures"].items()}
    if recorded is not None:
        before = {key: recorded[key] for key in told}
        rows = {name: before | row for name, row in recorded["figures"].items()} | rows
    order = [*ROWS, *sorted(rows.keys() - ROWS.keys())]
    return measured | {"figures": {name: rows[name] for name in order if name in rows}}


def _measure_and_record(names: Sequence[str], wish: argparse.Namespace) -> None:
    """Row by row, so that what was measured is kept when somebody ends it."""
    for name in names:
        code = identify_code()
        row = replace(ROWS[name], cameras=wish.cameras or ROWS[name].cameras)
        measured = record("streams_realtime", code, {name: measure_row(row, wish.seconds, wish.precision)})
        recorded = json.loads(wish.json.read_text(encoding="utf-8")) if wish.json.is_file() else None
        wish.json.write_text(json.dumps(merge(recorded, measured), indent=2) + "\n", encoding="utf-8")
        shown = {key: value for key, value in measured["figures"][name].items() if key != "memory_mib_over_time"}
        print(json.dumps({name: shown}, indent=2), flush=True)
    if wish.json == RESULT:
        write("streams_realtime")


def main() -> None:
    """Some rows, or the program under measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=sorted({*ROWS, *(row.group for row in ROWS.values())}))
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--cameras", type=int, choices=range(1, CAMERAS + 1), help="instead of the row's own number")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--json", type=Path, default=RESULT, help="record to add to (default: that of the reference)")
    wish = parser.parse_args()
    if wish.child:
        json.dump(_child(wish.child, wish.seconds), sys.stdout)
        print()
    else:
        chosen = [name for name, row in ROWS.items() if not wish.only or {name, row.group} & set(wish.only)]
        _measure_and_record(chosen, wish)


if __name__ == "__main__":
    main()
