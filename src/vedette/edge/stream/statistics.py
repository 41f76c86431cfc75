"""What each camera has done so far: counters written on the way, frozen snapshots for whoever looks.

Every counter has one writing thread (named beside it) and any number of readers, so counting takes no lock; a snapshot
may be one frame out of date. A camera in a process of its own counts there and sends its `Tally` over. Rates are over
the last seconds, and fall to 0 when nothing comes any more. Invariant at the end of a run that was not stopped:
slots = detected + drops + gated_slots.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from vedette.contracts.status import GateState

RATE_WINDOW_S = 5.0
SAMPLE_EVERY_S = 0.5


class CameraState(str, Enum):
    """`ended` is a file's end; `stopped` means that the caller stopped the run; `failed` comes with an error.

    `offline` is a live camera that gives nothing and is opened again and again.
    """

    OPENING = "opening"
    RUNNING = "running"
    OFFLINE = "offline"
    ENDED = "ended"
    STOPPED = "stopped"
    FAILED = "failed"


# What a camera's own thread counts, by the names of `CameraCounters`
Tally: TypeAlias = dict[str, int | str | None]
TALLY_COUNTS = (
    "width_px", "height_px", "frames", "skipped", "gated", "slots", "gated_slots", "gate_openings", "drops",
    "decode_errors", "loops",
)  # fmt: skip


def check_tally(document: Any) -> Tally:
    """A tally that came from elsewhere.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    tally: Tally = {name: int(document[name]) for name in TALLY_COUNTS}
    expected = document["expected_frames"]
    tally["expected_frames"] = None if expected is None else int(expected)
    states = {"state": CameraState(document["state"]).value, "gate_state": GateState(document["gate_state"]).value}
    return tally | states | {"codec": str(document["codec"]), "gate_note": str(document["gate_note"])}


@dataclass(frozen=True, slots=True)
class CameraStatistics:
    """One camera at one moment.

    `expected_frames` is what a file says it holds, None for live and looped cameras. `frames` counts decoded frames and
    those of a file that no due frame builds on; `skipped` those left undecoded to catch up with the clock, `gated`
    those left undecoded since nothing happened. A slot is a frame that detection is due on (every Nth, and each
    keyframe looked at while the gate is shut); each is `detected` or counted in `drops` or, since nothing moved, in
    `gated_slots`. `objects` counts detections. `restarts` counts how often its decoder died and another went on,
    `reconnects` how often the camera came back after it was away; `offline_since_unix_s` says since when it is away
    now, and `error` why. `fps` and `detections_per_s` (slots detected a second) are those of the last seconds,
    `mean_fps` of the whole run.
    """

    camera: str
    state: CameraState
    error: str | None
    width_px: int
    height_px: int
    codec: str
    expected_frames: int | None
    frames: int
    skipped: int
    slots: int
    detected: int
    drops: int
    objects: int
    decode_errors: int
    loops: int
    restarts: int
    reconnects: int
    offline_since_unix_s: float | None
    gated: int
    gated_slots: int
    gate_openings: int
    gate_state: GateState
    gate_note: str
    fps: float
    mean_fps: float
    detections_per_s: float
    seconds: float


