"""One camera, once: open, decode, keep time, fit every Nth frame, hand it over, count everything, up to its first end.

For a thread (`threaded_camera`) or a process of its own (`decoder_process`). Guarantees for the others: whatever
happens to this camera ends here, as one sentence. Every frame is numbered, also those left undecoded to catch up, so
that detection stays on every Nth frame of the stream. An error that is no camera's fault (a bug) is kept in `crash` for
the pipeline to raise.
"""

import copy
import threading
import time
from dataclasses import dataclass

from av import VideoFrame

from vedette.contracts.frame import FittedFrame, FrameStamp, InputShape
from vedette.contracts.gate import GateMode
from vedette.edge.stream.cadence import make_cadence
from vedette.edge.stream.camera_gate import CameraGate
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import CameraError, Retry
from vedette.edge.stream.fitting import FrameFitter, FullFrame
from vedette.edge.stream.mailbox import Outbox, Slot
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.position import NEW, Position, Start
from vedette.edge.stream.redirects import Refuse
from vedette.edge.stream.source import FrameSource, open_source
from vedette.edge.stream.statistics import CameraCounters, CameraState
from vedette.edge.stream.timing import LATE_SLOT_S, TOO_LATE_S, FilePace, LivePace, MediaClock
from vedette.edge.stream.witness import Answer

