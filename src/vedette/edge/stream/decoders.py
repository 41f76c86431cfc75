"""The decoder of one opened stream, and another beside it for a keyframe out of turn.

A decoder that stands in the middle of a group of pictures forgets where it stands when it is given a keyframe of later;
decoding the group again costs as many frames as it had. A second one, made in a tenth of a millisecond and given up
again, keeps the first where it is.

Only for codecs whose parameters come with the stream or with its packets, and where nothing is reordered: how far a
stream reorders is what a decoder finds out by and by. The stream's own decoder, which lives and keeps its pictures as
long as the stream, is left unused then, so that whichever of the two is given up leaves no memory behind.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import av
from av import VideoFrame
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

VideoPacket: TypeAlias = "Packet[VideoStream]"

SELF_CONTAINED = frozenset({"h264", "hevc"})


class Decoders:
    """One stream's; for one thread."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._can_be_two = context.name in SELF_CONTAINED and not context.has_b_frames
        self._context = _another(context) if self._can_be_two else context
        self._beside: VideoCodecContext | None = None

    def decode(self, packet: VideoPacket | None) -> list[VideoFrame]:
        """Frames that the decoder gives for a packet, or when it is drained.

        Raises:
            FFmpegError: the packet cannot be decoded.
        """
        return self._context.decode(packet)

    def flush(self) -> None:
        """Make the decoder forget everything."""
        self._context.flush_buffers()

    def decode_beside(self, key: VideoPacket) -> VideoFrame | None:
        """A keyframe's picture from a decoder of its own; None where there can be none, or it gives none at once."""
        self._beside = None
        if not self._can_be_two or self._context.has_b_frames:
            return None
        beside = _another(self._context)
        try:
            frames = beside.decode(key)
        except FFmpegError:  # parameters that came once and are not in every keyframe: the first decoder knows them
            return None
        if len(frames) != 1 or frames[0].pts != key.pts:
            return None
        self._beside = beside
        return frames[0]

    def go_on_beside(self) -> None:
        """What follows the keyframe decoded beside is decoded now; where the first one stood is of no use any more."""
        if self._beside is not None:
            self._context, self._beside = self._beside, None

    def give_up_beside(self) -> None:
        """The first one goes on from where it stood."""
        self._beside = None


def _another(context: VideoCodecContext) -> VideoCodecContext:
    """A decoder of the same stream that has seen nothing of it."""
    another = cast(VideoCodecContext, CodecContext.create(av.Codec(context.name, "r"), "r"))
    another.extradata = context.extradata
    another.thread_count = context.thread_count
    another.options = context.options
    another.color_range = context.color_range
    another.color_primaries = context.color_primaries
    another.color_trc = context.color_trc
    another.colorspace = context.colorspace
    return another