class CameraCounters:
    """The counters of one camera. `clock` is the time of `sample` and `snapshot`, in seconds, never backward."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        # Written by the camera's own thread.
        self.state = CameraState.OPENING
        self.error: str | None = None
        self.width_px = self.height_px = 0
        self.codec = ""
        self.expected_frames: int | None = None
        self.frames = self.skipped = self.slots = self.drops = self.decode_errors = self.loops = 0
        self.gated = self.gated_slots = self.gate_openings = 0
        self.gate_state, self.gate_note = GateState.OFF, ""
        # Written by the thread that listens to a camera in another process.
        self.restarts = self.overtaken = 0  # overtaken: slots lost here, on top of the camera's own drops
        # Written by the thread that opens the camera again (`reconnect`), which is also the one that takes frames.
        self.reconnects = 0
        self.offline_since_unix_s: float | None = None
        self.offline_reason: str | None = None
        self.on_return: Callable[[], None] | None = None  # called with the first frame after it was away
        # Written by the thread that runs the detector.
        self.detected = self.objects = 0
        self._began: float | None = None
        self._finished: float | None = None
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=int(RATE_WINDOW_S / SAMPLE_EVERY_S) + 2)
        self._next_sample = self._last_frame = 0.0

    def begin(self, now: float) -> None:
        """The camera is about to be opened; `seconds` and `mean_fps` count from here."""
        self._began = now
        self._samples.append((now, 0, 0))
        self._next_sample = now + SAMPLE_EVERY_S

    def count_frame(self, now: float) -> None:
        """One more decoded frame."""
        self.frames += 1
        self._sample(now)
        if self.offline_since_unix_s is not None:
            self._come_back()

    def tally(self) -> Tally:
        """What the camera's own thread has counted."""
        counts: Tally = {name: getattr(self, name) for name in TALLY_COUNTS}
        states: Tally = {"state": self.state.value, "gate_state": self.gate_state.value, "gate_note": self.gate_note}
        return counts | states | {"expected_frames": self.expected_frames, "codec": self.codec}

    def adopt(self, tally: Tally, now: float) -> None:
        """Take over what a camera's thread elsewhere has counted, here or before."""
        frames_before = self.frames
        states = {"state": CameraState(tally["state"]), "gate_state": GateState(tally["gate_state"])}
        vars(self).update(tally | states)  # at once: somebody may look
        if self.frames > frames_before:
            self._sample(now)
            if self.offline_since_unix_s is not None:
                self._come_back()

    def go_offline(self, reason: str, since_unix_s: float) -> None:
        """The camera gives nothing any more, or did not from the beginning; a second reason takes the first's place."""
        if self.offline_since_unix_s is None:
            self.offline_since_unix_s = since_unix_s
        self.offline_reason = reason

    def _come_back(self) -> None:
        if self.on_return is not None:
            self.on_return()
        self.offline_since_unix_s = self.offline_reason = None

    def _sample(self, now: float) -> None:
        self._last_frame = now
        if now >= self._next_sample:
            self._samples.append((now, self.frames, self.detected))
            self._next_sample = now + SAMPLE_EVERY_S

    def finish(self, state: CameraState, error: str | None, now: float) -> None:
        """The camera is over; rates of the whole run stand still from here."""
        self.state, self.error, self._finished = state, error, now

    def snapshot(self, now: float | None = None) -> CameraStatistics:
        """The counters as they are; from any thread."""
        now = time.monotonic() if now is None else now
        end = now if self._finished is None else self._finished
        seconds = 0.0 if self._began is None else max(end - self._began, 0.0)
        fps, detections_per_s = (0.0, 0.0) if self._finished is not None else self._recent_rates(now)
        return CameraStatistics(
            camera=self.camera,
            state=self._shown_state(),
            error=self.error or self.offline_reason,
            width_px=self.width_px,
            height_px=self.height_px,
            codec=self.codec,
            expected_frames=self.expected_frames,
            frames=self.frames,
            skipped=self.skipped,
            slots=self.slots,
            detected=self.detected,
            drops=self.drops + self.overtaken,
            objects=self.objects,
            decode_errors=self.decode_errors,
            loops=self.loops,
            restarts=self.restarts,
            reconnects=self.reconnects,
            offline_since_unix_s=self.offline_since_unix_s,
            gated=self.gated,
            gated_slots=self.gated_slots,
            gate_openings=self.gate_openings,
            gate_state=self.gate_state,
            gate_note=self.gate_note,
            fps=fps,
            mean_fps=self.frames / seconds if seconds > 0 else 0.0,
            detections_per_s=detections_per_s,
            seconds=seconds,
        )

    def _shown_state(self) -> CameraState:
        """A camera that is away stays `offline` while it is opened again, up to its first frame."""
        trying = self.state in {CameraState.OPENING, CameraState.RUNNING}
        return CameraState.OFFLINE if trying and self.offline_since_unix_s is not None else self.state

    def _recent_rates(self, now: float) -> tuple[float, float]:
        samples = list(self._samples)
        if not samples or now - self._last_frame > RATE_WINDOW_S:
            return 0.0, 0.0
        # The oldest sample within the window; when all are older the camera is silent: count from the latest.
        then, frames, detected = next((s for s in samples if s[0] >= now - RATE_WINDOW_S), samples[-1])
        spent = now - then
        if spent < SAMPLE_EVERY_S / 2 and len(samples) > 1:  # too short a time to divide by
            then, frames, detected = samples[-2]
            spent = now - then
        if spent <= 0:
            return 0.0, 0.0
        return (self.frames - frames) / spent, (self.detected - detected) / spent


def all_failed(statistics: Sequence[CameraStatistics]) -> bool:
    """Whether not one camera could be watched to its end or to the stop."""
    return all(camera.state is CameraState.FAILED for camera in statistics)
