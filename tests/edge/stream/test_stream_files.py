"""Files as cameras: every Nth frame detected, nothing lost; awkward and broken files; pace, loops, and the end."""

import itertools
import random
import statistics
import threading
import time
from pathlib import Path

import cv2
import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import turn_clip, write_clip
from simulators.lag_meter import LagMeter
from simulators.result_log import ResultLog, run_cameras
from vedette.contracts.pipeline import Isolation
from vedette.edge.stream import source
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.source import AvSource
from vedette.edge.stream.statistics import CameraState, all_failed


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=52)


def test_every_nth_frame_is_detected_and_nothing_is_lost(clip: Path):
    log, (camera,) = run_cameras([CameraSpec("a", str(clip))])
    assert [stamp.index for stamp in log.stamps("a")] == list(range(0, 52, 5))
    assert [stamp.media_time_s for stamp in log.stamps("a")] == pytest.approx([i / 25 for i in range(0, 52, 5)])
    assert (camera.frames, camera.slots, camera.detected, camera.drops, camera.objects) == (52, 11, 11, 0, 11)
    assert (camera.state, camera.error, camera.codec) == (CameraState.ENDED, None, "h264")
    assert (camera.width_px, camera.height_px) == (160, 96) and camera.mean_fps > 0
    assert log.ends == [("a", None)] and log.threads == {threading.get_ident()}


def test_boxes_lie_where_the_object_is(clip: Path):
    log, _ = run_cameras([CameraSpec("a", str(clip))], detector=BlobDetector(160, 96))
    for stamp, ((found,),) in ((stamp, (boxes,)) for stamp, boxes in log.results):
        left = 4 + 2 * stamp.index
        assert found["box_xyxy_px"] == pytest.approx([left, 32, left + 24, 56], abs=1.01)


def test_the_full_picture_belongs_to_the_frame(clip: Path):
    log, _ = run_cameras([CameraSpec("a", str(clip))])
    picture = log.pictures["a"].to_bgr()
    assert picture.shape == (96, 160, 3)
    assert picture[44, 4 + 2 * 50 + 12].min() > 200 and picture[44, 4].max() < 100


def test_runs_over_files_of_different_length_are_identical_in_processes_and_threads(tmp_path: Path):
    cameras = [
        CameraSpec(name, str(write_clip(tmp_path / f"{name}.mp4", frames, size=(side * 16, side * 9))))
        for name, frames, side in [("a", 30, 10), ("b", 61, 20), ("c", 7, 12)]
    ]
    runs = []
    for isolation in (Isolation.PROCESSES, Isolation.PROCESSES, Isolation.THREADS):
        detector = BlobDetector()
        log, _ = run_cameras(cameras, every=2, detector=detector, isolation=isolation)
        results = [(s.camera, s.index, s.media_time_s, boxes) for s, boxes in log.results]
        runs.append((results, log.ends, detector.batch_sizes))
    assert runs[0] == runs[1] == runs[2]
    assert len(runs[0][0]) == 15 + 31 + 4
    assert [camera for camera, _ in runs[0][1]] == ["c", "a", "b"]


def test_b_frames_come_in_order_of_presentation(tmp_path: Path):
    path = write_clip(tmp_path / "b.mp4", frames=40, b_frames=3)
    log, (camera,) = run_cameras([CameraSpec("a", str(path))], every=1, detector=BlobDetector(160, 96))
    lefts = [boxes[0]["box_xyxy_px"][0] for _, boxes in log.results]
    assert camera.frames == 40 and lefts == sorted(lefts) and len(set(lefts)) == 40


def test_video_is_found_behind_audio(tmp_path: Path):
    path = write_clip(tmp_path / "audio.mp4", frames=20, audio_first=True)
    log, (camera,) = run_cameras([CameraSpec("a", str(path))])
    assert camera.frames == 20 and len(log.results) == 4


def test_variable_frame_rate_keeps_its_times(tmp_path: Path):
    times = list(itertools.accumulate([0.0, 0.04, 0.5, 0.02, 0.3, 0.04, 1.5]))
    path = write_clip(tmp_path / "vfr.mp4", frames=7, times_s=times)
    log, _ = run_cameras([CameraSpec("a", str(path))], every=1)
    assert [s.media_time_s for s in log.stamps("a")] == pytest.approx(times, abs=1e-3)


