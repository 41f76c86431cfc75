"""The wiring of `vedette deepstream run`: deepstream-app's rates and messages -> rules -> events -> sinks; the page.

Lines and zones are evaluated here, on NVIDIA's tracks, since its messages carry no counts of nvdsanalytics. Messages,
rates and the ticks of `look` come from different threads: one lock, under which nothing waits for a network.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vedette.apps.run_report import CameraSummary, RunSummary
from vedette.apps.watching import WatchOutlets
from vedette.contracts.box_health import BoxHealth
from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Camera
from vedette.contracts.status import CameraState, CameraStatus, GateState, Status
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.analytics.events import EventMaker
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.zone import LOST_AFTER_S
from vedette.edge.deepstream.errors import MessageError
from vedette.edge.deepstream.frames import GATHER_S, CameraFormat, CameraFrames, from_signed
from vedette.edge.deepstream.messages import Message, read_message
from vedette.edge.deepstream.perf_lines import AppLine
from vedette.edge.deepstream.rendered import RenderedFacts
from vedette.edge.stream.statistics import CameraState as StreamState
from vedette.edge.stream.statistics import CameraStatistics

SILENT_S = 3.0  # no message for so long, though rates come: nothing is there to be told of
STALE_S = 12.0  # two **PERF lines are missing: whether anything runs is not known, the supervisor will judge
MOST_TOLD = 50  # different warnings that are passed on, each once
GROUND = 40


@dataclass(slots=True)
class _Camera:
    """One camera's own objects and figures."""

    frames: CameraFrames
    rules: CameraRules
    fps: float = 0.0
    pictures: float = 0.0  # decoded so far, by the rates
    detections: int = 0
    events: int = 0
    heard_s: float | None = None  # when its last message came; None once its objects were let go
    error: str | None = None


class BlankPicture:
    """What the page shows boxes on: DeepStream's messages have no picture."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._size_px = size_px

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        """A dark ground of the camera's shape."""
        width, height = self._size_px
        shown = min(width, max_width_px or width)
        return np.full((max(round(height * shown / width), 1), shown, 3), GROUND, np.uint8)  # (height, width, 3)


