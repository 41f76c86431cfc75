"""A decoder that dies takes nobody along and is replaced; nothing of a process is left over; secrets stay secret."""

import contextlib
import gc
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from av import VideoFrame

from ended_processes import is_running, wait_until_ended
from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.fragile_decoder import PROGRAM
from simulators.lag_meter import LagMeter
from simulators.result_log import ResultLog, run_cameras, shared_spawner
from simulators.rtsp_camera import RtspCamera
from vedette.contracts.bundle import InputSpec
from vedette.contracts.frame import FittedFrame, FrameStamp, ResizeMode
from vedette.contracts.pipeline import Isolation
from vedette.contracts.status import GateState
from vedette.edge.analytics.track import ByteTracker, TrackerSettings
from vedette.edge.stream import pipeline as pipeline_module
from vedette.edge.stream.camera import CameraSettings, CameraWorker
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.decoder_messages import (
    PICTURES,
    Beat,
    EndMessage,
    Order,
    Report,
    SlotMessage,
    decode_message,
    encode_message,
)
from vedette.edge.stream.decoder_process import RingOutbox
from vedette.edge.stream.errors import DecoderBug, Retry
from vedette.edge.stream.fitting import FullFrame
from vedette.edge.stream.isolated_camera import IsolatedCamera, IsolationSettings
from vedette.edge.stream.mailbox import Arrivals, LosslessQueue, Slot
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.position import BEGINNING, NEW, Position
from vedette.edge.stream.shared_frames import FrameRing, make_ring_fd
from vedette.edge.stream.shared_picture import NoPicture, PictureForm, SharedPicture
from vedette.edge.stream.spawner import DecoderProcess, Spawner
from vedette.edge.stream.statistics import CameraCounters, CameraState

TESTS = Path(__file__).resolve().parents[2]
DEATHS = (ValueError, TypeError, KeyError, OverflowError)


