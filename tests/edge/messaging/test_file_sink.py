"""Events as JSON lines: whole lines at once, clear refusals, a full disk is counted and survived."""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sample_events import make_events

from vedette.contracts.event import Event
from vedette.edge.messaging import file
from vedette.edge.messaging.errors import SinkError
from vedette.edge.messaging.file import FileSink


def test_every_event_is_readable_as_soon_as_it_is_published(tmp_path):
    path = tmp_path / "new" / "folder" / "events.jsonl"
    sink = FileSink(path)
    for number, event in enumerate(make_events(3), start=1):
        sink.publish(event)
        assert sink.drain(20)
        lines = path.read_text().splitlines()
        assert len(lines) == number
        assert Event.from_json(lines[-1]) == event
    sink.close()
    assert (sink.published, sink.lost, sink.name) == (3, 0, str(path))


def test_a_second_run_appends(tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        sink = FileSink(path)
        sink.publish(make_events(1)[0])
        sink.close()
    assert len(path.read_text().splitlines()) == 2


def test_a_line_cut_short_by_a_crash_does_not_spoil_the_next_one(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"id": "e-')
    sink = FileSink(path)
    sink.publish(make_events(1)[0])
    sink.close()
    assert json.loads(path.read_text().splitlines()[1])["id"] == "e-0"


@pytest.mark.parametrize("place", ["folder", "below a file"])
def test_a_path_that_cannot_be_written_is_refused_at_the_start(tmp_path, place):
    (tmp_path / "file").write_text("x")
    path = tmp_path if place == "folder" else tmp_path / "file" / "events.jsonl"
    with pytest.raises(SinkError, match="cannot be written"):
        FileSink(path)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here (Linux has it)")
def test_a_full_disk_is_counted_and_said_once(caplog):
    sink = FileSink(Path("/dev/full"))
    with caplog.at_level(logging.WARNING):
        for event in make_events(5):
            sink.publish(event)
        sink.close()
    assert (sink.published, sink.lost) == (0, 5)
    assert len(caplog.records) == 1
    assert "/dev/full" in caplog.text


def test_after_close_events_are_lost_and_counted(tmp_path):
    sink = FileSink(tmp_path / "events.jsonl")
    sink.close()
    sink.close()
    sink.publish(make_events(1)[0])
    assert sink.lost == 1


FULL_THEN_ROOM = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sample_events import make_events
from vedette.edge.messaging.file import FileSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = FileSink(Path(sys.argv[1]))
one, two, three, four = make_events(4)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(one.to_json()) + 50, resource.RLIM_INFINITY))
sink.publish(one); sink.publish(two); sink.publish(three)
assert sink.drain(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.publish(four)
sink.close()
print(sink.published, sink.lost)
"""


def test_when_there_is_room_again_writing_goes_on_with_a_whole_line(tmp_path):
    path = tmp_path / "events.jsonl"
    command = [sys.executable, "-c", FULL_THEN_ROOM, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2"]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["id"] for line in (lines[0], lines[-1])] == ["e-0", "e-3"]
    assert len(lines) == 3


def test_a_pipe_that_nobody_reads_holds_up_nobody(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(file, "QUEUE_EVENTS", 50)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    before = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(before, b"\n"):  # byte by byte: nothing more fits in
            continue
    sink = FileSink(path)  # waits for no reader
    event, count = make_events(1)[0], 200
    with caplog.at_level(logging.WARNING):
        for _ in range(count):  # returns
            sink.publish(event)
        assert (sink.lost, sink.waiting) == (150, 50)
        problem = f"events cannot be written to {path} (nobody reads from this pipe, and it is full) and are being lost"
        assert sink.problem == problem
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # now somebody does
        lines = []
        with os.fdopen(reader) as pipe:
            until = time.monotonic() + 20
            while sink.waiting or len(lines) < sink.published:
                assert time.monotonic() < until
                lines += [line for line in pipe.readlines() if line != "\n"]
        sink.close()
    os.close(before)
    assert sink.problem is None and sink.published + sink.lost == count
    assert [Event.from_json(line) for line in lines] == [event] * sink.published
    first, second = (record.getMessage() for record in caplog.records)
    assert first == problem and second.startswith(f"events are written to {path} again; ")


def test_a_line_that_a_full_pipe_takes_in_parts_is_written_whole(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    event = make_events(1)[0]
    event = event.model_copy(update={"source": "vedette/box/" + "c" * 9000})  # more than the 4096 bytes taken at once
    sink, count = FileSink(tmp_path / "pipe"), 12  # 64 KiB hold six and a part
    for _ in range(count):
        sink.publish(event)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    seen, until = b"", time.monotonic() + 20
    while sink.published + sink.lost < count:
        assert time.monotonic() < until
        time.sleep(0.001)
        if sink.published + sink.lost >= 6:  # slow: it began when the pipe was almost full
            seen += os.read(reader, 1000)
    sink.close()
    with os.fdopen(reader, "rb") as pipe:
        seen += pipe.read()
    assert (sink.published, sink.lost, sink.problem) == (count, 0, None)
    assert [Event.from_json(line) for line in seen.splitlines()] == [event] * count


def test_what_a_pipe_never_took_is_counted_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "CLOSE_S", 0.5)
    os.mkfifo(tmp_path / "pipe")
    sink = FileSink(tmp_path / "pipe")
    for event in make_events(1) * 400:
        sink.publish(event)
    sink.close()
    assert sink.lost > 100 and sink.published + sink.lost == 400


@pytest.fixture
def stalling(tmp_path):
    """A disk that answers nothing while it is frozen: its folder, and how to freeze and thaw it."""
    disk, place = tmp_path / "disk", tmp_path / "place"
    place.mkdir()
    with disk.open("wb") as image:
        image.truncate(8 << 20)
    can = shutil.which("mkfs.ext4") is not None and not run("mkfs.ext4", "-q", str(disk))
    if not can or run("mount", "-o", "loop", str(disk), str(place)):
        pytest.skip("a disk that can be frozen needs root, mkfs.ext4 and loop devices")
    try:
        yield place, lambda: run("fsfreeze", "-f", str(place)), lambda: run("fsfreeze", "-u", str(place))
    finally:
        run("fsfreeze", "-u", str(place))
        run("umount", "-l", str(place))


def run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_a_disk_that_stalls_holds_up_nobody_and_loses_nothing(stalling):
    place, freeze, thaw = stalling
    path, event = place / "events.jsonl", make_events(1)[0]
    sink = FileSink(path)
    sink.publish(event)
    assert sink.drain(20)
    if freeze():
        pytest.skip("no fsfreeze here")
    for _ in range(500):  # in the thread of results, which comes back
        sink.publish(event)
    assert sink.waiting == 500 and sink.lost == 0
    thaw()
    assert sink.drain(60)
    sink.close()
    assert (sink.published, sink.lost) == (501, 0) and len(path.read_text().splitlines()) == 501


def test_who_may_wait_waits_for_a_slow_reader_of_a_pipe_and_loses_nothing(tmp_path):
    path, event, count = tmp_path / "pipe", make_events(1)[0], 600
    os.mkfifo(path)
    sink = FileSink(path, patience_s=20.0)
    lines = []

    def read() -> None:
        with path.open() as pipe:
            while len(lines) < count:
                lines.append(pipe.readline())
                time.sleep(0.0002)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(count):
        sink.publish(event)
    reader.join()
    sink.close()
    assert (sink.published, sink.lost) == (count, 0)
    assert all(Event.from_json(line) == event for line in lines)
