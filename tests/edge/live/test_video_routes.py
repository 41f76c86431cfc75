"""Video over HTTP: one answer for all tiles, which goes on where it stopped; and HLS that players open."""

import io
import json
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from live_video import Playing, read_packets
from live_wall import camera_status, status, tracks

from simulators.clips import write_clip
from vedette.contracts.frame import FrameStamp
from vedette.edge.live import hls, video_store, video_track
from vedette.edge.live.page import LivePage
from vedette.edge.live.video_routes import ALIVE, FRAGMENT, RESULTS, START, VideoRoutes
from vedette.edge.live.video_store import VideoStore

pytestmark = pytest.mark.needs_server


@dataclass
class Wall:
    page: LivePage
    store: VideoStore
    routes: VideoRoutes
    wishes: list[tuple[str, bool]]


@contextmanager
def wall(clip: Path, camera: str = "north") -> Iterator[Wall]:
    store = VideoStore([camera, "silent"])
    routes = VideoRoutes(store)
    wishes: list[tuple[str, bool]] = []

    def found(stamp: FrameStamp) -> None:
        store.add_tracks(stamp, tracks((1, 2, 30, 40)), {"gate": stamp.index})

    with (
        LivePage(port=0, status=status(camera_status(camera)), routes=routes.routes) as page,
        Playing(store, camera, read_packets(clip), found) as playing,
    ):

        def wish(name: str, wanted: bool) -> None:
            wishes.append((name, wanted))
            if name == camera:
                playing.wish(name, wanted)

        store.wish_by(wish)
        yield Wall(page, store, routes, wishes)
        routes.close()


def messages(answer: Any) -> Iterator[tuple[int, int, bytes]]:
    while True:
        size, kind, place = struct.unpack(">IBH", answer.read(7))
        yield kind, place, answer.read(size)


def ask(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=20)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("video") / "a.mp4", frames=50, gop=10, b_frames=2, options={"preset": "veryfast"}
    )


def test_a_viewer_gets_a_start_fragments_and_boxes_and_goes_on_where_it_stopped(clip: Path) -> None:
    with wall(clip) as shown:
        serial = result = 0
        film = b""
        results: list[dict[str, Any]] = []
        with ask(f"{shown.page.url}video?camera=silent&camera=north") as answer:
            instance = answer.headers["x-vedette-video"]
            for kind, place, content in messages(answer):
                assert place == 1 or kind == ALIVE
                if kind == START:
                    length = int.from_bytes(content[:2], "big")
                    start = json.loads(content[2 : 2 + length])
                    film += content[2 + length :]
                elif kind == FRAGMENT:
                    serial = int.from_bytes(content[:4], "big")
                    film += content[4:]
                elif kind == RESULTS:
                    told = json.loads(content)
                    result = told["last"]
                    results += told["results"]
                if serial >= 20 and len(results) >= 3:
                    break
        assert start["mime"].startswith('video/mp4; codecs="avc1.')
        with av.open(io.BytesIO(film)) as container:
            times_s = [frame.time for frame in container.decode(video=0)]
        assert len(times_s) >= 18
        assert results[0]["boxes"][0][:4] == [1, 2, 30, 40]
        assert results[0]["counts"] == {"gate": results[1]["counts"]["gate"] - 5}
        assert results[1]["t"] - results[0]["t"] == pytest.approx(0.2, abs=1e-3)
        again = f"{shown.page.url}video?instance={instance}&camera=north&at={serial}.{start['number']}.{result}"
        with ask(again) as answer:
            kind, _, content = next(one for one in messages(answer) if one[0] in (START, FRAGMENT))
            assert kind == FRAGMENT, "it has the start already"
            assert int.from_bytes(content[:4], "big") == serial + 1


def test_packets_are_wanted_only_while_somebody_looks(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_store, "LINGER_S", 0.05)
    with wall(clip) as shown:
        assert shown.wishes == []
        with ask(f"{shown.page.url}video?camera=north") as answer:
            next(messages(answer))
            assert shown.wishes == [("north", True)]
        until = time.monotonic() + 60
        while ("north", False) not in shown.wishes:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert not shown.store.tracks["north"].groups


def test_vlc_and_others_open_the_hls_playlist(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_track, "SEGMENT_S", 0.4)
    with wall(clip) as shown:
        with av.open(f"{shown.page.url}hls/north/index.m3u8", timeout=30) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 160, 96)
            times_s = []
            for frame in container.decode(stream):
                times_s.append(frame.time)
                if len(times_s) == 30:  # more than one segment holds
                    break
        assert times_s == sorted(times_s)
        assert times_s[-1] - times_s[0] == pytest.approx(29 / 25, abs=0.02)
        text = ask(f"{shown.page.url}hls/north/index.m3u8").read().decode()
        assert "#EXT-X-MAP" in text
        assert "#EXT-X-ENDLIST" not in text


def test_what_is_not_there_is_said_in_a_sentence(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls, "PATIENCE_S", 0.1)
    with wall(clip) as shown:
        for path, code, words in (
            ("video", 400, "ask for 1 to 64 cameras"),
            ("video?camera=north&camera=north&at=1.1.1", 400, "ask for"),
            ("hls/nobody/index.m3u8", 404, "no such camera"),
            ("hls/silent/index.m3u8", 503, "no video of this camera yet"),
            ("hls/north/99.m4s", 404, "gone"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(shown.page.url + path)
            assert refused.value.code == code
            assert words in refused.value.read().decode()


def test_the_page_closes_at_once_though_somebody_watches(clip: Path) -> None:
    with wall(clip) as shown, ask(f"{shown.page.url}video?camera=north") as answer:
        next(messages(answer))
        began = time.monotonic()
        shown.page.close()
        assert time.monotonic() - began < 2.5
