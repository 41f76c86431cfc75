"""A disk that fills up while `vedette run` records: the recording stops, said once; watching and counting go on."""

import errno
import json
from pathlib import Path
from typing import Any

import av
import pytest

from small_bundle import make_bundle, write_walk
from vedette.apps.cli import run_command
from vedette.edge.live import recorder

RIGHTWARD = [(column, 1) for column in (0, 1, 2, 3)]


def test_a_full_disk_stops_the_recording_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 9000
    write = recorder.WholeFile.write

    def write_while_there_is_room(file: Any, data: Any) -> int:
        if file.tell() + len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(recorder.WholeFile, "write", write_while_there_is_room)
    bundle, clip = make_bundle(tmp_path / "bundle").path, write_walk(tmp_path / "walk.mp4", RIGHTWARD * 10)
    events, films = tmp_path / "events.jsonl", tmp_path / "films"
    arguments = ["--bundle", bundle, "--camera", f"door={clip}", "--line", "50%,0%,50%,100%", "--every", "5"]
    code = run_command(["run", *map(str, [*arguments, "--events", events, "--record", films]), "--json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert code == 0
    (error,) = document["errors"]
    assert error["message"].startswith(f"recording stopped: cannot write to {films}: No space left on device")
    assert err.count("recording stopped") <= 1 and "Traceback" not in err
    assert document["cameras"][0]["frames"] == 5 * document["cameras"][0]["slots"] == 200
    counted = document["counts"]["door"]["lines"]["line"]["red"]
    assert counted["b_to_a"] >= 9 and len(events.read_text().splitlines()) == sum(counted.values())
    with av.open(str(films / "door.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 3, "what fitted plays"
