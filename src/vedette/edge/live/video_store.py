"""The video of all cameras, for all who want it: pages, HLS, clips, publishing.

Guarantees: a camera's packets are asked for only while somebody holds it, and a few seconds longer, so that a page that
is loaded again goes on; taking packets never waits for a viewer; nothing is kept of a camera that nobody holds.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.video import VideoPacket
from vedette.edge.live.snapshots import tracks_to_json
from vedette.edge.live.video_track import VideoTrack

LINGER_S = 5.0


class VideoStore:
    """`contracts.video.PacketListener`. Thread-safe."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self.tracks = {camera: VideoTrack(camera) for camera in cameras}
        self._wish: Callable[[str, bool], None] | None = None
        self._lock = threading.Lock()
        self._holds: dict[str, list[float]] = {camera: [] for camera in cameras}
        self._generations = dict.fromkeys(cameras, 0)
        self._closed = False

    def wish_by(self, wish: Callable[[str, bool], None]) -> None:
        """How to say that a camera's packets are wanted, or no longer."""
        with self._lock:
            self._wish = wish
            for camera, holds in self._holds.items():
                if holds:
                    wish(camera, True)

    def __call__(self, camera: str, packets: Sequence[VideoPacket]) -> None:
        """Take packets of a camera."""
        self.tracks[camera].add(packets)

    def add_tracks(self, stamp: FrameStamp, tracks: Tracks, counts: Mapping[str, int]) -> None:
        """What was found in a frame, for whoever watches."""
        document = {"size": [stamp.width_px, stamp.height_px], **tracks_to_json(tracks), "counts": dict(counts)}
        self.tracks[stamp.camera].add_result(stamp.media_time_s, document)

    def is_held(self, camera: str) -> bool:
        """Whether somebody wants this camera's video."""
        return bool(self._holds[camera])

    @contextmanager
    def hold(self, camera: str, keep_s: float = 0.0) -> Iterator[VideoTrack]:
        """Want a camera's packets, and as many seconds of them kept, until left."""
        self.acquire(camera, keep_s)
        try:
            yield self.tracks[camera]
        finally:
            self.release(camera, keep_s)

    def acquire(self, camera: str, keep_s: float = 0.0) -> VideoTrack:
        """As `hold`, for whoever calls `release` with the same."""
        with self._lock:
            self._generations[camera] += 1
            self._holds[camera].append(keep_s)
            self.tracks[camera].keep_s = max(self._holds[camera])
            if self._wish is not None:
                self._wish(camera, True)
        return self.tracks[camera]

    def release(self, camera: str, keep_s: float = 0.0) -> None:
        """No longer; the last one to leave ends it after a while."""
        with self._lock:
            holds = self._holds[camera]
            holds.remove(keep_s)
            self.tracks[camera].keep_s = max(holds, default=0.0)
            if holds or self._closed:
                return
            generation = self._generations[camera]
            timer = threading.Timer(LINGER_S, self._let_go, (camera, generation))
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """Nothing more is asked for."""
        with self._lock:
            self._closed, self._wish = True, None

    def _let_go(self, camera: str, generation: int) -> None:
        with self._lock:
            if self._generations[camera] != generation or self._holds[camera] or self._closed:
                return
            if self._wish is not None:
                self._wish(camera, False)
            self.tracks[camera].clear()
