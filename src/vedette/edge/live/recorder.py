"""Annotated recordings: one H.264 MP4 for each camera, with the frames that were detected on at their true times.

Guarantees: `show` only queues (or, when `lossless`, waits for room in the queue, for files that are read as fast as
they can be); every file begins with a key frame and is written in fragments of at most a second, so that it plays after
`close` and, up to the last second, after kill -9; an existing file is never overwritten; a full disk stops the
recording, not the watching (`recording_disk`), and new files begin when there is room again. A picture of another size
begins a new file.
"""

import contextlib
import io
import re
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.ports import FullPicture
from vedette.contracts.status import Status
from vedette.edge.live.errors import RecordingFolderError
from vedette.edge.live.overlay import draw_counts, draw_rules, draw_tracks
from vedette.edge.live.recording_disk import RecordingDisk, wait_for_writer

MAX_WIDTH_PX = 1280
QUEUE_LENGTH = 32
TIME_BASE = Fraction(1, 90_000)  # MPEG's clock
KEY_FRAME_EVERY_S = 1.0
MOV_FLAGS = "frag_keyframe+empty_moov+default_base_moof"
LOOK_EVERY_S = 0.5  # while nothing can be recorded: whether the disk is asked again
X264_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "24"}  # no look-ahead: nothing is held back


@dataclass(frozen=True, slots=True)
class _Shown:
    stamp: FrameStamp
    picture: FullPicture
    tracks: Tracks
    counts: Mapping[str, int]


