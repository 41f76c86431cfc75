"""The wiring of a run: cameras -> stream -> each camera's tracker and rules -> events -> sinks; views look on.

One `Watch` is one run. Everything below `on_result` happens in the thread that runs the detector; sinks and views never
block it, but for a lossless consumer (`watch_pipeline`, a recording of unpaced files), which is meant to.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from vedette.apps.beside_watching import BesideWatching
from vedette.apps.kept_counts import add_to_totals, begin_totals
from vedette.apps.run_report import CameraSummary, RunSummary
from vedette.apps.stage_times import StageTimes
from vedette.apps.timed_detector import timed
from vedette.apps.video import VideoParts
from vedette.apps.watched_camera import WatchedCamera
from vedette.contracts.box_health import BoxHealth
from vedette.contracts.bundle import BundleManifest
from vedette.contracts.detections import Detections, Tracks
from vedette.contracts.event import AnyEvent, BundleReference, Event
from vedette.contracts.frame import FittedFrame
from vedette.contracts.pipeline import Anchor, Camera, Pipeline
from vedette.contracts.ports import Detector, EventSink, FullPicture, SelectiveView, View
from vedette.contracts.status import CameraState, CameraStatus, Status
from vedette.edge.analytics.counts import Counts
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.analytics.events import EventMaker
from vedette.edge.analytics.heat import HeatMap
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker, TrackerSettings, update_together
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.shared_picture import NoPicture
from vedette.edge.stream.spawner import Spawner
from vedette.edge.stream.statistics import CameraStatistics

WEAK_SHARE = 0.4  # detections down to this share of the least score may continue a track, never start one (ByteTrack)

EventListener = Callable[[Event], None]
Result = tuple[FittedFrame, FullPicture, Detections]


@dataclass(frozen=True, slots=True)
class WatchOutlets:
    """Where a run's events and frames go. The run closes sinks and views at its end, but not the page, which may go on.

    `listeners` are called with every event, in order. `counted_before`, by camera, is where the page's counts go on
    from; the summary at the end is of this run alone.
    """

    sinks: Sequence[EventSink] = ()
    views: Sequence[View] = ()
    page: View | None = None
    listeners: Sequence[EventListener] = ()
    counted_before: Mapping[str, Any] = field(default_factory=dict)
    video: VideoParts | None = None  # where the cameras' own packets go

    @property
    def onlookers(self) -> tuple[View, ...]:
        """Everybody who is shown frames."""
        return (*self.views, *((self.page,) if self.page is not None else ()))


class Watch:
    """One run of a pipeline with an opened detector. `run` blocks until the cameras have ended or `stop` is called."""

    def __init__(
        self,
        pipeline: Pipeline,
        cameras: Sequence[CameraSpec],
        detector: Detector,
        bundle_digest: str,
        outlets: WatchOutlets,
        *,
        on_camera_error: Callable[[str, str], None] | None = None,
        spawner: Spawner | None = None,
        health: Callable[[], BoxHealth | None] = lambda: None,
    ) -> None:
        """A `spawner` started before the detector was opened saves its start-up time; it stays the caller's."""
        self._health = health
        self.pipeline = pipeline
        self._detector = timed(detector)
        self.outlets = outlets
        self._onlookers = outlets.onlookers
        self._on_camera_error = on_camera_error
        self.box = pipeline.box or socket.gethostname().split(".")[0] or "box"
        self._changing = threading.Lock()  # between the thread of results and whoever draws other lines
        self._least_score = least_score(pipeline, detector.manifest)
        self._watched = {camera.name: self._watch_camera(camera) for camera in pipeline.cameras}
        run = f"{time.time_ns():x}-{os.getpid():x}"
        video = outlets.video
        clip_of = None if video is None or video.clips is None else video.clips.plan
        reference = BundleReference(name=detector.manifest.name, digest=bundle_digest)
        self._maker = EventMaker(self.box, reference, run, clip_of)
        self._video = None if video is None else video.store
        self._sending = threading.Lock()
        self._beside = BesideWatching(outlets.views, video, (self.box, run), self._send)
        self._started_unix_s = time.time()
        self.heat = {} if outlets.page is None else {one.name: HeatMap(pipeline.anchor) for one in pipeline.cameras}
        self.times = StageTimes(self._decoding_s_and_frames, psutil.cpu_count() or 1)
        self.times.detector_busy_s = lambda: self._detector.busy_s
        self._stream = StreamPipeline(
            cameras,
            self._detector,
            self,
            every=pipeline.detect.every,
            fps=pipeline.detect.fps,
            batch=pipeline.detect.batch,
            isolation=pipeline.isolation,
            spawner=spawner,
            pictures=self._wants_picture,
            taps=None if video is None else video.taps,
            give_up_after_s=pipeline.reconnect.give_up_after_s,
        )

    def run(self) -> RunSummary:
        """Watch until every camera has ended, failed or been stopped."""
        began = time.monotonic()
        self._beside.listen()
        try:
            self._stream.run()
        finally:
            for view in self.outlets.views:
                view.close()
            self._beside.finish_clips()
            for sink in self.outlets.sinks:
                sink.close()
        return self._summary(time.monotonic() - began)

    def stop(self) -> None:
        """End the run within a second or two; from any thread."""
        self._stream.stop()

    def try_now(self, spec: CameraSpec) -> None:
        """Open this camera again at once if it is away, with the password in `spec`; from any thread."""
        self._stream.try_now(spec)

    def change_rules(self, pipeline: Pipeline) -> None:
        """Watch the lines and zones of this pipeline from the next frame on; its cameras are those of this run.

        Raises:
            GeometryError: a line has no length in a camera's picture; the cameras before it have been changed.
        """
        with self._changing:
            for camera in pipeline.cameras:
                watched = self._watched[camera.name]
                lines, zones = (*pipeline.lines, *camera.lines), (*pipeline.zones, *camera.zones)
                kept = watched.rules.unchanged(zones)
                watched.rules.change(lines, zones)
                if watched.misplaced:  # a line without length was all that was wrong
                    watched.misplaced, watched.error = False, None
                watched.totals.watch([line.name for line in lines], [zone.name for zone in zones], kept)
            self.pipeline = pipeline

    # -- contracts.ports.ResultHandler ----------------------------------------------------------------------------

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None:
        """One detected frame of one camera, in order."""
        self.on_results([(frame, picture, detections)])

    def on_results(self, results: Sequence[Result]) -> None:
        """Detected frames of some cameras, those of each in order."""
        several: dict[str, Result] = {}
        for result in results:
            if result[0].stamp.camera in several:
                self._track(list(several.values()))
                several.clear()
            several[result[0].stamp.camera] = result
        self._track(list(several.values()))

    def _track(self, results: Sequence[Result]) -> None:
        """Track one frame each of some cameras, then let each have its events."""
        going_on, began_s = [], time.monotonic()
        for frame, picture, detections in results:
            watched = self._watched[frame.stamp.camera]
            watched.note_slot(frame.stamp.media_time_s)
            if watched.error is not None:  # its lines cannot be placed: said once, and the other cameras go on
                continue
            if frame.stamp.still_s:
                watched.tracker.hold(frame.stamp.still_s)
                watched.rules.hold(frame.stamp.still_s)
            watched.detections += int((detections.scores >= self._least_score).sum())
            going_on.append((watched, frame, picture, detections))
        tracked = update_together(
            [watched.tracker for watched, *_ in going_on],
            [(detections, frame.stamp.media_time_s) for _, frame, _, detections in going_on],
        )
        spent_s = (time.monotonic() - began_s) / max(len(going_on), 1)
        for (watched, frame, picture, _), tracks in zip(going_on, tracked, strict=True):
            self._tell(watched, frame, picture, tracks, spent_s)

    def _tell(
        self, watched: WatchedCamera, frame: FittedFrame, picture: FullPicture, tracks: Tracks, tracking_s: float
    ) -> None:
        """What happened in a frame, to everybody who wants to know; a share of the tracking took `tracking_s`."""
        began_s = time.monotonic() - tracking_s
        try:
            with self._changing:
                made = [self._maker.make(occurrence) for occurrence in watched.rules.update(frame.stamp, tracks)]
                for event in made:  # here, since rules and totals change together
                    add_to_totals(watched.totals, event)
        except GeometryError as error:
            watched.misplaced = True
            self._fail(frame.stamp.camera, str(error))
            return
        tracked_s = time.monotonic()
        if self.heat:
            self.heat[frame.stamp.camera].add(frame.stamp, tracks)
        for event in made:
            watched.events += 1
            self._send(event)
            for listener in self.outlets.listeners:
                listener(event)
        if (batch := self._detector.last) is not None:
            self.times.add(
                batch.began_unix_s - frame.stamp.captured_unix_s,
                batch.done_unix_s - batch.began_unix_s,
                tracked_s - began_s,
                time.monotonic() - tracked_s,
            )
        self._show(frame, picture, tracks, watched)

    def on_camera_end(self, camera: str, error: str | None) -> None:
        """A camera is over; with a sentence when it failed."""
        if error is not None:
            self._fail(camera, error)

    # -- what others may ask --------------------------------------------------------------------------------------

    def status(self) -> Status:
        """How the run is doing now; from any thread."""
        statistics = self._stream.snapshot()
        return Status(
            cameras=tuple(self._camera_status(one) for one in statistics),
            engine=self._detector.engine_description,
            bundle=self._detector.manifest.name,
            box=self.box,
            started_unix_s=self._started_unix_s,
            events=sum(watched.events for watched in self._watched.values()),
            events_lost=sum(sink.lost for sink in self.outlets.sinks),
            health=self._health(),
            outlets=self._beside.status(),
            sink_problems=tuple(self._sink_problems()),
        )

    def counts(self) -> dict[str, dict[str, object]]:
        """What was counted in this run so far, by camera."""
        return {name: watched.rules.counts.to_json() for name, watched in self._watched.items()}

    def totals(self) -> dict[str, dict[str, object]]:
        """What was counted so far, by camera, with what was counted before this run."""
        return {name: watched.totals.to_json() for name, watched in self._watched.items()}

    def statistics(self) -> Sequence[CameraStatistics]:
        """The stream's own counters, by camera."""
        return self._stream.snapshot()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _decoding_s_and_frames(self) -> tuple[float, int]:
        """Processor time of the decoders, where each is a process, and how many frames they have decoded."""
        spent_s = 0.0
        for pid in self._stream.decoder_pids():
            with contextlib.suppress(psutil.Error):  # it has just ended; the next takes its place
                spent_s += sum(psutil.Process(pid).cpu_times()[:2])
        return spent_s, sum(one.frames for one in self._stream.snapshot())

    def _fail(self, camera: str, error: str) -> None:
        self._watched[camera].error = error
        if self._on_camera_error is not None:
            self._on_camera_error(camera, error)

    def _watch_camera(self, camera: Camera) -> WatchedCamera:
        lines, zones = (*self.pipeline.lines, *camera.lines), (*self.pipeline.zones, *camera.zones)
        anchor: Anchor = self.pipeline.anchor
        tracker = ByteTracker(TrackerSettings(strong_score=self._least_score))
        totals = Counts([line.name for line in lines], [zone.name for zone in zones])
        begin_totals(totals, self.outlets.counted_before.get(camera.name))
        return WatchedCamera(tracker, CameraRules(camera.name, lines, zones, anchor), totals)

    def _send(self, event: AnyEvent) -> None:
        """To all targets; from the thread of results and from those that write recordings."""
        with self._sending:
            for sink in self.outlets.sinks:
                sink.publish(event)

    def _sink_problems(self) -> Iterator[str]:
        for sink in self.outlets.sinks:
            problem = getattr(sink, "problem", None)
            if problem is not None:
                yield problem if sink.name in problem else f"{sink.name}: {problem}"

    def _wants_picture(self, camera: str) -> bool:
        return any(not isinstance(view, SelectiveView) or view.wants(camera) for view in self._onlookers)

    def _show(self, frame: FittedFrame, picture: FullPicture, tracks: Tracks, watched: WatchedCamera) -> None:
        if self._video is not None and self._video.is_held(frame.stamp.camera):
            self._video.add_tracks(frame.stamp, tracks, watched.totals.labels())
        if not self._onlookers or isinstance(picture, NoPicture):
            return
        labels = watched.totals.labels()
        for view in self._onlookers:
            view.show(frame.stamp, picture, tracks, labels)

    def _camera_status(self, one: CameraStatistics) -> CameraStatus:
        watched = self._watched[one.camera]
        state = "ended" if one.state.value == "stopped" else one.state.value
        return CameraStatus(
            name=one.camera,
            state=CameraState.FAILED if watched.error else CameraState(state),
            error=watched.error or one.error,
            offline_since_unix_s=one.offline_since_unix_s,
            width_px=one.width_px,
            height_px=one.height_px,
            frames=one.frames,
            fps=one.fps,
            detections_per_s=one.detections_per_s,
            drops=one.drops,
            restarts=one.restarts,
            reconnects=one.reconnects,
            gate=one.gate_state,
            gate_note=one.gate_note,
            gated=one.gated,
            gated_slots=one.gated_slots,
            lines=watched.rules.placed_lines,
            zones=watched.rules.placed_zones,
            counts=watched.totals.labels(),
        )

    def _summary(self, seconds: float) -> RunSummary:
        cameras = [
            CameraSummary(
                name=one.camera,
                frames=one.frames,
                slots=one.slots,
                detections=self._watched[one.camera].detections,
                events=self._watched[one.camera].events,
                drops=one.drops,
                restarts=one.restarts,
                reconnects=one.reconnects,
                offline_since_unix_s=one.offline_since_unix_s,
                gated=one.gated,
                gated_slots=one.gated_slots,
                fps=one.mean_fps,
                detected_per_s=self._watched[one.camera].detected_per_s,
                error=self._watched[one.camera].error or one.error,
            )
            for one in self._stream.snapshot()
        ]
        return RunSummary(
            cameras=cameras,
            counts=self.counts(),
            engine=self._detector.engine_description,
            seconds=seconds,
            events_published=sum(sink.published for sink in self.outlets.sinks),
            events_lost=sum(sink.lost for sink in self.outlets.sinks),
            sink_errors=[
                (sink.name, f"{sink.lost} of {sink.lost + sink.published} events were lost")
                for sink in self.outlets.sinks
                if sink.lost
            ],
            outlets=self._beside.status(),
        )


def least_score(pipeline: Pipeline, manifest: BundleManifest) -> float:
    """The score that a detection needs to be counted and to start a track."""
    return manifest.thresholds.score if pipeline.detect.score is None else pipeline.detect.score
