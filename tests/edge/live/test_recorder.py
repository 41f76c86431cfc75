"""Recordings: playable, at true times, never overwritten, whatever happens to the process, the disk or the picture."""

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live_wall import DrawnPicture, camera_status, stamp, status, tracks

from small_disk import small_disk
from vedette.contracts.frame import FrameStamp
from vedette.edge.live import recorder as recorder_module
from vedette.edge.live import recording_disk
from vedette.edge.live.errors import RecordingFolderError
from vedette.edge.live.recorder import QUEUE_LENGTH, Recorder

HERE = Path(__file__).parent


class HeldPicture(DrawnPicture):
    """A picture whose conversion waits until it is let go."""

    def __init__(self, number: int, let_go: threading.Event) -> None:
        super().__init__(number, 320, 180)
        self.let_go = let_go
        self.held = threading.Event()

    def to_bgr(self, max_width_px: int | None = None) -> np.ndarray:
        self.held.set()
        assert self.let_go.wait(20)
        return super().to_bgr(max_width_px)


def times_s(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [round(float(frame.time), 4) for frame in film.decode(video=0)]


def size_and_codec(path: Path) -> tuple[int, int, str, str]:
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        return video.width, video.height, video.codec_context.name, str(video.codec_context.pix_fmt)


def at(camera: str, time_s: float, width_px: int = 320, height_px: int = 180) -> FrameStamp:
    return FrameStamp(camera, round(time_s * 30), time_s, 1_790_000_000 + time_s, width_px, height_px)


def test_each_camera_gets_a_playable_film_with_true_times(tmp_path: Path) -> None:
    uneven = [0.0, 0.2, 0.24, 1.9, 2.0]
    with Recorder(tmp_path / "new" / "films", lossless=True) as recorder:
        for time_s in uneven:
            for camera in ("north", "south"):
                recorder.show(at(camera, time_s), DrawnPicture(1, 320, 180), tracks((10, 10, 90, 90)), {"gate": 3})
    assert [path.name for path in recorder.paths] == ["north.mp4", "south.mp4"]
    for path in recorder.paths:
        assert times_s(path) == uneven
        assert size_and_codec(path) == (320, 180, "h264", "yuv420p")
    assert recorder.dropped == {}
    assert recorder.problem is None


def test_what_was_seen_is_drawn_in(tmp_path: Path) -> None:
    with Recorder(tmp_path, lossless=True, status=status(camera_status("north"))) as recorder:
        recorder.show(stamp("north", 0), DrawnPicture(3), tracks((800, 300, 1000, 500)), {"gate a→b": 12})
    with av.open(str(recorder.paths[0])) as film:
        image = next(film.decode(video=0)).to_ndarray(format="bgr24")
    drawn = np.abs(image.astype(int) - DrawnPicture(3).to_bgr()).max(axis=2) > 60
    assert drawn[320:480, 795:806].any(axis=1).all()  # the box's left side
    assert drawn[100:600, 634:646].any(axis=1).all()  # the line
    assert drawn[650:, :250].any()  # the counts
    assert not drawn[550:640, 1050:].any()


def test_odd_sizes_are_padded_and_wide_pictures_scaled(tmp_path: Path) -> None:
    with Recorder(tmp_path, lossless=True) as recorder:
        recorder.show(at("odd", 0, 321, 181), DrawnPicture(1, 321, 181), tracks(), {})
        recorder.show(at("wide", 0, 1920, 1080), DrawnPicture(1, 1920, 1080), tracks(), {})
    assert size_and_codec(tmp_path / "odd.mp4")[:2] == (322, 182)
    assert size_and_codec(tmp_path / "wide.mp4")[:2] == (1280, 720)


def test_another_picture_size_begins_a_new_film(tmp_path: Path) -> None:
    with Recorder(tmp_path, lossless=True) as recorder:
        for time_s, (width, height) in {0.0: (320, 180), 1.0: (320, 180), 2.0: (180, 320), 2.5: (180, 320)}.items():
            recorder.show(at("door", time_s, width, height), DrawnPicture(1, width, height), tracks(), {})
    assert times_s(tmp_path / "door.mp4") == [0.0, 1.0]
    assert times_s(tmp_path / "door-2.mp4") == [0.0, 0.5]
    assert size_and_codec(tmp_path / "door-2.mp4")[:2] == (180, 320)
    with av.open(str(tmp_path / "door-2.mp4")) as film:
        assert film.metadata["comment"] == "begins 2.000 s after the camera's first frame"


def test_a_film_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "north.mp4").write_bytes(b"precious")
    with Recorder(tmp_path, lossless=True) as recorder:
        recorder.show(at("north", 0), DrawnPicture(1, 320, 180), tracks(), {})
    assert (tmp_path / "north.mp4").read_bytes() == b"precious"
    assert [path.name for path in recorder.paths] == ["north-2.mp4"]
    assert times_s(tmp_path / "north-2.mp4") == [0.0]


