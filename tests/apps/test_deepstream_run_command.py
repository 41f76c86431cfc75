"""`vedette deepstream run` on rendered folders: a stand-in is deepstream-app, brokers are real."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.messaging.kafka_cluster import KafkaCluster
from edge.messaging.mosquitto_broker import Broker, mosquitto_program
from simulators.deepstream_app import UNKNOWN_KEY, UNTRACKED, full, install, minimal
from small_bundle import make_bundle
from vedette.apps.cli import run_command
from vedette.apps.deepstream_run import open_reader
from vedette.contracts.errors import InputError
from vedette.contracts.event import Event
from vedette.edge.deepstream.rendered import read_facts

CAMERAS = """\
version: 1
bundle: bundle
box: shed
cameras:
  - {name: gate, url: "rtsp://10.0.0.1/main", lines: [{name: door, start: [50%, 0%], end: [50%, 100%]}]}
  - {name: hall, url: "rtsp://10.0.0.2/main", zones: [{name: yard, polygon: [[0, 0], [960, 0], [960, 999], [0, 999]]}]}
"""
FILMS = CAMERAS.replace("rtsp://10.0.0.1/main", "one.mp4").replace("rtsp://10.0.0.2/main", "two.mp4")
RENDER = ["--target", "orin-nano", "--deepstream", "7.1", "--inferences-per-second", "100"]
RATES = [["perf", [0.0, 0.0]], ["perf", [30.0, 15.0]]]


def at(tenths: int) -> str:
    return f"2026-11-22T12:00:{tenths // 10:02d}.{tenths % 10}00Z"


def walk(sensor: str, track: int, muxer: tuple[int, int], first: int = 0) -> list[list[Any]]:
    """One object from the left to the right of the picture, in pixels of the muxer."""
    width, height = muxer
    steps = []
    for number in range(9):
        left, top = width * (0.05 + 0.1 * number), height * 0.4
        box = f"{track}|{left:g}|{top:g}|{left + width * 0.1:g}|{top + height * 0.2:g}|red"
        steps.append(["publish", minimal(5 * number, at(first + 2 * number), sensor, box)])
    return steps


@pytest.fixture
def mqtt(tmp_path: Path, free_port: int) -> Iterator[str]:
    broker = Broker(mosquitto_program(), tmp_path, free_port)
    broker.start()
    yield f"events: [{{kind: mqtt, host: 127.0.0.1, port: {free_port}, topic: site/raw}}]\n"
    broker.kill()


@pytest.fixture
def kafka() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


def render(folder: Path, text: str, *flags: str) -> Path:
    make_bundle(folder / "bundle")
    (folder / "site.yaml").write_text(text)
    out = folder / "out"
    assert run_command(["deepstream", "render", str(folder / "site.yaml"), *RENDER, *flags, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    return out


def muxer_of(out: Path) -> tuple[int, int]:
    width, height = json.loads((out / "vedette.json").read_text())["muxer_size_px"]
    return width, height


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(*runs: list[list[Any]]) -> None:
        for name, value in install(tmp_path / "ds", list(runs)).items():
            monkeypatch.setenv(name, value)

    return made


def events_in(path: Path) -> list[Event]:
    return [Event.from_json(line) for line in path.read_text().splitlines()]


def test_messages_by_mqtt_become_events(
    tmp_path: Path, mqtt: str, stand_in: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = render(tmp_path, FILMS + mqtt)
    muxer = muxer_of(out)
    noise = ["not json", '{"specversion": "1.0"}', minimal(1, at(0), "attic", f"{UNTRACKED}|0|0|9|9|red")]
    gone = minimal(100, at(60), "hall")  # nothing is there any more
    stand_in(
        [*RATES, ["raw", UNKNOWN_KEY], *[["publish", one] for one in noise], *walk("gate", 2**63 + 7, muxer),
         *walk("hall", 4, muxer), ["publish", gone], RATES[1]],
    )  # fmt: skip
    capsys.readouterr()

    path = tmp_path / "events.jsonl"
    assert run_command(["deepstream", "run", str(out), "--events", str(path), "--json"]) == 0

    told = capsys.readouterr()
    document = json.loads(told.out)
    crossed, entered, exited = sorted(events_in(path), key=lambda event: event.source + event.type[::-1])
    assert (crossed.type, crossed.source, crossed.data.track_id) == (
        "vedette.line_crossed.v1", "vedette/shed/gate", 2**63 + 7,
    )  # fmt: skip
    assert (crossed.data.direction, crossed.data.line, crossed.data.class_) == ("b_to_a", "door", "red")
    assert crossed.data.wall_time.startswith("2026-11-22T12:00:0")
    assert crossed.data.score == json.loads((out / "vedette.json").read_text())["least_score"]
    x1, y1, x2, y2 = crossed.data.box_xyxy_px
    assert 960 <= (x1 + x2) / 2 <= 1344  # at the line, or one step behind it
    assert (round(y1), round(y2), round(x2 - x1)) == (432, 648, 192)
    assert {entered.type, exited.type} == {"vedette.zone_entered.v1", "vedette.zone_exited.v1"}
    assert (entered.data.zone, entered.data.track_id) == ("yard", 4)
    assert document["counts"]["gate"]["lines"]["door"] == {"red": {"a_to_b": 0, "b_to_a": 1}}
    assert document["messages"] == {"read": 20, "refused": 3}
    assert document["events"] == {"published": 3, "lost": 0}
    assert "Unknown key 'enable-past-frame'" in told.err
    assert "a message is no JSON" in told.err
    assert "camera 'attic'" in told.err


def test_full_messages_by_kafka_become_events_in_kafka(tmp_path: Path, kafka: KafkaCluster, stand_in: Any) -> None:
    kafka.make_topic("raw", 2)
    kafka.make_topic("events", 2)
    address = kafka.address.split(",")[0]
    out = render(tmp_path, FILMS, "--kafka", f"{address}/raw")
    (width, height), steps = muxer_of(out), []
    for number in range(9):
        left = width * (0.05 + 0.1 * number)
        for track, top in ((1, height * 0.2), (2, height * 0.6)):
            box = (left, top, left + width * 0.1, top + height * 0.2)
            steps.append(["publish", full(at(2 * number), "gate", track, "red", box, confidence=0.75)])
    stand_in([*RATES, *steps, RATES[1]])

    assert run_command(["deepstream", "run", str(out), "--events", f"kafka://{address}/events"]) == 0

    events = [Event.from_json(message.value()) for message in kafka.read("events", 2, partitions=2)]
    assert sorted((event.data.track_id, event.data.camera, event.data.score) for event in events) == [
        (1, "gate", 0.75), (2, "gate", 0.75),
    ]  # fmt: skip


def watch_until(errors: Path, is_so: Callable[[dict[str, Any]], bool]) -> tuple[dict[str, Any], str]:
    """Status and metrics of the live page whose address a run has told, once something is so."""
    status: dict[str, Any] = {}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        address = re.search(r"live page: (\S+)", errors.read_text())
        if address is not None:
            status = json.loads(urllib.request.urlopen(f"{address[1]}status.json", timeout=30).read())
            if status["cameras"] and is_so(status):
                return status, urllib.request.urlopen(f"{address[1]}metrics", timeout=30).read().decode()
        time.sleep(0.05)
    raise AssertionError(f"{status}\n{errors.read_text()}")


def test_after_a_crash_it_goes_on_and_ctrl_c_ends_it(
    tmp_path: Path, mqtt: str, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_PASSWORD", "s3cret")
    cameras = CAMERAS.replace("name: gate,", "name: gate, username: admin, password_env: GATE_PASSWORD,")
    out = render(tmp_path, cameras + mqtt)
    muxer = muxer_of(out)
    stand_in(
        [*RATES, *walk("hall", 0, muxer)[:4], ["crash"]],
        [*RATES, *walk("hall", 0, muxer, 100)[:4], ["go_on", [30.0, 0.0]]],
    )
    path = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "vedette", "deepstream", "run", str(out), "--events", str(path), "--json"]
    errors = tmp_path / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen([*command, "--show", ":0"], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        status, metrics = watch_until(errors, lambda found: found["cameras"][0]["fps"] == 30 and found["events"] == 3)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 130, errors.read_text()
    finally:
        process.kill()
        process.communicate()
    document = json.loads(printed)

    gate, hall = status["cameras"]
    assert (gate["state"], gate["fps"], gate["restarts"]) == ("running", 30.0, 1)
    assert (hall["state"], hall["fps"]) == ("opening", 0.0)
    assert status["engine"] == "DeepStream 7.1 on Jetson Orin Nano"
    assert 'vedette_camera_fps{camera="gate"} 30' in metrics
    assert 'vedette_camera_restarts_total{camera="gate"} 1' in metrics
    assert "deepstream-app failed (exit code 139)" in errors.read_text()  # its shell's: 128 and signal 11
    assert (tmp_path / "ds" / "clean_end").exists()
    assert list(out.glob(".app.*")) == []  # the copy with the camera's password
    types = [event.type.value.split(".")[1] for event in events_in(path)]
    assert types == ["zone_entered", "zone_exited", "zone_entered", "zone_exited"]  # two objects of one number
    assert document["events"] == {"published": 4, "lost": 0}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_deepstream_app_cleanly(tmp_path: Path, stand_in: Any, number: int, code: int) -> None:
    out = render(tmp_path, CAMERAS)
    stand_in([["go_on", [30.0, 30.0]]])
    errors = tmp_path / "errors"
    command = [sys.executable, "-m", "vedette", "deepstream", "run", str(out), "--show", ":0"]
    with errors.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
    try:
        watch_until(errors, lambda found: found["cameras"][1]["state"] == "running")
        process.send_signal(number)
        assert process.wait(60) == code, errors.read_text()
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "ds" / "clean_end").exists()


def test_a_run_that_is_no_use_fails_with_what_was_said(
    tmp_path: Path, mqtt: str, stand_in: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = render(tmp_path, CAMERAS + mqtt)
    stand_in([RATES[0], ["raw", "ERROR from src_elem0: Could not open resource\n"], ["exit", 255]])
    capsys.readouterr()

    arguments = ["deepstream", "run", str(out), "--events", str(tmp_path / "e"), "--attempts", "1", "--json"]
    assert run_command(arguments) == 1
    told = capsys.readouterr()
    errors = json.loads(told.out)["errors"]
    assert [error["camera"] for error in errors] == ["gate", "hall"]
    assert "exit code 255" in errors[0]["message"]
    assert "Could not open resource / App run failed" in told.err


def test_a_duration_ends_a_run_in_good_order(tmp_path: Path, stand_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = render(tmp_path, CAMERAS)
    stand_in([["go_on", [30.0, 30.0]]])
    capsys.readouterr()

    assert run_command(["deepstream", "run", str(out), "--duration", "2s"]) == 0
    told = capsys.readouterr()
    assert "rendered without a broker" in told.err
    assert "gate" in told.out


def test_kafkas_password_is_read_where_the_pipeline_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "{kind: kafka, brokers: ['127.0.0.1:1'], topic: raw, username: box, password_env: RAW_PASSWORD}"
    facts = read_facts(render(tmp_path, CAMERAS + f"events: [{target}]\n"))

    monkeypatch.delenv("RAW_PASSWORD", raising=False)
    with pytest.raises(InputError, match="RAW_PASSWORD"):
        open_reader(facts, lambda _: None)
    monkeypatch.setenv("RAW_PASSWORD", "x")
    open_reader(facts, lambda _: None).close()


def test_any_broker_of_the_cluster_holds_deepstreams_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "{kind: kafka, brokers: ['127.0.0.1:1', '127.0.0.1:2'], topic: raw}"
    out = render(tmp_path, CAMERAS + f"events: [{target}]\n")
    reader = open_reader(read_facts(out), lambda _: None)
    reader.close()
    assert "127.0.0.1:1,127.0.0.1:2" in reader.name
    capsys.readouterr()

    assert run_command(["deepstream", "run", str(out), "--events", "kafka://127.0.0.1:2/raw"]) == 2
    assert "give another topic" in capsys.readouterr().err


def test_requests_that_cannot_be_are_one_message(tmp_path: Path, mqtt: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = render(tmp_path, CAMERAS + mqtt)
    port = mqtt.partition("port: ")[2].partition(",")[0]

    def complaint(code: int, *arguments: str) -> str:
        capsys.readouterr()
        assert run_command(["deepstream", "run", *arguments]) == code
        return capsys.readouterr().err

    assert "render the pipeline file again" in complaint(1, str(tmp_path))
    assert "give another topic" in complaint(2, str(out), "--events", f"mqtt://127.0.0.1:{port}/site/raw")
    assert "is no duration" in complaint(2, str(out), "--hang-after", "soon")
    assert "--attempts" in complaint(2, str(out), "--attempts", "0")
    (out / "vedette.json").write_text('{"version": 2}')
    assert "vedette.json: version" in complaint(1, str(out))
