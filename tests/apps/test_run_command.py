"""`vedette run` from the outside: real clips and a real bundle on a real engine; what comes out, and how it ends."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest

import vedette
from simulators.lag_meter import LagMeter
from small_bundle import EVERY, make_bundle, write_walk
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.contracts.errors import InputError, UnavailableError
from vedette.contracts.event import Event, json_schema
from vedette.contracts.pipeline import Camera, Detect, FileTarget, Line, MqttTarget, Pipeline

RIGHTWARD = [(column, 1) for column in (0, 1, 2, 3)]
LEFTWARD = RIGHTWARD[::-1]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle").path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    """Exit code, the JSON document, standard error."""
    code = run_command(["run", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def test_a_rate_of_detection_is_by_the_videos_own_time_and_reported(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_walk(tmp_path / "a.mp4", RIGHTWARD * 5)  # 100 frames, 4 s
    code, document, _ = run_json(capsys, "--bundle", bundle, "--camera", clip, "--detect-fps", "2.5")
    assert code == 0
    (camera,) = document["cameras"]
    assert (camera["frames"], camera["slots"], camera["drops"]) == (100, 10, 0)
    assert camera["detected_per_s"] == pytest.approx(2.5, abs=0.01)
    code, _, err = run_json(capsys, "--bundle", bundle, "--camera", clip, "--detect-fps", "auto")
    assert code == 2 and "--realtime" not in err and "live or paced" in err


def test_crossings_are_counted_by_camera_class_and_direction(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = write_walk(tmp_path / "right.mp4", RIGHTWARD)
    left = write_walk(tmp_path / "left.mp4", LEFTWARD, "green")
    events = tmp_path / "events.jsonl"
    # a line from top to bottom: as seen in the picture its left is the right half
    code, document, _ = run_json(
        capsys, "--bundle", bundle, "--camera", f"door={right}", "--camera", left, "--events", events,
        "--line", "gate=50%,0%,50%,100%",
    )  # fmt: skip
    assert code == 0
    assert document["errors"] == []
    assert document["counts"]["door"]["lines"] == {"gate": {"red": {"a_to_b": 0, "b_to_a": 1}}}
    assert document["counts"]["left"]["lines"] == {"gate": {"green": {"a_to_b": 1, "b_to_a": 0}}}
    assert [(c["name"], c["frames"], c["slots"], c["drops"], c["events"]) for c in document["cameras"]] == [
        ("door", 20, 4, 0, 1),
        ("left", 20, 4, 0, 1),
    ]
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    for line in lines:
        jsonschema.validate(line, json_schema())
    assert {line["source"].rpartition("/")[2] for line in lines} == {"door", "left"}
    assert {line["type"] for line in lines} == {"vedette.line_crossed.v1"}
    door = next(line["data"] for line in lines if line["data"]["camera"] == "door")
    assert door["media_time_s"] == pytest.approx(2 * EVERY / 25, abs=0.01)
    assert door["box_xyxy_px"] == pytest.approx([128, 64, 192, 128], abs=2)
    assert door["bundle"] == {"name": "coloured-squares", "digest": open_bundle(bundle).digest}


def test_two_runs_over_files_give_the_same_events(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [write_walk(tmp_path / f"{n}.mp4", (RIGHTWARD + LEFTWARD) * (n + 1)) for n in range(3)]
    seen = []
    for attempt in range(2):
        events = tmp_path / f"events-{attempt}.jsonl"
        cameras = [part for clip in clips for part in ("--camera", clip)]
        code, document, _ = run_json(
            capsys, "--bundle", bundle, *cameras, "--events", events, "--line", "50%,0%,50%,100%",
            "--zone", "right=50%,0%;100%,0%;100%,100%;50%,100%",
        )  # fmt: skip
        assert code == 0 and [camera["drops"] for camera in document["cameras"]] == [0, 0, 0]
        rows = [json.loads(line) for line in events.read_text().splitlines()]
        assert len(rows) >= 12
        for row in rows:
            for name in ("id", "time"):
                del row[name]
            del row["data"]["wall_time"]
        seen.append(rows)
    assert seen[0] == seen[1]


def test_a_dead_camera_is_reported_and_the_others_go_on(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_walk(tmp_path / "good.mp4", RIGHTWARD)
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    cameras = ["--camera", good]
    for name in ("text.mp4", "empty.mp4", "missing.mp4"):
        cameras += ["--camera", tmp_path / name]
    cameras += ["--camera", "nobody=rtsp://127.0.0.1:9/stream", "--give-up-after", "0"]
    code, document, err = run_json(capsys, "--bundle", bundle, *cameras)
    assert code == 0
    assert [entry["camera"] for entry in document["errors"]] == ["text", "empty", "missing", "nobody"]
    assert document["cameras"][0]["frames"] == 20
    assert "Traceback" not in err
    for entry in document["errors"]:
        assert entry["message"] in err


def test_a_line_without_length_in_one_cameras_picture_fails_that_camera_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path / "bundle")
    write_walk(tmp_path / "walk.mp4", RIGHTWARD)
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        "version: 1\nbundle: bundle\ncameras:\n"
        "- {name: bad, url: walk.mp4, lines: [{name: gate, start: ['50%', 0], end: [128, '0%']}]}\n"
        "- {name: good, url: walk.mp4, lines: [{name: gate, start: ['50%', 0], end: [128, '100%']}]}\n"
    )
    code, document, err = run_json(capsys, file)
    assert code == 0
    assert [entry["camera"] for entry in document["errors"]] == ["bad"]
    assert "same point" in document["errors"][0]["message"] and err.count("same point") == 1
    assert document["counts"]["good"]["lines"]["gate"]["red"]["b_to_a"] == 1


def test_all_cameras_dead_is_exit_code_1(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document, _ = run_json(capsys, "--bundle", bundle, "--camera", tmp_path / "missing.mp4")
    assert code == 1
    assert document["errors"][0]["camera"] == "missing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "rtsp://user:canary@10.0.0.1/x"], "password_file"),
        (["--camera", "file:/etc/passwd"], "'file:'"),
        (["--camera", "concat:a|b"], "'concat:'"),
        (["--camera", "clip.mp4", "--line", "1,2,3"], "x1,y1,x2,y2"),
        (["--camera", "clip.mp4", "--events", "ftp://host/x"], "ftp://"),
        (["--camera", "clip.mp4", "--every", "0"], "every"),
        ([], "--camera"),
    ],
)
def test_wrong_flags_are_exit_code_2_and_one_message(
    bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code = run_command(["run", "--bundle", str(bundle), *arguments])
    out, err = capsys.readouterr()
    assert code == 2
    assert said in err and "canary" not in err and "Traceback" not in err
    assert out == ""


def test_a_pipeline_file_and_flags_exclude_each_other(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"version: 1\nbundle: {bundle}\ncameras:\n- {{name: a, url: a.mp4}}\n")
    assert run_command(["run", str(file), "--every", "2"]) == 2
    assert "every" in capsys.readouterr().err


def test_a_pipeline_file_says_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path / "bundle")
    write_walk(tmp_path / "walk.mp4", RIGHTWARD)
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        "version: 1\nbundle: bundle\nbox: shop-1\ncameras:\n- name: door\n  url: walk.mp4\n"
        "  lines:\n  - {name: gate, start: ['50%', 0], end: ['50%', 256]}\n"
        "events:\n- {kind: file, path: out.jsonl}\nrecord: films\n"
    )
    code, document, _ = run_json(capsys, file)
    assert code == 0
    assert document["counts"]["door"]["lines"]["gate"]["red"]["b_to_a"] == 1
    assert '"source":"vedette/shop-1/door"' in (tmp_path / "out.jsonl").read_text()
    with av.open(str(tmp_path / "films" / "door.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4


def test_watch_gives_events_and_leaving_the_loop_stops_the_cameras(tmp_path: Path, bundle: Path) -> None:
    clip = write_walk(tmp_path / "walk.mp4", RIGHTWARD + [None] * 8)
    line = Line(name="gate", start=("50%", "0%"), end=("50%", "100%"))
    camera = Camera(name="door", url=str(clip), lines=(line,))
    assert [event.data.line for event in vedette.watch(Pipeline(bundle=str(bundle), cameras=(camera,)))] == ["gate"]
    endless = camera.model_copy(update={"loop": True})
    pipeline = Pipeline(bundle=str(bundle), cameras=(endless,), detect=Detect(every=EVERY))
    events: Iterator[Event] = vedette.watch(pipeline)
    first = [next(events) for _ in range(3)]
    assert [event.data.media_time_s for event in first] == sorted({event.data.media_time_s for event in first})
    began = time.monotonic()
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("last", ["sink", "recording"])
def test_what_was_opened_is_closed_when_the_rest_cannot_be(
    last: str, tmp_path: Path, bundle: Path, free_port: int
) -> None:
    before = set(threading.enumerate())
    clip = write_walk(tmp_path / "a.mp4", RIGHTWARD)
    (tmp_path / "file").write_text("")
    broker = MqttTarget(kind="mqtt", host="127.0.0.1", port=free_port, topic="t")
    nowhere = FileTarget(kind="file", path=str(tmp_path / "file" / "events.jsonl"))
    pipeline = Pipeline(
        bundle=str(bundle),
        cameras=(Camera(name="a", url=str(clip)),),
        events=(broker, nowhere) if last == "sink" else (broker,),
        record=str(tmp_path / "file") if last == "recording" else None,
    )
    with pytest.raises(InputError, match=r"cannot be written|cannot record"):
        list(vedette.watch(pipeline))
    assert not [thread for thread in set(threading.enumerate()) - before if "paho" in thread.name]


def test_watch_raises_when_every_camera_failed(tmp_path: Path, bundle: Path) -> None:
    pipeline = Pipeline(bundle=str(bundle), cameras=(Camera(name="door", url=str(tmp_path / "none.mp4")),))
    with pytest.raises(UnavailableError, match="no such file"):
        list(vedette.watch(pipeline))


def test_ctrl_c_prints_what_was_counted_and_exits_with_130(tmp_path: Path, bundle: Path, free_port: int) -> None:
    clip = write_walk(tmp_path / "walk.mp4", RIGHTWARD + LEFTWARD)
    command = [sys.executable, "-m", "vedette", "run", "--bundle", bundle, "--camera", f"door={clip}", "--loop"]
    options = ["--realtime", "--line", "50%,0%,50%,100%", "--show", f":{free_port}", "--json"]
    with subprocess.Popen(
        [*map(str, command), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        status = _wait_for_events(f"http://127.0.0.1:{free_port}/status.json")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert [camera["name"] for camera in status["cameras"]] == ["door"]
    counted = json.loads(out)["counts"]["door"]["lines"]["line"]["red"]
    assert counted["a_to_b"] + counted["b_to_a"] >= 1


def _wait_for_events(url: str) -> Any:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.1)
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                document = json.load(answer)
        except OSError:
            continue
        status = document.get("status", document)
        if status.get("events", 0) >= 1:
            return status
    raise AssertionError("the page showed no event within 60 s")


def test_a_duration_ends_an_endless_run(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_walk(tmp_path / "walk.mp4", RIGHTWARD)
    with LagMeter() as lag:
        code, document, _ = run_json(
            capsys, "--bundle", bundle, "--camera", clip, "--loop", "--realtime", "--duration", "1.5s"
        )
    assert code == 0
    assert 1.0 < document["seconds"] < 4.0 + lag.slack_s


def test_progress_counts_frames_on_standard_error_and_lost_events_are_errors(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = write_walk(tmp_path / "right.mp4", RIGHTWARD)
    code, document, err = run_json(
        capsys, "--bundle", bundle, "--camera", walk, "--camera", tmp_path / "missing.mp4", "--realtime",
        "--line", "50%,0%,50%,100%", "--events", "mqtt://127.0.0.1:1/nobody",
    )  # fmt: skip
    assert code == 0
    assert "watching: 20/20 frames, " in err and "events 1, drops 0" in err
    assert document["errors"][1] == {"target": "mqtt://127.0.0.1:1/nobody", "message": "1 of 1 events were lost"}


def test_a_run_without_an_end_has_no_bar(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk = write_walk(tmp_path / "right.mp4", RIGHTWARD)
    code, _, err = run_json(capsys, "--bundle", bundle, "--camera", walk, "--loop", "--duration", "1s")
    assert code == 0 and "watching" not in err


def test_threads_and_processes_count_the_same_and_report_no_restart(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_walk(tmp_path / "walk.mp4", [*RIGHTWARD, *LEFTWARD])
    documents = []
    for isolation in ("threads", "processes"):
        flags = ("--line", "50%,0%,50%,100%", "--isolation", isolation)
        code, document, _ = run_json(capsys, "--bundle", bundle, "--camera", f"a={clip}", *flags)
        assert code == 0 and document["cameras"][0]["restarts"] == 0
        documents.append((document["counts"], document["cameras"][0]["detections"]))
    assert documents[0] == documents[1] and documents[0][1] == 8


def test_garbage_is_looked_for_again_after_a_run_however_it_ends(tmp_path: Path, bundle: Path) -> None:
    clip = write_walk(tmp_path / "walk.mp4", [(0, 0)])
    for given, code in ((bundle, 0), (tmp_path / "no-bundle", InputError.exit_code)):
        assert run_command(["run", "--bundle", str(given), "--camera", f"a={clip}"]) == code
        assert gc.isenabled()
