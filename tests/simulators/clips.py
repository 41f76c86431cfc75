"""Small real video files for tests: a bright square that walks over a dark, slightly structured ground."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TIME_BASE = Fraction(1, 90_000)


def draw_frame(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB: ground of about 40, a square of 235 whose left edge is at 4 + 2 * index."""
    ramp = np.linspace(30, 60, width).astype(np.uint8)
    image = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)  # (height, width, 3) uint8
    side = height // 4
    left, top = 4 + (2 * index) % max(width - side - 4, 1), height // 3
    image[top : top + side, left : left + side] = 235
    return np.ascontiguousarray(image)


def write_clip(
    path: Path,
    frames: int = 50,
    size: tuple[int, int] = (160, 96),
    fps: int = 25,
    codec: str = "libx264",
    gop: int = 10,
    b_frames: int = 0,
    audio_first: bool = False,
    times_s: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; the file's name says the container. `times_s` makes the frame rate variable."""
    with av.open(str(path), "w", container_options=container_options or {}) as output:
        audio = output.add_stream("aac", rate=16_000, layout="mono") if audio_first else None
        video = output.add_stream(codec, rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size = gop
        video.codec_context.max_b_frames = b_frames
        if codec == "libx264":
            video.options = {"preset": "ultrafast", "bf": str(b_frames), "sc_threshold": "0", **(options or {})}
        if times_s is not None:
            video.codec_context.time_base = TIME_BASE
        for index in range(frames):
            if audio is not None and index % 5 == 0:
                mux_silence(output, audio, index * 16_000 // fps)
            frame = av.VideoFrame.from_ndarray(draw_frame(index, *size), format="rgb24")
            if times_s is not None:
                frame.time_base, frame.pts = TIME_BASE, round(times_s[index] / TIME_BASE)
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if audio is not None:
            output.mux(audio.encode())
    return path


def turn_clip(path: Path, counter_clockwise_quarters: int) -> None:
    """Write rotation metadata into an MP4: the matrix of its video track's header (ISO 14496-12, 8.3.2)."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][counter_clockwise_quarters % 4]
    matrix = struct.pack(">9i", cos << 16, -sin << 16, 0, sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")
    start = header + 4 + 40  # version 0: flags, times, ids, duration, reserved, layer, group, volume
    content[start : start + 36] = matrix
    path.write_bytes(bytes(content))


def mux_silence(output: "av.container.OutputContainer", audio: "av.AudioStream", pts: int) -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 16_000, pts
    output.mux(audio.encode(frame))
