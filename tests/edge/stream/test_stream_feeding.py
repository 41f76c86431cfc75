"""A run with an asynchronous detector: order and results as without, never too much under way, nothing left behind."""

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.result_log import ResultLog, shared_spawner
from vedette.contracts.errors import UnavailableError
from vedette.contracts.ports import AsyncDetector
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline


class AsyncBlobs(BlobDetector):
    """`contracts.ports.AsyncDetector` that looks when it is asked for results."""

    in_flight = 3

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.under_way: deque[tuple[list, list]] = deque()
        self.most_under_way = 0
        self.taken = 0
        self.fail_at = fail_at
        self.submitters: set[int] = set()

    def submit(self, pixels_hwc_rgb, placements):
        self.submitters.add(threading.get_ident())
        self.under_way.append((list(pixels_hwc_rgb), list(placements)))
        self.most_under_way = max(self.most_under_way, len(self.under_way))

    def take(self):
        time.sleep(0.01)  # so that there is time to run ahead
        pixels, placements = self.under_way.popleft()
        self.taken += 1
        if self.taken == self.fail_at:
            raise UnavailableError("the engine is gone")
        return self.detect_fitted(np.stack(pixels), placements)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory) -> list[CameraSpec]:
    folder: Path = tmp_path_factory.mktemp("feeding")
    return [CameraSpec(name, str(write_clip(folder / f"{name}.mp4", frames=n))) for name, n in [("a", 40), ("b", 23)]]


def run(cameras: list[CameraSpec], detector: BlobDetector, log: ResultLog | None = None) -> ResultLog:
    log = log or ResultLog()
    StreamPipeline(cameras, detector, log, every=2, spawner=shared_spawner()).run()
    return log


def test_results_batches_and_ends_are_those_of_a_plain_detector(cameras: list[CameraSpec]):
    plain, detector = BlobDetector(), AsyncBlobs()
    assert isinstance(detector, AsyncDetector) and not isinstance(plain, AsyncDetector)
    logs = [run(cameras, plain), run(cameras, detector)]
    results = [[(s.camera, s.index, s.media_time_s, boxes) for s, boxes in log.results] for log in logs]
    assert results[0] == results[1] and len(results[0]) == 20 + 12
    assert logs[0].ends == logs[1].ends
    assert plain.batch_sizes == detector.batch_sizes


def test_results_come_in_the_callers_thread_and_at_most_in_flight_batches_are_under_way(cameras: list[CameraSpec]):
    detector = AsyncBlobs()
    log = run(cameras, detector)
    assert log.threads == {threading.get_ident()} and threading.get_ident() not in detector.submitters
    assert 1 < detector.most_under_way <= detector.in_flight
    assert not detector.under_way


def test_what_the_detector_raises_is_raised_by_the_run_and_nothing_stays_under_way(cameras: list[CameraSpec]):
    detector = AsyncBlobs(fail_at=3)
    threads_before = threading.active_count()
    with pytest.raises(UnavailableError, match="the engine is gone"):
        run(cameras, detector)
    assert not detector.under_way and threading.active_count() == threads_before
    assert len(run(cameras, detector).results) == 32  # it can be used again


def test_what_submitting_raises_is_raised_by_the_run(cameras: list[CameraSpec]):
    detector = AsyncBlobs()
    detector.submit = lambda *_: (_ for _ in ()).throw(ValueError("wrong size"))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="wrong size"):
        run(cameras, detector)


class FailingLog(ResultLog):
    def on_result(self, frame, picture, detections):
        raise KeyboardInterrupt


def test_a_handler_that_is_interrupted_leaves_the_detector_free(cameras: list[CameraSpec]):
    detector = AsyncBlobs()
    with pytest.raises(KeyboardInterrupt):
        run(cameras, detector, FailingLog())
    assert not detector.under_way
    assert len(run(cameras, detector).results) == 32
