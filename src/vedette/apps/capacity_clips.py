"""What `vedette capacity` decodes: the files it is given, or clips that it draws and encodes itself, as cameras would.

Drawn: 1920x1080, 30 frames a second, 4 Mbit/s H.264 Main or 2.5 Mbit/s H.265, a keyframe every 2 s, a fixed camera over
a textured ground with sensor noise, three dozen textured objects that move. The same in every run but for the encoder.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.apps.capacity_errors import CapacityError, NoEncoderError
from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.contracts.ports import Progress

LABELS = {"h264": "H.264", "hevc": "H.265", "mpeg4": "MPEG-4", "mjpeg": "Motion JPEG", "av1": "AV1", "vp9": "VP9"}
FRAMES_PER_S = 30
OBJECTS = 36
NOISE = 2.0  # standard deviation, grey levels
SEED = 4


@dataclass(frozen=True, slots=True)
class DrawnForm:
    """How a drawn clip is encoded. Without CABAC or deblocking it would be cheaper to decode than cameras are."""

    codec: str
    encoder: str
    bit_rate: int
    options: dict[str, str]


FORMS = (
    DrawnForm("h264", "libx264", 4_000_000, {"preset": "veryfast", "profile": "main", "bf": "0", "sc_threshold": "0"}),
    DrawnForm("hevc", "libx265", 2_500_000, {"preset": "superfast", "x265-params": "log-level=none:bframes=0"}),
)


@dataclass(frozen=True, slots=True)
class DrawnSize:
    """How large and long; two groups of pictures by default."""

    width_px: int = 1920
    height_px: int = 1080
    frames: int = 120


@dataclass(frozen=True, slots=True)
class CapacityClip:
    """A file to measure with, and what it holds."""

    path: str
    codec: str
    width_px: int
    height_px: int
    frames_per_s: float
    drawn: bool

    @property
    def label(self) -> str:
        """`H.264 1920x1080 at 30/s`"""
        codec = LABELS.get(self.codec, self.codec)
        return f"{codec} {self.width_px}x{self.height_px} at {self.frames_per_s:g}/s"


def look_at_clip(path: str, drawn: bool = False) -> CapacityClip:
    """Open a file and decode its first frames.

    Raises:
        CameraInputError: it is no video, or cannot be decoded.
        UsageError: it is no file.
    """
    from vedette.edge.stream.camera_spec import CameraSpec, SourceKind
    from vedette.edge.stream.source import open_source
    from vedette.edge.stream.timing import DEFAULT_INTERVAL_S

    spec = CameraSpec("clip", path)
    if spec.kind is not SourceKind.FILE:
        raise UsageError(
            f"--video {path}: capacity is measured with files; record a minute of the camera and give that"
        )
    source = open_source(spec)
    try:
        frames = list(islice((frame for frame in source.frames() if frame is not None), 2))
        if not frames:
            raise CapacityError(f"{path} holds no frame that can be decoded; give another clip")
        if len(frames) == 1:
            raise CapacityError(f"{path} holds a single frame, which says nothing of a camera; give a clip of seconds")
        frame = frames[0]
        interval_s = source.interval_s or DEFAULT_INTERVAL_S
        rate = round(1 / interval_s, 3)
        return CapacityClip(path, source.codec, frame.width, frame.height, rate, drawn)
    finally:
        source.close()


def draw_clip(path: Path, form: DrawnForm, size: DrawnSize, progress: "Progress") -> CapacityClip:
    """Draw and encode one clip.

    Raises:
        NoEncoderError: this FFmpeg cannot encode it.
    """
    import av
    from av.error import FFmpegError

    progress.start(f"drawing a clip in {LABELS[form.codec]}", size.frames, "frames")
    scene = _Scene(size)
    try:
        with av.open(str(path), "w") as output:
            video: Any = output.add_stream(form.encoder, rate=Fraction(FRAMES_PER_S))
            video.width, video.height, video.pix_fmt = size.width_px, size.height_px, "yuv420p"
            video.bit_rate, video.options = form.bit_rate, form.options
            video.codec_context.gop_size = 2 * FRAMES_PER_S
            for index in range(size.frames):
                frame = av.VideoFrame.from_ndarray(scene.draw(index), format="yuv420p")
                output.mux(video.encode(frame))
                progress.advance()
            output.mux(video.encode())
    except (FFmpegError, ValueError) as error:  # av.codec.codec.UnknownCodecError is a ValueError
        raise NoEncoderError(
            f"this FFmpeg does not encode {LABELS[form.codec]} ({error}); give a clip of such a camera with --video"
        ) from error
    return look_at_clip(str(path), drawn=True)


class _Scene:
    """Luma is drawn, chroma stays grey: what a decoder does depends on residuals and motion, not on colours."""

    def __init__(self, size: DrawnSize) -> None:
        import numpy as np

        self._size = size
        self._random = np.random.default_rng(SEED)
        width, height = size.width_px, size.height_px
        self._ground = self._texture(width, height, 12)
        side = max(height // 4, 8)
        self._sprites = [self._texture(side, side, 6) for _ in range(OBJECTS)]
        self._starts = self._random.uniform(0, 1, (OBJECTS, 2))
        self._speeds = self._random.uniform(-7, 7, (OBJECTS, 2)) * width / 1920  # pixels a frame
        # Sensor noise: a few fields in turn, as costly to encode as fresh ones and much cheaper to draw
        self._noise = self._random.normal(0, NOISE, (5, height, width)).astype(np.int8)

    def draw(self, index: int) -> "NDArray[np.uint8]":
        """(height * 3 / 2, width) uint8, planar YUV 4:2:0."""
        import cv2
        import numpy as np

        width, height = self._size.width_px, self._size.height_px
        luma = self._ground.copy()
        side = len(self._sprites[0])
        for sprite, start, speed in zip(self._sprites, self._starts, self._speeds, strict=True):
            left, top = (start * (width, height) + speed * index) % (width - side - 1, height - side - 1)
            shift = np.array([[1, 0, left % 1], [0, 1, top % 1]], np.float32)  # between pixels, as the world moves
            place = luma[int(top) : int(top) + side, int(left) : int(left) + side]
            place[:] = cv2.warpAffine(sprite, shift, (side, side), borderMode=cv2.BORDER_REPLICATE)
        luma = cv2.add(luma, self._noise[index % len(self._noise)], dtype=cv2.CV_8U)
        chroma = np.full((height // 2, width), 128, np.uint8)
        return np.vstack([luma, chroma])

    def _texture(self, width: int, height: int, grain_px: int) -> "NDArray[np.uint8]":
        import cv2
        import numpy as np

        coarse = self._random.integers(40, 200, (height // grain_px + 2, width // grain_px + 2), np.uint8)
        smooth: NDArray[np.uint8] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return smooth
