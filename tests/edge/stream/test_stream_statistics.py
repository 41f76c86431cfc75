"""Rates are those of the last seconds and fall to zero when a camera falls silent."""

import pytest

from vedette.edge.stream.statistics import CameraCounters, CameraState


def counted(fps: float, seconds: float) -> CameraCounters:
    counters = CameraCounters("a")
    counters.begin(100.0)
    for index in range(int(fps * seconds)):
        counters.count_frame(100.0 + index / fps)
        counters.detected = counters.frames // 5
    return counters


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0, 60.0])
def test_a_steady_camera_shows_its_rate_at_any_time(seconds: float):
    camera = counted(30, seconds).snapshot(100.0 + seconds)
    assert camera.fps == pytest.approx(30, rel=0.12)
    assert camera.mean_fps == pytest.approx(30, rel=0.12)
    assert camera.detections_per_s == pytest.approx(6, abs=3 if seconds < 1 else 1)


def test_a_silent_camera_falls_to_nothing():
    counters = counted(30, 10)
    assert [round(counters.snapshot(110.0 + silent).fps) for silent in (0, 2, 4, 20)] == [30, 18, 6, 0]
    assert counters.snapshot(130.0).mean_fps == pytest.approx(10, rel=0.05)


def test_a_finished_camera_keeps_its_mean_and_has_no_rate():
    counters = counted(30, 10)
    counters.finish(CameraState.FAILED, "gone", 110.0)
    camera = counters.snapshot(500.0)
    assert (camera.fps, camera.detections_per_s, camera.seconds, camera.error) == (0, 0, 10, "gone")
    assert camera.mean_fps == pytest.approx(30, rel=0.05)


def test_a_camera_that_never_opened_has_no_rate():
    camera = CameraCounters("a").snapshot(5.0)
    assert (camera.fps, camera.mean_fps, camera.seconds, camera.state) == (0, 0, 0, CameraState.OPENING)
