"""Rates of detection in real runs: by media time in files; `auto` for paced cameras, fair and within what is there."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.result_log import ResultLog, run_cameras, shared_spawner
from vedette.contracts.detections import Detections
from vedette.contracts.frame import Pixels, Placement
from vedette.contracts.pipeline import Isolation
from vedette.edge.stream import budget
from vedette.edge.stream.budget import START_FPS
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline

BOTH = pytest.mark.parametrize("isolation", list(Isolation))


class SlowDetector(BlobDetector):
    """Takes a fixed time a picture without using a processor, as a busy accelerator does."""

    def __init__(self, seconds_per_picture: float) -> None:
        super().__init__()
        self.seconds_per_picture = seconds_per_picture

    def detect_fitted(self, images_nhwc_rgb_u8: Pixels, placements: Sequence[Placement]) -> list[Detections]:
        time.sleep(self.seconds_per_picture * len(placements))
        return super().detect_fitted(images_nhwc_rgb_u8, placements)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=50)


@BOTH
def test_a_rate_is_by_media_time_whatever_the_frame_rate_of_the_file(tmp_path: Path, isolation: Isolation):
    cameras = [
        CameraSpec(f"at{fps}", str(write_clip(tmp_path / f"{fps}.mp4", frames=4 * fps, fps=fps)))
        for fps in (10, 25, 50)
    ]
    log, statistics = run_cameras(cameras, fps=5, isolation=isolation)
    for camera, fps in zip(statistics, (10, 25, 50), strict=True):
        assert [stamp.index for stamp in log.stamps(camera.camera)] == list(range(0, 4 * fps, fps // 5))
        assert (camera.slots, camera.detected, camera.drops) == (20, 20, 0)


def test_a_rate_above_the_frame_rate_is_every_frame(clip: Path):
    log, (camera,) = run_cameras([CameraSpec("a", str(clip))], fps=100)
    assert camera.slots == camera.detected == 50 == len(log.results)


def test_files_with_a_rate_give_the_same_batches_in_every_run(clip: Path):
    runs = []
    for isolation in (Isolation.PROCESSES, Isolation.THREADS):
        detector = BlobDetector()
        cameras = [CameraSpec(name, str(clip), loop=False) for name in "ab"]
        log, _ = run_cameras(cameras, fps=7.5, detector=detector, isolation=isolation)
        runs.append(([(s.camera, s.index) for s, _ in log.results], detector.batch_sizes))
    assert runs[0] == runs[1]


def test_auto_is_not_for_files_that_are_read_as_fast_as_possible(clip: Path):
    with pytest.raises(ValueError, match="not paced"):
        StreamPipeline([CameraSpec("a", str(clip))], BlobDetector(), ResultLog(), fps="auto")


def run_auto(clip: Path, cameras: str, detector: BlobDetector, seconds: float, isolation: Isolation | None = None):
    """(detections a second of video by camera over the last two seconds, statistics)"""
    log = ResultLog()
    specs = [CameraSpec(name, str(clip), loop=True, realtime=True) for name in cameras]
    spawner = None if isolation is Isolation.THREADS else shared_spawner()
    pipeline = StreamPipeline(specs, detector, log, fps="auto", isolation=isolation, spawner=spawner)
    threading.Timer(seconds, pipeline.stop).start()
    statistics = pipeline.run()
    end_s = max(stamp.media_time_s for stamp, _ in log.results)
    rates = [sum(stamp.media_time_s > end_s - 2 for stamp in log.stamps(name)) / 2 for name in cameras]
    return rates, statistics


def set_load(monkeypatch: pytest.MonkeyPatch, busy_share: float) -> None:
    """The machine as it would be without everything else that runs while tests do; looked at oftener, to save time."""
    monkeypatch.setattr(budget, "PERIOD_S", 0.4)
    monkeypatch.setattr(budget, "_machine_times", lambda: (busy_share * time.monotonic(), time.monotonic()))


@BOTH
def test_auto_shares_an_engine_that_is_too_slow_for_all(clip: Path, isolation: Isolation, monkeypatch):
    """30 pictures a second for three cameras of 25: nobody gets its 25, and all get the same."""
    set_load(monkeypatch, 0.3)
    rates, statistics = run_auto(clip, "abc", SlowDetector(1 / 30), 4.0, isolation)
    assert max(rates) - min(rates) <= 2, rates
    assert min(rates) > 2 * START_FPS and sum(rates) < 36, rates
    assert all(camera.frames + camera.skipped > 60 for camera in statistics)  # decoding went on


def test_auto_uses_every_frame_where_there_is_time(clip: Path, monkeypatch):
    set_load(monkeypatch, 0.3)
    (rate,), _ = run_auto(clip, "a", BlobDetector(), 4.5)
    assert rate > 5 * START_FPS, rate  # all 25, but on a machine that is too busy to decode that many
