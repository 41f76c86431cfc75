"""Which packets need not be decoded: those behind the last due frame of a group, since nothing due builds on them.

A due frame needs every frame before it back to the last picture that begins anew: IDR, nothing behind which looks back
past it, or, where nothing is reordered, CRA (nal_unit_type of ITU-T H.264 and H.265). So packets that are not due are
held back until one is due, and all are decoded, or a group begins anew, and they are left out. With groups of 60 frames
that is a 15th of all decoding when every 5th is due and nearly half when one a second is; of pictures that build on
none, all that are not due. What is detected on is the same to the bit.

Only where each packet gives its own frame at once (nothing is reordered), and only for who does not mind that held
packets are decoded a little later. Frames left out are told with their times, so that numbering goes on.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from av import VideoFrame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

MOST_HELD = 600  # packets: 20 s at 30 frames a second
WITHOUT_REFERENCES = frozenset({"mjpeg"})

AvPacket: TypeAlias = "Packet[VideoStream]"


class _Units(NamedTuple):
    """How a codec's units (NAL units) tell what they are, by their first byte."""

    shift: int
    mask: int
    slices: frozenset[int]
    anew: frozenset[int]  # of these, those of pictures that begin anew
    anew_in_order: frozenset[int]  # those that begin anew where nothing is reordered, so that no picture leads them
    length_size_at: int  # in avcC or hvcC: the byte whose last two bits say how long the lengths before units are


UNITS = {
    "h264": _Units(0, 0x1F, frozenset(range(1, 6)), frozenset({5}), frozenset(), 4),
    "hevc": _Units(1, 0x3F, frozenset(range(32)), frozenset({19, 20}), frozenset({16, 17, 18, 21}), 21),
}


class Unneeded:
    """One opened stream's.

    `is_wanted` says whether a frame is due: so many behind the next one to be numbered, and of that time.
    """

    def __init__(self, context: VideoCodecContext, is_wanted: Callable[[int, float], bool]) -> None:
        self._context = context
        self._is_wanted = is_wanted
        self._units = UNITS.get(context.name)
        self._length_bytes = 0  # start codes stand between units
        extradata = context.extradata
        if self._units is not None and extradata and extradata[0] == 1 and len(extradata) > self._units.length_size_at:
            self._length_bytes = (extradata[self._units.length_size_at] & 3) + 1
        self._held: list[AvPacket] = []
        self._left_out: list[float] = []
        self._tick = (0, 1)
        self._owes_nothing = False  # the decoder has given a frame for all that it was given
        self._newest: int | None = None

    def take(self, packet: AvPacket) -> list[AvPacket]:
        """What to decode now, in order: nothing, this packet, or those held before it, too."""
        if not packet.size:  # the end: nothing builds on what is held
            self._leave_out()
            return [packet]
        newest, self._newest = self._newest, packet.pts
        if newest is None and packet.pts is not None:
            self._tick = time_base_of(packet)
        if packet.pts is None or newest is None or packet.pts <= newest or packet.is_corrupt:
            return self._release(packet)
        if packet.is_keyframe and self.begins_anew(packet):
            self._leave_out()
        if not self._owes_nothing or len(self._held) >= MOST_HELD:
            return self._release(packet)
        if self._is_wanted(len(self._left_out) + len(self._held), self._time_s(packet)):
            return self._release(packet)
        self._held.append(packet)
        return []

    def see(self, packet: AvPacket, frames: list[VideoFrame]) -> None:
        """What the decoder gave for a packet."""
        self._owes_nothing = len(frames) == 1 and frames[0].pts == packet.pts

    def take_left_out(self) -> list[float]:
        """Times of the frames left out since the last call, which come before the frame just given."""
        left_out, self._left_out = self._left_out, []
        return left_out

    def _release(self, packet: AvPacket) -> list[AvPacket]:
        held, self._held = self._held, []
        held.append(packet)
        return held

    def _leave_out(self) -> None:
        if self._held:
            self._left_out += [self._time_s(packet) for packet in self._held]
            self._held = []

    def _time_s(self, packet: AvPacket) -> float:
        """As `VideoFrame.time`, of a packet that has a time stamp."""
        assert packet.pts is not None
        return packet.pts * self._tick[0] / self._tick[1]

    def begins_anew(self, packet: AvPacket) -> bool:
        """Whether nothing from this keyframe on looks back past it."""
        units = self._units
        if units is None:
            return self._context.name in WITHOUT_REFERENCES
        anew = units.anew if self._context.has_b_frames else units.anew | units.anew_in_order
        kinds = (first >> units.shift & units.mask for first in _first_bytes(bytes(packet), self._length_bytes))
        return next((kind in anew for kind in kinds if kind in units.slices), False)


def _first_bytes(content: bytes, length_bytes: int) -> Iterator[int]:
    """The first byte of each unit of a packet."""
    if not length_bytes:
        at = content.find(b"\0\0\1") + 3
        while 3 <= at < len(content):
            yield content[at]
            at = content.find(b"\0\0\1", at) + 3
        return
    at = 0
    while at + length_bytes < len(content):
        yield content[at + length_bytes]
        at += length_bytes + int.from_bytes(content[at : at + length_bytes], "big")


def time_base_of(packet: AvPacket) -> tuple[int, int]:
    """Of all packets of a stream: asking each makes a fraction, which takes longer than what is done with it."""
    base = packet.time_base
    return base.numerator, base.denominator
