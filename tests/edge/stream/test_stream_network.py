"""Network cameras on loopback: they work, with a password too; every way to fail is one clear line in good time."""

import socket
import threading
import time

import pytest

from simulators.clips import write_clip
from simulators.http_camera import HttpCamera
from simulators.lag_meter import LagMeter
from simulators.result_log import ResultLog, run_cameras
from simulators.rtsp_camera import RtspCamera
from vedette.edge.stream import pipeline as pipeline_module
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.isolated_camera import IsolatedCamera
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.statistics import CameraState

pytestmark = pytest.mark.needs_server

USER, PASSWORD = "ädmin", "p@ss:w/örd %41"


def assert_live(log: ResultLog, name: str, results: int) -> None:
    stamps = log.stamps(name)
    assert len(stamps) >= results
    times = [stamp.media_time_s for stamp in stamps]
    assert times == sorted(times)
    assert (times[0] == 0) == (stamps[0].index == 0)  # else a newer one overtook it
    assert all(boxes for _, boxes in log.results)


def test_an_rtsp_camera_is_watched_by_tcp():
    with RtspCamera() as server:
        log, (camera,) = run_cameras([CameraSpec("a", server.url)], stop_after_results=8)
    assert_live(log, "a", 8)
    assert camera.state is CameraState.STOPPED and camera.codec == "h264" and camera.decode_errors == 0
    stamps = log.stamps("a")[:8]
    assert [s.media_time_s for s in stamps] == pytest.approx([s.index / 25 for s in stamps], abs=0.01)


def test_http_cameras_are_watched_as_transport_stream_and_motion_jpeg():
    with HttpCamera() as server:
        cameras = [CameraSpec("ts", server.url("live.ts")), CameraSpec("jpeg", server.url("mjpeg"))]
        with LagMeter() as lag:
            log, (ts, jpeg) = run_cameras(cameras, every=2, stop_after_results=30)
    assert_live(log, "ts", 15)
    assert_live(log, "jpeg", 5)
    assert (ts.codec, jpeg.codec) == ("h264", "mjpeg")
    last = log.stamps("jpeg")[-1]
    # ten pictures a second by the wall clock, not the 25 that FFmpeg would make up
    assert last.media_time_s == pytest.approx(last.index / 10, abs=0.35 + lag.slack_s)
    assert last.media_time_s > 1.4 * last.index / 25


def test_a_film_over_http_is_watched_to_its_end(tmp_path):
    with HttpCamera(clip=write_clip(tmp_path / "clip.mp4", frames=20)) as server:
        log, (camera,) = run_cameras([CameraSpec("a", server.url("clip.mp4"))])
    assert log.ends == [("a", None)] and camera.frames == 20


@pytest.mark.parametrize("simulator", [RtspCamera, HttpCamera])
def test_the_password_opens_the_camera_and_is_never_shown(simulator):
    with simulator(credentials=(USER, PASSWORD)) as server:
        url = server.url if isinstance(server.url, str) else server.url("live.ts")
        cameras = [
            CameraSpec("good", url, username=USER, password=PASSWORD),
            CameraSpec("wrong", url, username=USER, password=PASSWORD + "x"),
            CameraSpec("none", url),
        ]
        log, (good, _, _) = run_cameras(cameras, stop_after_results=3)
    assert_live(log, "good", 3)
    assert good.state is CameraState.STOPPED
    assert "refuses the user name and password; check them" in log.error("wrong")
    assert "give 'username'" in log.error("none")
    assert "örd" not in log.error("wrong") and "%C3%B6rd" not in log.error("wrong")