class DeepStreamWatch:
    """Listens to one supervised deepstream-app (`edge.deepstream.supervising.Listener`) and to its messages."""

    def __init__(
        self,
        facts: RenderedFacts,
        outlets: WatchOutlets,
        say: Callable[[str], None],
        *,
        health: Callable[[], BoxHealth | None] = lambda: None,
    ) -> None:
        self._facts, self._outlets, self._say, self._health = facts, outlets, say, health
        pipeline = facts.pipeline
        self.box = pipeline.box or socket.gethostname().split(".")[0] or "box"
        self.engine = f"DeepStream {facts.deepstream} on {facts.board}"
        self._maker = EventMaker(self.box, facts.bundle, f"{time.time_ns():x}-{os.getpid():x}")
        self._lock = threading.RLock()
        self._cameras = {camera.name: self._watch_camera(camera) for camera in pipeline.cameras}
        self._began_s, self._started_unix_s = time.monotonic(), time.time()
        self._told: set[str] = set()
        self._state = CameraState.OPENING
        self._rates_s = float("-inf")  # when the newest rates came
        self._ended_s: float | None = None
        self.restarts = self.messages = self.refused = 0

    # -- edge.deepstream.supervising.Listener -------------------------------------------------------------------------

    def on_start(self) -> None:
        """Tracks of this run are others than those before, whatever their numbers: who was there is let go."""
        with self._lock:
            for camera in self._cameras.values():
                self._let_go(camera, time.monotonic())

    def on_rates(self, rates_fps: tuple[float, ...], spent_s: float) -> None:
        with self._lock:
            self._state, self._rates_s = CameraState.RUNNING, time.monotonic()
            for camera, fps in zip(self._cameras.values(), rates_fps, strict=True):
                camera.fps = fps
                camera.pictures += fps * spent_s

    def on_line(self, line: AppLine) -> None:
        self._tell(f"deepstream-app: {line.text}")

    def on_fall(self, reason: str, pause_s: float | None) -> None:
        self._say(reason + ("" if pause_s is None else f"; starting again in {pause_s:g} s"))
        with self._lock:
            self._state = CameraState.OPENING
            self.restarts += pause_s is not None
            for camera in self._cameras.values():
                camera.fps = 0.0

    # -- messages -----------------------------------------------------------------------------------------------------

    def take_message(self, payload: bytes) -> None:
        """One message from the broker, whatever it is; never raises for its content."""
        try:
            message = read_message(payload, self._facts.class_names)
        except MessageError as error:
            with self._lock:
                self.refused += 1
            self._tell(f"{error}; it is left out, and so are others like it")
            return
        with self._lock:
            self._take(message, time.monotonic())

    def look(self, is_listening: bool) -> None:
        """Now and then: frames that are whole, and cameras of which nothing is told since nothing is there."""
        with self._lock:
            now_s = time.monotonic()
            for camera in self._cameras.values():
                if now_s - self._rates_s > STALE_S:
                    camera.fps = 0.0
                for stamp, tracks in camera.frames.flush(now_s, GATHER_S):
                    self._judge(camera, stamp, tracks)
                silent = camera.heard_s is not None and now_s - camera.heard_s > SILENT_S
                if silent and is_listening and camera.fps > 0:
                    self._let_go(camera, now_s)

    def finish(self, failure: str | None) -> None:
        """It is all over; with a sentence when it failed."""
        with self._lock:
            for camera in self._cameras.values():
                self._let_go(camera, time.monotonic())
                camera.fps, camera.error = 0.0, camera.error or failure
            self._state = CameraState.FAILED if failure else CameraState.ENDED
            self._ended_s = time.monotonic()

    # -- what others may ask ------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """How it goes now; from any thread."""
        with self._lock:
            return Status(
                cameras=tuple(self._camera_status(name, camera) for name, camera in self._cameras.items()),
                engine=self.engine,
                bundle=self._facts.bundle.name,
                box=self.box,
                started_unix_s=self._started_unix_s,
                events=sum(camera.events for camera in self._cameras.values()),
                events_lost=sum(sink.lost for sink in self._outlets.sinks),
                health=self._health(),
            )

    def statistics(self) -> Sequence[CameraStatistics]:
        """The same in the words of `vedette run`'s stream, for the service's watchdog and the progress line."""
        with self._lock:
            return [self._statistics(name, camera) for name, camera in self._cameras.items()]

    def summary(self) -> RunSummary:
        """The whole run, once it is over."""
        cameras = [
            CameraSummary(
                name=one.camera,
                frames=one.frames,
                slots=one.slots,
                detections=one.objects,
                events=self._cameras[one.camera].events,
                drops=0,
                restarts=one.restarts,
                reconnects=0,  # DeepStream opens a source again by itself, unseen
                offline_since_unix_s=None,
                gated=0,
                gated_slots=0,
                fps=one.mean_fps,
                detected_per_s=one.mean_fps / (self._facts.interval + 1),
                error=one.error,
            )
            for one in self.statistics()
        ]
        sinks = self._outlets.sinks
        return RunSummary(
            cameras=cameras,
            counts={name: camera.rules.counts.to_json() for name, camera in self._cameras.items()},
            engine=self.engine,
            seconds=self._seconds(),
            events_published=sum(sink.published for sink in sinks),
            events_lost=sum(sink.lost for sink in sinks),
            sink_errors=[
                (sink.name, f"{sink.lost} of {sink.lost + sink.published} events were lost")
                for sink in sinks
                if sink.lost
            ],
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _watch_camera(self, camera: Camera) -> _Camera:
        facts, pipeline = self._facts, self._facts.pipeline
        size, names = facts.camera_size_px, facts.class_names
        shape = CameraFormat(camera.name, size, facts.muxer_size_px, names, facts.least_score)
        lines, zones = (*pipeline.lines, *camera.lines), (*pipeline.zones, *camera.zones)
        rules = CameraRules(camera.name, lines, zones, pipeline.anchor, width=size[0], height=size[1])
        return _Camera(CameraFrames(shape), rules)

    def _take(self, message: Message, now_s: float) -> None:
        self.messages += 1
        self.refused += message.refused
        if message.refused:
            self._tell("a message has objects that make no sense; they are left out")
        camera = self._cameras.get(message.sensor)
        if camera is None:
            self.refused += 1
            self._tell(f"messages come of a camera '{message.sensor}' that is not in the pipeline; they are left out")
            return
        if camera.frames.is_new_run(message):  # messages of the run before may come late, after the new start
            self._let_go(camera, now_s)
        camera.heard_s = now_s
        untracked = camera.frames.untracked
        for stamp, tracks in camera.frames.take(message, now_s):
            self._judge(camera, stamp, tracks)
        if camera.frames.untracked > untracked:
            self._tell("objects come without a track: lines and zones cannot count them (is [tracker] enabled?)")

    def _judge(self, camera: _Camera, stamp: FrameStamp, tracks: Tracks) -> None:
        """One frame of tracks: what happened in it goes to everybody."""
        camera.detections += len(tracks)
        try:
            occurrences = camera.rules.update(stamp, tracks)
        except GeometryError as error:  # its lines cannot be placed: said once, and the other cameras go on
            camera.error = str(error)
            self._tell(str(error))
            return
        for occurrence in occurrences:
            event = self._maker.make(replace(occurrence, track_id=from_signed(occurrence.track_id)))
            camera.events += 1
            for sink in self._outlets.sinks:
                sink.publish(event)
            for listener in self._outlets.listeners:
                listener(event)
        if self._outlets.page is not None:
            blank = BlankPicture((stamp.width_px, stamp.height_px))
            self._outlets.page.show(stamp, blank, tracks, camera.rules.counts.labels())

    def _let_go(self, camera: _Camera, now_s: float) -> None:
        for stamp, tracks in camera.frames.flush(now_s):
            self._judge(camera, stamp, tracks)
        if camera.heard_s is not None:
            camera.heard_s = None
            self._judge(camera, *camera.frames.rest(2 * LOST_AFTER_S, now_s, time.time()))

    def _tell(self, text: str) -> None:
        with self._lock:
            if text in self._told or len(self._told) >= MOST_TOLD:
                return
            self._told.add(text)
        self._say(text)

    def _seconds(self) -> float:
        return (time.monotonic() if self._ended_s is None else self._ended_s) - self._began_s

    def _state_of(self, camera: _Camera) -> CameraState:
        """A camera without pictures is waited for by deepstream-app, and shown as one that is being opened."""
        if camera.error is not None:
            return CameraState.FAILED
        return CameraState.OPENING if self._state is CameraState.RUNNING and not camera.fps else self._state

    def _camera_status(self, name: str, camera: _Camera) -> CameraStatus:
        return CameraStatus(
            name=name,
            state=self._state_of(camera),
            error=camera.error,
            width_px=self._facts.camera_size_px[0],
            height_px=self._facts.camera_size_px[1],
            frames=round(camera.pictures),
            fps=camera.fps,
            detections_per_s=camera.fps / (self._facts.interval + 1),
            restarts=self.restarts,
            lines=camera.rules.placed_lines,
            zones=camera.rules.placed_zones,
            counts=camera.rules.counts.labels(),
        )

    def _statistics(self, name: str, camera: _Camera) -> CameraStatistics:
        frames, seconds = round(camera.pictures), self._seconds()
        slots = int(camera.pictures / (self._facts.interval + 1))
        return CameraStatistics(
            camera=name,
            state=StreamState(self._state_of(camera).value),
            error=camera.error,
            width_px=self._facts.camera_size_px[0],
            height_px=self._facts.camera_size_px[1],
            codec="",
            expected_frames=None,
            frames=frames,
            skipped=0,
            slots=slots,
            detected=slots,
            drops=0,
            objects=camera.detections,
            decode_errors=0,
            loops=0,
            restarts=self.restarts,
            reconnects=0,
            offline_since_unix_s=None,
            gated=0,
            gated_slots=0,
            gate_openings=0,
            gate_state=GateState.OFF,
            gate_note="",
            fps=camera.fps,
            mean_fps=camera.pictures / seconds if seconds > 0 else 0.0,
            detections_per_s=camera.fps / (self._facts.interval + 1),
            seconds=seconds,
        )
