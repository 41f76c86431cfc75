"""The kept video as HLS: a sliding window of segments in memory, for VLC, phones, recorders.

A segment is one group of pictures, or several short ones, in the very fragments that the page plays. What players were
told of a segment (number, length, initialisation segment, discontinuities before it) stays true, and it can be had for
as long again as it was listed. A camera is held while somebody asks, and half a minute longer. Source: RFC 8216, 4.3
and 6.2 (a live playlist, fragmented MP4).
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vedette.contracts.video import TICKS_PER_S
from vedette.edge.live.video_store import VideoStore
from vedette.edge.live.video_track import Group

LISTED_S = 16.0  # players begin three segments before the end
LISTED_TARGETS = 3  # never less than three target durations (6.2.2), as far as so much is kept
KEEP_S = 2 * LISTED_S + 2.0  # what is not listed any more can be had for the list's length and a segment's more (6.2.2)
IDLE_S = 30.0
PATIENCE_S = 15.0  # until a first segment is whole: a group of pictures may be long


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    start: int
    groups: Sequence[Group]

    @property
    def length_s(self) -> float:
        return (self.groups[-1].end_ticks - self.groups[0].begin_ticks) / TICKS_PER_S


@dataclass(slots=True)
class _Told:
    """What the players of a camera know. It stays when nobody asks: whoever paused for an hour asks again."""

    newest: int = 0
    start: int = 0  # of the newest
    target_s: int = 1  # must not change (6.2.1), and does only when a longer segment comes than there was before
    before: dict[int, int] = field(default_factory=dict)  # discontinuities before each segment that is kept

    def count(self, segments: Sequence[_Segment]) -> None:
        """Go on counting with the segments that are new."""
        discontinuities = self.before.get(self.newest, 0)
        for one in segments:
            self.target_s = max(self.target_s, int(one.length_s + 0.5))  # "rounded to the nearest integer" (4.3.3.1)
            if one.number > self.newest:
                discontinuities += self.start not in (0, one.start)
                self.newest, self.start, self.before[one.number] = one.number, one.start, discontinuities
        for number in [number for number in self.before if number < segments[0].number]:
            del self.before[number]


class HlsShelf:
    """Thread-safe."""

    def __init__(self, store: VideoStore) -> None:
        self.patience_s = PATIENCE_S
        self._store = store
        self._lock = threading.Lock()
        self._asked_s: dict[str, float] = {}
        self._told: dict[str, _Told] = {camera: _Told() for camera in store.tracks}
        self._timer: threading.Timer | None = None
        self._closed = False

    def playlist(self, camera: str) -> str | None:
        """The window as it is now; None before the first segment is whole."""
        self._hold(camera)
        with self._lock:
            segments = self._whole_segments(camera)
            if not segments:
                return None
            told = self._told[camera]
            told.count(segments)
            return "\n".join([*_lines(_listed(segments, told.target_s), told), ""])

    def start(self, camera: str, number: int) -> bytes | None:
        """An initialisation segment that the window needs."""
        for group in self._groups(camera):
            if group.start.number == number:
                return group.start.data
        return None

    def segment(self, camera: str, number: int) -> bytes | None:
        """The fragments of a segment, while it is kept whole."""
        if camera in self._store.tracks:
            self._hold(camera)
        found = next((one for one in self._whole_segments(camera) if one.number == number), None)
        if found is None:
            return None
        return b"".join(picture.fragment for group in found.groups for picture in group.pictures)

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

    def _whole_segments(self, camera: str) -> list[_Segment]:
        """Those that are whole and follow each other without a gap in their numbers, up to the newest but one."""
        groups = self._groups(camera)
        by_number: dict[int, list[Group]] = {}
        for group in groups:
            if group.segment != groups[-1].segment:
                by_number.setdefault(group.segment, []).append(group)
        segments: list[_Segment] = []
        for number, own in by_number.items():
            if not (own[0].begins_segment and all(group.is_whole and group.pictures for group in own)):
                continue
            if segments and segments[-1].number != number - 1:
                segments.clear()
            segments.append(_Segment(number, own[0].start.number, own))
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


def _listed(segments: Sequence[_Segment], target_s: int) -> Sequence[_Segment]:
    """The newest ones that make up a list long enough."""
    wanted_s, length_s = max(LISTED_S, LISTED_TARGETS * target_s), 0.0
    for place in reversed(range(len(segments))):
        length_s += segments[place].length_s
        if length_s >= wanted_s:
            return segments[place:]
    return segments


def _lines(listed: Sequence[_Segment], told: _Told) -> Iterator[str]:
    first = listed[0]
    yield from ("#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{told.target_s}")
    yield f"#EXT-X-MEDIA-SEQUENCE:{first.number}"
    if told.before[first.number]:
        yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{told.before[first.number]}"
    yield "#EXT-X-INDEPENDENT-SEGMENTS"
    start = 0
    for one in listed:
        if one.start != start:
            if start:
                yield "#EXT-X-DISCONTINUITY"
            yield f'#EXT-X-MAP:URI="start-{one.start}.mp4"'
            start = one.start
        yield f"#EXTINF:{one.length_s:.5f},"
        yield f"{one.number}.m4s"
