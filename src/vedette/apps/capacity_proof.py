"""Holds a prediction against runs of the real thing: decoders, engine and trackers together, without gates.

First as fast as possible, which tells how many cameras the processors carry at full load, as a fraction; then in real
time with the number to plan with, and with more than the box can carry, which must show.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from vedette.apps.beside import working_beside
from vedette.apps.capacity_clips import CapacityClip
from vedette.apps.capacity_measuring import BATCH, live_cpu_seconds, run_for
from vedette.apps.capacity_report import PacedRun, Proof
from vedette.contracts.detections import Detections
from vedette.contracts.frame import FittedFrame
from vedette.contracts.ports import Detector, FullPicture, Progress
from vedette.edge.analytics.track import ByteTracker, TrackerSettings
from vedette.edge.engines.opening import available_processors
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.capacity import Answer
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.spawner import Spawner

MORE = 1.25  # of full load: must not keep up
TICK_S = 0.5
QUEUED = 10  # detections of each camera after which all queues between decoder and engine are full


class Prover:
    """Runs of `seconds` each; `progress` advances with time."""

    def __init__(self, spawner: Spawner | None, seconds: float, progress: Progress) -> None:
        self._spawner = spawner
        self._seconds = seconds
        self._progress = progress
        self._processors = available_processors()

    def prove(self, clip: CapacityClip, detector: Detector, every: int, answer: Answer) -> Proof:
        """Three runs."""
        cameras = max(self._processors, round(answer.full))
        counts = sorted({max(answer.planned, 1), max(math.ceil(MORE * answer.full), answer.planned + 1)})
        self._progress.start(f"proving {clip.label}", round((1 + len(counts)) * self._seconds / TICK_S), "half seconds")
        begin, end = self._full_load(clip, detector, every, cameras)
        frames = max(end.detected - begin.detected, 1) * every
        cpu_s, wall_s = end.cpu_s - begin.cpu_s, end.wall_s - begin.wall_s
        others_s = end.machine_s - begin.machine_s - cpu_s
        return Proof(
            predicted=answer.full,
            measured=frames / wall_s / clip.frames_per_s,
            measured_by_cpu=self._processors * frames / cpu_s / clip.frames_per_s,
            others=min(max(others_s / wall_s / self._processors, 0.0), 1.0),
            paced=tuple(self._paced(clip, detector, every, count) for count in counts),
        )

    def _full_load(self, clip: CapacityClip, detector: Detector, every: int, cameras: int) -> "tuple[_Mark, _Mark]":
        """As fast as possible, from when all queues are full to the end; a detection stands for its frames then."""
        pipeline, handler = self._pipeline(clip, detector, every, (cameras, False))
        marks: list[_Mark] = []

        def mark() -> None:
            detected = sum(camera.detected for camera in pipeline.snapshot())
            marks.append(_Mark(detected, live_cpu_seconds(self._spawner), time.monotonic(), _busy_s()))

        def watch(over: threading.Event) -> None:
            latest_s = time.monotonic() + self._seconds
            while not over.wait(0.05) and time.monotonic() < latest_s:
                if handler.results >= QUEUED * cameras:
                    break
            mark()
            over.wait(self._seconds)
            mark()
            pipeline.stop()

        with working_beside(watch, "vedette-stop"), self._ticking():
            pipeline.run()
        return marks[0], marks[-1]

    def _paced(self, clip: CapacityClip, detector: Detector, every: int, cameras: int) -> PacedRun:
        pipeline, handler = self._pipeline(clip, detector, every, (cameras, True))
        with self._ticking():
            run = run_for(pipeline, self._seconds, self._spawner)
        late_s = min(handler.start_s or 0.0, self._seconds / 2)  # opening cameras is no part of the work
        slots = sum(one.slots for one in run.cameras)
        drops = sum(one.drops for one in run.cameras)
        return PacedRun(cameras, drops / max(slots, 1), run.frames / (run.wall_s - late_s) / cameras)

    def _pipeline(
        self, clip: CapacityClip, detector: Detector, every: int, how: tuple[int, bool]
    ) -> "tuple[StreamPipeline, Tracked]":
        """`how`: so many cameras, in real time or not."""
        cameras, realtime = how
        specs = [
            CameraSpec(f"camera-{number}", clip.path, loop=True, realtime=realtime, decode_all=True)
            for number in range(cameras)
        ]
        handler = Tracked(detector.manifest.thresholds.score)
        return StreamPipeline(specs, detector, handler, every, BATCH, spawner=self._spawner, pictures=False), handler

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        def tick(over: threading.Event) -> None:
            for _ in range(round(self._seconds / TICK_S)):
                if over.wait(TICK_S):
                    return
                self._progress.advance()

        with working_beside(tick, "vedette-progress"):
            yield


class Tracked:
    """A `contracts.ports.ResultHandler` that tracks objects. `start_s`: how long the first result took."""

    def __init__(self, least_score: float) -> None:
        self._settings = TrackerSettings(strong_score=least_score)
        self._trackers: dict[str, ByteTracker] = {}
        self._began_s = time.monotonic()
        self.start_s: float | None = None
        self.results = 0

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None:
        if self.start_s is None:
            self.start_s = time.monotonic() - self._began_s
        self.results += 1
        tracker = self._trackers.setdefault(frame.stamp.camera, ByteTracker(self._settings))
        tracker.update(detections, frame.stamp.media_time_s)

    def on_camera_end(self, camera: str, error: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Mark:
    """A run at one moment: frames detected on, processor seconds of the run and of the machine, the clock."""

    detected: int
    cpu_s: float
    wall_s: float
    machine_s: float


def _busy_s() -> float:
    """Busy seconds of all processors, of whatever program."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))
