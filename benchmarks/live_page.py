"""What an open live page costs: 8 cameras of 1080p30, with and without somebody who reads all their video.

One run, in which spans without and with a viewer take turns, so that whatever else the machine does weighs on both
alike. The cameras are processes that demux a clip in its own time and pass its packets through the tap, as decoders do,
but decode nothing: what decoding takes does not depend on viewers, and would drown the difference. Counted is the
processor time of the run and of those processes; the viewer is another process, as a browser is, and is not. It reads
the endless answer of all tiles and asks for news twice a second, as the page does. Six times a second each camera is
said to show five objects, whose boxes travel along.
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

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.status import CameraState, CameraStatus, Status
from vedette.edge.live.page import LivePage
from vedette.edge.live.video_routes import VideoRoutes
from vedette.edge.live.video_store import VideoStore
from vedette.edge.stream.packet_taps import PacketTaps

CAMERAS, FPS, EVERY, OBJECTS = 8, 30, 5, 5
SPAN_S, SETTLE_S, ROUNDS = 8.0, 7.0, 4  # the packets flow 5 s longer than somebody looks
CAMERA = """
import socket, sys, time, av
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.packet_wire import SocketOutlet
tap = PacketTap(SocketOutlet(socket.socket(fileno=int(sys.argv[2]))))
began, before_s = time.monotonic(), 0.0
while True:
    with av.open(sys.argv[1]) as container:
        stream = container.streams.video[0]
        tap.open(stream)
        time_s = 0.0
        for packet in container.demux(stream):
            tap.take(packet)
            if packet.dts is not None:
                time_s = before_s + float(packet.dts * packet.time_base)
                time.sleep(max(began + time_s - time.monotonic(), 0))
        before_s = time_s
"""
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
    if total >> 20 != (total - len(data)) >> 20:
        print(total, flush=True)
"""


def measure() -> dict[str, Any]:
    """Core seconds a second, without and with a viewer."""
    data = Path(os.environ.get("VEDETTE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    clip = data / "videos" / "busy_1080p30_h264.mp4"
    names = [f"camera-{number}" for number in range(CAMERAS)]
    store = VideoStore(names)
    taps = PacketTaps(store)
    store.wish_by(taps.want)
    routes = VideoRoutes(store)
    status = Status(tuple(CameraStatus(name, CameraState.RUNNING, width_px=1920, height_px=1080) for name in names))
    stop = threading.Event()
    with LivePage(port=0, status=lambda: status, routes=routes.routes) as page:
        cameras = [_begin_camera(taps, name, clip) for name in names]
        detecting = threading.Thread(target=_detect, args=(store, stop))
        detecting.start()
        time.sleep(SETTLE_S)
        spans = [_span(page, cameras, names, watched=number % 2 == 1) for number in range(2 * ROUNDS)]
        stop.set()
        detecting.join()
        for camera in cameras:
            camera.kill()
            camera.wait()
    routes.close()
    alone, watched = spans[::2], spans[1::2]
    pairs = list(zip(alone, watched, strict=True))
    extra = {part: [seen[part] - unseen[part] for unseen, seen in pairs] for part in ("run", "cameras")}
    return {
        "cameras": CAMERAS,
        "clip": clip.name,
        "megabits_per_s": statistics.median(span["megabits_per_s"] for span in watched),
        "cores_without_viewer": {part: statistics.median(span[part] for span in alone) for part in extra},
        "cores_with_viewer": {part: statistics.median(span[part] for span in watched) for part in extra},
        "cost_in_cores": sum(statistics.median(values) for values in extra.values()),
        "cost_in_cores_of_each_round": extra,
        "packets_dropped": sum(taps.dropped.values()),
        "load_of_the_machine": os.getloadavg()[0],
    }


def _begin_camera(taps: PacketTaps, name: str, clip: Path) -> "subprocess.Popen[bytes]":
    with taps.attach(name) as theirs:
        command = [sys.executable, "-c", CAMERA, str(clip), str(theirs.fileno())]
        return subprocess.Popen(command, pass_fds=[theirs.fileno()])


def _detect(store: VideoStore, stop: threading.Event) -> None:
    """Say that there were five objects, as often as a run that detects on every fifth frame."""
    boxes = np.array([[100 + 300 * n, 200, 300 + 300 * n, 600] for n in range(OBJECTS)], np.float32)
    ids = np.arange(1, OBJECTS + 1, dtype=np.int64)
    seen = Tracks(ids, boxes, np.full(OBJECTS, 0.9, np.float32), np.zeros(OBJECTS, np.int32), ("thing",))
    index = 0
    while not stop.wait(EVERY / FPS):
        index += EVERY
        for camera in store.tracks:
            if store.is_held(camera):
                stamp = FrameStamp(camera, index, index / FPS, time.time(), 1920, 1080)
                store.add_tracks(stamp, seen, {"gate a_to_b thing": index})


def _span(
    page: LivePage, cameras: "Sequence[subprocess.Popen[bytes]]", names: Sequence[str], *, watched: bool
) -> dict[str, float]:
    viewer = None
    if watched:
        command = [sys.executable, "-c", VIEWER, page.url.split("/")[2], *names]
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(SETTLE_S)
    read = _Reader(viewer)
    processes = [psutil.Process(camera.pid) for camera in cameras]
    before_s, began, bytes_before = (_spent_s([psutil.Process()]), _spent_s(processes)), time.monotonic(), read.total
    time.sleep(SPAN_S)
    wall_s = time.monotonic() - began
    run_s, cameras_s = _spent_s([psutil.Process()]) - before_s[0], _spent_s(processes) - before_s[1]
    megabits = (read.total - bytes_before) * 8 / 1e6 / wall_s
    if viewer is not None:
        viewer.kill()
        viewer.wait()
    return {"run": run_s / wall_s, "cameras": cameras_s / wall_s, "megabits_per_s": megabits}


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


def _spent_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
