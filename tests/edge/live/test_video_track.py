"""The kept video: MP4 that decodes to the very pictures, one time line over reconnects, bounded memory."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live_video import begin_again, read_packets

from simulators.clips import write_clip
from simulators.rtsp_camera import encode_units
from vedette.contracts.video import TICKS_PER_S, VideoFormat, VideoPacket
from vedette.edge.live import video_track
from vedette.edge.live.codec_record import UnitReader
from vedette.edge.live.fmp4 import duration_place, initialisation
from vedette.edge.live.video_track import VideoTrack

GOP = 10
VERYFAST = {"preset": "veryfast"}


def as_file(track: VideoTrack) -> bytes:
    pictures = [picture for group in track.groups for picture in group.pictures]
    return pictures[0].start.data + b"".join(picture.fragment for picture in pictures)


def decoded(source: "Path | bytes") -> list[tuple[float, np.ndarray]]:
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
        return [(frame.time, frame.to_ndarray()) for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.ts", "libx264"), ("a.mp4", "libx265"), ("a.ts", "libx265")]
)
def test_fragments_decode_to_the_very_pictures_at_their_times(tmp_path: Path, name: str, codec: str) -> None:
    settings: dict[str, Any] = {"b_frames": 2, "options": VERYFAST} if codec == "libx264" else {}
    clip = write_clip(tmp_path / name, frames=30, gop=GOP, codec=codec, **settings)
    track = VideoTrack("a")
    track.keep_s = 60
    track.add(read_packets(clip))
    before, after = decoded(clip), decoded(as_file(track))
    assert len(after) == len(before) == 30
    for (time_s, picture), (other_s, other) in zip(before, after, strict=True):
        assert np.array_equal(picture, other)
        assert other_s - after[0][0] == pytest.approx(time_s - before[0][0], abs=1e-3)
    kind = "avc1." if codec == "libx264" else "hvc1.1.6.L"
    assert track.groups[0].start.mime.startswith(f'video/mp4; codecs="{kind}')


def test_new_parameter_sets_in_the_stream_give_another_start() -> None:
    form = VideoFormat("h264", b"", 160, 96)
    track = VideoTrack("a")
    track.keep_s = 60
    units = encode_units()
    frames = [b"".join(b"\0\0\1" + unit for unit in frame) for frame in units]
    packets = [VideoPacket(form, data, 3600 * n, 3600 * n, 3600, n == 0) for n, data in enumerate(frames)]
    track.add(packets)
    assert [group.start.number for group in track.groups] == [1]
    changed = bytearray(frames[0])
    place = changed.index(b"\0\0\1" + units[0][0]) + 6  # level_idc
    changed[place] += 1
    late = [VideoPacket(form, bytes(changed), 90_000, 90_000, 3600, is_keyframe=True)]
    track.add(late)
    first, second = (group.start for group in track.groups)
    assert (first.number, second.number) == (1, 2)
    assert first.record.name != second.record.name
    assert len(decoded(as_file(track))) == 26


def test_who_begins_begins_with_the_newest_keyframe_and_then_misses_nothing(tmp_path: Path) -> None:
    packets = read_packets(write_clip(tmp_path / "a.mp4", frames=35, gop=GOP))
    track = VideoTrack("a")
    track.keep_s = 60
    track.add(packets[:25])
    begun = track.after(0)
    assert begun[0].sample.is_keyframe
    assert [picture.serial for picture in begun] == list(range(21, 26))
    track.add(packets[25:])
    assert [picture.serial for picture in track.after(25)] == list(range(26, 36))
    assert track.after(35) == []


def test_a_slow_viewer_goes_on_with_the_newest_keyframe(tmp_path: Path) -> None:
    packets = read_packets(write_clip(tmp_path / "a.mp4", frames=35, gop=GOP))
    track = VideoTrack("a")
    track.add(packets[:5])
    track.add(packets[5:])
    assert [picture.serial for picture in track.after(5)] == list(range(31, 36))


def test_runs_follow_each_other_on_one_line_and_results_find_their_frames(tmp_path: Path) -> None:
    packets = read_packets(write_clip(tmp_path / "a.mp4", frames=25, gop=GOP, b_frames=2, options=VERYFAST))
    track = VideoTrack("a")
    track.keep_s = 60
    track.add(packets)
    track.add(begin_again(packets, 1.0))
    pictures = [picture for group in track.groups for picture in group.pictures]
    steps = [later.dts_ticks - earlier.dts_ticks for earlier, later in pairwise(pictures)]
    assert set(steps) == {3600}
    line_s = sorted(picture.pts_ticks / TICKS_PER_S for picture in pictures)
    for media_time_s, index in ((0.0, 0), (0.4, 10), (1.0, 25), (1.4, 35)):
        track.add_result(media_time_s, {"boxes": []})
        number, results = track.results_after(track.result - 1)
        assert number == track.result
        assert results[0]["t"] == pytest.approx(line_s[index], abs=1e-3)
        assert track.media_time_s(
            next(p for p in pictures if abs(p.pts_ticks / TICKS_PER_S - line_s[index]) < 1e-6)
        ) == (pytest.approx(media_time_s, abs=1e-3))
    assert len(decoded(as_file(track))) == 50


def test_memory_is_bounded_also_without_keyframes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_track, "MOST_GROUP", 20)
    packets = read_packets(write_clip(tmp_path / "a.mp4", frames=50, gop=1000))
    track = VideoTrack("a")
    track.keep_s = 60
    for packet in packets:
        track.add([packet])
    assert sum(len(group.pictures) for group in track.groups) <= 20
    assert track.after(0) == [], "nobody can begin in the middle"
    assert [picture.serial for picture in track.after(48)] == [49, 50]


def test_a_rotated_camera_is_turned_by_the_player(tmp_path: Path) -> None:
    (packet, *_) = read_packets(write_clip(tmp_path / "a.mp4", frames=2))
    record = UnitReader(packet.format).record
    assert record is not None
    start = initialisation(record, 160, 96, 1, 0)
    with av.open(io.BytesIO(start)) as container:
        assert container.streams.video[0].width == 160
    place = duration_place(start)
    assert start[place : place + 8] == bytes(8)
