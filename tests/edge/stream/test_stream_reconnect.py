"""Live cameras that go away and come back, on loopback: noticed, said, opened again; the others do not notice."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from simulators.blob_detector import BlobDetector
from simulators.http_camera import HttpCamera
from simulators.moods import Mood
from simulators.result_log import ResultLog, run_cameras, shared_spawner
from simulators.rtsp_camera import RtspCamera
from simulators.running_cameras import assert_goes_on, running
from vedette.contracts.pipeline import Isolation
from vedette.edge.stream import hang_watch
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import CameraUnavailableError
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.spawner import DecoderProcess, Spawner
from vedette.edge.stream.statistics import CameraState

pytestmark = pytest.mark.needs_server


@pytest.mark.parametrize("isolation", Isolation)
def test_a_camera_that_was_killed_comes_back_with_numbers_and_times_continued(isolation: Isolation):
    with RtspCamera() as server, running(server.url, isolation=isolation) as run:
        run.wait_for_frames()
        server.kill()
        run.wait_until_offline()
        killed = run.camera()
        assert killed.error is not None and killed.offline_since_unix_s == pytest.approx(time.time(), abs=10.0)
        run.wait(lambda camera: "refuses the connection" in str(camera.error))
        assert run.camera().offline_since_unix_s == pytest.approx(killed.offline_since_unix_s, abs=0.1)
        server.start()
        run.wait_for_frames()
        back = run.camera()
        assert (back.error, back.offline_since_unix_s, back.reconnects, back.restarts) == (None, None, 1, 0)
    assert run.log.ends == [("a", None)] and run.camera().state is CameraState.STOPPED
    # frames that it did not send while it was away are neither numbered nor lost
    assert run.camera().skipped == 0 and run.log.stamps("a")[-1].index < run.camera().frames
    assert_goes_on(run.log)


def test_silence_and_packets_without_pictures_are_noticed_and_the_camera_comes_back():
    with RtspCamera() as server, running(server.url, read_timeout_s=1.0) as run:
        run.wait_for_frames()
        server.mood = Mood.SILENT
        run.wait_until_offline()
        assert "sent nothing for 1 s" in str(run.camera().error)
        server.mood = Mood.WELL
        server.hang_up()  # the attempt under way would wait for its time
        run.wait_for_frames()
        server.mood = Mood.TRUNCATED
        run.wait_until_offline()
        assert "no whole picture came out of them for 1 s" in str(run.camera().error)
        server.mood = Mood.WELL
        run.wait_for_frames()
        assert run.camera().reconnects == 2
    assert_goes_on(run.log)


def test_a_camera_that_is_not_there_at_the_start_is_waited_for_and_the_run_goes_on(free_port: int):
    with running(f"rtsp://127.0.0.1:{free_port}/live") as run:
        run.wait_until_offline()
        with RtspCamera(port=free_port):
            run.wait_for_frames()
            assert run.camera().reconnects == 0  # it had not been there before
        run.wait_until_offline()


def test_a_camera_is_given_up_after_its_time_and_a_film_that_breaks_off_is_not_played_again(free_port: int, tmp_path):
    with HttpCamera(clip=_clip(tmp_path)) as server:
        server.break_films = True
        log, (gone, film) = run_cameras(
            [
                CameraSpec("gone", f"rtsp://127.0.0.1:{free_port}/live"),
                CameraSpec("film", server.url("clip.mp4")),
            ],
            give_up_after_s=1.0,
        )
    assert gone.state is CameraState.FAILED and "did not come back within 1 s and is given up" in log.error("gone")
    assert film.state in {CameraState.FAILED, CameraState.ENDED} and film.reconnects == 0
    assert server.requests.count("/clip.mp4") <= 3, "FFmpeg may ask for the rest of it"


def test_a_live_camera_waits_for_decoders_that_cannot_be_started():
    class Unable(Spawner):
        tries = 0

        def start_decoder(self, name: str, socket_fd: int, ring_fd: int) -> DecoderProcess:
            self.tries += 1
            if self.tries <= 2:
                raise CameraUnavailableError("no memory for a decoder; stop something else")
            return super().start_decoder(name, socket_fd, ring_fd)

    with Unable() as spawner, RtspCamera() as server, running(server.url, spawner=spawner) as run:
        run.wait_until_offline()
        assert "no memory for a decoder" in str(run.camera().error)
        run.wait_for_frames()
        assert run.camera().restarts == 0


@pytest.mark.parametrize("isolation", Isolation)
def test_a_password_that_was_put_right_is_tried_as_soon_as_somebody_says_so(isolation: Isolation):
    with RtspCamera(credentials=("u", "right")) as server:
        specs = [CameraSpec("a", server.url, "u", password) for password in ("wrong", "right")]
        pipeline = StreamPipeline(specs[:1], BlobDetector(), ResultLog(), isolation=isolation, spawner=shared_spawner())
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        try:
            _wait_for(lambda: pipeline.snapshot()[0].state is CameraState.OFFLINE)
            tries = server.connections
            pipeline.try_now(specs[0])  # still wrong
            _wait_for(lambda: server.connections > tries)
            _wait_for(lambda: pipeline.snapshot()[0].state is CameraState.OFFLINE)
            until = time.monotonic() + 60
            while not pipeline.snapshot()[0].frames:  # it may have been about to wait
                assert time.monotonic() < until
                pipeline.try_now(specs[1])
                time.sleep(0.2)
        finally:
            pipeline.stop()
            thread.join()
        assert pipeline.snapshot()[0].state is CameraState.STOPPED


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_decoder_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hang_watch, "HUNG_S", 1.5)
    with RtspCamera() as server, running(server.url) as run:
        run.wait_for_frames()
        pid = run.pipeline._workers[0].decoder_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        run.wait(lambda camera: camera.restarts == 1)
        run.wait_for_frames()
    assert_goes_on(run.log)


def _clip(folder):
    from simulators.clips import write_clip

    return write_clip(folder / "clip.mp4", frames=400, size=(320, 192), container_options={"movflags": "faststart"})
