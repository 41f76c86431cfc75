"""What an open live page costs: 8 cameras of 1080p30, with and without somebody who reads all their video.

One run, in which spans without and with a viewer take turns, so that whatever else the machine does weighs on both
alike. Counted is the processor time of the run with all its decoders; the viewer is another process, as a browser is,
and is not. It reads the endless answer of all tiles and asks for news twice a second, as the page does. Every fifth
frame of each camera is said to show five objects, whose boxes travel along. The machine need not be quiet: processor
time is compared, not wall time.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vedette.contracts.detections import Detections, Tracks
from vedette.contracts.frame import FittedFrame, Placement
from vedette.contracts.pipeline import GateMode
from vedette.contracts.ports import FullPicture
from vedette.contracts.status import CameraState, CameraStatus, Status
from vedette.edge.live.page import LivePage
from vedette.edge.live.video_routes import VideoRoutes
from vedette.edge.live.video_store import VideoStore
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.packet_taps import PacketTaps
from vedette.edge.stream.pipeline import StreamPipeline

CAMERAS, FPS, EVERY, OBJECTS = 8, 30, 5, 5
SPAN_S, SETTLE_S, ROUNDS = 10.0, 7.0, 4  # the packets flow 5 s longer than somebody looks
VIEWER = """
import http.client, sys, threading, time
host, cameras = sys.argv[1], sys.argv[2:]
query = "&".join("camera=" + name for name in cameras)
def news():
    link = http.client.HTTPConnection(host)
    while True:
        link.request("POST", "/next", b'{"cameras": []}', {"Content-Type": "application/json"})
        link.getresponse().read()
        time.sleep(0.5)
threading.Thread(target=news, daemon=True).start()
link = http.client.HTTPConnection(host)
link.request("GET", "/video?" + query)
answer = link.getresponse()
total = 0
while data := answer.read1(65536):
    total += len(data)
    if total >> 20 != (total - len(data)) >> 20: print(total, flush=True)
"""


class _NoDetector:
    """`contracts.ports.Detector` that finds nothing at once: not what is measured here."""

    engine_name = engine_description = "none"

    def __init__(self) -> None:
        from vedette.contracts.bundle import InputSpec

        self.manifest: Any = type("Manifest", (), {"input": InputSpec(width=416, height=416)})

    def __call__(self, image_hwc_bgr_u8: Any) -> Detections:
        raise NotImplementedError

    def detect_fitted(self, pixels_nhwc_rgb: Any, placements: Sequence[Placement]) -> list[Detections]:
        empty = np.zeros((0, 4), np.float32)  # (boxes, 4) float32
        return [Detections(empty, np.zeros(0, np.float32), np.zeros(0, np.int32), ("thing",)) for _ in placements]


class _Found:
    """`contracts.ports.ResultHandler` that says there were five objects."""

    def __init__(self, store: VideoStore) -> None:
        self._store = store
        boxes = np.array([[100 + 300 * n, 200, 300 + 300 * n, 600] for n in range(OBJECTS)], np.float32)
        ids = np.arange(1, OBJECTS + 1, dtype=np.int64)
        self._tracks = Tracks(ids, boxes, np.full(OBJECTS, 0.9, np.float32), np.zeros(OBJECTS, np.int32), ("thing",))

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None:
        if self._store.is_held(frame.stamp.camera):
            self._store.add_tracks(frame.stamp, self._tracks, {"gate a_to_b thing": frame.stamp.index})

    def on_camera_end(self, camera: str, error: str | None) -> None:
        if error is not None:
            raise SystemExit(error)


def measure() -> dict[str, Any]:
    """Core seconds a second, without and with a viewer."""
    data = Path(os.environ.get("VEDETTE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    clip = data / "videos" / "busy_1080p30_h264.mp4"
    names = [f"camera-{number}" for number in range(CAMERAS)]
    store = VideoStore(names)
    taps = PacketTaps(store)
    store.wish_by(taps.want)
    specs = [CameraSpec(name, str(clip), loop=True, realtime=True, gate=GateMode.OFF) for name in names]
    pipeline = StreamPipeline(specs, _NoDetector(), _Found(store), every=EVERY, taps=taps, pictures=False)
    routes = VideoRoutes(store)
    status = Status(tuple(CameraStatus(name, CameraState.RUNNING, width_px=1920, height_px=1080) for name in names))
    with LivePage(port=0, status=lambda: status, routes=routes.routes) as page:
        watching = threading.Thread(target=pipeline.run)
        watching.start()
        time.sleep(SETTLE_S)
        spans = [_span(page, pipeline, names, watched=number % 2 == 1) for number in range(2 * ROUNDS)]
        pipeline.stop()
        watching.join()
    routes.close()
    alone, watched = spans[::2], spans[1::2]
    pairs = list(zip(alone, watched, strict=True))
    extra = {part: [seen[part] - unseen[part] for unseen, seen in pairs] for part in ("run", "decoders")}
    return {
        "cameras": CAMERAS,
        "clip": clip.name,
        "megabits_per_s": statistics.median(span["megabits_per_s"] for span in watched),
        "frames_per_s": statistics.median(span["frames_per_s"] for span in spans),
        "cores_without_viewer": {part: statistics.median(span[part] for span in alone) for part in extra},
        "cores_with_viewer": {part: statistics.median(span[part] for span in watched) for part in extra},
        "cost_in_cores": sum(statistics.median(values) for values in extra.values()),
        "cost_in_cores_of_each_round": extra,
        "packets_dropped": sum(taps.dropped.values()),
    }


def _span(page: LivePage, pipeline: StreamPipeline, names: Sequence[str], *, watched: bool) -> dict[str, float]:
    viewer = None
    if watched:
        command = [sys.executable, "-c", VIEWER, page.url.split("/")[2], *names]
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(SETTLE_S)
    run = psutil.Process()
    processes = [one for one in run.children(recursive=True) if viewer is None or one.pid != viewer.pid]
    read = _Reader(viewer)
    before_s, began, bytes_before = (_spent_s([run]), _spent_s(processes)), time.monotonic(), read.total
    frames_before = _decoded(pipeline)
    time.sleep(SPAN_S)
    wall_s = time.monotonic() - began
    run_s, decoders_s = _spent_s([run]) - before_s[0], _spent_s(processes) - before_s[1]
    frames = _decoded(pipeline) - frames_before
    megabits = (read.total - bytes_before) * 8 / 1e6 / wall_s
    if viewer is not None:
        viewer.kill()
        viewer.wait()
    # By frame: decoders that a busy machine keeps from decoding all of them would seem to cost less
    decoders = decoders_s / frames * CAMERAS * FPS
    return {"run": run_s / wall_s, "decoders": decoders, "megabits_per_s": megabits, "frames_per_s": frames / wall_s}


class _Reader:
    """Follows what the viewer says that it has read."""

    def __init__(self, viewer: "subprocess.Popen[str] | None") -> None:
        self.total = 0
        if viewer is not None:
            threading.Thread(target=self._run, args=(viewer,), daemon=True).start()

    def _run(self, viewer: "subprocess.Popen[str]") -> None:
        assert viewer.stdout is not None
        for line in viewer.stdout:
            self.total = int(line)


def _decoded(pipeline: StreamPipeline) -> int:
    return sum(one.frames for one in pipeline.snapshot())


def _spent_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
