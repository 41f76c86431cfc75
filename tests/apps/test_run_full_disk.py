"""A disk that is really full while `vedette run` records and cuts clips: one event, watching and counting go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest

from small_bundle import make_bundle, write_walk
from small_disk import SmallDisk, small_disk
from vedette.apps.cli import run_command
from vedette.contracts.event import RecordingEvent, json_schema, parse_event
from vedette.edge.live import recording_disk

RIGHTWARD = [(column, 1) for column in (0, 1, 2, 3)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 2 << 20) as found:
        yield found


def told(path: Path) -> list[dict[str, Any]]:
    """The events of recordings, each checked against the schema."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in lines:
        jsonschema.Draft202012Validator(json_schema()).validate(line)
    return [line for line in lines if line["type"].startswith("vedette.recording_")]


def test_a_full_disk_stops_the_recording_with_one_event_on_that_very_disk(
    tmp_path: Path, disk: SmallDisk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_disk, "ASK_EVERY_S", 0.0)
    bundle, clip = make_bundle(tmp_path / "bundle").path, write_walk(tmp_path / "walk.mp4", RIGHTWARD * 10)
    events, films = disk.path / "events.jsonl", disk.path / "films"
    disk.fill(but_bytes=40_000 + 20_000)  # beside what is kept free
    arguments = ["--bundle", bundle, "--camera", f"door={clip}", "--line", "50%,0%,50%,100%", "--every", "5"]
    code = run_command(["run", *map(str, [*arguments, "--events", events, "--record", films]), "--json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert code == 0
    (event,) = told(events)
    assert (event["type"], event["subject"]) == ("vedette.recording_stopped.v1", "recording")
    assert isinstance(parse_event(json.dumps(event)), RecordingEvent)
    problem = event["data"]["message"]
    assert problem.startswith(f"recording stopped: cannot write to {films}: the disk is full (0.0 MB left, ")
    assert event["data"]["disk_full"] and event["data"]["files"] == 1
    assert [error["message"] for error in document["errors"]] == document["problems"] == [problem]
    recording = document["recording"]
    assert (recording["state"], recording["stops"], recording["files"]) == ("stopped", 1, 1)
    assert 0 < recording["bytes"] == (films / "door.mp4").stat().st_size
    assert 0 < recording["dropped"] < 40 and document["clips"] is None and document["publishing"] == []
    assert err.count("recording stopped") <= 1 and "Traceback" not in err
    assert document["cameras"][0]["frames"] == 5 * document["cameras"][0]["slots"] == 200
    counted = document["counts"]["door"]["lines"]["line"]["red"]
    assert counted["b_to_a"] >= 9 and len(events.read_text().splitlines()) == sum(counted.values()) + 1
    with av.open(str(films / "door.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 40 - recording["dropped"], "what fitted plays"


def wait_for(found: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while not found():
        assert process.poll() is None and time.monotonic() < until, "it never happened"
        time.sleep(0.05)


@pytest.mark.slow
def test_recording_and_clips_stop_and_go_on_with_one_event_each_time(tmp_path: Path, disk: SmallDisk) -> None:
    bundle, clip = make_bundle(tmp_path / "bundle").path, write_walk(tmp_path / "walk.mp4", RIGHTWARD * 10)
    events = disk.path / "events.jsonl"
    places = ["--events", events, "--record", disk.path / "films", "--clips", disk.path / "clips"]
    words = ["--bundle", bundle, "--camera", f"door={clip}", "--line", "50%,0%,50%,100%", "--realtime", "--loop"]
    command = [sys.executable, "-m", "vedette", "run", *map(str, [*words, *places]), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: events.exists() and len(events.read_text().splitlines()) > 2, process)
        assert not told(events)
        disk.fill(but_bytes=24_000)
        wait_for(lambda: len(told(events)) == 2, process)
        seen = len(events.read_text().splitlines())
        wait_for(lambda: len(events.read_text().splitlines()) > seen + 3, process)  # watching goes on
        disk.clear()
        wait_for(lambda: len(told(events)) == 4, process)
        wait_for(lambda: len(events.read_text().splitlines()) > seen + 8, process)
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    types = [(event["subject"], event["type"].split("_")[1].split(".")[0]) for event in told(events)]
    assert sorted(types[:2]) == [("clips", "stopped"), ("recording", "stopped")]
    assert sorted(types[2:]) == [("clips", "resumed"), ("recording", "resumed")]
    assert len({event["id"] for event in told(events)}) == 4
    document = json.loads(out)
    assert not document["problems"] and not document["errors"]
    for what in ("recording", "clips"):
        assert (document[what]["state"], document[what]["stops"]) == ("working", 1), document[what]
        assert document[what]["files"] >= 2
    films = list((disk.path / "films").iterdir())
    assert len(films) == 2 and b"Traceback" not in err
    words = ("recording stopped:", "no clips are cut:", "films are recorded to", "clips are cut to")
    assert [err.decode().count(one) for one in words] == [1, 1, 1, 1], err.decode()
    for film in films:
        with av.open(str(film)) as container:
            assert sum(1 for _ in container.decode(video=0))
