"""The awkward real files: what they hold comes out, and a broken copy of one is a clear line."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from simulators.blob_detector import BlobDetector
from simulators.result_log import run_cameras
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.statistics import CameraState

pytestmark = pytest.mark.real_data

FILES = [  # name, frames, size, codec (PROVENANCE.md of the data)
    ("8enmann_library1.mp4", 69, (720, 1280), "mpeg4"),
    ("mmtracking_demo.mp4", 8, (1920, 1080), "mpeg4"),
    ("roboflow_webrtc_test_video.mp4", 10, (640, 480), "mpeg4"),
    ("udacity_test_video_720p.mp4", 38, (1280, 720), "h264"),
]


@pytest.mark.parametrize(("name", "frames", "size", "codec"), FILES)
def test_every_frame_of_an_awkward_file_is_decoded(
    real_data: Path, name: str, frames: int, size: tuple[int, int], codec: str
):
    log, (camera,) = run_cameras([CameraSpec("a", str(real_data / "videos" / name))], every=1)
    assert (camera.frames, camera.detected, camera.drops, camera.decode_errors) == (frames, frames, 0, 0)
    assert (camera.width_px, camera.height_px, camera.codec, camera.state) == (*size, codec, CameraState.ENDED)
    times = [stamp.media_time_s for stamp in log.stamps("a")]
    assert all(a < b for a, b in itertools.pairwise(times))


def test_a_fitted_real_frame_equals_conversion_and_resize_of_the_whole(real_data: Path):
    for name in ("nvidia_Retail02_short.mp4", "udacity_test_video_720p.mp4"):
        kept: dict[str, np.ndarray] = {}

        class Keeper(BlobDetector):
            def detect_fitted(self, images, placements, kept=kept):
                kept.setdefault("image", images[0].copy())
                return super().detect_fitted(images, placements)

        log, _ = run_cameras(
            [CameraSpec("a", str(real_data / "videos" / name))],
            every=10_000,
            stop_after_results=1,
            detector=Keeper(416, 416),
        )
        whole = log.pictures["a"].to_bgr()
        expected = cv2.resize(np.ascontiguousarray(whole[:, :, ::-1]), (416, 416), interpolation=cv2.INTER_LINEAR)
        yardstick_error = 0.0 if hasattr(Interpolation, "ACCURATE_RND") else 1.5  # PyAV 17: see test_stream_fitting
        assert np.abs(kept["image"].astype(int) - expected).mean() < 1.0 + yardstick_error


def test_a_real_file_cut_in_half_is_a_clear_line(real_data: Path, tmp_path: Path):
    content = (real_data / "videos" / "intel_bottle-detection.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    log, _ = run_cameras([CameraSpec("a", str(tmp_path / "cut.mp4"))])
    assert "damaged or cut short" in log.error("a")


def test_h265_with_audio_is_watched(real_data: Path):
    log, (camera,) = run_cameras(
        [CameraSpec("a", str(real_data / "videos" / "nvidia_Retail02_short.mp4"))], stop_after_results=10
    )
    assert camera.codec == "hevc" and len(log.stamps("a")) >= 10 and camera.decode_errors == 0