def wait_for(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def isolated(pipeline: StreamPipeline, number: int = 0) -> IsolatedCamera:
    worker = pipeline._workers[number]
    assert isinstance(worker, IsolatedCamera)
    return worker


def decoder_pid(pipeline: StreamPipeline, number: int = 0) -> int:
    pid = isolated(pipeline, number).decoder_pid
    assert pid, "0 would be this whole process group"
    return pid


class TimedLog(ResultLog):
    """Also notes when each result came, and the tracks that ByteTrack makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[str, list[float]] = {}
        self.trackers: dict[str, ByteTracker] = {}
        self.track_ids: dict[str, set[int]] = {}

    def on_result(self, frame, picture, detections):
        name = frame.stamp.camera
        tracker = self.trackers.setdefault(name, ByteTracker(TrackerSettings(strong_score=0.3)))
        tracks = tracker.update(detections, frame.stamp.media_time_s)
        self.track_ids.setdefault(name, set()).update(int(number) for number in tracks.track_ids)
        self.times.setdefault(name, []).append(time.monotonic())
        super().on_result(frame, picture, detections)


class Killer(TimedLog):
    """Kills the decoder of one camera when that has given so many results."""

    def __init__(self, camera: str, results: int) -> None:
        super().__init__()
        self.pipeline: StreamPipeline | None = None
        self.killed_s = 0.0
        self._camera, self._results = camera, results

    def on_result(self, frame, picture, detections):
        super().on_result(frame, picture, detections)
        if self.pipeline is not None and not self.killed_s and len(self.stamps(self._camera)) == self._results:
            number = [worker.spec.name for worker in self.pipeline._workers].index(self._camera)
            self.killed_s = time.monotonic()
            os.kill(decoder_pid(self.pipeline, number), signal.SIGSEGV)


@pytest.mark.parametrize("realtime", [False, True])
def test_a_killed_decoder_is_replaced_within_two_seconds_and_the_others_lose_nothing(tmp_path: Path, realtime: bool):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=100, size=(320, 192)))
    log = Killer("b", 6)
    cameras = [CameraSpec(name, clip, realtime=realtime) for name in "abc"]
    pipeline = log.pipeline = StreamPipeline(cameras, BlobDetector(), log, every=5, spawner=shared_spawner())
    with LagMeter() as lag:
        first, victim, third = pipeline.run()
    for other in (first, third):
        assert (other.frames + other.skipped, other.slots, other.restarts) == (100, 20, 0)
        assert other.detected + other.drops == 20
        # a busy machine may hold up a paced camera so long that its slots are of no use any more
        assert other.drops == 0 or (realtime and lag.slack_s > 0.5)
    assert (victim.state, victim.error, victim.restarts) == (CameraState.ENDED, None, 1)
    assert victim.frames + victim.skipped == 100 and victim.skipped > 0
    assert victim.slots == 20 == victim.detected + victim.drops
    stamps = log.stamps("b")
    assert all(s.index % 5 == 0 and s.media_time_s == pytest.approx(s.index / 25, abs=1e-3) for s in stamps)
    back_s = min(t for t in log.times["b"] if t > log.killed_s + 0.02) - log.killed_s
    assert back_s < 2 + lag.slack_s
    assert log.track_ids["b"] == {1}, "the track goes on over the gap"
    assert log.ends.count(("b", None)) == 1


@pytest.mark.parametrize(("b_frames", "rate"), [(0, "constant"), (3, "constant"), (0, "variable")])
def test_a_file_with_a_deadly_packet_goes_on_at_the_next_keyframe(tmp_path: Path, b_frames: int, rate: str):
    times_s = [i / 25 + (0.01 if i % 3 else 0) for i in range(60)] if rate == "variable" else None
    path = write_clip(tmp_path / "dies-at-33.mp4", frames=60, b_frames=b_frames, times_s=times_s)
    log = ResultLog()
    with Spawner(PROGRAM) as spawner:
        pipeline = StreamPipeline([CameraSpec("a", str(path))], BlobDetector(), log, every=5, spawner=spawner)
        (camera,) = pipeline.run()
    assert (camera.state, camera.restarts) == (CameraState.ENDED, 1)
    assert camera.frames + camera.skipped == 60 and 7 <= camera.skipped <= 9
    assert camera.slots == 12 == camera.detected + camera.drops and camera.drops == 1
    stamps = log.stamps("a")
    assert [s.index for s in stamps] == [0, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55]
    expected = [times_s[s.index] if times_s else s.index / 25 for s in stamps]
    assert [s.media_time_s for s in stamps] == pytest.approx(expected, abs=2e-3)


def test_a_raw_stream_without_time_stamps_goes_on_by_counting(tmp_path: Path):
    path = write_clip(tmp_path / "raw.h264", frames=40)
    log = ResultLog()
    pipeline = StreamPipeline(
        [CameraSpec("a", str(path), realtime=True)], BlobDetector(), log, every=1, spawner=shared_spawner()
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    wait_for(lambda: len(log.results) >= 13)
    os.kill(decoder_pid(pipeline), signal.SIGKILL)
    thread.join()
    (camera,) = pipeline.snapshot()
    assert camera.restarts == 1 and camera.frames + camera.skipped == 40
    lefts = [boxes[0]["box_xyxy_px"][0] for _, boxes in log.results]
    at = [round((left - 4) / 2) for left in lefts]
    assert [stamp.index for stamp in log.stamps("a")] == pytest.approx(at, abs=1)


class SaidLogger(logging.Logger):
    """Remembers what is logged, whatever other tests of this process left the logging module in."""

    def __init__(self) -> None:
        super().__init__("said")
        self.said: list[str] = []

    def isEnabledFor(self, level: int) -> bool:
        return True

    def handle(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_a_file_that_kills_its_decoder_three_times_without_progress_fails_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logger = SaidLogger()
    monkeypatch.setattr("vedette.edge.stream.isolated_camera._LOG", logger)
    bad = str(write_clip(tmp_path / "dies-at-40.mp4", frames=60))
    good = str(write_clip(tmp_path / "good.mp4", frames=60))
    log = ResultLog()
    with Spawner(PROGRAM) as spawner:
        pipeline = StreamPipeline([CameraSpec("a", bad), CameraSpec("b", good)], BlobDetector(), log, spawner=spawner)
        dead, other = pipeline.run()
    assert (dead.state, dead.restarts) == (CameraState.FAILED, 2)
    error = log.error("a")
    assert "killed its decoder 3 times after frame 36 (SIGSEGV)" in error and "\n" not in error and bad in error
    assert [stamp.index for stamp in log.stamps("a")] == list(range(0, 40, 5))
    assert (other.state, other.detected, other.drops) == (CameraState.ENDED, 12, 0)
    assert sum("decoder died (SIGSEGV)" in line for line in logger.said) == 2


@pytest.mark.needs_server
def test_a_live_camera_goes_on_after_its_decoder_died():
    with RtspCamera() as server:
        log = TimedLog()
        pipeline = StreamPipeline([CameraSpec("a", server.url)], BlobDetector(), log, every=5, spawner=shared_spawner())
        thread = threading.Thread(target=pipeline.run)
        with LagMeter() as lag:
            thread.start()
            wait_for(lambda: len(log.results) >= 5)
            before, killed_s = len(log.results), time.monotonic()
            os.kill(decoder_pid(pipeline), signal.SIGSEGV)
            wait_for(lambda: len(log.results) >= before + 6)
            pipeline.stop()
            thread.join()
    (camera,) = pipeline.snapshot()
    assert (camera.state, camera.restarts) == (CameraState.STOPPED, 1)
    after = log.stamps("a")[before + 1 :]
    assert min(t for t in log.times["a"] if t > killed_s + 0.05) - killed_s < 2 + lag.slack_s
    assert all(later.index > earlier.index for earlier, later in itertools.pairwise(log.stamps("a")))
    # its clock went on meanwhile, and the frames that nobody saw are counted
    drift = [s.captured_unix_s - s.media_time_s for s in (log.stamps("a")[0], after[-1])]
    assert drift[1] - drift[0] == pytest.approx(0, abs=1.0)  # what FFmpeg buffers while it opens comes in a burst
    assert camera.skipped > 0


def test_a_loop_goes_on_after_its_decoder_died(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=20))
    log = ResultLog()
    spec = CameraSpec("a", clip, loop=True, realtime=True)
    pipeline = StreamPipeline([spec], BlobDetector(), log, every=2, spawner=shared_spawner())
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    wait_for(lambda: pipeline.snapshot()[0].loops >= 1 and len(log.results) >= 13)
    os.kill(decoder_pid(pipeline), signal.SIGKILL)
    wait_for(lambda: pipeline.snapshot()[0].loops >= 3)
    pipeline.stop()
    thread.join()
    assert pipeline.snapshot()[0].restarts == 1
    for stamp, boxes in log.results:
        assert stamp.media_time_s == pytest.approx(stamp.index / 25, abs=0.05)
        assert round((boxes[0]["box_xyxy_px"][0] - 4) / 2) == pytest.approx(stamp.index % 20, abs=1)


def test_a_run_goes_on_when_the_spawner_itself_is_killed(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=60))
    log = ResultLog()
    with Spawner() as spawner:
        cameras = [CameraSpec(name, clip, realtime=True) for name in "ab"]
        pipeline = StreamPipeline(cameras, BlobDetector(), log, spawner=spawner)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        wait_for(lambda: len(log.results) >= 6)
        decoders = [decoder_pid(pipeline, number) for number in (0, 1)]
        assert spawner.pid
        os.kill(spawner.pid, signal.SIGKILL)
        thread.join()
        wait_until_ended(decoders)
    for camera in pipeline.snapshot():
        assert (camera.state, camera.restarts) == (CameraState.ENDED, 1)
        assert camera.frames + camera.skipped == 60


def test_a_decoder_that_dies_before_it_is_told_what_to_do_is_replaced(tmp_path: Path):
    class Deadly(Spawner):
        """The first decoder is killed as soon as it is there, as by a kernel that is out of memory."""

        died = False

        def start_decoder(self, name: str, socket_fd: int, ring_fd: int) -> DecoderProcess:
            process = super().start_decoder(name, socket_fd, ring_fd)
            if not self.died:
                self.died = True
                assert process.pid
                os.kill(process.pid, signal.SIGKILL)
                assert process.ended.wait(60)
            return process

    clip = str(write_clip(tmp_path / "clip.mp4", frames=60))
    with Deadly() as spawner:
        cameras = StreamPipeline(
            [CameraSpec(name, clip) for name in "ab"], BlobDetector(), ResultLog(), spawner=spawner
        ).run()
    assert sorted(camera.restarts for camera in cameras) == [0, 1]
    assert [(camera.state, camera.frames) for camera in cameras] == [(CameraState.ENDED, 60)] * 2


def test_a_spawner_that_cannot_start_is_one_sentence(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    log = ResultLog()
    with Spawner("raise SystemExit(3)") as spawner:
        (camera,) = StreamPipeline([CameraSpec("a", clip)], BlobDetector(), log, spawner=spawner).run()
    assert camera.state is CameraState.FAILED
    assert "could not be started (exit code 3)" in log.error("a") and "isolation: threads" in log.error("a")


@pytest.mark.parametrize("resize", ResizeMode)
def test_processes_and_threads_give_the_same_pixels_and_pictures(tmp_path: Path, resize: ResizeMode):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=12, size=(176, 98)))
    seen = []
    for isolation in Isolation:
        pixels = []

        class Keeper(ResultLog):
            def on_result(self, frame, picture, detections, kept=pixels):
                kept.append((frame.placement, frame.pixels_hwc_rgb, picture.to_bgr(), picture.to_bgr(88)))

        detector = BlobDetector(96, 64, resize)
        detector._find = lambda image, placement: None  # type: ignore[assignment, method-assign]
        detector.detect_fitted = lambda images, placements: [[] for _ in placements]  # type: ignore[assignment, method-assign]
        StreamPipeline([CameraSpec("a", clip)], detector, Keeper(), isolation=isolation, spawner=shared_spawner()).run()
        seen.append(pixels)
    assert len(seen[0]) == len(seen[1]) == 3
    for (place, fitted, whole, small), (place2, fitted2, whole2, small2) in zip(*seen, strict=True):
        assert place == place2 and fitted.dtype == fitted2.dtype
        np.testing.assert_array_equal(fitted, fitted2)
        # FFmpeg's converter takes another path for another row length: one level
        assert whole.shape == whole2.shape and np.abs(whole.astype(int) - whole2).max() <= 2
        assert small.shape == small2.shape == (49, 88, 3) and np.abs(small.astype(int) - small2).max() <= 2


def test_without_pictures_none_cross(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    log = ResultLog()
    StreamPipeline([CameraSpec("a", clip)], BlobDetector(), log, spawner=shared_spawner(), pictures=False).run()
    with pytest.raises(RuntimeError, match="without full pictures"):
        log.pictures["a"].to_bgr()


def test_pictures_cross_only_of_a_camera_and_while_somebody_wants_to_see_it(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=60))
    with_picture: dict[str, list[int]] = {"a": [], "b": []}

    class Looker(ResultLog):
        def on_result(self, frame, picture, detections):
            if not isinstance(picture, NoPicture):
                with_picture[frame.stamp.camera].append(frame.stamp.index)
            super().on_result(frame, picture, detections)

    log = Looker()
    cameras = [CameraSpec("a", clip), CameraSpec("b", clip)]
    StreamPipeline(
        cameras,
        BlobDetector(),
        log,
        every=1,
        spawner=shared_spawner(),
        pictures=lambda camera: camera == "a" and len(log.results) < 60,
    ).run()
    assert with_picture["b"] == []
    assert 10 < len(with_picture["a"]) < 60 and with_picture["a"] == list(range(len(with_picture["a"])))


def open_files(pid: int | str = "self") -> set[tuple[str, str]]:
    """Descriptors with what they stand for, apart from the listing's own."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((link.name, str(link.readlink())))
    return found


def held_by(program: psutil.Process) -> tuple[set[tuple[str, str]], set[tuple[str, str]], int, int]:
    """Files of this process and of the program that makes decoders, threads, pieces of memory."""
    gc.collect()  # what earlier tests left behind goes when it likes: only what is new counts
    maps = len(psutil.Process().memory_maps())
    return open_files(), open_files(program.pid), threading.active_count(), maps


def test_fifty_runs_leave_no_process_file_or_memory(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=6, fps=100))
    with Spawner() as spawner:

        def run_once() -> None:
            log = ResultLog()
            cameras = [CameraSpec("a", clip), CameraSpec("b", clip, realtime=True)]
            StreamPipeline(cameras, BlobDetector(), log, every=1, spawner=spawner).run()
            assert len(log.stamps("a")) == 6
            log.pictures["a"].to_bgr()

        run_once()
        program = psutil.Process(spawner.pid)
        before = held_by(program)
        for _ in range(49):
            run_once()
        assert program.children() == [] and program.status() != psutil.STATUS_ZOMBIE
        after = held_by(program)
        assert after[0] <= before[0] and after[1] <= before[1]
        assert after[2] <= before[2] and after[3] <= before[3] + 8
    assert not is_running(program.pid)


