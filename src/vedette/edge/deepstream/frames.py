"""NVIDIA's messages of one camera as frames of tracks in the camera's own pixels, in order, each once. Pure.

Takes care of: boxes in pixels of the muxer, objects of one frame spread over several messages (full payload), messages
that come twice, clocks that jump, track numbers beyond 63 bits, objects that nobody tracks (kept out and counted), and
scores that are not in the message: those become the least that the detector reports, which they are at least.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.edge.deepstream.messages import UNTRACKED, Message, SeenObject

GATHER_S = 0.5  # so long after its last object a frame of the full payload is taken to be whole
JUMP_S = 5.0  # a time that is further off than this from what has passed here is a clock that was set


@dataclass(frozen=True, slots=True)
class CameraFormat:
    """How a camera's boxes come, and what they become."""

    name: str
    size_px: tuple[int, int]
    muxer_size_px: tuple[int, int]
    class_names: tuple[str, ...]
    least_score: float


class MediaClock:
    """Seconds of a camera from the times in its messages; never backward, whatever the box's clock does."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self._base_unix_s: float | None = None
        self._arrived_s: float | None = None  # monotonic, of the newest message

    def at(self, time_unix_s: float, now_s: float) -> float:
        """The media time of a message that arrived at `now_s` (monotonic)."""
        expected_s = self._expected_s(now_s)
        if self._base_unix_s is None:
            self._base_unix_s = time_unix_s - expected_s
        media_s = time_unix_s - self._base_unix_s
        if not self.last_s - JUMP_S <= media_s <= expected_s + JUMP_S:
            media_s, self._base_unix_s = expected_s, time_unix_s - expected_s
        self.last_s, self._arrived_s = max(media_s, self.last_s), now_s
        return self.last_s

    def skip(self, seconds: float, now_s: float) -> float:
        """Let the time that has passed here, and at least so much, pass without a message."""
        self.last_s = max(self._expected_s(now_s), self.last_s + seconds)
        self._arrived_s, self._base_unix_s = now_s, None
        return self.last_s

    def _expected_s(self, now_s: float) -> float:
        """The media time by the clock here."""
        return self.last_s if self._arrived_s is None else self.last_s + max(now_s - self._arrived_s, 0.0)


class CameraFrames:
    """Messages of one camera in, frames out. Not thread-safe."""

    def __init__(self, camera: CameraFormat) -> None:
        self.camera = camera
        self.untracked = self.repeated = 0
        self._clock = MediaClock()
        self._index = 0
        self._newest: tuple[float, int] | None = None  # time and frame number of the minimal payload
        self._pending: Message | None = None  # a frame of the full payload, its objects so far
        self._pending_s = 0.0

    def take(self, message: Message, now_s: float) -> list[tuple[FrameStamp, Tracks]]:
        """What is whole with this message."""
        if message.frame is not None:
            if self._is_old(message.time_unix_s, message.frame):
                self.repeated += 1
                return []
            self._newest = message.time_unix_s, message.frame
            return [self._frame(message, now_s)]
        pending = self._pending
        if pending is not None and message.time_unix_s == pending.time_unix_s:
            known = {one.track_id for one in message.objects if one.track_id is not None}
            kept = [one for one in pending.objects if one.track_id not in known]
            self.repeated += len(pending.objects) - len(kept)
            self._pending, self._pending_s = replace(pending, objects=(*kept, *message.objects)), now_s
            return []
        whole = self.flush(now_s)
        self._pending, self._pending_s = message, now_s
        return whole

    def is_new_run(self, message: Message) -> bool:
        """Whether frames are numbered anew: deepstream-app was started again, and its tracks are others."""
        return (
            message.frame is not None
            and self._newest is not None
            and message.frame < self._newest[1]
            and message.time_unix_s > self._newest[0]
        )

    def flush(self, now_s: float, after_s: float = 0.0) -> list[tuple[FrameStamp, Tracks]]:
        """The frame that was being gathered, if nothing came for it since `after_s`."""
        pending = self._pending
        if pending is None or now_s - self._pending_s < after_s:
            return []
        self._pending = None
        return [self._frame(pending, self._pending_s)]

    def rest(self, seconds: float, now_s: float, wall_unix_s: float) -> tuple[FrameStamp, Tracks]:
        """A frame with nothing in it, now, and at least so much later: nothing was told of the camera for that long."""
        self._newest = None
        return self._stamp(self._clock.skip(seconds, now_s), wall_unix_s), self._tracks(())

    def _is_old(self, time_unix_s: float, frame: int) -> bool:
        return self._newest is not None and time_unix_s <= self._newest[0] and frame <= self._newest[1]

    def _frame(self, message: Message, now_s: float) -> tuple[FrameStamp, Tracks]:
        tracked = [one for one in message.objects if one.track_id is not None]
        self.untracked += len(message.objects) - len(tracked)
        return self._stamp(self._clock.at(message.time_unix_s, now_s), message.time_unix_s), self._tracks(tracked)

    def _stamp(self, media_s: float, unix_s: float) -> FrameStamp:
        self._index += 1
        return FrameStamp(self.camera.name, self._index - 1, media_s, unix_s, *self.camera.size_px)

    def _tracks(self, objects: Sequence[SeenObject]) -> Tracks:
        (width, height), muxer = self.camera.size_px, self.camera.muxer_size_px
        scale = np.array([width / muxer[0], height / muxer[1]] * 2, np.float32)
        boxes = np.array([one.box_xyxy_mux_px for one in objects], np.float32).reshape(-1, 4) * scale  # (n, 4)
        names = self.camera.class_names
        names += tuple(sorted({one.class_name for one in objects} - set(names)))
        scores = [self.camera.least_score if one.score is None else one.score for one in objects]
        return Tracks(
            track_ids=np.array([to_signed(one.track_id or 0) for one in objects], np.int64),  # (n,)
            boxes_xyxy_px=np.clip(boxes, 0, np.array([width, height] * 2, np.float32)),
            scores=np.array(scores, np.float32),  # (n,)
            class_ids=np.array([names.index(one.class_name) for one in objects], np.int32),  # (n,)
            class_names=names,
        )


def to_signed(track_id: int) -> int:
    """NVIDIA's numbers have 64 bits without a sign; arrays here have a sign."""
    return ctypes.c_int64(track_id).value


def from_signed(track_id: int) -> int:
    """NVIDIA's own number again."""
    return track_id & UNTRACKED
