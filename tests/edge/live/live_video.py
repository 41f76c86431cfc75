"""What the tests of live video show: a camera's packets in its own time, and what was found in some of its frames."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import FrameStamp
from vedette.contracts.video import TICKS_PER_S, VideoFormat, VideoPacket
from vedette.edge.live.video_store import VideoStore

Draw = Callable[[int], NDArray[np.uint8]]


@cache
def read_packets(path: Path) -> tuple[VideoPacket, ...]:
    """One run of a file; its media time begins with 0 at its first frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        form = VideoFormat(context.name, bytes(context.extradata or b""), context.width, context.height)
        scale = TICKS_PER_S * stream.time_base
        coded = [packet for packet in container.demux(stream) if packet.size]
        first_s = min(float(packet.pts * packet.time_base) for packet in coded)
        return tuple(
            VideoPacket(
                form, bytes(packet), round(packet.pts * scale), round(packet.dts * scale),
                round(packet.duration * scale), packet.is_keyframe, -first_s,
            )
            for packet in coded
        )  # fmt: skip


def begin_again(packets: Sequence[VideoPacket], media_from_s: float = 0.0) -> list[VideoPacket]:
    """The same packets as another run, that much later in media time."""
    form = replace(packets[0].format)
    return [
        replace(packet, format=form, media_offset_s=(packet.media_offset_s or 0.0) + media_from_s) for packet in packets
    ]


class Playing:
    """Gives packets to a store as a paced camera does, over and over, while they are wanted, until left.

    `found(index)` tells boxes of every fifth frame, as late as a detector would.
    """

    LATE_S = 0.12

    def __init__(
        self, store: VideoStore, camera: str, packets: Sequence[VideoPacket], found: Callable[[FrameStamp], None]
    ) -> None:
        self._store, self._camera, self._packets, self._found = store, camera, packets, found
        self._wanted = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def wish(self, camera: str, wanted: bool) -> None:
        """For `VideoStore.wish_by`."""
        self._wanted = wanted

    def _run(self) -> None:
        began, media_from_s, index = time.monotonic(), 0.0, 0
        form = self._packets[0].format
        period_s = len(self._packets) * self._packets[0].duration_ticks / TICKS_PER_S
        interval_s = period_s / len(self._packets)
        following = False
        while not self._stop.is_set():
            run = begin_again(self._packets, media_from_s)
            for number, packet in enumerate(run):
                due = began + media_from_s + number * interval_s
                if self._stop.wait(max(due - time.monotonic(), 0)):
                    return
                following = self._wanted and (following or packet.is_keyframe)
                if following:
                    self._store(self._camera, [packet])
                late = index - round(self.LATE_S / interval_s)
                if late >= 0 and late % 5 == 0:
                    stamp = FrameStamp(
                        self._camera, late, late * interval_s, time.time(), form.width_px, form.height_px
                    )
                    self._found(stamp)
                index += 1
            media_from_s += period_s

    def __enter__(self) -> "Playing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