@pytest.fixture
def held_up(tmp_path: Path):
    """A run that was asked to stop while its decoder could not react: the run, its thread, the decoder's number."""
    clip = str(write_clip(tmp_path / "clip.mp4", frames=20))
    log = ResultLog()
    spec = CameraSpec("a", clip, loop=True, realtime=True)
    pipeline = StreamPipeline([spec], BlobDetector(), log, every=2, spawner=shared_spawner())
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    wait_for(lambda: len(log.results) >= 3)
    pid = decoder_pid(pipeline)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    try:
        pipeline.stop()
        yield pipeline, thread, pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        thread.join()


def test_a_decoder_that_reacts_late_to_a_stop_still_tells_its_last_counts(held_up, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline_module, "ASK_S", 60.0)
    pipeline, thread, pid = held_up
    frames = pipeline.snapshot()[0].frames
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)
    thread.join()
    process = isolated(pipeline)._process
    assert process is not None and process.status == 0, "it ended by itself"
    (camera,) = pipeline.snapshot()
    assert (camera.state, camera.restarts) == (CameraState.STOPPED, 0) and camera.frames >= frames


def test_a_decoder_that_never_reacts_to_a_stop_is_killed_in_time(held_up):
    pipeline, thread, _ = held_up
    with LagMeter() as lag:
        began = time.monotonic()
        thread.join()
        assert time.monotonic() - began < pipeline_module.ASK_S + pipeline_module.KILLED_S + lag.slack_s
    process = isolated(pipeline)._process
    assert process is not None and process.cause == "SIGKILL"
    assert pipeline.snapshot()[0].state is CameraState.STOPPED