STOP_EVERY_S = 0.2  # who waits for an answer looks whether it shall stop


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What all cameras of a run share."""

    network_input: InputShape
    every: int
    open_timeout_s: float
    read_timeout_s: float
    stop: threading.Event
    fps: float | None = None  # detections a second of media time, instead of every Nth frame
    give_up_after_s: float | None = None  # for a live camera to come back; None: it has for ever


@dataclass(frozen=True, slots=True)
class Ending:
    """How a camera ended. `seen_s` is when its last frame came, on the monotonic clock."""

    state: CameraState
    error: str | None = None
    retry: Retry = Retry.NEVER
    seen_s: float | None = None


class CameraWorker:
    """Watches one camera once; what it was before, here or elsewhere, is in `start` and in the counters."""

    def __init__(
        self,
        spec: CameraSpec,
        settings: CameraSettings,
        mailbox: Outbox,
        counters: CameraCounters,
        start: Start = NEW,
    ) -> None:
        self.spec = spec
        self.counters = counters
        self.crash: BaseException | None = None
        self.tap: PacketTap | None = None  # set before it runs, where somebody may want the packets
        self.refuse: Refuse | None = None  # set before it runs, where a redirect can be refused: it must not return
        self._settings = settings
        self._stop = settings.stop
        self._mailbox = mailbox
        self._fitter = FrameFitter(settings.network_input)
        self._clock: MediaClock | None = None
        self._clock_ahead: MediaClock | None = None  # as it will be, for frames that may be left out
        self._pace: FilePace | LivePace | None = None
        self._start = start.position
        self._bridged = start.heard_s is None
        self._after = start
        self._seen_s = start.heard_s  # when the last frame came
        self._source: FrameSource | None = None
        self._opening_s = self._opened_s = 0.0  # when it was begun to be opened, and was open
        self._index = self._start.index
        self._cadence = make_cadence(settings.every, settings.fps, self._start.media_time_s)
        self._round_began = self._index - self._start.round_frames
        self._errors_before = 0  # of a looped file's earlier rounds
        self._skipping_since: tuple[float, float] | None = None  # media time, monotonic clock
        self._gate = None if spec.gating is GateMode.OFF else CameraGate(spec.gating)
        self._handed_s = self._start.media_time_s or 0.0  # media time of the last frame handed over
        self._still = False  # slots were gated since, in stillness
        self._told = threading.Event()  # something was found
        self._catching_up = False  # after a gate looked back: late on purpose

    @property
    def position(self) -> Position:
        """How far it is; for its own thread."""
        if self._clock is None:
            return self._start
        pace_start_s = None if self._pace is None else self._pace.start_s
        return Position(self._index, *self._clock.last, self._index - self._round_began, pace_start_s)

    def watch(self) -> Ending:
        """Watch until the end, the stop or the failure of the camera. Never raises: a bug is kept in `crash`."""
        state, error, retry = CameraState.ENDED, None, Retry.NEVER
        try:
            self._watch()
        except CameraError as failure:
            state, error, retry = CameraState.FAILED, str(failure), failure.retry
        except BaseException as bug:  # noqa: BLE001 - a thread's last stop: StreamPipeline.run raises it
            self.crash = bug
            state, error = CameraState.FAILED, f"camera '{self.spec.name}': unexpected {type(bug).__name__}"
        if self._stop.is_set() and self.crash is None:
            state, error, retry = CameraState.STOPPED, None, Retry.NEVER
        return Ending(state, error, retry, self._seen_s)

    def ask_fps(self, fps: float) -> None:
        """Another rate of detections, for a run by rate; from any thread."""
        self._cadence.ask(fps)

    def tell_found(self, media_time_s: float, answer: Answer) -> None:
        """What the detection at this time says to the gate; from any thread."""
        if self._gate is not None:
            self._gate.hear(media_time_s, answer)
            self._told.set()

    def working_s(self, now: float) -> float:
        """For how long it has been at work on one packet; 0 while it waits for the next. From any thread."""
        source = self._source
        since_s = None if source is None else source.working_since_s
        return 0.0 if since_s is None else now - since_s

    def _watch(self) -> None:
        while True:
            gate = self._gate if self._gate is not None and self._gate.gates_packets else None
            settings = self._settings
            self._opening_s = time.monotonic()
            timeouts_s = (settings.open_timeout_s, settings.read_timeout_s)
            source = open_source(self.spec, *timeouts_s, gate, self.tap, refuse=self.refuse)
            self._opened_s, self._source = time.monotonic(), source
            try:
                self._play(source)
            finally:
                self._source = None
                source.close()
            if not self.spec.loop or self._stop.is_set():
                return
            self.counters.loops += 1
            self._round_began = self._index
            if self._clock is not None:
                self._clock.restart()

    def _play(self, source: FrameSource) -> None:
        counters, stop = self.counters, self._stop
        counters.codec = source.codec
        counters.expected_frames = None if self.spec.loop else source.expected_frames
        skipped_before = 0
        if self._clock is None:
            self._clock = MediaClock(source.interval_s, source.live)
            if not self.spec.is_lossless:
                self._pace = LivePace() if source.live else FilePace(self._start.pace_start_s)
            if self._start.index:
                self._go_on(source, self._clock)
        if self.tap is not None:
            self.tap.clock = self._clock
        if self.spec.is_lossless and not self.spec.decode_all:  # nobody minds a little delay
            source.leave_out(self._is_wanted)
        counters.state = CameraState.RUNNING
        self._errors_before = counters.decode_errors
        try:
            for frame in source.frames():
                if stop.is_set():
                    return
                self._count_gated(source)
                self._count_unneeded(source)
                if frame is None:
                    self._wait_for_packet(source)
                    self._mailbox.keep_informed(time.monotonic())
                    continue
                left_out = source.skipped - skipped_before
                skipped_before += left_out
                if not self._bridged:
                    left_out += self._bridge_gap(source)
                self._take(frame, source, left_out)
                self._mailbox.keep_informed(time.monotonic())
            self._count_gated(source)
            self._count_unneeded(source)
            if source.skipped > skipped_before and not source.live:  # left undecoded up to the very end
                left_out = source.skipped - skipped_before
                self._count_left_out(left_out, (self._clock.last[1] or 0.0) + left_out * self._clock.interval_s)
        finally:
            counters.decode_errors = self._errors_before + source.decode_errors

    def _go_on(self, source: FrameSource, clock: MediaClock) -> None:
        """Continue where another worker died: a file with its next keyframe, a live camera now."""
        pts_s, media_time_s = self._start.pts_s, self._start.media_time_s
        clock.go_on(None if source.live else pts_s, media_time_s)
        if not source.live:
            source.resume_after(pts_s, self._start.round_frames)

    def _bridge_gap(self, source: FrameSource) -> int:
        """Before a worker's first frame, let media time go on by how long nobody saw the camera.

        Returns how many frames a live camera sent meanwhile; none when it was away itself.
        """
        self._bridged = True
        clock, heard_s = self._clock, self._after.heard_s
        if heard_s is None or clock is None or not source.live:
            return 0
        now = time.monotonic()
        if not self._after.away:
            return max(round((now - heard_s) / clock.interval_s) - 1, 0)
        # What comes at once has waited since about when opening began, and the rest that waited follows in a burst
        came_s = self._opening_s if now - self._opened_s < clock.interval_s else now
        if self._start.media_time_s is not None:
            clock.go_on(None, self._start.media_time_s + max(came_s - heard_s - clock.interval_s, 0.0))
        return 0

    def _take(self, frame: VideoFrame, source: FrameSource, left_out: int) -> None:
        """Number and time one frame; hand it over when it is due."""
        counters = self.counters
        assert self._clock is not None
        now = time.monotonic()
        pts_s = frame.time if source.has_time_stamps else None
        if pts_s is None and source.live:
            pts_s = now
        media_time_s = self._clock.stamp(pts_s, left_out)
        if left_out:
            self._count_left_out(left_out, media_time_s - self._clock.interval_s)
        counters.count_frame(now)
        self._seen_s = now
        index = self._index
        self._index += 1
        lateness_s = 0.0 if self._pace is None else self._keep_pace(source, now, media_time_s, pts_s)
        lone_keyframe = source.gated is not None and source.gated.lone_keyframe
        if self._cadence.is_due(index, media_time_s) or lone_keyframe:
            counters.slots += 1
            counters.decode_errors = self._errors_before + source.decode_errors
            if not self._is_due(frame, media_time_s, lone_keyframe):
                counters.gated_slots += 1
            elif lateness_s > LATE_SLOT_S and not self._catching_up:
                counters.drops += 1
            else:
                self._hand_over(frame, index, media_time_s)

    def _is_due(self, frame: VideoFrame, media_time_s: float, lone_keyframe: bool) -> bool:
        """Whether to detect on a slot, by the gate if there is one. Who does not go by the clock hears it out first."""
        gate, counters = self._gate, self.counters
        if gate is None:
            return True
        while self.spec.is_lossless and gate.must_hear() and not self._stop.is_set():
            self._told.wait(STOP_EVERY_S)
            self._told.clear()
        due = gate.is_due(frame, media_time_s, lone_keyframe)
        self._still |= not (due or gate.moving)
        report = gate.report()
        counters.gate_state, counters.gate_note, counters.gate_openings = report.state, report.note, report.openings
        return due

    def _count_gated(self, source: FrameSource) -> None:
        """Number and time the frames that the gate left undecoded, as if they had been decoded."""
        if source.gated is None or not source.gated.undecoded or self._clock is None:
            return
        times_s = source.gated.take_undecoded()
        media_time_s = 0.0
        for pts_s in times_s:
            media_time_s = self._clock.stamp(pts_s)
        if times_s:
            due = self._pass_over(len(times_s), media_time_s)
            self.counters.gated += len(times_s)
            self.counters.slots += due
            self.counters.gated_slots += due
            self._still |= due > 0

    def _is_wanted(self, ahead: int, pts_s: float) -> bool:
        """Whether the frame that comes so many behind the next one is due; asked for one after the other."""
        if self._clock is None:
            return True
        if ahead == 0 or self._clock_ahead is None:
            self._clock_ahead = copy.copy(self._clock)
        return self._cadence.expects(self._index + ahead, self._clock_ahead.stamp(pts_s))

    def _count_unneeded(self, source: FrameSource) -> None:
        """Number and time the frames that no due frame builds on, as if they had been decoded."""
        times_s = () if source.unneeded is None else source.unneeded.take_left_out()
        if not times_s or self._clock is None:
            return
        now, media_time_s = time.monotonic(), 0.0
        for pts_s in times_s:
            media_time_s = self._clock.stamp(pts_s)
            self.counters.count_frame(now)
        self._pass_over(len(times_s), media_time_s)

    def _wait_for_packet(self, source: FrameSource) -> None:
        """A file that is paced gives its packets, too, in its own time."""
        if isinstance(self._pace, FilePace) and source.gated is not None and self._clock is not None:
            pts_s = source.gated.packet_time_s
            media_time_s = None if pts_s is None else self._clock.preview(pts_s)
            if media_time_s is not None:
                early_s = -self._pace.lateness_s(time.monotonic(), media_time_s)
                if early_s > 0:
                    self._stop.wait(early_s)

    def _keep_pace(self, source: FrameSource, now: float, media_time_s: float, pts_s: float | None) -> float:
        """Wait when early, skip ahead when far too late; how late the frame is, at least 0."""
        pace = self._pace
        assert pace is not None
        if self._skipping_since is not None:
            media_then, then = self._skipping_since
            pace.skipped(media_time_s - media_then, now - then)
            self._skipping_since = None
        lateness_s = pace.lateness_s(now, media_time_s)
        backlog = source.gated is not None and source.gated.backlog
        self._catching_up = backlog or (self._catching_up and lateness_s > LATE_SLOT_S)
        if lateness_s < 0:
            self._stop.wait(-lateness_s)
            return 0.0
        if lateness_s > TOO_LATE_S and self._skipping_since is None and not backlog:
            self._catching_up = False
            source.skip_to(None if pts_s is None else pts_s + lateness_s)
            self._skipping_since = (media_time_s, now)
        return lateness_s

    def _count_left_out(self, count: int, until_s: float) -> None:
        due = self._pass_over(count, until_s)
        self.counters.skipped += count
        self.counters.slots += due
        self.counters.drops += due

    def _pass_over(self, count: int, until_s: float) -> int:
        """Number frames that were not decoded, the last of them at `until_s`; how many of them were slots."""
        before, self._index = self._index, self._index + count
        return self._cadence.pass_over(before, count, until_s)

    def _hand_over(self, frame: VideoFrame, index: int, media_time_s: float) -> None:
        captured_unix_s = time.time()
        place = self._mailbox.make_room(patient=self._catching_up)
        pixels, placement = self._fitter.fit(frame, place)
        width_px, height_px = placement.source_width_px, placement.source_height_px
        self.counters.width_px, self.counters.height_px = width_px, height_px
        still_s = self._still_s(media_time_s)
        stamp = FrameStamp(self.spec.name, index, media_time_s, captured_unix_s, width_px, height_px, still_s)
        slot = Slot(FittedFrame(stamp, placement, pixels), FullFrame(frame), self._catching_up)
        self.counters.drops += self._mailbox.put(slot)

    def _still_s(self, media_time_s: float) -> float:
        """How long, up to a frame that is handed over, the gate let nothing be detected on."""
        still, since_s = self._still, self._handed_s
        self._still, self._handed_s = False, media_time_s
        if not still or self._clock is None:
            return 0.0
        return max(media_time_s - since_s - self._cadence.spacing_s(self._clock.interval_s), 0.0)
