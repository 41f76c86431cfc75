"""HLS playlists by an independent reading of RFC 8216: what players were told of a segment stays true."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import av
import pytest
from live_video import begin_again, read_packets
from live_wall import camera_status, status

from simulators.clips import write_clip
from vedette.contracts.video import VideoPacket
from vedette.edge.live import hls, video_track
from vedette.edge.live.hls import HlsShelf
from vedette.edge.live.page import LivePage
from vedette.edge.live.video_routes import VideoRoutes
from vedette.edge.live.video_store import VideoStore

FPS, GOP = 25, 10
Runs = tuple[Sequence[VideoPacket], Sequence[VideoPacket]]
TAGS = {
    "EXTM3U", "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-MAP", "EXT-X-DISCONTINUITY", "EXTINF",
}  # fmt: skip


@dataclass(frozen=True)
class Segment:
    sequence: int
    discontinuities: int
    uri: str
    map_uri: str
    length_s: float


@dataclass(frozen=True)
class Playlist:
    target_s: int
    segments: tuple[Segment, ...]

    @property
    def length_s(self) -> float:
        return sum(one.length_s for one in self.segments)


def read_playlist(text: str) -> Playlist:
    """By the grammar of RFC 8216, 4: unknown lines, tags out of place and segments without a map are mistakes."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U" and text.endswith("\n")
    found = [re.fullmatch(r"#(EXT[A-Z0-9-]*)(?::(.*))?", line) for line in lines if line.startswith("#")]
    assert all(found) and {match.group(1) for match in found if match} <= TAGS, text
    head = {match.group(1): match.group(2) for match in found if match}
    assert int(head["EXT-X-VERSION"]) >= 6, "EXT-X-MAP in a list of ordinary segments needs 6 (7.)"
    sequence = int(head["EXT-X-MEDIA-SEQUENCE"])
    discontinuities = int(head.get("EXT-X-DISCONTINUITY-SEQUENCE", 0))
    if "EXT-X-DISCONTINUITY-SEQUENCE" in head:  # 4.3.3.3: before any segment and any EXT-X-DISCONTINUITY
        place = next(at for at, line in enumerate(lines) if line.startswith("#EXT-X-DISCONTINUITY-SEQUENCE"))
        assert not any(line == "#EXT-X-DISCONTINUITY" or not line.startswith("#") for line in lines[:place])
    segments: list[Segment] = []
    map_uri, length_s = "", None
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-DISCONTINUITY":
            discontinuities += 1
        elif tag == "#EXT-X-MAP":
            match = re.fullmatch(r'URI="([^"]+)"', value)
            assert match is not None
            map_uri = match.group(1)
        elif tag == "#EXTINF":
            length_s = float(value.removesuffix(","))
        elif not line.startswith("#"):
            assert length_s is not None and map_uri
            segments.append(Segment(sequence, discontinuities, line, map_uri, length_s))
            sequence, length_s = sequence + 1, None
    target_s = int(head["EXT-X-TARGETDURATION"])
    assert all(round(one.length_s) <= target_s for one in segments), "4.3.3.1"
    return Playlist(target_s, tuple(segments))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Twenty groups of pictures of 0.4 s, and five of another size."""
    folder = tmp_path_factory.mktemp("video")
    options = {"preset": "veryfast"}
    return (
        read_packets(write_clip(folder / "a.mp4", frames=20 * GOP, gop=GOP, b_frames=2, options=options)),
        read_packets(write_clip(folder / "b.mp4", frames=5 * GOP, gop=GOP, size=(320, 192), options=options)),
    )


def follow(store: VideoStore, shelf: HlsShelf, packets: Sequence[VideoPacket]) -> list[Playlist]:
    """The playlists of a camera that sends these, asked for at each keyframe."""
    told = []
    for packet in packets:
        if packet.is_keyframe and (text := shelf.playlist("north")) is not None:
            told.append(read_playlist(text))
        store("north", [packet])
    return told


def test_what_was_told_of_a_segment_stays_true_and_it_can_be_had_long_enough(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_track, "SEGMENT_S", 0.8)
    monkeypatch.setattr(hls, "LISTED_S", 3.0)
    monkeypatch.setattr(hls, "KEEP_S", 7.0)
    first, second = runs
    store = VideoStore(["north"])
    shelf = HlsShelf(store)
    told: list[Playlist] = []
    known: dict[int, Segment] = {}
    gone: dict[int, int] = {}  # when a segment was first not listed any more
    for number, run in enumerate((first, second, begin_again(second), first, second, first, first)):
        told += follow(store, shelf, begin_again(run, 100.0 * number))
        for playlist in told[len(told) - 1 :]:
            for one in playlist.segments:
                data = shelf.segment("north", int(one.uri.removesuffix(".m4s")))
                start = shelf.start("north", int(one.map_uri.removeprefix("start-").removesuffix(".mp4")))
                assert data is not None and start is not None
                with av.open(io.BytesIO(start + data)) as film:
                    packets = [packet for packet in film.demux(video=0) if packet.size]
                assert packets[0].is_keyframe
                assert len(packets) / FPS == pytest.approx(one.length_s, abs=1e-3)
    shelf.close()
    assert len(told) > 80
    for at, playlist in enumerate(told):
        for one in playlist.segments:
            assert known.setdefault(one.sequence, one) == one, "6.2.1: nothing told of it may change"
            assert one.sequence not in gone, "listed again"
        listed = {one.sequence for one in playlist.segments}
        for sequence in known.keys() - listed:
            gone.setdefault(sequence, at)
        assert playlist.length_s >= 3 * playlist.target_s - 1 or at < 10, "6.2.2"
    assert sorted(known) == list(range(min(known), max(known) + 1)), (
        "6.2.2: each one's number is the last one's and one"
    )
    assert len({playlist.target_s for playlist in told}) == 1, "6.2.1"
    ordered = [known[sequence] for sequence in sorted(known)]
    steps = [(a.map_uri != b.map_uri, b.discontinuities - a.discontinuities) for a, b in pairwise(ordered)]
    assert set(steps) == {(False, 0), (True, 1)}
    assert told[-1].segments[0].discontinuities == 4, "two ways there and two ways back have left the list"


def test_what_has_left_the_list_can_be_had_for_as_long_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_track, "SEGMENT_S", 0.8)
    monkeypatch.setattr(hls, "LISTED_S", 3.0)
    monkeypatch.setattr(hls, "KEEP_S", 2 * 3.0 + 0.8)
    store = VideoStore(["north"])
    shelf = HlsShelf(store)
    told = follow(store, shelf, runs[0])
    first, began = told[-1].segments[0], told[0].segments[0]
    assert first.sequence > began.sequence
    for sequence in range(first.sequence - 3, first.sequence):
        assert shelf.segment("north", sequence) is not None, "it left the list less than the list's length ago"
    assert shelf.segment("north", began.sequence) is None, "and is let go of at last"
    assert shelf.segment("north", told[-1].segments[-1].sequence + 1) is None, "it is not whole yet"
    shelf.close()


def test_a_camera_that_nobody_asked_for_goes_on_counting_when_somebody_does_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_track, "SEGMENT_S", 0.8)
    first, second = runs
    store = VideoStore(["north"])
    shelf = HlsShelf(store)
    before = follow(store, shelf, first)[-1]
    store.tracks["north"].clear()  # as it is when the last one has left
    assert shelf.playlist("north") is None
    after = follow(store, shelf, begin_again(second, 900.0))[-1]
    shelf.close()
    assert after.segments[0].sequence > before.segments[-1].sequence
    assert [one.discontinuities for one in before.segments] == [0] * len(before.segments)
    assert [one.discontinuities for one in after.segments] == [1] * len(after.segments)


@pytest.mark.needs_server
def test_players_go_on_over_a_change_of_resolution(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_track, "SEGMENT_S", 0.8)
    store = VideoStore(["north"])
    routes = VideoRoutes(store)
    with (
        store.hold("north", 60.0),
        LivePage(port=0, status=status(camera_status("north")), routes=routes.routes) as page,
    ):
        for number, run in enumerate((*runs, runs[0])):
            store("north", begin_again(run, 100.0 * number))
        sizes, times_s = [], []
        options = {"live_start_index": "0"}
        with av.open(f"{page.url}hls/north/index.m3u8", timeout=30, options=options) as player:
            for frame in player.decode(video=0):
                sizes += [] if sizes and sizes[-1] == frame.width else [frame.width]
                times_s.append(frame.time)
                if sizes == [160, 320, 160]:
                    break
        assert times_s == sorted(times_s)
        routes.close()
