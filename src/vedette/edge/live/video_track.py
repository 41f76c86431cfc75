"""One camera's video as it is kept: groups of pictures on one time line that never runs backward, ready for MP4.

Guarantees: whoever begins, begins with a keyframe; a fragment is made once however many people watch, and only when
somebody does; memory is bounded (groups go, the oldest first); runs of a camera that was opened again follow each other
without a gap, so that a player goes on; media times of detections are told as times of this line.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vedette.contracts.video import TICKS_PER_S, VideoFormat, VideoPacket
from vedette.edge.live.codec_record import CodecRecord, UnitReader
from vedette.edge.live.fmp4 import Sample, fragment, initialisation

MOST_BYTES = 64 << 20  # of a camera
MOST_GROUP = 1800  # pictures of a group whose beginning is kept: a minute at 30 a second
SEGMENT_S = 2.0  # groups shorter than this are told as one
MOST_BOXES = 400  # results of detection: 40 s at ten a second
MOST_RUNS = 4
DEFAULT_TICKS = TICKS_PER_S // 25
MOST_OFFSET_TICKS = 60 * TICKS_PER_S  # between decoding and showing; more does not fit into a fragment, nor into sense


@dataclass(frozen=True, slots=True)
class VideoStart:
    """What a player needs first; another number means another decoder."""

    number: int
    record: CodecRecord
    form: VideoFormat
    data: bytes

    @property
    def mime(self) -> str:
        """For `MediaSource.isTypeSupported`."""
        return self.record.mime


@dataclass(slots=True)
class Picture:
    """One coded picture on the camera's time line. `serial` counts from 1."""

    serial: int
    start: VideoStart
    dts_ticks: int
    sample: Sample
    _fragment: bytes | None = None

    @property
    def pts_ticks(self) -> int:
        """When it is shown."""
        return self.dts_ticks + self.sample.offset_ticks

    @property
    def fragment(self) -> bytes:
        """As fragmented MP4 of its own; the same for everybody."""
        if self._fragment is None:
            self._fragment = fragment(self.serial, self.dts_ticks, (self.sample,))
        return self._fragment


@dataclass(slots=True)
class Group:
    """Pictures from a keyframe on. `segment` numbers what a player by segments is told of; this group may begin it."""

    segment: int
    start: VideoStart
    begins_segment: bool = True
    pictures: list[Picture] = field(default_factory=list)
    size_bytes: int = 0
    is_whole: bool = True

    @property
    def begin_ticks(self) -> int:
        return self.pictures[0].dts_ticks

    @property
    def end_ticks(self) -> int:
        last = self.pictures[-1]
        return last.dts_ticks + last.sample.duration_ticks


@dataclass(slots=True)
class _Run:
    form: VideoFormat
    reader: UnitReader
    shift_ticks: int
    first_ticks: int  # on our line
    last_dts: int  # the camera's own
    media_offset_s: float | None = None