def test_a_decoder_that_has_answered_is_waited_for_longer():
    counters = CameraCounters("a")
    for state, patience_s in (
        (CameraState.RUNNING, pipeline_module.ASK_S),
        (CameraState.STOPPED, pipeline_module.ANSWERED_S),
    ):
        counters.adopt(counters.tally() | {"state": state.value}, 1.0)
        assert pipeline_module._patience_s(counters) == patience_s


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
print("script begins", flush=True)
from simulators.blob_detector import BlobDetector
from simulators.result_log import ResultLog
from vedette.edge.stream.camera import CameraSettings, CameraWorker
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.position import BEGINNING, Position
log = ResultLog()
cameras = [CameraSpec(name, {clip!r}, loop=True, realtime=True) for name in "ab"]
pipeline = StreamPipeline(cameras, BlobDetector(), log, every=2)
import threading
def tell():
    with log.seen:
        log.seen.wait_for(lambda: len(log.results) >= 6)
    print("running", pipeline._spawner.pid, *(w.decoder_pid for w in pipeline._workers), flush=True)
threading.Thread(target=tell, daemon=True).start()
try:
    pipeline.run()
except KeyboardInterrupt:
    print([camera.state.value for camera in pipeline.snapshot()], [camera.restarts for camera in pipeline.snapshot()])
