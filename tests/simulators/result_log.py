"""A result handler that remembers, and the run of a pipeline that it belongs to.

All runs of a test session share one spawner, which takes longer to start than most of them take to run.
"""

import atexit
import threading
from collections.abc import Sequence
from functools import cache

from simulators.blob_detector import BlobDetector
from vedette.contracts.detections import Detections
from vedette.contracts.frame import FittedFrame, FrameStamp
from vedette.contracts.pipeline import Isolation
from vedette.contracts.ports import FullPicture
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.spawner import Spawner
from vedette.edge.stream.statistics import CameraStatistics


@cache
def shared_spawner() -> Spawner:
    """Started on first use, closed at the end of the session."""
    spawner = Spawner()
    atexit.register(spawner.close)
    return spawner


class ResultLog:
    """`contracts.ports.ResultHandler` that keeps stamps and boxes, the last picture of each camera, and the ends."""

    def __init__(self) -> None:
        self.results: list[tuple[FrameStamp, list[dict[str, object]]]] = []
        self.pictures: dict[str, FullPicture] = {}
        self.ends: list[tuple[str, str | None]] = []
        self.threads: set[int] = set()
        self.seen = threading.Condition()

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None:
        with self.seen:
            self.results.append((frame.stamp, detections.to_json()))
            self.pictures[frame.stamp.camera] = picture
            self.threads.add(threading.get_ident())
            self.seen.notify_all()

    def on_camera_end(self, camera: str, error: str | None) -> None:
        self.ends.append((camera, error))

    def stamps(self, camera: str) -> list[FrameStamp]:
        return [stamp for stamp, _ in self.results if stamp.camera == camera]

    def error(self, camera: str) -> str:
        """The one error that this camera ended with."""
        (text,) = [error for name, error in self.ends if name == camera]
        assert text is not None, f"camera '{camera}' ended without an error"
        return text


def run_cameras(
    cameras: Sequence[CameraSpec],
    every: int = 5,
    stop_after_results: int | None = None,
    detector: BlobDetector | None = None,
    isolation: Isolation | None = None,
    give_up_after_s: float | None = 0.0,
    **settings: float,
) -> tuple[ResultLog, tuple[CameraStatistics, ...]]:
    """Run a pipeline to its end, or stop it from another thread after so many results.

    A live camera that fails has ended, unless there is time to come back.
    """
    log = ResultLog()
    pipeline = StreamPipeline(
        cameras,
        detector or BlobDetector(),
        log,
        every,
        isolation=isolation,
        spawner=shared_spawner(),
        give_up_after_s=give_up_after_s,
        **settings,
    )
    if stop_after_results is not None:

        def stop() -> None:
            with log.seen:
                log.seen.wait_for(lambda: len(log.results) >= stop_after_results, timeout=60)
            pipeline.stop()

        threading.Thread(target=stop, daemon=True).start()
    return log, pipeline.run()
