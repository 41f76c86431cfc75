"""A camera's own compressed video: what crosses from whoever demuxes it to whoever shows, keeps or sends it on.

Times are ticks of MPEG's clock, 90 000 a second, as the camera gave them: they may start anywhere. Packets that share
one `VideoFormat` object are of one run: their times belong together. A camera that was opened again, a file that begins
again and a clock that was set anew begin another run with another object, also where nothing else differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

TICKS_PER_S = 90_000


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity
class VideoFormat:
    """How one run is encoded. `extradata` is what its container or session description says: avcC, hvcC or Annex B."""

    codec: str  # FFmpeg's name: h264, hevc
    extradata: bytes
    width_px: int
    height_px: int
    quarter_turns: int = 0  # counter-clockwise, to be applied before looking


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One coded picture, in the order of decoding.

    `media_offset_s` is what to add to the packet's time in seconds to get the media time that detections, tracks and
    events speak of, as far as it was known when the packet was read.
    """

    format: VideoFormat
    data: bytes
    pts_ticks: int
    dts_ticks: int
    duration_ticks: int
    is_keyframe: bool
    media_offset_s: float | None = None


class PacketListener(Protocol):
    """Somebody who takes the packets of every camera, each camera's in order, from any thread. Must return at once."""

    def __call__(self, camera: str, packets: Sequence[VideoPacket]) -> None: ...
