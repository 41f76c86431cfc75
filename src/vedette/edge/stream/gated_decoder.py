"""Between demuxing and decoding: while a camera's gate is shut only keyframes are decoded, and nothing is lost by it.

The packets since the last keyframe are kept, bounded in number and bytes. When the gate opens they are decoded from
where the decoder stopped or from their keyframe, and what was handed on before is not handed on again; when it is a
keyframe that shows a change, so are those of the group before it, whose decoder keeps its place while another one
beside it (`decoders`) shows that keyframe. Every frame left undecoded is reported with its time,
in order of presentation, ahead of the frame that follows it, so numbering and media time are those of plain decoding. A
keyframe whose leading pictures (open groups: H.264 recovery points, H.265 RASL) may still come waits for them. While
the gate is open, what no due frame builds on is left out, too, where that is asked for (`unneeded` says when). Streams
for which this cannot work (keyframes too far apart, no time stamps) are decoded as a whole, and the gate says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

from vedette.edge.stream.camera_gate import WhyOpen
from vedette.edge.stream.decoders import Decoders
from vedette.edge.stream.unneeded import time_base_of

MOST_PACKETS = 300  # 10 s at 30 frames a second; replaying more would take seconds
MOST_BYTES = 16 << 20
SHORTEST_GROUP = 4  # below it there is nothing to save
MOST_UNDECODABLE = 3  # keyframes in a row

NOTHING_YET = (None,)

VideoPacket: TypeAlias = "Packet[VideoStream]"


class Gate(Protocol):
    """What is asked of `camera_gate.CameraGate`."""

    shut: bool
    why_open: WhyOpen | None

    @property
    def has_signal(self) -> bool: ...

    def see_packet(self, size_bytes: int, is_keyframe: bool, time_s: float) -> bool: ...

    def wants_keyframe(self, time_s: float) -> bool: ...

    def keyframe_differs(self, frame: VideoFrame, time_s: float, newer: int) -> bool: ...

    def open(self) -> None: ...

    def stay_open(self) -> None: ...


class GatedDecoder:
    """One opened stream. `decode` takes a packet, or None to drain; `flush` makes the decoder forget everything.

    Beside each frame that `take` gives: `lone_keyframe` (decoded while shut), `backlog` (decoded from kept packets, so
    later than it came), and `undecoded`, times of the frames left out before it, which the reader takes away.
    """

    def __init__(
        self,
        gate: Gate,
        decode: Callable[[VideoPacket | None], list[VideoFrame]],
        decoders: Decoders,
    ) -> None:
        self._gate = gate
        self._decode = decode
        self._decoders = decoders
        self.lone_keyframe = self.backlog = False
        self.undecoded: list[float] = []
        self.packet_time_s: float | None = None  # of the packet taken last
        self._tick = (0, 0)  # the stream's time base
        self._open = True
        self._group: list[VideoPacket] = []  # since the last keyframe, with it
        self._bytes = 0
        self._whole = False  # the group is kept from its keyframe on
        self._too_long = False  # the last group did not fit
        self._fed = 0  # packets of the group that the decoder has, in a state to go on from
        self._before: list[VideoPacket] = []  # the group before, while the keyframe after it is not yet judged
        self._before_fed = 0  # packets of these that the decoder has, in a state to go on from
        self._waiting = False  # the group's keyframe is not yet judged
        self._passed_over = False  # nor will it be, but for an alarm: the next one tells
        self._alarmed = False  # by sizes, while waiting
        self._must_open = False  # by an alarm, once all that the keyframe leads in is there to judge it
        self._handed_on: int | None = None  # pts of the last frame given out
        self._beyond: int | None = None  # what comes out of a replay up to here was given out before
        self._keyframe_out = False  # the group's keyframe was given out, and so was all before it
        self._reordered = False
        self._newest: int | None = None
        self._undecodable = 0
        self._is_wanted: Callable[[int, float], bool] | None = None
        self._begins_anew: Callable[[VideoPacket], bool] | None = None
        self._owes_nothing = False  # the decoder has given a frame for all that it was given

    def leave_out(self, is_wanted: Callable[[int, float], bool], begins_anew: Callable[[VideoPacket], bool]) -> None:
        """While open, leave out what nothing due builds on; both as `unneeded.Unneeded` has them."""
        self._is_wanted, self._begins_anew = is_wanted, begins_anew

    def take(self, packet: VideoPacket) -> Iterable[VideoFrame | None]:
        """Frames to hand on, in order of presentation. None: nothing yet, though time passes."""
        judging = self._waiting and not self._passed_over
        pts = packet.pts
        if self._open or judging or packet.is_keyframe or not packet.size or pts is None:
            return self._take(packet)
        # Nearly all packets of a quiet camera come here
        self._reordered |= self._newest is not None and pts < self._newest
        self._newest = pts
        self.packet_time_s = self._time_s(packet)
        alarm = self._gate.see_packet(packet.size, False, self.packet_time_s)
        self._keep(packet)
        return self._open_up() if alarm or self._too_long else NOTHING_YET

    def _take(self, packet: VideoPacket) -> Iterator[VideoFrame | None]:
        if not packet.size:
            yield from self._finish(packet)
            return
        pts = packet.pts
        if pts is None:  # of the first packet of many live streams; of all in raw files
            if not self._open:
                yield from self._open_up(at_once=True)
            yield from self._feed()
            self._gate.why_open = self._gate.why_open or WhyOpen.NO_TIMES
            self._whole, self._group, self._fed, self._bytes = False, [], 0, 0
            yield from self._handed(self._decode(packet))
            return
        if self._newest is None:
            self._tick = time_base_of(packet)
        self.packet_time_s = time_s = self._time_s(packet)
        self._reordered |= self._newest is not None and pts < self._newest
        self._newest = pts
        alarm = self._gate.see_packet(packet.size, packet.is_keyframe, time_s)
        if packet.is_keyframe:
            yield from self._begin_group(packet, alarm)
        else:
            if self._waiting and not self._passed_over and pts > _pts(self._group[0]):
                yield from self._judge()
            self._keep(packet)
        if self._open and self._may_wait(packet):
            yield None
        elif self._open:
            yield from self._feed()
            self._shut_if_asked()
        elif alarm or self._too_long or self._must_open:
            yield from self._open_up()
        else:
            yield None

    @property
    def kept(self) -> int:
        """Packets kept now."""
        return len(self._group) + len(self._before)

    def take_undecoded(self) -> list[float]:
        """Times of the frames left out since the last call, which come before the frame just given."""
        left, self.undecoded = self.undecoded, []
        return left

    def restart(self) -> None:
        """Packets are left out by somebody else: decode from the next one on, which is a keyframe."""
        self._leave_out(self._group[self._fed :] if self._open else [*self._before, *self._group])
        self._open, self._whole, self._waiting, self._passed_over = True, False, False, False
        self._must_open = False
        self._group, self._before, self._fed, self._bytes = [], [], 0, 0
        self._beyond = None
        self._gate.stay_open()

    # -- groups of packets ------------------------------------------------------------------------------------------

    def _begin_group(self, packet: VideoPacket, alarm: bool) -> Iterator[VideoFrame | None]:
        if self._waiting and not self._passed_over:
            yield from self._judge()
        if not self._open:
            if not self._before:
                self._before_fed = self._fed
            self._before = [*self._before, *self._group]  # more than the group if that was passed over
            self._passed_over = not alarm and self._may_pass_over(packet)
            self._waiting, self._alarmed = True, alarm
        else:
            yield from self._end_open_group(packet)
        self._group, self._bytes, self._fed = [packet], packet.size, 0
        self._whole, self._keyframe_out = True, False
        if self._gate.why_open is WhyOpen.NO_TIMES:
            self._gate.why_open = None
        if self._waiting and not self._reordered and not self._passed_over:
            yield from self._judge()

    def _may_pass_over(self, key: VideoPacket) -> bool:
        """Whether this keyframe can be left undecoded, and what came before it be kept for the next one to judge."""
        held = sum(packet.size for packet in self._before)
        fits = len(self._before) <= MOST_PACKETS // 2 and held <= MOST_BYTES // 2
        return fits and not self._gate.wants_keyframe(self._time_s(key))

    def _end_open_group(self, key: VideoPacket) -> Iterator[VideoFrame]:
        if self._fed < len(self._group):
            if self._begins_anew is not None and self._begins_anew(key):
                self._leave_out(self._group[self._fed :])
            else:
                yield from self._feed()
        if self._whole:
            self._set_too_long(False)

    def _may_wait(self, packet: VideoPacket) -> bool:
        """Whether this packet, the newest of an open group, need not be decoded before another."""
        if self._is_wanted is None or self._reordered:
            return False
        ahead = len(self.undecoded) + len(self._group) - self._fed - 1
        wanted = self._is_wanted(ahead, self._time_s(packet))  # asked of each packet
        settled = self._whole and self._owes_nothing and not packet.is_corrupt
        return settled and not wanted

    def _keep(self, packet: VideoPacket) -> None:
        self._group.append(packet)
        self._bytes += packet.size
        if len(self._group) > MOST_PACKETS or self._bytes > MOST_BYTES:
            self._set_too_long(True)

    def _set_too_long(self, too_long: bool) -> None:
        self._too_long = too_long
        if too_long:
            self._whole = False
            self._gate.why_open = WhyOpen.LONG_GOP
        elif self._gate.why_open is WhyOpen.LONG_GOP:
            self._gate.why_open = None

    def _shut_if_asked(self) -> None:
        if not self._gate.shut:
            return
        if self._whole and self._keyframe_out and len(self._group) >= SHORTEST_GROUP and not self._gate.why_open:
            self._open = False
        else:
            self._gate.stay_open()

    # -- decoding ---------------------------------------------------------------------------------------------------

    def _feed(self) -> Iterator[VideoFrame]:
        """Give the decoder what it lacks of the group."""
        while self._fed < len(self._group):
            self._fed += 1
            packet = self._group[self._fed - 1]
            frames = self._decode(packet)
            self._owes_nothing = len(frames) == 1 and frames[0].pts == packet.pts
            yield from self._handed(frames)
        if not self._whole:  # nothing to come back to
            self._group, self._fed, self._bytes = [], 0, 0

    def _handed(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Those of these frames that were not handed on before."""
        for frame in frames:
            if self._beyond is not None and frame.pts is not None:
                if frame.pts <= self._beyond:
                    continue
                self._beyond = None
            self._handed_on = frame.pts
            if self._group and frame.pts == self._group[0].pts:
                self._keyframe_out = True
            yield frame

    def _open_up(self, *, at_once: bool = False) -> Iterator[VideoFrame | None]:
        """Decode what was kept since the last keyframe; from then on everything.

        Where a keyframe is to be looked at first, all that it is led in by is waited for, unless `at_once`.
        """
        if self._waiting:
            looks_first = self._passed_over or self._must_open
            self._passed_over = False
            if looks_first and self._is_led_in() and not at_once:
                self._must_open = True
                yield None
                return
            self._alarmed = not looks_first
            yield from self._judge()
            if self._open:
                return
        if not self._fed:
            self._decoders.flush()
            self._beyond = self._handed_on
        yield from self._replay(self._group[self._fed :])

    def _is_led_in(self) -> bool:
        """Whether pictures that come before the group's keyframe may follow it."""
        return self._reordered and self._newest is not None and self._newest <= _pts(self._group[0])

    def _judge(self) -> Iterator[VideoFrame]:
        """Decode the group's keyframe alone: does it show anything new? Then the group before it is decoded too."""
        self._waiting = self._passed_over = False
        key, before, self._before = self._group[0], self._before, []
        pts, fed = _pts(key), self._before_fed
        frame, goes_on, stands = (None, False, fed > 0) if self._alarmed else self._decode_alone(key, fed)
        if frame is None or self._gate.keyframe_differs(frame, self._time_s(key), len(self._group) - 1):
            self._decoders.give_up_beside()
            if stands:
                before = before[fed:]
            else:
                self._decoders.flush()
                self._beyond = self._handed_on
            if self._handed_on is not None and pts <= self._handed_on:  # a clock that was set back
                yield from self._replay(before)
                self._beyond, before = None, []
            yield from self._replay([*before, *self._group])
            return
        self._decoders.go_on_beside()
        self._leave_out([*before, *(packet for packet in self._group[1:] if _pts(packet) < pts)])
        self._handed_on, self._keyframe_out, self._fed = pts, True, int(goes_on)
        self.lone_keyframe = True
        yield frame
        self.lone_keyframe = False

    def _decode_alone(self, key: VideoPacket, fed: int) -> tuple[VideoFrame | None, bool, bool]:
        """A keyframe's picture; whether what decodes from here on stands right behind it, or `fed` packets behind the
        keyframe before, where it stood until now."""
        beside = self._decoders.decode_beside(key) if fed > 1 and not self._reordered else None
        if beside is not None:
            self._undecodable = 0
            return beside, True, True
        self._decoders.flush()
        frames = self._decode(key)
        goes_on = bool(frames)
        if not frames:
            frames = self._decode(None)
            self._decoders.flush()
            for frame in frames:
                frame.time_base = key.time_base  # frames that were drained come without
        self._undecodable = 0 if frames else self._undecodable + 1
        if self._undecodable >= MOST_UNDECODABLE:
            self._gate.why_open = WhyOpen.NO_KEYFRAMES
        return (frames[0] if frames else None), goes_on, False

    def _replay(self, packets: list[VideoPacket]) -> Iterator[VideoFrame]:
        """Decode kept packets, the group's last; the gate is open from here on."""
        self._open, self.backlog, self._owes_nothing = True, True, False
        self._must_open = False
        self._gate.open()
        for packet in packets:
            yield from self._handed(self._decode(packet))
        self.backlog, self._fed = False, len(self._group)
        self._gate.stay_open()  # what was asked for while looking back does not count: news came since
        if not self._whole:
            self._group, self._fed, self._bytes = [], 0, 0

    def _leave_out(self, packets: list[VideoPacket]) -> None:
        """Report frames that will not be decoded."""
        last = self._handed_on
        left = sorted((packet for packet in packets if last is None or _pts(packet) > last), key=_pts)
        self.undecoded += [self._time_s(packet) for packet in left]

    def _finish(self, end: VideoPacket) -> Iterator[VideoFrame | None]:
        """The stream is over; `end` drains the decoder."""
        if self._waiting:
            yield from self._judge()
        # Where sizes tell nothing, no keyframe will come to judge the last group by
        if not self._open and (self._must_open or not self._gate.has_signal):
            yield from self._open_up()
        if self._open:
            self._leave_out(self._group[self._fed :])  # nothing builds on it
            yield from self._handed(self._decode(end))
        else:
            self._leave_out(self._group)
        yield None

    def _time_s(self, packet: VideoPacket) -> float:
        """As `VideoFrame.time`."""
        return _pts(packet) * self._tick[0] / self._tick[1]


def _pts(packet: VideoPacket) -> int:
    """Of a packet that was taken, hence has one."""
    assert packet.pts is not None
    return packet.pts
