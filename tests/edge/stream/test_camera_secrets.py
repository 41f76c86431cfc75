"""What a camera is opened with stays in memory; what a source may open in turn is closed. On loopback servers."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.fragile_decoder import PROGRAM
from simulators.http_camera import HttpCamera
from simulators.result_log import ResultLog, run_cameras
from simulators.rtsp_camera import RtspCamera
from vedette.contracts.errors import VedetteError
from vedette.contracts.pipeline import Isolation
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import CameraHopelessError, DecoderBug
from vedette.edge.stream.masking import mask_secrets, without_secrets
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.redirects import explain_redirect
from vedette.edge.stream.source import AvSource
from vedette.edge.stream.spawner import Spawner

PASSWORD = "c@nary:w/örd %41+"
SPEC = CameraSpec("gate", "rtsp://10.0.0.5:554/live", username="wätch", password=PASSWORD)
QUERY = CameraSpec("cheap", "http://10.0.0.5/video?user=admin&pwd=c4nary&channel=1")


@pytest.mark.parametrize(
    "written",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote(PASSWORD, safe="").lower(),
        quote(PASSWORD, safe=":/@ "),
        PASSWORD.replace("@", "%40"),
        PASSWORD.replace(" ", "+"),
        "d8OkdGNoOmNAbmFyeTp3L8O2cmQgJTQxKw==",  # Basic authentication
    ],
)
def test_the_password_is_found_however_it_is_written(written: str):
    masked = mask_secrets(f"DESCRIBE rtsp://10.0.0.5/live ({written}) failed", SPEC)
    assert masked == "DESCRIBE rtsp://10.0.0.5/live (***) failed"


def test_a_url_that_was_opened_becomes_the_one_that_was_given():
    user = quote(SPEC.username or "", safe="")
    text = f"cannot open 'rtsp://{user}:{quote(PASSWORD, safe='')}@10.0.0.5:554/live'"
    assert mask_secrets(text, SPEC) == "cannot open 'rtsp://10.0.0.5:554/live'"


def test_a_password_in_a_query_is_masked_wherever_the_url_is_shown():
    assert QUERY.shown == "http://10.0.0.5/video?user=admin&pwd=***&channel=1"
    assert "c4nary" not in repr(QUERY) + mask_secrets(f"cannot open {QUERY.url}: no", QUERY)
    for name in ("password", "PASSWORD", "usrpass", "token", "authKey", "secret"):
        assert CameraSpec("a", f"http://h/x?{name}=c4nary").shown == f"http://h/x?{name}=***"
    assert CameraSpec("a", "http://h/x?path=main&channel=1").shown == "http://h/x?path=main&channel=1"


def test_a_bug_whose_traceback_would_show_a_secret_is_masked_and_any_other_is_left_alone():
    plain = AttributeError("a bug of ours")
    assert without_secrets(plain, SPEC) is plain
    try:
        raise OSError(f"rtsp://u:{quote(PASSWORD, safe='')}@10.0.0.5/live") from ValueError(PASSWORD)
    except OSError as error:
        masked = without_secrets(error, SPEC)
    assert isinstance(masked, DecoderBug) and "OSError" in str(masked) and "ValueError" in str(masked)
    shown = "".join(traceback.format_exception(masked))
    assert "c@nary" not in shown and "c%40nary" not in shown


@pytest.mark.parametrize("isolation", Isolation)
def test_a_bug_while_decoding_does_not_show_the_password(isolation: Isolation, tmp_path: Path):
    code = (
        "from vedette.edge.stream import camera\n"
        "def open_source(spec, *_, **__): raise AttributeError(f'a bug with rtsp://u:{spec.password}@host')\n"
    )
    program = PROGRAM.replace("from simulators.fragile_decoder import main", "from leaky import main")
    (tmp_path / "leaky.py").write_text(
        code + "from vedette.edge.stream import spawner_program\n"
        "camera.open_source = open_source\nmain = spawner_program.main\n"
    )
    with pytest.MonkeyPatch.context() as patch, Spawner(program) as spawner:
        patch.syspath_prepend(tmp_path)
        if isolation is Isolation.THREADS:
            scope: dict[str, object] = {}
            exec(code, scope)
            patch.setattr("vedette.edge.stream.camera.open_source", scope["open_source"])
        pipeline = StreamPipeline([SPEC], BlobDetector(), ResultLog(), isolation=isolation, spawner=spawner)
        with pytest.raises(DecoderBug, match="a bug with") as caught:
            pipeline.run()
    assert "c@nary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.needs_server
@pytest.mark.parametrize(
    "elsewhere",
    ["file:///etc/hostname", "concat:/etc/hostname|/etc/hosts", "subfile,,start,0,end,9,,:/etc/hosts", "data:,x",
     "rtsp://127.0.0.1:9/x", "ftp://127.0.0.1/x", "tcp://127.0.0.1:9", "gopher://127.0.0.1/x", "unix:/run/x"],
)  # fmt: skip
def test_a_camera_cannot_send_elsewhere_than_to_http(elsewhere: str, tmp_path: Path):
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    lists = {
        "/a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{elsewhere}\n#EXT-X-ENDLIST\n",
        "/a.ffconcat": f"ffconcat version 1.0\nfile '{elsewhere}'\n",
    }
    with HttpCamera(clip=clip) as server:
        for path, text in lists.items():
            server.bodies[path] = ("text/plain", lambda text=text: iter([text.encode()]))
            with pytest.raises(VedetteError):
                AvSource(CameraSpec("a", server.url(path[1:])), 5.0, 5.0)
        server.redirect = elsewhere
        with pytest.raises(VedetteError):
            AvSource(CameraSpec("a", server.url("live.ts")), 5.0, 5.0)


@pytest.mark.needs_server
def test_a_film_cannot_open_network_addresses_nor_a_name_anything_but_a_file(tmp_path: Path):
    with HttpCamera() as server:
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{server.url('live.ts')}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{server.url('live.ts')}'\n",
            "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        ):
            (tmp_path / "film.mp4").write_text(text)
            with pytest.raises(VedetteError):
                AvSource(CameraSpec("a", str(tmp_path / "film.mp4")), 5.0, 5.0)
        assert server.requests == []
    for name in ("subfile,,start,0,end,0,,:a.mp4", "concatf,a", "-i", "a.mp4|b.mp4", "async,a.mp4"):
        with pytest.raises(VedetteError, match="no such file"):
            AvSource(CameraSpec("a", name), 5.0, 5.0)


@pytest.mark.parametrize(
    "url",
    ["concat:a.mp4|b.mp4", "subfile:a.mp4", "file:a.mp4", "file:///etc/passwd", "pipe:0", "fd:3", "data:,x",
     "tcp://h:1", "udp://h:1", "rtp://h:1", "rtmp://h/x", "ftp://h/x", "srt://h:1", "unix:/x", "cache:a", "crypto:a",
     "async:a", "tee:a", "hls+http://h/x", "rtsp:h/x", "http:/h/x", "rtsp://h/x\r\nSETUP", "rtsp:///x",
     "rtsp://u:c4nary@h/x", "rtsp://u%40c4nary@h/x", "name = rtsp://u:c4nary@h/x", "x rtsp://c4nary@h/x"],
)  # fmt: skip
def test_addresses_of_other_forms_are_refused_without_repeating_a_password(url: str):
    with pytest.raises(CameraHopelessError) as caught:
        AvSource(CameraSpec("a", url), 1.0, 1.0)
    assert "c4nary" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.needs_server
def test_a_redirect_takes_no_password_along_over_http():
    with HttpCamera() as elsewhere, HttpCamera(credentials=("u", "canary")) as server:
        server.redirect = elsewhere.url("live.ts")
        AvSource(CameraSpec("a", server.url("live.ts"), username="u", password="canary"), 5.0, 5.0).close()
        assert server.authorizations and elsewhere.requests and not elsewhere.authorizations


@pytest.mark.needs_server
def test_a_redirect_over_rtsp_shows_the_password_to_no_other_host():
    with RtspCamera(credentials=("u", "canary")) as elsewhere, RtspCamera() as server:
        target = elsewhere.url.replace("127.0.0.1", "localhost")
        server.redirect = target
        cameras = [
            CameraSpec("a", server.url, username="u", password="canary"),
            CameraSpec("b", server.url),  # has nothing to hide, and is refused there
        ]
        log, _ = run_cameras(cameras)
        said = dict(log.ends)
        assert "sends its clients on to another host, localhost, which is not shown the password" in str(said["a"])
        assert "refuses the user name and password" in str(said["b"])
        assert elsewhere.connections and not elsewhere.authorizations
        server.redirect = elsewhere.url  # within the host
        log, _ = run_cameras(cameras[:1], stop_after_results=1)
        assert log.stamps("a") and elsewhere.authorizations


def test_a_redirect_may_not_leave_encryption_or_go_nowhere():
    spec = CameraSpec("a", "rtsps://cam/x", username="u", password="canary")
    assert "not encrypted" in str(explain_redirect(spec, "rtsp://cam/x"))
    assert explain_redirect(spec, "rtsps://CAM:8554/y") is None
    for target in ("rtsp://[bad/x", "", "rtsps://u:canary@evil/x"):
        assert explain_redirect(spec, target) and "canary" not in str(explain_redirect(spec, target))


@pytest.mark.needs_server
def test_refusals_of_every_kind_do_not_show_the_password():
    with RtspCamera(credentials=("wätch", "other")) as rtsp, HttpCamera(credentials=("wätch", "other")) as http:
        cameras = [
            CameraSpec(f"c{number}", url, username="wätch", password=PASSWORD)
            for number, url in enumerate(
                [rtsp.url, http.url("live.ts"), http.url("nothing"), "rtsp://127.0.0.1:9/x", "rtsp://nobody.invalid/x"]
            )
        ]
        log, _ = run_cameras(cameras)
    said = "".join(str(error) for _, error in log.ends)
    assert said.count("camera 'c") == 5 and "nary" not in said and "rd%20" not in said
