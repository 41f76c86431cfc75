"""Publishing to a media server: the camera's own units arrive, servers come and go, secrets stay secret."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from live_video import Playing, read_packets

from simulators.clips import write_clip
from simulators.rtsp_server import RtspServer
from vedette.edge.live.certificate import make_self_signed
from vedette.edge.live.codec_record import split_units
from vedette.edge.live.publishing import Publishing, PublishTarget
from vedette.edge.live.server_trust import authorities, check_ca_file, tls_options
from vedette.edge.live.video_store import VideoStore

pytestmark = pytest.mark.needs_server
SECRET = "canary-p4ss/word"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "veryfast", "x264-params": "aud=0"}
    return write_clip(tmp_path_factory.mktemp("video") / "a.ts", frames=50, gop=10, b_frames=2, options=options)


@contextmanager
def published(
    clip: Path, target: PublishTarget, cameras: tuple[str, ...] = ("north",)
) -> Iterator[tuple[Publishing, list[str]]]:
    store, said, playing = VideoStore(cameras), [], {}
    for camera in cameras:
        playing[camera] = Playing(store, camera, read_packets(clip), lambda _: None)
        playing[camera].__enter__()
    store.wish_by(lambda camera, wanted: playing[camera].wish(camera, wanted))
    publishing = Publishing(store, cameras, target, said.append)
    try:
        yield publishing, said
    finally:
        publishing.close()
        for camera in cameras:
            playing[camera].__exit__()


def pictures(clip: Path) -> set[bytes]:
    """Coded slices of the clip, without parameter sets and messages."""
    units = (unit for packet in read_packets(clip) for unit in split_units(packet.data))
    return {unit for unit in units if unit[0] & 0x1F in (1, 5)}


def test_the_cameras_own_pictures_arrive_at_a_place_for_each(clip: Path) -> None:
    with RtspServer(("operator", SECRET)) as server:
        target = PublishTarget(f"{server.url}/wall/{{camera}}", "operator", SECRET)
        assert SECRET not in repr(target)
        with published(clip, target, ("north", "south")) as (publishing, said):
            for camera in ("north", "south"):
                units = server.wait_for(f"/wall/{camera}", 60)
                slices = [unit for unit in units if unit[0] & 0x1F in (1, 5)]
                assert slices[0][0] & 0x1F == 5, "it begins with a keyframe"
                assert set(slices) <= pictures(clip)
                assert "H264/90000" in server.descriptions[f"/wall/{camera}"]
            until = time.monotonic() + 60
            while not all(one.pictures for one in publishing.status()) and time.monotonic() < until:
                time.sleep(0.05)
            north, south = publishing.status()
            assert (north.camera, north.url, north.state.value) == ("north", f"{server.url}/wall/north", "working")
            assert north.problem is None and min(north.pictures, south.pictures, north.bytes) > 0
            words = " ".join(psutil.Process(publishing.pid).cmdline())
            assert SECRET not in words
        assert sorted(said) == [f"camera '{c}': published at {server.url}/wall/{c}" for c in ("north", "south")]


def test_over_tls_only_a_server_that_is_vouched_for_gets_video(clip: Path, tmp_path: Path) -> None:
    made = make_self_signed(tmp_path, "media").certificate
    with RtspServer(certificate=made) as server:
        for ca_file in (None, made):
            target = PublishTarget(f"{server.url}/a", "operator", SECRET, ca_file)
            with published(clip, target) as (publishing, said):
                if ca_file is not None:
                    server.wait_for("/a", 60)
                    continue
                until = time.monotonic() + 60
                while not said:
                    assert time.monotonic() < until
                    time.sleep(0.02)
                assert "its certificate is not trusted: self-signed certificate" in said[0]
                assert "ca_file" in said[0] and SECRET not in said[0] and "operator" not in said[0]
                assert server.requests == [] and publishing.pid is not None


def test_which_authorities_are_trusted_and_files_that_hold_none(tmp_path: Path) -> None:
    assert tls_options("rtsp://media/a", None) == {}
    known = tls_options("RTSPS://media/a", None)
    assert known["tls_verify"] == "1" and (authorities() is None or known["ca_file"] == authorities())
    assert tls_options("rtsps://media/a", "own.pem") == {"tls_verify": "1", "ca_file": "own.pem"}
    (tmp_path / "text.pem").write_text("hello")
    for name, words in (("text.pem", "holds no certificate"), ("none.pem", "cannot be read")):
        with pytest.raises(ValueError, match=words):
            check_ca_file(str(tmp_path / name))


@pytest.mark.slow
def test_a_server_that_hangs_up_is_published_to_again(clip: Path) -> None:
    with RtspServer() as server, published(clip, PublishTarget(f"{server.url}/a")) as (_, said):
        count = len(server.wait_for("/a", 60))
        server.hang_up()
        server.wait_for("/a", count + 60)
        assert server.requests.count("RECORD /a") == 2
        assert len(said) == 3
        assert "is tried again" in said[1]


@pytest.mark.slow
def test_a_server_that_never_answers_or_refuses_is_said_once_and_stops_nothing(clip: Path) -> None:
    with RtspServer(("operator", SECRET)) as strict, RtspServer(deaf=True) as deaf:
        for server in (strict, deaf):
            target = PublishTarget(f"{server.url}/a", "operator", "wrong-canary")
            store = VideoStore(["north"])
            said: list[str] = []
            heard = threading.Event()
            with Playing(store, "north", read_packets(clip), lambda _: None) as playing:
                store.wish_by(playing.wish)

                def say(text: str, said: list[str] = said, heard: threading.Event = heard) -> None:
                    said.append(text)
                    heard.set()

                publishing = Publishing(store, ["north"], target, say)
                assert heard.wait(30)
                time.sleep(2.5)  # it tries again, and says nothing more
                (status,) = publishing.status()
                assert (status.state.value, status.stops, status.pictures) == ("stopped", 1, 0)
                assert said[0].startswith(str(status.problem)) and status.stopped_since_unix_s is not None
                assert "canary" not in repr(status)
                began = time.monotonic()
                publishing.close()
                assert time.monotonic() - began < 2
            assert len(said) == 1
            assert f"cannot be published at {server.url}/a" in said[0]
            assert "canary" not in said[0]


@pytest.mark.slow
def test_the_program_is_replaced_when_it_dies(clip: Path) -> None:
    with RtspServer() as server, published(clip, PublishTarget(f"{server.url}/a")) as (publishing, _):
        count = len(server.wait_for("/a", 60))
        psutil.Process(publishing.pid).kill()
        server.wait_for("/a", count + 40)