def test_a_stream_without_time_stamps_counts_by_its_rate(tmp_path: Path):
    path = write_clip(tmp_path / "raw.h264", frames=20)
    log, (camera,) = run_cameras([CameraSpec("a", str(path))], every=1)
    assert camera.frames == 20
    steps = [b.media_time_s - a.media_time_s for a, b in itertools.pairwise(log.stamps("a"))]
    assert all(0.01 < step < 0.1 for step in steps)


def test_a_portrait_clip_stands_upright(tmp_path: Path):
    path = write_clip(tmp_path / "portrait.mp4", frames=5)
    turn_clip(path, 3)
    log, (camera,) = run_cameras([CameraSpec("a", str(path))])
    assert (camera.width_px, camera.height_px) == (96, 160)
    assert (log.stamps("a")[0].width_px, log.stamps("a")[0].height_px) == (96, 160)
    assert log.pictures["a"].to_bgr().shape == (160, 96, 3)


def test_a_change_of_resolution_in_the_stream_is_followed(tmp_path: Path):
    first = write_clip(tmp_path / "1.h264", frames=20, size=(160, 96)).read_bytes()
    second = write_clip(tmp_path / "2.h264", frames=20, size=(320, 192)).read_bytes()
    (tmp_path / "both.h264").write_bytes(first + second)
    log, (camera,) = run_cameras([CameraSpec("a", str(tmp_path / "both.h264"))])
    sizes = [(stamp.width_px, stamp.height_px) for stamp in log.stamps("a")]
    assert camera.frames == 40 and sizes == [(160, 96)] * 4 + [(320, 192)] * 4
    assert all(boxes[0]["box_xyxy_px"][3] <= stamp.height_px * 0.62 for stamp, boxes in log.results)


def test_damaged_packets_are_counted_and_passed_over(tmp_path: Path, clip: Path):
    content = bytearray(clip.read_bytes())
    start = content.index(b"mdat") + 1500
    content[start : start + 1200] = NOISE[:1200]
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(content))
    _, (camera,) = run_cameras([CameraSpec("a", str(path))])
    assert camera.decode_errors > 0 and camera.state is CameraState.ENDED and 20 < camera.frames <= 52


