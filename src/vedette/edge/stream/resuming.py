"""Which packets of a file to leave undecoded when it is opened again because its decoder died.

Everything up to the last frame that arrived is passed over; what follows up to the next keyframe cannot be decoded any
more and is counted, so that the numbering of frames goes on exactly, also with a variable frame rate. Frames without
time stamps are told by their count. Leading frames of an open GOP at the new keyframe are lost uncounted.
"""

from av.packet import Packet
from av.video.stream import VideoStream

MOST_PACKETS = 300  # streams that refresh without keyframes exist; then decode what comes


class Resuming:
    """Asked for every packet until `done`."""

    def __init__(self, after_pts_s: float | None, after_frames: int) -> None:
        self.done = False
        self.skipped = 0  # frames between the last one and the keyframe
        self._after_pts_s = after_pts_s
        self._after_frames = after_frames
        self._packets = 0

    def wants(self, packet: "Packet[VideoStream]") -> bool:
        """Whether to decode it."""
        if self.done or not packet.size:  # an empty packet is the end of the file
            return True
        self._packets += 1
        if self._after_pts_s is None or packet.pts is None:
            is_new = self._packets > self._after_frames
        else:
            is_new = float(packet.pts * packet.time_base) > self._after_pts_s
        if not is_new:
            return False
        if packet.is_keyframe or self.skipped >= MOST_PACKETS:
            self.done = True
            return True
        self.skipped += 1
        return False