"""


@pytest.fixture
def script(tmp_path: Path):
    """A program without an `if __name__` guard, watching two cameras: the process, and the processes below it."""
    clip = str(write_clip(tmp_path / "clip.mp4", frames=30))
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(tests=str(TESTS), clip=clip))
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        assert [line.split()[0] for line in lines] == ["script", "running"]
        yield process, [int(pid) for pid in lines[1].split()[1:]]
        if process.poll() is None:
            process.kill()


def test_kill_9_of_the_parent_leaves_no_orphan(script):
    process, pids = script
    assert len(pids) == 3 and all(is_running(pid) for pid in pids)
    process.kill()
    process.wait()
    wait_until_ended(pids)


def test_ctrl_c_reaches_all_and_the_parent_alone_decides(script):
    process, pids = script
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert out.strip() == "['stopped', 'stopped'] [0, 0]" and "script begins" not in out and err == ""
    wait_until_ended(pids)


@pytest.mark.needs_server
def test_passwords_stand_in_no_argument_and_no_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATE_PASSWORD", "s3cr3t-word")
    with RtspCamera(credentials=("user", "s3cr3t-word")) as server, Spawner() as spawner:
        spec = CameraSpec("a", server.url, username="user", password="s3cr3t-word")
        log = ResultLog()
        pipeline = StreamPipeline([spec], BlobDetector(), log, spawner=spawner)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        wait_for(lambda: len(log.results) >= 2)
        for pid in (spawner.pid, isolated(pipeline).decoder_pid):
            for name in ("cmdline", "environ"):
                assert b"s3cr3t" not in Path(f"/proc/{pid}/{name}").read_bytes()
        pipeline.stop()
        thread.join()


def test_a_bug_in_a_decoder_process_is_raised_by_the_run_with_its_traceback(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    program = PROGRAM.replace("from simulators.fragile_decoder import main", "from bugs import main")
    (tmp_path / "bugs.py").write_text(
        "from vedette.edge.stream import camera, spawner_program\n"
        "def open_source(*_, **__): raise AttributeError('a bug of ours')\n"
        "camera.open_source = open_source\n"
        "main = spawner_program.main\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with Spawner(program) as spawner:
            pipeline = StreamPipeline([CameraSpec("a", clip)], BlobDetector(), ResultLog(), spawner=spawner)
            with pytest.raises(DecoderBug, match="a bug of ours"):
                pipeline.run()


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff", b"[]", b"{}", b'{"tally": {}, "at": []}', b"1" * 5000,
        b"\1", b"\1" * 90, b"\2" * 300, b"\2" + b"\xff" * 500,
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(packet: bytes):
    with pytest.raises(DEATHS):
        decode_message(packet, "a")


@pytest.mark.parametrize("position", [BEGINNING, Position(7, 1.5, 0.25, 3, 99.5)])
@pytest.mark.parametrize("expected_frames", [None, 0, 600])
def test_messages_arrive_as_they_were_sent(position: Position, expected_frames: int | None):
    counters = CameraCounters("a")
    counters.expected_frames, counters.frames, counters.codec = expected_frames, 7, "h264"
    counters.state, counters.gate_state, counters.gate_note = CameraState.RUNNING, GateState.SHUT, "näher hin"
    report = Report(counters.tally(), position)
    stamp = FrameStamp("a", 6, 0.25, 1.7e9 + 0.125, 1920, 1080, 2.5)
    form = PictureForm("yuv420p", 64, 64, 2, 1, 3, ((64, 64), (32, 32)))
    for message in (
        report,
        SlotMessage(report, 1, "u1", False, stamp, None),
        SlotMessage(report, 0, "f4", True, stamp, form),
        EndMessage(report, CameraState.FAILED, "broken", None),
        EndMessage(report, CameraState.FAILED, "away", None, Retry.SOON, 12.5),
        Beat(2.5),
        Beat(None),
    ):
        assert decode_message(encode_message(message), "a") == message
    late = replace(stamp, media_time_s=float("nan"))
    with pytest.raises(ValueError, match="nan"):
        decode_message(encode_message(SlotMessage(report, 1, "u1", False, late, None)), "a")


@pytest.mark.parametrize(
    ("pictures", "before", "credits_told", "goes_on"),
    [
        (False, 12, bytes(range(6)), True),  # half of the ring is free again
        (False, 12, bytes(range(5)), False),
        (False, 11, b"", True),  # one is free still
        (True, 2, bytes([PICTURES]), True),  # full pictures are large: no more than two wait
        (True, 2, b"", False),
        (True, 2, bytes([1]), True),  # nobody looks any more
        (False, 12, bytes([*range(4), PICTURES | 4]), True),  # none of those under way has one
    ],
)
def test_a_decoder_of_a_file_goes_on_in_bursts(pictures: bool, before: int, credits_told: bytes, goes_on: bool):
    spec, size = CameraSpec("a", "clip.mp4"), InputSpec(width=8, height=8)
    order = Order(spec, size, 1, None, 1.0, 1.0, 12, pictures, CameraCounters("a").tally(), NEW)
    picture = FullFrame(VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8))) if pictures else NoPicture()
    slot = Slot(FittedFrame(FrameStamp("a", 0, 0.0, 0.0, 8, 8), None, np.zeros((8, 8, 3), np.uint8)), picture)  # type: ignore[arg-type]
    ring, stop = FrameRing(make_ring_fd(12, 8, 8), 12, 8, 8), threading.Event()
    links, credit = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET), socket.socketpair()
    with contextlib.closing(ring), links[0], links[1], credit[0], credit[1]:
        outbox = RingOutbox(links[0], credit[0], ring, stop, order)
        outbox.worker = CameraWorker(spec, CameraSettings(size, 1, 1.0, 1.0, stop), outbox, CameraCounters("a"))
        for number in range(before):
            outbox.make_room(patient=False)
            outbox.put(slot)
            packet, fds, _, _ = socket.recv_fds(links[1], 4096, 1)
            message = decode_message(packet, "a")
            assert isinstance(message, SlotMessage) and message.ring_slot == number
            assert len(fds) == pictures
            for fd in fds:
                os.close(fd)
        if not goes_on or credits_told:
            credit[1].sendall(credits_told)
        if not goes_on:
            credit[1].close()  # who waits ends
        room = outbox.make_room(patient=False)
        outbox.put(slot)
        assert stop.is_set() is not goes_on
        links[1].setblocking(False)
        with contextlib.nullcontext() if goes_on else pytest.raises(BlockingIOError):
            message = decode_message(links[1].recv(4096), "a")
            assert isinstance(message, SlotMessage) and room is ring.room(message.ring_slot)


def test_half_of_the_ring_is_always_told_to_be_free_again():
    counters, size = CameraCounters("a"), InputSpec(width=8, height=8)
    camera = IsolatedCamera(
        CameraSpec("a", "clip.mp4"),
        IsolationSettings(size, 1, 1.0, 1.0, lambda _: False, Spawner()),
        LosslessQueue(Arrivals(), 64),
        counters,
    )
    report = Report(counters.tally(), BEGINNING)
    ring, (credit, theirs) = FrameRing(make_ring_fd(16, 8, 8), 16, 8, 8), socket.socketpair()

    def hear_of(numbers: range) -> list[Slot]:
        stamps = [FrameStamp("a", number, 0.0, 0.0, 8, 8) for number in numbers]
        messages = [SlotMessage(report, stamp.index % 16, "u1", False, stamp, None) for stamp in stamps]
        return [camera._slot(message, [], ring, credit) for message in messages]

    with contextlib.closing(ring), credit, theirs:
        first = hear_of(range(16))
        lent = [slot.done for slot in first if slot.done is not None]
        assert len(lent) == 8
        for done in lent[:3]:
            done()  # of which the decoder has not heard yet
        assert not any(slot.done for slot in hear_of(range(16, 24))), "it would wait for half of the ring for ever"
        lent[3]()
        assert sorted(theirs.recv(16)) == [0, 1, 2, 3]
        assert sum(slot.done is not None for slot in hear_of(range(24, 32))) == 4


def test_a_batch_larger_than_the_ring_is_filled_by_one_file(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=150))
    camera = CameraSpec("a", clip)
    (statistics,) = StreamPipeline([camera], BlobDetector(), ResultLog(), 1, 64, isolation=Isolation.PROCESSES).run()
    assert (statistics.state, statistics.detected, statistics.drops) == (CameraState.ENDED, 150, 0)


def test_a_hostile_decoder_cannot_reach_beyond_its_memory():
    ring = FrameRing(make_ring_fd(2, 8, 8), 2, 8, 8)
    for slot, pixel_type in ((2, "u1"), (-1, "u1"), (0, "O8")):
        with pytest.raises(ValueError, match="ring"):
            ring.read(slot, pixel_type)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(ring.fd, 0)
    ring.close()
    with pytest.raises(ValueError, match="form"):
        PictureForm.from_json(["yuv420p", 1 << 16, 1 << 16, 0, 0, 0, [[1, 1]]])
    form = PictureForm.from_json(["gray", 64, 64, 0, 0, 0, [[64, 64]]])
    fd = os.memfd_create("short")  # can be shrunk while it is read
    try:
        with pytest.raises(ValueError, match="something else"):
            SharedPicture(fd, form)
    finally:
        os.close(fd)


def test_a_decoder_that_talks_nonsense_is_replaced(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    (tmp_path / "liar.py").write_text(
        "from vedette.edge.stream import decoder_process, spawner_program\n"
        "decoder_process.encode_message = lambda message: b'{}'\n"
        "main = spawner_program.main\n"
    )
    program = PROGRAM.replace("from simulators.fragile_decoder import main", "from liar import main")
    log = ResultLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with Spawner(program) as spawner:
            (camera,) = StreamPipeline([CameraSpec("a", clip)], BlobDetector(), log, spawner=spawner).run()
    assert camera.state is CameraState.FAILED and camera.restarts == 2
    assert "a message that is none" in log.error("a")


def test_the_last_words_of_a_decoder_that_did_not_read_all_it_was_told_are_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    (tmp_path / "deaf.py").write_text(
        "import select\n"
        "from vedette.edge.stream import decoder_process, spawner_program\n"
        "class Deaf(decoder_process.RingOutbox):\n"
        "    def listen(self): pass\n"
        "    def end(self, *how):\n"
        "        select.select([self._link], [], [], 10)\n"
        "        super().end(*how)\n"
        "decoder_process.RingOutbox = Deaf\n"
        "main = spawner_program.main\n"
    )
    program = PROGRAM.replace("from simulators.fragile_decoder import main", "from deaf import main")
    monkeypatch.syspath_prepend(tmp_path)
    give_credit, ended = IsolatedCamera._give_credit, []

    monkeypatch.setattr("vedette.edge.stream.isolated_camera.CREDITS_TOGETHER", 1)

    def tell_and_wait(camera: IsolatedCamera, credit: socket.socket, ring_slots: list[int]) -> None:
        give_credit(camera, credit, ring_slots)
        isolated(pipeline).ask_fps(1.0)
        process = isolated(pipeline)._process  # it has said everything when it is gone, and read nothing
        ended.append(process is not None and process.ended.wait(30))

    monkeypatch.setattr(IsolatedCamera, "_give_credit", tell_and_wait)
    with Spawner(program) as spawner:
        pipeline = StreamPipeline([CameraSpec("a", clip)], BlobDetector(), ResultLog(), every=5, spawner=spawner)
        (camera,) = pipeline.run()
    assert ended == [True, True]
    assert (camera.state, camera.restarts, camera.frames, camera.detected) == (CameraState.ENDED, 0, 10, 2)


def test_run_cameras_shares_one_spawner_and_reports_restarts(tmp_path: Path):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=10))
    _, (camera,) = run_cameras([CameraSpec("a", clip)])
    assert camera.restarts == 0
