"""Clips as NAL units, and NAL units as RTP payloads: H.264 by RFC 6184, H.265 by RFC 7798."""

from collections.abc import Callable
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

from simulators.clips import draw_frame

FPS = 25
SIZE = (160, 96)
PAYLOAD = 1200
CLIP_FRAMES = 25
Draw = Callable[[int, int, int], NDArray[np.uint8]]
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
OPTIONS = {
    "h264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "sliced-threads=0"},
    "hevc": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none:pools=none:frame-threads=1"},
}


def encode_units(
    draw: Draw = draw_frame, clip_frames: int = CLIP_FRAMES, size: tuple[int, int] = SIZE, codec: str = "h264"
) -> list[list[bytes]]:
    """The NAL units of each frame of a clip, a keyframe a second; the first frame carries the parameter sets."""
    sink = BytesIO()
    with av.open(sink, "w", format=codec) as output:
        video = output.add_stream(ENCODERS[codec], rate=FPS)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = CLIP_FRAMES
        video.options = OPTIONS[codec]
        frames = []
        for index in range(clip_frames):
            packets = video.encode(av.VideoFrame.from_ndarray(draw(index, *size), format="rgb24"))
            frames += [bytes(packet) for packet in packets]
        frames += [bytes(packet) for packet in video.encode()]
    return [[unit.rstrip(b"\0") for unit in frame.split(b"\0\0\1") if unit.strip(b"\0")] for frame in frames]


def payloads(unit: bytes, codec: str = "h264") -> list[tuple[bytes, bool]]:
    """A NAL unit as one RTP payload, or cut into fragments; and whether it is the unit's last."""
    if len(unit) <= PAYLOAD:
        return [(unit, True)]
    if codec == "h264":
        head, kind, body = bytes([(unit[0] & 0xE0) | 28]), unit[0] & 0x1F, unit[1:]
    else:
        head, kind, body = bytes([(unit[0] & 0x81) | 49 << 1, unit[1]]), (unit[0] >> 1) & 0x3F, unit[2:]
    pieces = [body[start : start + PAYLOAD] for start in range(0, len(body), PAYLOAD)]
    last = len(pieces) - 1
    return [
        (head + bytes([kind | (0x80 if number == 0 else 0) | (0x40 if number == last else 0)]) + piece, number == last)
        for number, piece in enumerate(pieces)
    ]
