"""Event clips: what is before and after the event, playable at any moment, within the quota."""

import errno
import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from live_video import begin_again, read_packets

from simulators.clips import write_clip
from small_disk import small_disk
from vedette.contracts.frame import FrameStamp
from vedette.contracts.status import OutletState, RecordingStatus
from vedette.edge.live import clips as clips_module
from vedette.edge.live import recording_disk
from vedette.edge.live.clip_shelf import ClipQuota, ClipShelf, clip_name
from vedette.edge.live.clips import Clips
from vedette.edge.live.errors import RecordingFolderError
from vedette.edge.live.video_store import VideoStore

FPS, GOP = 25, 25


def stamp(media_time_s: float) -> FrameStamp:
    return FrameStamp("north", round(media_time_s * FPS), media_time_s, 1_790_000_000 + media_time_s, 160, 96)


def times_s(source: "Path | bytes") -> list[float]:
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips_module, "WRITE_EVERY_S", 0.02)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds."""
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    return write_clip(path, frames=250, gop=GOP, b_frames=2, options={"preset": "veryfast"})


def test_a_clip_has_what_was_before_and_after_and_plays_while_it_is_written(film: Path, tmp_path: Path) -> None:
    packets = read_packets(film)
    store = VideoStore(["north"])
    clips = Clips(tmp_path, store, ["north"], before_s=2, after_s=1)
    store("north", packets[:150])  # 6 s
    name = clips.plan(stamp(4.5), "run-1")
    assert name == "north/20260921T141324.500Z-run-1.mp4"
    path = tmp_path / name
    wait_for(lambda: path.exists() and len(times_s(path.read_bytes())) >= 70)  # as kill -9 would leave it
    wait_for(lambda: clips.written == 1)
    clips.close()
    found = times_s(path)
    assert len(found) == pytest.approx((5.5 - 2.0) * FPS, abs=3), "from the keyframe at 2.0 s to 5.5 s"
    assert found[-1] - found[0] == pytest.approx(3.5, abs=0.13)
    with av.open(str(path)) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(3.6, abs=0.15), "its length is told at the end"
        coded = {bytes(packet) for packet in container.demux(video=0) if packet.size}
    assert coded <= {packet.data for packet in packets}, "the camera's own packets"


def test_events_that_follow_share_a_clip_and_a_later_one_has_its_own(film: Path, tmp_path: Path) -> None:
    packets = read_packets(film)
    store = VideoStore(["north"])
    with_clips = Clips(tmp_path, store, ["north"], before_s=1, after_s=1)
    store("north", packets[:100])
    first = with_clips.plan(stamp(3.0), "e-1")
    assert with_clips.plan(stamp(3.5), "e-2") == first
    store("north", packets[100:])
    wait_for(lambda: with_clips.written == 1)
    other = with_clips.plan(stamp(8.0), "e-3")
    assert other not in {None, first}
    with_clips.close()
    assert with_clips.written == 2
    assert len(times_s(tmp_path / str(first))) == pytest.approx((4.5 - 2.0) * FPS, abs=3)


def test_a_camera_that_is_opened_again_ends_no_clip(film: Path, tmp_path: Path) -> None:
    packets = read_packets(film)
    store = VideoStore(["north"])
    clips = Clips(tmp_path, store, ["north"], before_s=1, after_s=3)
    store("north", packets[:50])
    name = clips.plan(stamp(1.5), "e-1")
    store("north", begin_again(packets, 2.0)[:100])
    wait_for(lambda: clips.written == 1)
    clips.close()
    found = times_s(tmp_path / str(name))
    assert found[-1] - found[0] == pytest.approx(4.5, abs=1.1)


def test_without_video_there_is_no_clip_and_the_event_says_none(tmp_path: Path) -> None:
    clips = Clips(tmp_path, VideoStore(["north"]), ["north"])
    assert clips.plan(stamp(1.0), "e-1") is None
    assert clips.missed == 1
    clips.close()


def test_a_full_disk_is_said_once_and_clips_go_on_when_there_is_room(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording_disk, "KEPT_FREE_BYTES", 0)  # to the last byte
    monkeypatch.setattr(recording_disk, "LOOK_AGAIN_S", 3600.0)  # what is taken away of the clip cut short makes room
    packets = read_packets(film)[:100]
    told: list[RecordingStatus] = []
    with small_disk(tmp_path / "disk", 1 << 20) as disk, caplog.at_level(logging.WARNING):
        (disk.path / "north").mkdir()
        disk.fill()
        store = VideoStore(["north"])
        clips = Clips(disk.path, store, ["north"], before_s=1, after_s=1)
        clips.disk.tell(told.append)
        store("north", packets)
        clips.plan(stamp(2.0), "e-1")
        wait_for(lambda: clips.problem)
        missed = clips.missed
        assert clips.plan(stamp(2.1), "e-2") is None and clips.missed == missed + 1
        monkeypatch.setattr(recording_disk, "LOOK_AGAIN_S", 0.05)
        wait_for(lambda: clips._cameras["north"].open is None)
        disk.clear()
        wait_for(lambda: clips.problem is None)
        name = clips.plan(stamp(2.5), "e-3")
        clips.close()
        assert times_s(disk.path / str(name))
    problem = f"no clips are cut: cannot write to {disk.path}: No space left on device"
    stopped, back = told
    assert (stopped.state, stopped.problem, stopped.disk_full) == (OutletState.STOPPED, problem, True)
    assert (back.state, back.problem, back.stops, back.dropped) == (OutletState.WORKING, None, 1, 1)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == f"{problem}; watching goes on, and clips do when that is mended"
    assert second.startswith(f"clips are cut to {disk.path} again after")


def test_a_quota_that_cannot_be_kept_is_said_and_clips_go_on_when_it_can(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [True]
    tidy = ClipShelf.tidy

    def refuse(self: ClipShelf, spared: set[Path]) -> None:
        if refused[0]:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        tidy(self, spared)

    monkeypatch.setattr(ClipShelf, "tidy", refuse)
    monkeypatch.setattr(recording_disk, "LOOK_AGAIN_S", 0.05)
    store = VideoStore(["north"])
    clips = Clips(tmp_path, store, ["north"], before_s=1, after_s=1)
    store("north", read_packets(film)[:100])
    first = clips.plan(stamp(2.0), "e-1")
    wait_for(lambda: clips.problem)
    wait_for(lambda: clips._cameras["north"].open is None)
    time.sleep(0.3)
    assert clips.disk.status().stops == 1, "it is not said again and again"
    refused[0] = False
    wait_for(lambda: clips.problem is None)
    second = clips.plan(stamp(2.5), "e-2")
    clips.close()
    assert times_s(tmp_path / str(first)) and times_s(tmp_path / str(second))
    assert clips.problem is None


def test_the_quota_removes_the_oldest_and_only_clips(tmp_path: Path) -> None:
    shelf = ClipShelf(tmp_path, ClipQuota(most_bytes=2500))
    (tmp_path / "north").mkdir()
    paths = [tmp_path / clip_name("north", 1_790_000_000 + number, "e") for number in range(4)]
    for path in paths:
        path.write_bytes(bytes(1000))
    other = tmp_path / "north" / "mine.mp4"
    other.write_bytes(bytes(9000))
    shelf.tidy({paths[0]})
    assert [path.exists() for path in paths] == [True, False, False, True], "the first is being written"
    assert other.exists()
    assert shelf.removed == 2
    os.utime(paths[0], (1_790_000_000, 1_790_000_000))
    ClipShelf(tmp_path, ClipQuota(most_days=1)).tidy(set())
    assert [path.exists() for path in paths] == [False, False, False, True]


@pytest.mark.parametrize("name", ["../secret.mp4", "north/../../a", "north/mine.mp4", "north", "", "north/.."])
def test_only_clips_are_found_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "mine.mp4").write_bytes(b"")
    shelf = ClipShelf(tmp_path, ClipQuota())
    assert shelf.find(name) is None
    real = clip_name("north", 1_790_000_000, "e")
    (tmp_path / real).write_bytes(b"")
    assert shelf.find(real) == tmp_path / real


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingFolderError, match="name a folder that can be written to"):
        Clips(tmp_path / "file", VideoStore(["north"]), ["north"])