def test_a_missing_rtsp_server_is_a_clear_line_at_once_and_the_others_go_on(tmp_path, free_port: int):
    clip = str(write_clip(tmp_path / "clip.mp4", frames=20))
    began = time.monotonic()
    spec = CameraSpec("gate", f"rtsp://127.0.0.1:{free_port}/live", username="u", password="secret")
    log, (_, good) = run_cameras([spec, CameraSpec("b", clip)], open_timeout_s=60.0)
    assert time.monotonic() - began < 30  # not after the timeout
    assert log.error("gate") == (
        f"camera 'gate': rtsp://127.0.0.1:{free_port}/live refuses the connection; check the port and that the camera "
        "is on"
    )
    assert good.detected == 4 and good.state is CameraState.ENDED


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_never_answers_is_given_up_after_the_timeout(scheme: str):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"{scheme}://127.0.0.1:{deaf.getsockname()[1]}/live"
        began = time.monotonic()
        log, _ = run_cameras([CameraSpec("a", url, username="u", password="secret")], open_timeout_s=0.7)
        assert 0.6 < time.monotonic() - began < 20
    assert "did not answer within 0.7 s" in log.error("a") and "secret" not in log.error("a")


@pytest.mark.parametrize("simulator", [RtspCamera, HttpCamera])
def test_a_camera_that_falls_silent_is_noticed(simulator):
    with simulator(silent_after_s=0.8) as server:
        url = server.url if isinstance(server.url, str) else server.url("live.ts")
        began = time.monotonic()
        log, (camera,) = run_cameras([CameraSpec("a", url)], open_timeout_s=1.0, read_timeout_s=1.0)
        assert time.monotonic() - began < 20
    assert "sent nothing for 1 s" in log.error("a")
    assert camera.state is CameraState.FAILED and camera.frames >= 15


@pytest.mark.parametrize("simulator", [RtspCamera, HttpCamera])
def test_a_camera_that_hangs_up_is_noticed(simulator):
    with simulator(close_after_s=0.6) as server:
        url = server.url if isinstance(server.url, str) else server.url("live.ts")
        log, (camera,) = run_cameras([CameraSpec("a", url)])
    assert any(words in log.error("a") for words in ("closed the connection", "broke off"))
    assert camera.state is CameraState.FAILED and camera.frames >= 10


@pytest.mark.parametrize(
    ("path", "says"), [("nothing", "nothing under this path (404)"), ("text", "not with video that can be read")]
)
def test_a_wrong_path_is_a_clear_line(path: str, says: str):
    with HttpCamera() as server:
        log, _ = run_cameras([CameraSpec("a", server.url(path))])
    assert says in log.error("a")


def test_an_unknown_host_is_a_clear_line():
    log, _ = run_cameras([CameraSpec("a", "rtsp://camera.invalid/live")])
    assert "nobody knows this host" in log.error("a")


def test_stop_does_not_wait_for_a_silent_camera_nor_lose_its_counts_and_its_thread_ends_soon(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pipeline_module, "ASK_S", 60.0)  # a busy machine's decoder is slow to hear of it
    threads_before = threading.active_count()
    with HttpCamera(silent_after_s=0.3) as server:
        # the read inside FFmpeg that the stop finds blocked would last a minute
        pipeline = StreamPipeline([CameraSpec("a", server.url("mjpeg"))], _detector(), ResultLog(), read_timeout_s=60.0)
        stopped_s: list[float] = []

        def stop_when_silent() -> None:
            counts = [-1, 0]
            while counts[-1] != counts[-2] or not counts[-1]:
                time.sleep(1.0)
                counts.append(pipeline.snapshot()[0].frames)
            stopped_s.append(time.monotonic())
            pipeline.stop()

        threading.Thread(target=stop_when_silent).start()
        with LagMeter() as lag:
            (camera,) = pipeline.run()
        assert time.monotonic() - stopped_s[0] < 2.0 + lag.slack_s and camera.state is CameraState.STOPPED
        worker = pipeline._workers[0]
        assert isinstance(worker, IsolatedCamera) and worker._process is not None
        assert worker._process.status == 0, "it told its last counts itself and was not killed"
        deadline = time.monotonic() + 20
        while threading.active_count() > threads_before + 2 and time.monotonic() < deadline:  # the server has two
            time.sleep(0.05)
        assert not any(thread.name == "camera-a" for thread in threading.enumerate())
    deadline = time.monotonic() + 20
    while threading.active_count() > threads_before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= threads_before


def _detector():
    from simulators.blob_detector import BlobDetector

    return BlobDetector()
