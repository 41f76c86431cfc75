"""The kept video as HLS: a sliding window of segments in memory, for VLC, phones, recorders.

A segment is one group of pictures, or several short ones, in the very fragments that the page plays. A camera is held
while somebody asks, and half a minute longer. Source: RFC 8216, 4.3 and 6.2 (a live playlist, fragmented MP4).
"""

import math
import threading
import time

from vedette.contracts.video import TICKS_PER_S
from vedette.edge.live.video_store import VideoStore
from vedette.edge.live.video_track import Group

KEEP_S = 16.0  # players begin three segments before the end
IDLE_S = 30.0
PATIENCE_S = 15.0  # until a first segment is whole: a group of pictures may be long
LEAST_SEGMENTS = 1


class HlsShelf:
    """Thread-safe."""

    def __init__(self, store: VideoStore) -> None:
        self.patience_s = PATIENCE_S
        self._store = store
        self._lock = threading.Lock()
        self._asked_s: dict[str, float] = {}
        self._longest_s: dict[str, float] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def playlist(self, camera: str) -> str | None:
        """The window as it is now; None before the first segment is whole."""
        self._hold(camera)
        segments = self._whole_segments(camera)
        if len(segments) < LEAST_SEGMENTS:
            return None
        lengths_s = {number: _length_s(groups) for number, groups in segments.items()}
        longest_s = max(self._longest_s.get(camera, 0.0), *lengths_s.values())
        self._longest_s[camera] = longest_s
        numbers = list(segments)
        lines = [
            "#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
            f"#EXT-X-MEDIA-SEQUENCE:{numbers[0]}", "#EXT-X-INDEPENDENT-SEGMENTS",
        ]  # fmt: skip
        start = 0
        for number, groups in segments.items():
            if groups[0].start.number != start:
                if start:
                    lines.append("#EXT-X-DISCONTINUITY")
                start = groups[0].start.number
                lines.append(f'#EXT-X-MAP:URI="start-{start}.mp4"')
            lines += [f"#EXTINF:{lengths_s[number]:.5f},", f"{number}.m4s"]
        return "\n".join([*lines, ""])

    def start(self, camera: str, number: int) -> bytes | None:
        """An initialisation segment that the window needs."""
        for group in self._groups(camera):
            if group.start.number == number:
                return group.start.data
        return None

    def segment(self, camera: str, number: int) -> bytes | None:
        """The fragments of a segment, while it is in the window."""
        if camera in self._store.tracks:
            self._hold(camera)
        groups = [group for group in self._groups(camera) if group.segment == number]
        return b"".join(picture.fragment for group in groups for picture in group.pictures) or None

    def close(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for camera in self._asked_s:
                self._store.release(camera, KEEP_S)
            self._asked_s.clear()

    def _groups(self, camera: str) -> list[Group]:
        track = self._store.tracks.get(camera)
        if track is None:
            return []
        with track.changed:
            return list(track.groups)

    def _whole_segments(self, camera: str) -> dict[int, list[Group]]:
        groups = self._groups(camera)
        segments: dict[int, list[Group]] = {}
        for group in groups:
            if group.segment != groups[-1].segment and group.is_whole and group.pictures:
                segments.setdefault(group.segment, []).append(group)
        return segments

    def _hold(self, camera: str) -> None:
        with self._lock:
            if self._closed:
                return
            if camera not in self._asked_s:
                self._store.acquire(camera, KEEP_S)
            self._asked_s[camera] = time.monotonic()
            if self._timer is None:
                self._look_later()

    def _look_later(self) -> None:
        self._timer = threading.Timer(IDLE_S / 3, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        """Let go of what nobody asked for of late."""
        with self._lock:
            self._timer = None
            idle = [camera for camera, asked_s in self._asked_s.items() if asked_s < time.monotonic() - IDLE_S]
            for camera in idle:
                del self._asked_s[camera]
                self._store.release(camera, KEEP_S)
            if self._asked_s and not self._closed:
                self._look_later()


def _length_s(groups: list[Group]) -> float:
    return (groups[-1].end_ticks - groups[0].begin_ticks) / TICKS_PER_S