def test_camera_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    with Recorder(folder, lossless=True) as recorder:
        for camera in ("../../up", "/etc/passwd", "a\0b", ".."):
            recorder.show(at(camera, 0), DrawnPicture(1, 320, 180), tracks(), {})
    assert len(recorder.paths) == 4
    assert all(path.parent == folder and path.is_file() for path in recorder.paths)
    assert sorted(tmp_path.rglob("*.mp4")) == sorted(recorder.paths)


def test_equal_times_do_not_stop_a_film(tmp_path: Path) -> None:
    with Recorder(tmp_path, lossless=True) as recorder:
        for time_s in (0.0, 0.5, 0.5, 1.0):
            recorder.show(at("north", time_s), DrawnPicture(1, 320, 180), tracks(), {})
    assert times_s(tmp_path / "north.mp4") == [0.0, 0.5, 0.5, 1.0]


def test_a_slow_disk_costs_the_oldest_frames_when_live_and_they_are_counted(tmp_path: Path) -> None:
    let_go = threading.Event()
    with Recorder(tmp_path) as recorder:
        first = HeldPicture(0, let_go)
        recorder.show(at("north", 0), first, tracks(), {})
        assert first.held.wait(20)  # by the worker
        for number in range(1, QUEUE_LENGTH + 11):  # a recorder that waits for the disk waits until the test fails
            recorder.show(at("north", number / 10), HeldPicture(number, let_go), tracks(), {})
        assert recorder.dropped == {"north": 10}
        let_go.set()
    kept = times_s(recorder.paths[0])
    assert kept == [0.0, *(round(number / 10, 4) for number in range(11, QUEUE_LENGTH + 11))]


def test_lossless_waits_instead_of_dropping(tmp_path: Path) -> None:
    let_go = threading.Event()
    frames = QUEUE_LENGTH + 20
    with Recorder(tmp_path, lossless=True) as recorder:
        began = time.monotonic()
        threading.Timer(0.5, let_go.set).start()
        for number in range(frames):
            recorder.show(at("north", number / 10), HeldPicture(number, let_go), tracks(), {})
        assert time.monotonic() - began > 0.3
    assert len(times_s(recorder.paths[0])) == frames
    assert recorder.dropped == {}


def test_frames_after_close_are_counted_not_taken(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.close()
    recorder.close()
    recorder.show(at("north", 0), DrawnPicture(1), tracks(), {})
    assert recorder.dropped == {"north": 1}


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/films")):
        with pytest.raises(RecordingFolderError, match=r"cannot record to .*; name a folder"):
            Recorder(folder)


RECORD_FOREVER = """
    import sys, time
    from pathlib import Path
    from live_wall import DrawnPicture, stamp, tracks
    from vedette.edge.live.recorder import Recorder
    recorder = Recorder(Path(sys.argv[1]))
    for index in range(10_000):
        recorder.show(stamp("north", index, 320, 180), DrawnPicture(index, 320, 180), tracks((10, 10, 90, 90)), {})
        print(index, flush=True)
        time.sleep(1 / 30)
"""


def test_a_film_plays_up_to_the_last_second_after_kill_9(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RECORD_FOREVER), str(tmp_path)],
        cwd=HERE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    last = -1
    while last < 100:
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = max([last, *(int(line) for line in process.stdout if line.strip())])
    process.stdout.close()
    kept = times_s(tmp_path / "north.mp4")
    assert kept[0] == 0.0
    assert kept == pytest.approx([number / 30 for number in range(len(kept))], abs=1e-3)
    assert kept[-1] >= last / 30 - 1.3  # a second, and what was still queued or being encoded


DISK_FULL = """
    import resource, sys
    from pathlib import Path
    from live_wall import DrawnPicture, stamp, tracks
    import numpy as np
    from vedette.edge.live.recorder import Recorder
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))
    class Noise(DrawnPicture):
        def to_bgr(self, max_width_px=None):
            return np.random.default_rng(self.number).integers(0, 255, (180, 320, 3), np.uint8)
    with Recorder(Path(sys.argv[1]), lossless=True) as recorder:
        for index in range(200):
            recorder.show(stamp("north", index, 320, 180), Noise(index), tracks(), {})
    print(recorder.dropped.get("north", 0))
    print(recorder.problem)
"""


