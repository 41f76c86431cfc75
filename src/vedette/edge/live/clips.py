"""Event clips: a few seconds before and after each event, cut from the camera's own packets without encoding anything.

Guarantees: `plan` and everything else that the pipeline calls return at once; a clip begins with a keyframe, no later
than the pre-roll asks where that is kept; events that follow each other share a clip, up to `LONGEST_S`; what was
written plays after kill -9 (fragments; the length is put in at the end); the quota is kept; a full disk or a folder
that is gone is said once, and watching goes on, and so do clips when there is room again (`recording_disk`).
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vedette.contracts.frame import FrameStamp
from vedette.edge.live.clip_shelf import ClipQuota, ClipShelf, clip_name
from vedette.edge.live.fmp4 import Sample, duration_place, fragment, initialisation
from vedette.edge.live.recorder import WholeFile, check_folder
from vedette.edge.live.recording_disk import RecordingDisk, wait_for_writer
from vedette.edge.live.video_store import VideoStore
from vedette.edge.live.video_track import Picture, VideoStart, VideoTrack

LATE_S = 10.0  # how much later than its packets an event may come
LONGEST_S = 300.0  # of one clip, however many events there are
WRITE_EVERY_S = 0.25
SILENT_S = 10.0  # a camera that sends nothing any more ends its clip
TIDY_EVERY_S = 60.0
_LOG = logging.getLogger(__name__)

__all__ = ["ClipQuota", "Clips"]


@dataclass(slots=True)
class _Clip:
    name: str
    path: Path
    track: VideoTrack
    from_s: float
    to_s: float  # media time
    began_s: float  # monotonic clock
    heard_s: float
    serial: int = 0
    writer: "_Writer | None" = None
    done: bool = False


@dataclass(slots=True)
class _Camera:
    open: _Clip | None = None
    clips: list[_Clip] = field(default_factory=list)


class Clips:
    """Cuts the clips of a run. Thread-safe; `close` finishes what is open."""

    def __init__(
        self,
        folder: Path,
        store: VideoStore,
        cameras: Sequence[str],
        *,
        before_s: float = 5.0,
        after_s: float = 5.0,
        quota: ClipQuota | None = None,
    ) -> None:
        """Make the folder, keep the cameras' packets from now on.

        Raises:
            RecordingFolderError: when the folder cannot be made or written to.
        """
        check_folder(folder)
        self.shelf = ClipShelf(folder, quota or ClipQuota())
        self.disk = RecordingDisk("clips", folder, "no clips are cut", lambda: self.shelf.tidy(()))
        self.written = self.missed = 0
        self._before_s, self._after_s = before_s, after_s
        self._keep_s = before_s + LATE_S
        self._store = store
        self._lock = threading.Lock()
        self._cameras = {camera: _Camera() for camera in cameras}
        self._tidied_s = float("-inf")
        self._stop = threading.Event()
        for camera in cameras:
            store.acquire(camera, self._keep_s)
        self._thread = threading.Thread(target=self._work, name="vedette-clips", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why no clips are cut at the moment."""
        return self.disk.problem

    def plan(self, stamp: FrameStamp, event_id: str) -> str | None:
        """Begin a clip for what happened in this frame, or lengthen the one that is being cut; its name.

        None when there is nothing to cut from (the camera sends neither H.264 nor H.265) or nowhere to write to.
        """
        now = time.monotonic()
        with self._lock:
            camera = self._cameras[stamp.camera]
            clip, until_s = camera.open, stamp.media_time_s + self._after_s
            if clip is not None and stamp.media_time_s <= clip.to_s and until_s - clip.from_s <= LONGEST_S:
                clip.to_s = max(clip.to_s, until_s)
                return clip.name
            track = self._store.tracks[stamp.camera]
            if self._stop.is_set() or not track.groups or self.problem is not None:
                self.missed += 1
                self.disk.count(dropped=1)
                return None
            name = clip_name(stamp.camera, stamp.captured_unix_s, event_id)
            from_s = stamp.media_time_s - self._before_s
            camera.open = _Clip(name, self.shelf.folder / name, track, from_s, until_s, now, now)
            camera.clips.append(camera.open)
            return name

    def close(self) -> None:
        """Finish what is open with what there is. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        wait_for_writer(self._thread, lambda: (self.written, self.disk.written_bytes))
        for camera in self._cameras:
            self._store.release(camera, self._keep_s)

    def _work(self) -> None:
        while not self._stop.wait(WRITE_EVERY_S):
            self._look()
        self._look(ending=True)

    def _look(self, *, ending: bool = False) -> None:
        if not self.disk.is_back():
            return
        with self._lock:
            clips = [clip for camera in self._cameras.values() for clip in camera.clips]
        try:
            if clips:
                self.disk.check()
            for clip in clips:
                self._write(clip, ending=ending)
            self._tidy(clips)
        except OSError as error:
            self._give_up(error, clips)
        with self._lock:
            for camera in self._cameras.values():
                camera.clips = [clip for clip in camera.clips if not clip.done]
                if camera.open is not None and camera.open.done:
                    camera.open = None

    def _write(self, clip: _Clip, *, ending: bool) -> None:
        now = time.monotonic()
        pictures = clip.track.since(clip.from_s) if not clip.serial else clip.track.after(clip.serial)
        over = ending
        if pictures:
            clip.heard_s = now
            times_s = [clip.track.media_time_s(picture) for picture in pictures]
            wanted = [
                picture
                for picture, time_s in zip(pictures, times_s, strict=True)
                if time_s is None or time_s <= clip.to_s
            ]
            over |= len(wanted) < len(pictures)
            if clip.writer is None and wanted:
                clip.path.parent.mkdir(exist_ok=True)
                clip.writer = _Writer(clip.path, wanted[0].start, wanted[0].dts_ticks)
                self.disk.count(files=1, size_bytes=clip.writer.whole_bytes)
            if clip.writer is not None and wanted:
                before = clip.writer.whole_bytes
                over |= not clip.writer.write(wanted)
                self.disk.count(size_bytes=clip.writer.whole_bytes - before)
            clip.serial = pictures[-1].serial
        if over or now > clip.heard_s + SILENT_S:
            if clip.writer is not None:
                clip.writer.close()
                self.written += 1
                self._tidied_s = float("-inf")
            clip.done = True  # not before: one that cannot be closed is given up

    def _tidy(self, clips: Sequence[_Clip]) -> None:
        now = time.monotonic()
        if now >= self._tidied_s + TIDY_EVERY_S:
            self._tidied_s = now
            removed = self.shelf.removed
            self.shelf.tidy({clip.path for clip in clips if not clip.done})
            self.disk.count(removed=self.shelf.removed - removed)

    def _give_up(self, error: OSError, clips: Sequence[_Clip]) -> None:
        for clip in clips:
            if clip.writer is not None and not clip.done:
                clip.writer.abandon()
            clip.done = True
        self.disk.stop(error)


class _Writer:
    """One MP4 in fragments; the file is good up to the last whole one."""

    def __init__(self, path: Path, start: VideoStart, dts_ticks: int) -> None:
        self._start = start
        self._from_ticks = dts_ticks
        self._to_ticks = 0
        self._count = 0
        form = start.form
        head = initialisation(start.record, form.width_px, form.height_px, form.quarter_turns, 0)
        self._duration_at = duration_place(head)
        self._file = WholeFile(path, "xb")
        self.whole_bytes = 0
        try:
            self._put(head)
        except OSError:
            self.abandon()
            raise

    def write(self, pictures: Sequence[Picture]) -> bool:
        """False where the camera began to send something else: that is another film."""
        same = [picture for picture in pictures if picture.start is self._start]
        if same:
            ends = [picture.dts_ticks for picture in same[1:]] + [same[-1].dts_ticks + same[-1].sample.duration_ticks]
            samples = [
                Sample(one.sample.data, end - one.dts_ticks, one.sample.offset_ticks, one.sample.is_keyframe)
                for one, end in zip(same, ends, strict=True)
            ]
            self._count += 1
            self._put(fragment(self._count, same[0].dts_ticks - self._from_ticks, samples))
            self._to_ticks = max(picture.pts_ticks + picture.sample.duration_ticks for picture in same)
        return len(same) == len(pictures)

    def close(self) -> None:
        """Say how long it is."""
        self._file.seek(self._duration_at)
        self._file.write(max(self._to_ticks - self._from_ticks, 0).to_bytes(8, "big"))
        self._file.close()

    def abandon(self) -> None:
        """After an error: cut off half a fragment at the end; nothing at all is removed."""
        path = Path(str(self._file.name))
        try:
            self._file.truncate(self.whole_bytes)
            self._file.close()
            if not self.whole_bytes:
                path.unlink(missing_ok=True)
        except OSError:
            _LOG.debug("%s: left as it is", path)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.whole_bytes += len(data)
