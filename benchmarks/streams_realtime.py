"""Cameras in real time: clips paced by their time stamps and looped, the gate off, detection on every 5th frame.

N is the largest number up to 8 whose N x 30 frames a second lie within 0.90 of the floor measured in the same run.
After three minutes: slots missed (limit 1 %) and the time from a frame's capture to its event's arrival at a sink,
95th percentile (limit 400 ms). Then all 8 cameras with the 416x256 network. Memory over the run stands in the figures.

    python -m benchmarks.streams_realtime [--seconds 180] [--cameras N] [--precision int8] [--size 416x256]
"""

import argparse
import json
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.stream_material import CAMERAS, Workload, scene_bundle, scene_clips
from benchmarks.stream_measuring import floor, weigh
from benchmarks.streams import write_pipeline

SECONDS, FPS, WITHIN = 180, 30, 0.90
LIMITS = {"missed_slots_share": 0.01, "event_latency_p95_ms": 400}


def measure(seconds: int = SECONDS, precision: str = "int8") -> dict[str, Any]:
    """The largest N at 416x416, and all eight at 416x256."""
    found = {}
    for size, cameras in (("416x416", None), ("416x256", CAMERAS)):
        found[size] = measure_size(size, cameras, seconds, precision)
    return found


def measure_size(size: str, cameras: int | None, seconds: int, precision: str) -> dict[str, Any]:
    """One network size; without a number of cameras, as many as the floor allows."""
    clips, lines = scene_clips()
    workload = Workload(f"realtime-{size}", clips, lines, scene_bundle(size), "drawn belts in real time")
    bare = floor(workload.bundle, precision, clips)
    floor_fps = bare["frames"] / bare["wall_s"]
    count = cameras or max(min(int(WITHIN * floor_fps / FPS), CAMERAS), 1)
    pipeline = write_pipeline(workload, clips[:count], precision, realtime=True, loop=True)
    ours = weigh(["-m", "benchmarks.streams_realtime", "--child", pipeline, "--seconds", seconds])
    said, over_time = ours["said"], ours["pss_mib_over_time"]
    return {
        "size": size,
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


def _child(pipeline: Path, seconds: float) -> dict[str, Any]:
    """Run for so long with a sink that notes when events arrive."""
    import numpy as np

    from vedette.apps import run
    from vedette.apps.pipeline_file import read_pipeline

    settings = read_pipeline(pipeline)
    sink = _Stopwatch()
    with run.start_spawner(settings) as spawner:
        opened, detector = run.open_pipeline_detector(settings)
        watch = run.build_watch(settings, opened, detector, None, sinks=[sink], spawner=spawner)
        timer = threading.Timer(seconds, watch.stop)
        timer.start()
        began = time.monotonic()
        watch.run()
        took_s = time.monotonic() - began
    cameras = watch.statistics()
    slots, drops = sum(camera.slots for camera in cameras), sum(camera.drops for camera in cameras)
    p50, p95, p99 = np.percentile(sink.latencies_ms, (50, 95, 99)) if sink.latencies_ms else (0, 0, 0)
    return {
        "seconds": round(took_s, 1),
        "frames_per_s": round(sum(camera.frames for camera in cameras) / took_s, 1),
        "slots": slots,
        "missed_slots": drops,
        "missed_slots_share": round(drops / slots, 5),
        "skipped_frames": sum(camera.skipped for camera in cameras),
        "restarts": sum(camera.restarts for camera in cameras),
        "events": len(sink.latencies_ms),
        "event_latency_ms": {"p50": round(float(p50)), "p95": round(float(p95)), "p99": round(float(p99))},
    }


class _Stopwatch:
    """`contracts.ports.EventSink`."""

    name, published, lost = "stopwatch", 0, 0

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []

    def publish(self, event: Any) -> None:
        captured_s = datetime.fromisoformat(event.time.replace("Z", "+00:00")).timestamp()
        self.latencies_ms.append(1e3 * (time.time() - captured_s))

    def close(self) -> None: ...


def main() -> None:
    """One measurement, or the program under measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--cameras", type=int)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--size", default="416x416")
    wish = parser.parse_args()
    if wish.child:
        found = _child(wish.child, wish.seconds)
    else:
        found = measure_size(wish.size, wish.cameras, wish.seconds, wish.precision)
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