def test_a_file_cut_short_is_watched_as_far_as_it_goes(tmp_path: Path):
    whole = write_clip(tmp_path / "w.mp4", frames=60, container_options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    _, (camera,) = run_cameras([CameraSpec("a", str(tmp_path / "cut.mp4"))])
    assert 10 < camera.frames < 60 and camera.state is CameraState.ENDED


NOISE = random.Random(7).randbytes(50_000)  # the same each time: FFmpeg takes some noises for subtitles


def make_broken(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path = folder / "notes.txt"
        path.write_text("these are notes, not a film\n" * 50)
    elif kind == "cut":
        content = write_clip(folder / "whole.mp4").read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "audio":
        write_audio(path)
    elif kind != "missing":
        path.write_bytes({"empty": b"", "noise": NOISE, "playlist": PLAYLIST}[kind])
    return path


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"


def write_audio(path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w") as output:
        audio = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        output.mux([*audio.encode(frame), *audio.encode()])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("noise", "no video that can be read"),
        ("text", "is text, not video"),
        ("cut", "damaged or cut short"),
        ("audio", "no video stream (only audio)"),
        ("playlist", "no video that can be read"),
    ],
)
def test_a_broken_file_is_one_clear_line_and_the_others_go_on(tmp_path: Path, clip: Path, kind: str, says: str):
    path = make_broken(tmp_path, kind)
    log, (bad, good) = run_cameras([CameraSpec("door", str(path)), CameraSpec("yard", str(clip))])
    error = log.error("door")
    assert says in error and "camera 'door'" in error and str(path) in error and "\n" not in error
    assert (bad.state, bad.error, bad.frames) == (CameraState.FAILED, error, 0)
    assert (good.state, good.detected, good.drops) == (CameraState.ENDED, 11, 0)
    assert not all_failed((bad, good)) and all_failed((bad,))


def test_a_run_whose_cameras_are_all_dead_ends(tmp_path: Path):
    log, cameras = run_cameras([CameraSpec(name, str(tmp_path / name)) for name in "ab"])
    assert all_failed(cameras) and not log.results and sorted(name for name, _ in log.ends) == ["a", "b"]


@pytest.mark.parametrize(("url", "says"), [("usb:63", "/dev/video63"), ("csi:0", "GStreamer")])
def test_a_missing_device_is_one_clear_line(url: str, says: str):
    log, (camera,) = run_cameras([CameraSpec("a", url)])
    assert says in log.error("a") and camera.state is CameraState.FAILED


def test_a_realtime_file_is_paced_by_its_time_stamps(clip: Path):
    began = time.monotonic()
    log, (camera,) = run_cameras([CameraSpec("a", str(clip), realtime=True)])
    assert time.monotonic() - began > 1.9
    assert camera.slots == 11 == camera.detected + camera.drops
    captured = [stamp.captured_unix_s - stamp.media_time_s for stamp in log.stamps("a")]
    assert statistics.median(captured) - min(captured) < 0.3  # a busy machine may hold up a frame, not most of them


def test_a_looped_file_starts_again_and_its_time_goes_on(tmp_path: Path):
    path = write_clip(tmp_path / "short.mp4", frames=12)
    log, (camera,) = run_cameras([CameraSpec("a", str(path), loop=True)], stop_after_results=12)
    stamps = log.stamps("a")
    assert camera.loops >= 3 and camera.state is CameraState.STOPPED
    assert [stamp.index for stamp in stamps] == [5 * i for i in range(len(stamps))]
    assert [s.media_time_s for s in stamps] == pytest.approx([i / 5 for i in range(len(stamps))], abs=1e-3)


class SlowDetector(BlobDetector):
    """Takes its time over every batch."""

    def detect_fitted(self, images_nhwc_rgb_u8, placements):
        time.sleep(0.3)
        return super().detect_fitted(images_nhwc_rgb_u8, placements)


def test_when_the_detector_is_slow_the_newest_frame_wins_and_drops_are_counted(clip: Path):
    log, cameras = run_cameras(
        [CameraSpec(name, str(clip), realtime=True) for name in "ab"], every=1, detector=SlowDetector()
    )
    for camera in cameras:
        assert camera.frames == 52 and camera.slots == 52 == camera.detected + camera.drops
        assert camera.drops > 26 and camera.detected >= 4
        stamps = log.stamps(camera.camera)
        assert stamps == sorted(stamps, key=lambda stamp: stamp.index)


def test_a_paced_file_that_was_held_up_skips_to_a_keyframe_and_counts_it(tmp_path: Path):
    path = write_clip(tmp_path / "long.mp4", frames=90)
    log = ResultLog()
    camera = CameraSpec("a", str(path), realtime=True)
    pipeline = StreamPipeline([camera], BlobDetector(), log, every=1, isolation=Isolation.THREADS)

    def hold_up() -> None:
        with log.seen:
            log.seen.wait_for(lambda: len(log.results) >= 5, timeout=60)
        with pipeline._arrivals.lock:  # the camera's thread cannot hand its frame over
            time.sleep(2.0)

    thread = threading.Thread(target=hold_up)
    thread.start()
    began = time.monotonic()
    (camera,) = pipeline.run()
    thread.join()
    assert time.monotonic() - began > 3.4  # the clip lasts 3.6 s
    assert camera.skipped > 20 and camera.frames + camera.skipped == 90
    assert camera.slots == 90 == camera.detected + camera.drops
    late = [stamp.captured_unix_s - stamp.media_time_s for stamp in log.stamps("a")]
    assert late[-1] - late[0] < 1.0 and log.stamps("a")[-1].index == 89


def test_opencv_starts_no_threads_beside_those_of_cameras(clip: Path) -> None:
    before = cv2.getNumThreads()
    seen = []

    class Asking(ResultLog):
        def on_result(self, frame, picture, detections) -> None:
            seen.append(cv2.getNumThreads())
            super().on_result(frame, picture, detections)

    cv2.setNumThreads(2)
    try:
        StreamPipeline([CameraSpec("a", str(clip))], BlobDetector(), Asking(), isolation=Isolation.THREADS).run()
        assert set(seen) == {1} and cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_skipping_ends_at_the_first_keyframe_of_the_wanted_time(clip: Path):
    source = AvSource(CameraSpec("a", str(clip)), 5.0, 5.0)
    times = []
    for number, frame in enumerate(source.frames()):
        if number == 3:
            source.skip_to(1.0)  # keyframes are at 0, 0.4, 0.8, 1.2, ...
        times.append(round(frame.time * 25))
    source.close()
    assert times == [0, 1, 2, 3, *range(30, 52)] and source.skipped == 26


def test_unpaced_files_are_lossless_beside_a_paced_one(clip: Path):
    log, (paced, unpaced) = run_cameras(
        [CameraSpec("paced", str(clip), realtime=True), CameraSpec("unpaced", str(clip))], detector=SlowDetector()
    )
    assert (unpaced.detected, unpaced.drops) == (11, 0)
    assert [stamp.index for stamp in log.stamps("unpaced")] == list(range(0, 52, 5))
    assert paced.slots == 11 == paced.detected + paced.drops


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def stop_after(pipeline: StreamPipeline, log: ResultLog, results: int, stopped_s: list[float]) -> None:
    """Stop a run when it gave so many results, and note when."""
    with log.seen:
        log.seen.wait_for(lambda: len(log.results) >= results, timeout=60)
    stopped_s.append(time.monotonic())
    pipeline.stop()


@pytest.mark.parametrize("isolation", Isolation)
def test_stop_ends_soon_and_leaves_no_thread_or_file(clip: Path, isolation: Isolation):
    files_before, threads_before = open_files(), threading.active_count()
    for _ in range(5):
        log = ResultLog()
        pipeline = StreamPipeline(
            [CameraSpec(n, str(clip), loop=True, realtime=n == "b") for n in "abc"],
            BlobDetector(),
            log,
            isolation=isolation,
        )
        stopped_s: list[float] = []
        threading.Thread(target=stop_after, args=(pipeline, log, 6, stopped_s)).start()
        with LagMeter() as lag:
            cameras = pipeline.run()  # of files that never end
        assert time.monotonic() - stopped_s[0] < 1.0 + lag.slack_s
        assert {camera.state for camera in cameras} == {CameraState.STOPPED}
        assert sorted(log.ends) == [("a", None), ("b", None), ("c", None)]
    del pipeline, log
    deadline = time.monotonic() + 20
    while threading.active_count() > threads_before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= threads_before
    assert open_files() <= files_before


class FailingLog(ResultLog):
    """A handler with a bug, or a person who presses Ctrl-C."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error_to_raise = error

    def on_result(self, frame, picture, detections):
        raise self.error_to_raise


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug in the handler")])
def test_what_interrupts_the_run_stops_the_cameras_and_is_raised(
    clip: Path, error: BaseException, isolation: Isolation
):
    threads_before = threading.active_count()
    camera = CameraSpec("a", str(clip), loop=True)
    pipeline = StreamPipeline([camera], BlobDetector(), FailingLog(error), isolation=isolation)
    with pytest.raises(type(error)):
        pipeline.run()
    assert threading.active_count() == threads_before
    assert pipeline.snapshot()[0].state is CameraState.STOPPED


def test_a_picture_of_unheard_of_size_is_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_clip(tmp_path / "wide.mp4", frames=5, size=(320, 192))
    monkeypatch.setattr(source, "MOST_PIXELS", 320 * 192 - 1)
    log, (camera,) = run_cameras([CameraSpec("a", str(path))], isolation=Isolation.THREADS)
    assert camera.frames == 0 and "not one frame of it can be decoded" in log.error("a")


def test_a_bug_in_a_cameras_thread_is_raised_by_the_run(clip: Path):
    pipeline = StreamPipeline([CameraSpec("a", str(clip))], BlobDetector(), ResultLog(), isolation=Isolation.THREADS)
    pipeline._workers[0]._worker._fitter = None  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        pipeline.run()


def test_a_run_needs_cameras_with_names_of_their_own(clip: Path):
    for cameras in ([], [CameraSpec("a", str(clip))] * 2):
        with pytest.raises(ValueError, match="different names"):
            StreamPipeline(cameras, BlobDetector(), ResultLog())


def test_statistics_can_be_read_while_running(clip: Path):
    log = ResultLog()
    pipeline = StreamPipeline([CameraSpec("a", str(clip), loop=True, realtime=True)], BlobDetector(), log)
    assert pipeline.snapshot()[0].state is CameraState.OPENING
    seen = []

    def look() -> None:
        with log.seen:
            log.seen.wait_for(lambda: len(log.results) >= 7, timeout=60)
        seen.extend(pipeline.snapshot())
        pipeline.stop()

    thread = threading.Thread(target=look)
    thread.start()
    pipeline.run()
    thread.join()
    (camera,) = seen
    assert camera.state is CameraState.RUNNING and camera.frames >= 30
    assert 1 < camera.fps < 40 and 0.2 < camera.detections_per_s < 8