class VideoTrack:
    """Thread-safe."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.changed = threading.Condition()
        self.keep_s = 0.0  # besides the group that is under way
        self.groups: deque[Group] = deque()
        self._runs: deque[_Run] = deque(maxlen=MOST_RUNS)
        self._start: VideoStart | None = None
        self._serial = 0
        self._next_ticks = 0  # when the next picture is decoded
        self._shown_ticks = 0  # until when there are pictures to be shown
        self._boxes: deque[tuple[int, float, Mapping[str, Any]]] = deque(maxlen=MOST_BOXES)
        self._results = 0

    @property
    def serial(self) -> int:
        """Of the newest picture."""
        return self._serial

    @property
    def result(self) -> int:
        """Number of the newest result of detection."""
        return self._results

    def add(self, packets: Sequence[VideoPacket]) -> None:
        """Keep packets, in the order of decoding."""
        with self.changed:
            for packet in packets:
                self._add(packet)
            self._prune()
            self.changed.notify_all()

    def clear(self) -> None:
        """Nobody wants any of it: what comes next is another run."""
        with self.changed:
            self.groups.clear()
            self._runs.clear()
            self._boxes.clear()

    def after(self, serial: int) -> list[Picture]:
        """Pictures behind that one; from the newest keyframe on where they are not kept any more, or for 0."""
        with self.changed:
            if not self.groups:
                return []
            oldest = next((group.pictures[0].serial for group in self.groups if group.pictures), self._serial + 1)
            if not oldest - 1 <= serial <= self._serial or serial == 0:
                group = self.groups[-1]
                return list(group.pictures) if group.is_whole else []
            behind: list[Picture] = []
            for group in reversed(self.groups):
                if group.pictures and group.pictures[-1].serial <= serial:
                    break
                behind[:0] = [picture for picture in group.pictures if picture.serial > serial]
            return behind

    def since(self, media_time_s: float) -> list[Picture]:
        """Pictures from the last kept keyframe at or before this media time on, or all that are kept."""
        with self.changed:
            chosen: list[Group] = []
            for group in reversed(self.groups):
                if not group.is_whole or not group.pictures:
                    break
                chosen.insert(0, group)
                begin_s = self._media_time_s(group.pictures[0])
                if begin_s is not None and begin_s <= media_time_s:
                    break
            return [picture for group in chosen for picture in group.pictures]

    def wait(self, serial: int, timeout_s: float) -> None:
        """Until there is a picture behind that one."""
        with self.changed:
            self.changed.wait_for(lambda: self._serial > serial, timeout_s)

    def media_time_s(self, picture: Picture) -> float | None:
        """What detections call the time of this picture."""
        with self.changed:
            return self._media_time_s(picture)

    # -- boxes ----------------------------------------------------------------------------------------------------

    def add_result(self, media_time_s: float, document: Mapping[str, Any]) -> None:
        """What was found at this media time."""
        with self.changed:
            self._results += 1
            self._boxes.append((self._results, media_time_s, document))

    def results_after(self, number: int) -> tuple[int, list[dict[str, Any]]]:
        """Results behind that number with `t`, their time on this line in seconds; and the number of the last.

        Results whose time cannot be told yet are told later.
        """
        told = []
        with self.changed:
            for result, media_time_s, document in self._boxes:
                if result <= number:
                    continue
                time_s = self._line_time_s(media_time_s)
                if time_s is None and result > self._results - 10:
                    break
                number = result
                if time_s is not None:
                    told.append({"t": round(time_s, 4), **document})
        return number, told

    def _line_time_s(self, media_time_s: float) -> float | None:
        for run in reversed(self._runs):
            if run.media_offset_s is not None:
                time_s = media_time_s - run.media_offset_s + run.shift_ticks / TICKS_PER_S
                if time_s >= run.first_ticks / TICKS_PER_S - 0.02 or run is self._runs[0]:
                    return time_s
        return None

    def _media_time_s(self, picture: Picture) -> float | None:
        for run in reversed(self._runs):
            if picture.dts_ticks >= run.first_ticks:
                if run.media_offset_s is None:
                    return None
                return (picture.pts_ticks - run.shift_ticks) / TICKS_PER_S + run.media_offset_s
        return None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _add(self, packet: VideoPacket) -> None:
        if abs(packet.pts_ticks - packet.dts_ticks) > MOST_OFFSET_TICKS:
            return
        run = self._runs[-1] if self._runs else None
        if run is None or packet.format is not run.form or packet.dts_ticks <= run.last_dts:
            if not packet.is_keyframe:
                return
            run = self._begin_run(packet)
        data = run.reader.read(packet.data, is_keyframe=packet.is_keyframe)
        record = run.reader.record
        if record is None:
            return
        if packet.media_offset_s is not None:
            run.media_offset_s = packet.media_offset_s
        if packet.is_keyframe and self._begin_group(record, run.form):
            data = record.parameter_sets + data  # FFmpeg's HLS reader takes no notice of another initialisation segment
        if not self.groups:
            return
        step = packet.dts_ticks - run.last_dts
        duration = packet.duration_ticks or (step if 0 < step < TICKS_PER_S else DEFAULT_TICKS)
        run.last_dts = packet.dts_ticks
        dts = packet.dts_ticks + run.shift_ticks
        sample = Sample(data, duration, packet.pts_ticks - packet.dts_ticks, packet.is_keyframe)
        self._serial += 1
        self._next_ticks = dts + duration
        self._shown_ticks = max(self._shown_ticks, dts + sample.offset_ticks + duration)
        group = self.groups[-1]
        group.pictures.append(Picture(self._serial, group.start, dts, sample))
        group.size_bytes += len(data)

    def _begin_run(self, packet: VideoPacket) -> _Run:
        reader = UnitReader(packet.format)
        late_ticks = self._shown_ticks - self._next_ticks - (packet.pts_ticks - packet.dts_ticks)
        self._next_ticks += late_ticks if 0 < late_ticks < TICKS_PER_S else 0  # it reorders fewer pictures than before
        shift = self._next_ticks - packet.dts_ticks
        run = _Run(packet.format, reader, shift, self._next_ticks, packet.dts_ticks - 1)
        self._runs.append(run)
        return run

    def _begin_group(self, record: CodecRecord, form: VideoFormat) -> bool:
        """Whether players that go on need another decoder."""
        before = start = self._start
        if start is None or start.record != record or start.form.quarter_turns != form.quarter_turns:
            data = initialisation(record, form.width_px, form.height_px, form.quarter_turns)
            start = self._start = VideoStart(1 if start is None else start.number + 1, record, form, data)
        is_new = True
        if self.groups:
            last = self.groups[-1]
            same = [group for group in self.groups if group.segment == last.segment]
            length_ticks = last.end_ticks - same[0].begin_ticks if last.pictures else 0
            is_new = last.start is not start or length_ticks >= SEGMENT_S * TICKS_PER_S * 0.9
            segment = last.segment + is_new
        else:
            segment = self._serial + 1  # never a number that was used before
        self.groups.append(Group(segment, start, is_new))
        return before is not None and before is not start

    def _prune(self) -> None:
        """Let groups go that are older than what is kept; a group without end loses its beginning."""
        if not self.groups:
            return
        newest = self.groups[-1]
        if len(newest.pictures) > MOST_GROUP or newest.size_bytes > MOST_BYTES // 2:
            del newest.pictures[:-1]
            newest.size_bytes, newest.is_whole = len(newest.pictures[-1].sample.data), False
        horizon = self._next_ticks - self.keep_s * TICKS_PER_S
        total = sum(group.size_bytes for group in self.groups)
        while len(self.groups) > 1 and (total > MOST_BYTES or self.groups[1].begin_ticks <= horizon):
            total -= self.groups.popleft().size_bytes