class Recorder:
    """`contracts.ports.View`. Use as a context manager, or call `close`, which finishes what is queued."""

    def __init__(self, folder: Path, *, lossless: bool = False, status: Callable[[], Status] | None = None) -> None:
        """Make the folder. `status` is asked for a camera's lines and zones when its file begins.

        Raises:
            RecordingFolderError: when the folder cannot be made or written to.
        """
        self.folder = folder
        self.lossless = lossless
        self._status_of = status
        check_folder(folder)
        self.disk = RecordingDisk("recording", folder, "recording stopped")
        self._changed = threading.Condition()
        self._queue: deque[_Shown] = deque()
        self._closing = False
        self._dropped: Counter[str] = Counter()
        self._films: dict[str, _Film] = {}
        self._paths: list[Path] = []
        self._thread = threading.Thread(target=self._work, name="vedette-recorder", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> dict[str, int]:
        """Frames not recorded, by camera: the machine was too slow, or the disk was full."""
        with self._changed:
            return dict(self._dropped)

    @property
    def problem(self) -> str | None:
        """Why nothing is recorded at the moment."""
        return self.disk.problem

    @property
    def paths(self) -> list[Path]:
        """The files written, in the order in which they were begun."""
        return list(self._paths)

    def show(self, stamp: FrameStamp, picture: FullPicture, tracks: Tracks, counts: Mapping[str, int]) -> None:
        """Queue a frame. When the queue is full: wait if lossless, else the oldest frame in it goes and is counted."""
        with self._changed:
            if self.lossless:
                self._changed.wait_for(
                    lambda: len(self._queue) < QUEUE_LENGTH or self._closing or self.problem is not None
                )
            if self._closing or self.problem is not None:
                self._drop(stamp.camera)
                return
            if len(self._queue) >= QUEUE_LENGTH:
                self._drop(self._queue.popleft().stamp.camera)
            self._queue.append(_Shown(stamp, picture, tracks, counts))
            self._changed.notify_all()

    def close(self) -> None:
        """Write what is queued and finish every file, unless the disk does not answer. Safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        wait_for_writer(self._thread, lambda: (len(self._queue), self.disk.written_bytes))

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self, camera: str) -> None:
        self._dropped[camera] += 1
        self.disk.count(dropped=1)

    def _work(self) -> None:
        while self._record_some():
            continue

    def _record_some(self) -> bool:
        """Record until the end or until the disk is full; false at the end."""
        shown: _Shown | None = None
        try:
            while (shown := self._take()) is not None:
                self.disk.check()
                self._write(shown)
            for film in self._films.values():
                self._finish(film)
        except (OSError, av.error.FFmpegError) as error:
            self._give_up(error, shown)
            return self._wait_for_room()
        except BaseException as bug:  # a thread's last stop: nobody may wait for it in vain; it goes on from here
            self._give_up(bug, shown, for_good=True)
            raise
        return False

    def _wait_for_room(self) -> bool:
        """Whether there is some; false when the recording is closed before."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, LOOK_EVERY_S):
                    return False
            if self.disk.is_back():
                return True

    def _take(self) -> _Shown | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            shown = self._queue.popleft()
            self._changed.notify_all()
            return shown

    def _write(self, shown: _Shown) -> None:
        stamp = shown.stamp
        image = shown.picture.to_bgr(max_width_px=MAX_WIDTH_PX).copy()  # (h, w, 3) uint8, ours to draw on
        film = self._films.get(stamp.camera)
        if film is None or film.picture_size != image.shape[1::-1]:
            if film is not None:
                self._finish(film)
            film = self._begin(stamp, image)
        scale = image.shape[1] / stamp.width_px
        draw_rules(image, film.lines, film.zones, scale)
        draw_tracks(image, shown.tracks, scale)
        draw_counts(image, shown.counts)
        film.write(image, stamp.media_time_s)
        self.disk.count(size_bytes=film.growth_bytes())

    def _finish(self, film: "_Film") -> None:
        film.close()
        self.disk.count(size_bytes=film.growth_bytes())

    def _begin(self, stamp: FrameStamp, image: NDArray[np.uint8]) -> "_Film":
        camera = self._status_of().camera(stamp.camera) if self._status_of is not None else None
        file, path = _new_file(self.folder, stamp.camera)
        film = _Film(file, (image.shape[1], image.shape[0]), stamp)
        if camera is not None:
            film.lines, film.zones = camera.lines, camera.zones
        self._films[stamp.camera] = film
        self._paths.append(path)
        self.disk.count(files=1)
        return film

    def _give_up(self, error: BaseException, unwritten: _Shown | None, *, for_good: bool = False) -> None:
        self.disk.stop(error, for_good=for_good)
        with self._changed:  # first of all: somebody may wait
            for shown in (*self._queue, *((unwritten,) if unwritten else ())):
                self._drop(shown.stamp.camera)
            self._queue.clear()
            self._changed.notify_all()
        for film in self._films.values():
            film.abandon()
            self.disk.count(size_bytes=film.growth_bytes())
        self._films.clear()


class _Film:
    """One open MP4."""

    def __init__(self, file: "WholeFile", picture_size: tuple[int, int], stamp: FrameStamp) -> None:
        self.picture_size = picture_size  # width, height
        self.lines: tuple[Any, ...] = ()
        self.zones: tuple[Any, ...] = ()
        self._file = file
        self._whole_bytes = 0  # the file is good up to here
        self._counted_bytes = 0
        self._is_whole = True
        self._first_s = stamp.media_time_s
        self._last_pts = -1
        self._last_key_s = float("-inf")
        self._container: Any = av.open(file, "w", format="mp4", options={"movflags": MOV_FLAGS})
        self._container.metadata["title"] = stamp.camera
        self._container.metadata["comment"] = f"begins {stamp.media_time_s:.3f} s after the camera's first frame"
        self._stream: Any = self._container.add_stream("libx264", rate=30, options=X264_OPTIONS)
        self._stream.width, self._stream.height = (side + side % 2 for side in picture_size)  # 4:2:0 needs even sides
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE
        self._stream.codec_context.gop_size = 10_000  # key frames come by time, below
        self._stream.codec_context.thread_count = 1  # detection needs the other cores

    def write(self, image_hwc_bgr_u8: NDArray[np.uint8], media_time_s: float) -> None:
        width, height = self.picture_size
        if width % 2 or height % 2:
            image_hwc_bgr_u8 = np.pad(image_hwc_bgr_u8, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(image_hwc_bgr_u8, format="bgr24")
        pts = max(round((media_time_s - self._first_s) / TIME_BASE), self._last_pts + 1)  # equal times are not allowed
        frame.pts, frame.time_base, self._last_pts = pts, TIME_BASE, pts
        if media_time_s - self._last_key_s >= KEY_FRAME_EVERY_S:
            frame.pict_type, self._last_key_s = av.video.frame.PictureType.I, media_time_s
        self._is_whole = False
        self._container.mux(self._stream.encode(frame))
        self._is_whole, self._whole_bytes = True, self._file.tell()

    def growth_bytes(self) -> int:
        """How much longer the file is than when this was asked before."""
        before, self._counted_bytes = self._counted_bytes, self._whole_bytes
        return self._whole_bytes - before

    def close(self) -> None:
        self._is_whole = False
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._is_whole, self._whole_bytes = True, self._file.seek(0, io.SEEK_END)
        self._file.close()

    def abandon(self) -> None:
        """Close after an error: half a fragment at the end is cut off, so that what was written before it plays."""
        try:
            if self._is_whole:
                self.close()
            else:
                self._container.close()
        except (OSError, av.error.FFmpegError):
            self._is_whole = False
        with contextlib.suppress(OSError):  # of a disk that is gone, which has been said
            try:
                if not self._is_whole:
                    self._file.truncate(self._whole_bytes)
            finally:
                self._file.close()


class WholeFile(io.FileIO):
    """Unbuffered, so that a kill loses nothing that was written; a write is all or an error, never a part."""

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


def check_folder(folder: Path) -> None:
    """Make it, and see whether it can be written to.

    Raises:
        RecordingFolderError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecordingFolderError(
            f"cannot record to {folder}: {error.strerror}; name a folder that can be written to"
        ) from error


def _new_file(folder: Path, camera: str) -> tuple["WholeFile", Path]:
    """Open `camera.mp4`, or `camera-2.mp4` and so on where that is taken."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", camera).lstrip(".")[:100] or "camera"
    number = 1
    while True:
        path = folder / (f"{stem}.mp4" if number == 1 else f"{stem}-{number}.mp4")
        try:
            return WholeFile(path, "xb"), path
        except FileExistsError:
            number += 1
