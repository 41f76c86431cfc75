"""The camera's own packets for whoever wants them, from where they are demuxed; the other end is `packet_taps`.

Guarantees: taking a packet never waits for anybody (but for a file that waits for the detector anyway); nothing is
copied while nobody wants it; the packets since the last keyframe are kept, bounded in number and bytes, so that who
comes late begins at once; what is handed on always begins with a keyframe and has no hole within a group of pictures:
what cannot be taken in time is dropped up to the next keyframe, and counted. Packets pass here before a gate is asked,
so they flow also while nothing is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vedette.contracts.video import TICKS_PER_S, VideoFormat, VideoPacket

if TYPE_CHECKING:  # the run's own process reads what taps write, and does without FFmpeg
    from av.packet import Packet
    from av.video.stream import VideoStream

CODECS = frozenset({"h264", "hevc"})  # what fragmented MP4 carries here and browsers may play
MOST_KEPT = 900  # packets of a group: 30 s at 30 frames a second
MOST_BYTES = 16 << 20
STEP_BACK_S, STEP_AHEAD_S = 1.0, 10.0  # beyond them a clock was set anew (as `timing.MediaClock` has it)
NEAR_S = 30.0  # the frame stamped last is this near to the packets, or of an earlier run

AvPacket: TypeAlias = "Packet[VideoStream]"


class Clock(Protocol):
    """What is asked of `timing.MediaClock`."""

    @property
    def last(self) -> tuple[float | None, float | None]:
        """Time stamp and media time of the frame stamped last."""
        ...


class Outlet(Protocol):
    """The way to whoever wants packets. `take` says whether it took them; `wish` is asked before."""

    def wish(self) -> tuple[bool, bool]:
        """Whether packets are wanted, and whether anew, so that the group is wanted from its keyframe on."""
        ...

    def take(self, packets: Sequence[VideoPacket], dropped: int) -> bool: ...


class PacketTap:
    """One camera's. Everything is called by the thread that demuxes; `clock` is set by the one who has it."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self.clock: Clock | None = None
        self.dropped = 0
        self._format: VideoFormat | None = None
        self._wanted = False
        self._forget()
        self._pending: AvPacket | None = None  # the first keyframe of many live streams comes without a time
        self._first_s = self._newest_s = math.nan

    def open(self, stream: VideoStream) -> None:
        """A source was opened: another run begins."""
        context = stream.codec_context
        self._forget()
        self._pending = None
        self._format = None
        if context.name in CODECS and context.width and context.height:
            self._format = VideoFormat(context.name, bytes(context.extradata or b""), context.width, context.height)
        self._begin_run()

    def take(self, packet: AvPacket) -> None:
        """The next packet of the source; an empty one is its end."""
        if self._format is None or not packet.size:
            return
        if packet.pts is None and packet.dts is None:
            self._pending = packet if packet.is_keyframe else None
            return
        if self._pending is not None:
            first, self._pending = self._pending, None
            if not packet.is_keyframe and packet.pts is not None:
                first.pts = first.dts = packet.pts - (packet.duration or first.duration or 1)
                self._keep(first)
        self._keep(packet)

    # -- one group of pictures ------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._group: list[AvPacket] = []  # since its keyframe, as far as it is kept
        self._bytes = 0
        self._whole = False  # the group is kept from its keyframe on
        self._linked = False  # the other side has the group up to `_sent`
        self._sent = 0

    def _keep(self, packet: AvPacket) -> None:
        self._watch_clock(packet)
        if packet.is_keyframe:
            if self._linked:
                self.dropped += len(self._group) - self._sent
            self._group, self._bytes, self._sent, self._whole, self._linked = [], 0, 0, True, False
        self._wanted, anew = self._outlet.wish()
        if anew:
            self._linked, self._sent = False, 0
        if not (self._whole or self._linked):
            self.dropped += self._wanted
            return
        self._group.append(packet)
        self._bytes += packet.size
        if self._wanted and self._outlet.take(self._convert(self._group[self._sent :]), self.dropped):
            self._sent, self._linked = len(self._group), True
        elif not self._wanted:
            self._linked, self._sent = False, 0
        if len(self._group) > MOST_KEPT or self._bytes > MOST_BYTES:
            self._give_up_group()

    def _give_up_group(self) -> None:
        """Nothing of it can be sent again; what was sent so far is followed up."""
        unsent = len(self._group) - self._sent
        self._linked = self._linked and not unsent
        self.dropped += unsent * self._wanted
        self._group, self._bytes, self._sent, self._whole = [], 0, 0, False

    def _convert(self, packets: Sequence[AvPacket]) -> list[VideoPacket]:
        assert self._format is not None
        offset_s = self._media_offset_s()
        converted = []
        for packet in packets:
            base = packet.time_base
            scale = TICKS_PER_S * base.numerator
            pts = packet.pts if packet.pts is not None else packet.dts
            dts = packet.dts if packet.dts is not None else packet.pts
            assert pts is not None
            assert dts is not None
            converted.append(
                VideoPacket(
                    self._format,
                    bytes(packet),
                    round(pts * scale / base.denominator),
                    round(dts * scale / base.denominator),
                    max(round((packet.duration or 0) * scale / base.denominator), 0),
                    packet.is_keyframe,
                    offset_s,
                )
            )
        return converted

    # -- time -----------------------------------------------------------------------------------------------------

    def _begin_run(self) -> None:
        self._first_s = self._newest_s = math.nan

    def _watch_clock(self, packet: AvPacket) -> None:
        """Begin another run where the camera's clock was set anew."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        assert ticks is not None
        time_s = ticks * packet.time_base.numerator / packet.time_base.denominator
        step_s = time_s - self._newest_s
        if step_s < -STEP_BACK_S or step_s > STEP_AHEAD_S:
            assert self._format is not None
            old = self._format
            self._format = VideoFormat(old.codec, old.extradata, old.width_px, old.height_px, old.quarter_turns)
            self._forget()
            self._begin_run()
        if math.isnan(self._first_s):
            self._first_s = time_s
        self._newest_s = time_s

    def _media_offset_s(self) -> float | None:
        """Of this run, if a frame of it has been stamped."""
        pts_s, media_time_s = (None, None) if self.clock is None else self.clock.last
        if pts_s is None or media_time_s is None:
            return None
        if not self._first_s - STEP_BACK_S <= pts_s <= self._newest_s + NEAR_S:
            return None
        return media_time_s - pts_s
