"""A spawner program whose decoders die of SIGSEGV at a frame that the file's name says: `dies-at-33.mp4`.

The frame is told by its time stamp at 25 frames a second, so that the same packet kills every decoder that meets it.
"""

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

from av import VideoFrame

from vedette.edge.stream import camera, spawner_program
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.source import FrameSource, open_source

FPS = 25
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[2:]; "
    "from simulators.fragile_decoder import main; main(int(sys.argv[1]))"
)


def main(control_fd: int) -> None:
    """The spawner's, with fragile decoders."""
    camera.open_source = _open_fragile  # type: ignore[assignment]
    spawner_program.main(control_fd)


def _open_fragile(spec: CameraSpec, *more: Any, **named: Any) -> FrameSource:
    source = open_source(spec, *more, **named)
    deadly = re.search(r"dies-at-(\d+)", spec.url)
    if deadly is not None:
        source.frames = _dying(source.frames(), int(deadly.group(1)))  # type: ignore[method-assign]
    return source


def _dying(frames: Iterator[VideoFrame], deadly: int):
    def play() -> Iterator[VideoFrame]:
        for frame in frames:
            if round(frame.time * FPS) == deadly:
                os.kill(os.getpid(), signal.SIGSEGV)
            yield frame

    return play