def test_a_full_disk_stops_the_recording_with_one_warning_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DISK_FULL), str(tmp_path)],
        cwd=HERE, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dropped, problem = done.stdout.splitlines()
    assert 50 < int(dropped) < 200
    assert problem.startswith(f"recording stopped: cannot write to {tmp_path}: File too large")
    assert done.stderr.splitlines() == [f"{problem}; watching goes on, and recording does when that is mended"]
    assert len(times_s(tmp_path / "north.mp4")) >= 30  # what fitted plays


def test_a_recording_goes_on_in_new_files_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_disk, "LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr(recording_disk, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(recorder_module, "LOOK_EVERY_S", 0.02)
    with small_disk(tmp_path / "disk", 2 << 20) as disk, Recorder(disk.path, lossless=True) as recorder:
        number = 0

        def show_until(condition: Callable[[], object]) -> None:
            nonlocal number
            until = time.monotonic() + 60
            while not condition():
                assert time.monotonic() < until
                recorder.show(at("north", number / 10), DrawnPicture(number, 320, 180), tracks(), {})
                number += 1
                time.sleep(0.002)

        show_until(lambda: recorder.disk.status().bytes > 20_000)
        disk.fill(but_bytes=24_000)
        show_until(lambda: recorder.problem)
        assert disk.free_bytes > 20_000, "events and counts still find room"
        dropped = recorder.dropped.get("north", 0)
        show_until(lambda: recorder.dropped["north"] >= dropped + 5)
        disk.clear()
        show_until(lambda: len(recorder.paths) == 2)
        show_until(lambda: recorder.disk.status().bytes > 60_000)
        recorder.close()
        status = recorder.disk.status()
        assert (status.state.value, status.stops, status.files) == ("working", 1, 2)
        assert status.bytes == sum(path.stat().st_size for path in recorder.paths)
        assert len(times_s(recorder.paths[0])) + len(times_s(recorder.paths[1])) == number - recorder.dropped["north"]


def test_a_film_refused_midway_leaves_the_caller_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "films"
    with caplog.at_level(logging.WARNING), Recorder(folder) as recorder:
        folder.rmdir()
        for number in range(5):
            recorder.show(at("north", number / 10), DrawnPicture(number, 320, 180), tracks(), {})
            time.sleep(0.05)
    assert recorder.problem is not None
    assert "No such file or directory" in recorder.problem
    assert recorder.dropped["north"] >= 3
    assert len(caplog.records) == 1


class GoneDisk(recorder_module.WholeFile):
    """A file on a disk that is pulled out after the first bytes."""

    def write(self, data: Any) -> int:
        if self.tell() > 2000:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_is_pulled_out_never_leaves_a_lossless_caller_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "WholeFile", GoneDisk)
    frames = 100
    with Recorder(tmp_path, lossless=True) as recorder:
        for number in range(frames):
            recorder.show(at("north", number / 10), DrawnPicture(number, 320, 180), tracks(), {})
        problem = recorder.problem
    assert problem is not None and "Input/output error" in problem
    assert 0 < recorder.dropped["north"] <= frames


def test_a_disk_that_does_not_answer_holds_nobody_up_who_asks_how_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = recording_disk.RecordingDisk("recording", tmp_path, "recording stopped")
    monkeypatch.setattr(recording_disk, "LOOK_AGAIN_S", 0.0)
    answers, asked, statvfs = threading.Event(), threading.Event(), os.statvfs

    def ask(folder: Path) -> os.statvfs_result:
        asked.set()
        assert answers.wait(60)
        return statvfs(folder)

    monkeypatch.setattr(os, "statvfs", ask)
    before = [disk.status().free_bytes for _ in range(3)]
    assert asked.wait(30) and None not in before
    answers.set()
    until = time.monotonic() + 60
    (tmp_path / "more").write_bytes(bytes(8 << 20))
    while disk.status().free_bytes == before[0]:
        assert time.monotonic() < until
        time.sleep(0.01)


class BrokenPicture(DrawnPicture):
    """A picture that cannot be converted, by a fault of ours."""

    def to_bgr(self, max_width_px: int | None = None) -> np.ndarray:
        raise ZeroDivisionError("a fault")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_recorder_never_leaves_a_lossless_caller_waiting(tmp_path: Path) -> None:
    frames = 3 * QUEUE_LENGTH
    with Recorder(tmp_path, lossless=True) as recorder:
        for number in range(frames):
            recorder.show(at("north", number / 10), BrokenPicture(number), tracks(), {})
    assert recorder.problem is not None
    assert "a fault" in recorder.problem
    assert recorder.dropped == {"north": frames}
