"""What Roboflow's `trackers` makes of given detections, and how long each frame takes it.

    python trackers_package.py JOBS.json RESULTS.json

Default settings; every job runs with the time of each frame and, again, at a fixed rate. Runs in an environment of its
own (`pip install trackers`), started by benchmarks/tracking.py; nothing of ours is imported.
"""

import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import supervision
from trackers import ByteTrackTracker, SORTTracker

TRACKERS = {"SORT": SORTTracker, "ByteTrack": ByteTrackTracker}
PACKAGES = ("trackers", "supervision", "numpy", "scipy")


def run(tracker: Any, frames: list[dict[str, Any]], *, timed: bool) -> dict[str, Any]:
    tracks, durations_s = [], []
    for frame in frames:
        boxes = np.array(frame["boxes_xyxy_px"], np.float32).reshape(-1, 4)
        detections = supervision.Detections(
            xyxy=boxes, confidence=np.array(frame["scores"], np.float32), class_id=np.zeros(len(boxes), np.int64)
        )
        began = time.perf_counter()
        found = tracker.update(detections, **({"timestamp": frame["time_s"]} if timed else {}))
        durations_s.append(time.perf_counter() - began)
        followed = found.tracker_id >= 0
        tracks.append({"ids": found.tracker_id[followed].tolist(), "boxes_xyxy_px": found.xyxy[followed].tolist()})
    return {"tracks": tracks, "median_us": round(statistics.median(durations_s) * 1e6, 1)}


def main() -> None:
    source, target = sys.argv[1:]
    results: dict[str, Any] = {name: {} for name in TRACKERS}
    for job in json.loads(Path(source).read_text(encoding="utf-8")):
        for name, make in TRACKERS.items():
            results[name][job["name"]] = {
                way: run(make(frame_rate=job["frames_per_s"]), job["frames"], timed=way == "timed")
                for way in ("timed", "fixed rate")
            }
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    Path(target).write_text(json.dumps({"versions": versions, "results": results}), encoding="utf-8")


if __name__ == "__main__":
    main()
