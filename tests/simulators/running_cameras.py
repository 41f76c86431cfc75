"""A pipeline over live cameras in a thread of its own, and what its first camera does meanwhile."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from simulators.blob_detector import BlobDetector
from simulators.result_log import ResultLog, shared_spawner
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.spawner import Spawner
from vedette.edge.stream.statistics import CameraState, CameraStatistics

PATIENCE_S = 60.0


class Running:
    """A pipeline in a thread, and what its first camera does."""

    def __init__(self, *urls: str, spawner: Spawner | None = None, **settings) -> None:
        self.log = ResultLog()
        cameras = [CameraSpec(name, url) for name, url in zip("abcdefgh", urls, strict=False)]
        self.pipeline = StreamPipeline(
            cameras, BlobDetector(), self.log, spawner=spawner or shared_spawner(), **settings
        )
        self.thread = threading.Thread(target=self.pipeline.run)

    def camera(self, number: int = 0) -> CameraStatistics:
        return self.pipeline.snapshot()[number]

    def wait(self, condition: Callable[[CameraStatistics], object]) -> float:
        """Until the first camera is so; how long it took."""
        began = time.monotonic()
        while not condition(self.camera()):
            assert time.monotonic() < began + PATIENCE_S, self.camera()
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_for_frames(self, count: int = 10) -> float:
        frames = self.camera().frames
        return self.wait(lambda camera: camera.state is CameraState.RUNNING and camera.frames >= frames + count)

    def wait_until_offline(self) -> float:
        return self.wait(lambda camera: camera.state is CameraState.OFFLINE)


@contextmanager
def running(*urls: str, **settings) -> Iterator[Running]:
    run = Running(*urls, **settings)
    run.thread.start()
    try:
        yield run
    finally:
        run.pipeline.stop()
        run.thread.join()


def assert_goes_on(log: ResultLog) -> None:
    """Numbers and times grow, and media time keeps step with the clock on the wall."""
    stamps = log.stamps("a")
    assert all(then.index < now.index for then, now in itertools.pairwise(stamps))
    assert all(then.media_time_s <= now.media_time_s for then, now in itertools.pairwise(stamps))
    drift_s = [stamp.captured_unix_s - stamp.media_time_s for stamp in (stamps[0], stamps[-1])]
    assert drift_s[1] - drift_s[0] == pytest.approx(0, abs=2.0)
