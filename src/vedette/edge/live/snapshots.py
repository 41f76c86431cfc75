"""The newest picture of every camera, converted and compressed only when somebody asks.

Guarantees: `put` is O(1) and never converts a pixel, so a page that nobody looks at costs nothing; each picture is
compressed once per use however many people look; at most `max_rate_hz` pictures a second are made of a camera.
For a tile the picture stays clean and its boxes travel beside it, because the browser draws them as vectors, sharp at
any tile size; for looking closely everything is drawn in. The lines and zones are the caller's `CameraStatus`.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.ports import FullPicture
from vedette.contracts.status import NO_COUNTS, CameraStatus
from vedette.edge.live.overlay import draw_counts, draw_rules, draw_tracks
from vedette.vision.annotate import class_colour

JPEG_QUALITY = 78
LOOKED_AT_S = 5.0  # after somebody asked for a camera's picture
UNSEEN_EVERY_S = 1.0


class Use(Enum):
    """What a picture is made for: a tile of the wall (clean), or looking closely (annotated)."""

    TILE = "tile"
    CLOSE = "close"


MAX_WIDTH_PX = {Use.TILE: 640, Use.CLOSE: 1280}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One JPEG and the frame it was made of. `serial` grows with every frame shown by any camera."""

    serial: int
    jpeg: bytes
    stamp: FrameStamp
    tracks: Tracks

    def boxes_to_json(self) -> dict[str, Any]:
        """Size and `tracks_to_json`."""
        size = {"width_px": self.stamp.width_px, "height_px": self.stamp.height_px}
        return {**size, **tracks_to_json(self.tracks)}


def tracks_to_json(tracks: Tracks) -> dict[str, Any]:
    """Boxes `[x1, y1, x2, y2, track, class]` in source pixels to 0.1, and name and colour of those classes."""
    return {
        "boxes": [
            [*(round(float(v), 1) for v in box), int(track_id), int(class_id)]
            for box, track_id, class_id in zip(tracks.boxes_xyxy_px, tracks.track_ids, tracks.class_ids, strict=True)
        ],
        "classes": {
            str(class_id): [tracks.class_names[class_id], "#{2:02x}{1:02x}{0:02x}".format(*class_colour(class_id))]
            for class_id in sorted({int(c) for c in tracks.class_ids})
        },
    }


@dataclass(frozen=True, slots=True)
class _Shown:
    serial: int
    stamp: FrameStamp
    picture: FullPicture
    tracks: Tracks
    counts: Mapping[str, int]


class _Camera:
    def __init__(self, shown: _Shown) -> None:
        self.shown = shown
        self.shown_s = time.monotonic()
        self.making = threading.Lock()
        self.asked_s = float("-inf")
        self.made: dict[Use, tuple[float, Snapshot]] = {}  # when (monotonic) and what


class SnapshotStore:
    """Thread-safe; `put` is called by the pipeline, the rest by the server."""

    def __init__(self, max_rate_hz: float = 5.0) -> None:
        self._interval_s = 1.0 / max_rate_hz
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._serial = 0
        self.pictures_made = 0

    def put(self, stamp: FrameStamp, picture: FullPicture, tracks: Tracks, counts: Mapping[str, int]) -> None:
        """Remember a camera's newest frame in place of the one before."""
        with self._lock:
            self._serial += 1
            shown = _Shown(self._serial, stamp, picture, tracks, counts)
            camera = self._cameras.get(stamp.camera)
            if camera is None:
                self._cameras[stamp.camera] = _Camera(shown)
            else:
                camera.shown = shown
                camera.shown_s = time.monotonic()

    def wants(self, name: str) -> bool:
        """Whether a camera's next picture is worth keeping."""
        now = time.monotonic()
        camera = self._cameras.get(name)
        return camera is None or now < camera.asked_s + LOOKED_AT_S or now >= camera.shown_s + UNSEEN_EVERY_S

    def counts(self, name: str) -> Mapping[str, int]:
        """The counts that came with the newest frame."""
        camera = self._cameras.get(name)
        return NO_COUNTS if camera is None else camera.shown.counts

    def size_px(self, name: str) -> tuple[int, int]:
        """Width and height of the newest frame, (0, 0) before the first."""
        camera = self._cameras.get(name)
        return (0, 0) if camera is None else (camera.shown.stamp.width_px, camera.shown.stamp.height_px)

    def ready(self, names: Iterable[str], seen: Mapping[str, int]) -> list[str]:
        """Those cameras of which `snapshot` would now give a picture newer than the serial in `seen`."""
        now = time.monotonic()
        return [name for name in names if self._is_ready(name, seen.get(name, 0), now)]

    def _is_ready(self, name: str, seen: int, now: float) -> bool:
        camera = self._cameras.get(name)
        if camera is None:
            return False
        camera.asked_s = now
        if camera.shown.serial <= seen:
            return False
        made = camera.made.get(Use.TILE)
        return made is None or made[1].serial > seen or now - made[0] >= self._interval_s

    def snapshot(self, name: str, use: Use = Use.TILE, status: CameraStatus | None = None) -> Snapshot | None:
        """The newest picture of a camera as JPEG, `None` before its first frame. Blocks for the making."""
        camera = self._cameras.get(name)
        if camera is None:
            return None
        camera.asked_s = time.monotonic()
        with camera.making:
            made = camera.made.get(use)
            if made is not None:
                fresh = made[1].serial == camera.shown.serial
                if fresh or time.monotonic() - made[0] < self._interval_s:
                    return made[1]
            began = time.monotonic()
            made_now = _make(camera.shown, use, status)
            camera.made[use] = (began, made_now)
            self.pictures_made += 1
            return made_now


def _make(shown: _Shown, use: Use, status: CameraStatus | None) -> Snapshot:
    image = shown.picture.to_bgr(max_width_px=MAX_WIDTH_PX[use])  # (h, w, 3) uint8
    if use is Use.CLOSE:
        image = image.copy()  # others may be given the same array
        scale = image.shape[1] / shown.stamp.width_px
        if status is not None:
            draw_rules(image, status.lines, status.zones, scale)
        draw_tracks(image, shown.tracks, scale)
        draw_counts(image, shown.counts)
    _, jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return Snapshot(shown.serial, jpeg.tobytes(), shown.stamp, shown.tracks)
