"""What `vedette deepstream run` makes of NVIDIA's messages in a second, and what each costs: tracks, rules, events.

Eight cameras of five objects that walk to and fro over a line and in and out of a zone; minimal payload (a message a
frame) and full payload (one an object). First in this process alone; then through a broker on loopback, Mosquitto (MQTT
5, QoS 1) and the Kafka cluster that librdkafka carries, which a process of its own sends to as fast as it can. Rates
are from the first message taken to the last; CPU is that of the bridging process, all threads, events written to a
file. The page is off. The best of several turns, since the machine may be busy with something else.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from edge.messaging.mosquitto_broker import Broker, mosquitto_program  # noqa: E402
from simulators.deepstream_app import full, minimal  # noqa: E402
from vedette.apps.deepstream_run import open_reader  # noqa: E402
from vedette.apps.deepstream_watching import DeepStreamWatch  # noqa: E402
from vedette.apps.watching import WatchOutlets  # noqa: E402
from vedette.edge.deepstream.rendered import RenderedFacts  # noqa: E402
from vedette.edge.messaging.file import FileSink  # noqa: E402

CAMERAS, OBJECTS, FRAMES, FPS = 8, 5, 500, 10
TURNS = 3
TOPIC = "site"
WAIT_S = 120.0
CAMERA_PX, MUXER_PX = (1920, 1080), (1280, 720)


def measure() -> dict[str, Any]:
    """Messages a second, microseconds of CPU for each, and the events made, by payload and way."""
    figures: dict[str, Any] = {"cameras": CAMERAS, "objects_a_frame": OBJECTS, "turns": TURNS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for payload in ("minimal", "full"):
            messages = list(_messages(payload))
            path = folder / f"{payload}.jsonl"
            path.write_bytes(b"\n".join(messages) + b"\n")
            ways: dict[str, Callable[[], dict[str, Any]]] = {
                "in_process": lambda m=messages: _measure_in_process(folder, m),
                "mqtt": lambda p=path, m=messages: _measure_broker(folder, "mqtt", p, len(m)),
                "kafka": lambda p=path, m=messages: _measure_broker(folder, "kafka", p, len(m)),
            }
            figures[payload] = {
                "messages": len(messages),
                "bytes_a_message": round(sum(map(len, messages)) / len(messages)),
                **{way: max((run() for _ in range(TURNS)), key=_rate) for way, run in ways.items()},
            }
    return figures


def _rate(figures: dict[str, Any]) -> float:
    return float(figures["messages_per_s"])


def _messages(payload: str) -> Iterator[bytes]:
    """What eight cameras send, frame by frame."""
    began = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
    width, height = MUXER_PX[0] * 0.08, MUXER_PX[1] * 0.2
    for frame in range(FRAMES):
        stamp = (began + timedelta(seconds=frame / FPS)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        for camera in range(CAMERAS):
            boxes = []
            for number in range(OBJECTS):
                middle = 0.5 + 0.4 * math.sin(frame / FPS / 4 + number + camera)
                left, top = MUXER_PX[0] * middle - width / 2, MUXER_PX[1] * (0.1 + 0.12 * number)
                boxes.append((number, (left, top, left + width, top + height)))
            sensor = f"camera-{camera}"
            if payload == "minimal":
                objects = [f"{track}|{'|'.join(f'{side:.3f}' for side in box)}|person" for track, box in boxes]
                yield json.dumps(minimal(frame, stamp, sensor, *objects)).encode()
            else:
                for track, box in boxes:
                    yield json.dumps(full(stamp, sensor, track, "person", box, confidence=0.75)).encode()


def _facts(messages: dict[str, Any] | None) -> RenderedFacts:
    cameras = [{"name": f"camera-{number}", "url": f"rtsp://10.0.0.{number}/main"} for number in range(CAMERAS)]
    width, height = CAMERA_PX
    yard = [[0, 0], [width // 3, 0], [width // 3, height], [0, height]]
    document = {
        "deepstream": "7.1",
        "board": "benchmark",
        "bundle": {"name": "benchmark", "digest": "0" * 64},
        "class_names": ["person"],
        "least_score": 0.25,
        "interval": 2,
        "camera_size_px": CAMERA_PX,
        "muxer_size_px": MUXER_PX,
        "messages": messages,
        "pipeline": {
            "bundle": "benchmark",
            "cameras": cameras,
            "lines": [{"name": "door", "start": ["50%", "0%"], "end": ["50%", "100%"]}],
            "zones": [{"name": "yard", "polygon": yard}],
        },
    }
    return RenderedFacts.model_validate_json(json.dumps(document))


def _measure_in_process(folder: Path, messages: list[bytes]) -> dict[str, Any]:
    with closing(FileSink(folder / "events.jsonl")) as sink:
        watch = DeepStreamWatch(_facts(None), WatchOutlets([sink]), print)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for message in messages:
            watch.take_message(message)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        watch.finish(None)
    return _figures(watch, len(messages), wall_s, cpu_s)


def _measure_broker(folder: Path, kind: str, path: Path, count: int) -> dict[str, Any]:
    with _sender(folder, kind, path) as (sender, port), closing(FileSink(folder / "events.jsonl")) as sink:
        facts = _facts({"kind": kind, "host": "127.0.0.1", "port": port, "topic": TOPIC})
        watch = DeepStreamWatch(facts, WatchOutlets([sink]), print)
        first_s = 0.0

        def take(message: bytes) -> None:
            nonlocal first_s
            first_s = first_s or time.perf_counter()
            watch.take_message(message)

        with closing(open_reader(facts, take)) as reader:
            if not reader.listening.wait(WAIT_S):
                raise RuntimeError(f"{reader.name} cannot be listened to")
            cpu_s = time.process_time()
            assert sender.stdin is not None
            sender.stdin.write("go\n")
            sender.stdin.flush()
            deadline = time.monotonic() + WAIT_S
            while watch.messages < count:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{reader.name}: {watch.messages} of {count} messages came")
                time.sleep(0.002)
            wall_s, cpu_s = time.perf_counter() - first_s, time.process_time() - cpu_s
            watch.finish(None)
    return _figures(watch, count, wall_s, cpu_s)


def _figures(watch: DeepStreamWatch, count: int, wall_s: float, cpu_s: float) -> dict[str, Any]:
    if watch.refused:
        raise RuntimeError(f"{watch.refused} messages were refused")
    return {
        "messages_per_s": round(count / wall_s),
        "cpu_us_per_message": round(cpu_s / count * 1e6, 1),
        "events": watch.status().events,
    }


@contextmanager
def _sender(folder: Path, kind: str, path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that sends every line of a file once it is told `go`, and the broker's port."""
    broker = Broker(mosquitto_program(), folder, 18883, "allow_anonymous true", "max_queued_messages 0")
    if kind == "mqtt":
        broker.start()
    command = [sys.executable, str(TESTS / "simulators" / "message_sender.py"), kind, str(path), TOPIC, "18883"]
    with (folder / "sender.log").open("wb") as log:
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert sender.stdout is not None
        yield sender, int(sender.stdout.readline())
    finally:
        sender.kill()
        sender.communicate()
        broker.kill()
