"""A stand-in for deepstream-app: prints and publishes what the real one does, as a script says, awkward lines included.

`install` makes an SDK folder with nothing in it but this program and the adaptors' names. Each start plays the next
list of steps of `runs`, the last one again and again. Words of a step: `perf RATES`, `raw TEXT` (as it stands, no line
break added), `publish MESSAGE`, `sleep S`, `exit CODE`, `crash`, `hang` (deaf to SIGINT too), `go_on RATES` (until
SIGINT, then a clean end). Messages go where the application file says, by MQTT 5 or Kafka.
Source: deepstream_app_main.c: the heading every 20 lines, `App run successful`, `App run failed` with exit code 255,
the handler of SIGINT that takes itself away.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROWS_BEFORE_HEADING = 20
UNKNOWN_KEY = "** WARN: <parse_tracker:1732>: Unknown key 'enable-past-frame' for group [tracker]\n"
UNTRACKED = 18446744073709551615


def install(folder: Path, runs: list[list[list[Any]]]) -> dict[str, str]:
    """The environment in which a run.sh finds this program.

    In `folder` the file `starts` has a byte for each start, `clean_end` is there after a clean end.
    """
    libraries = folder / "sdk" / "lib"
    libraries.mkdir(parents=True)
    for kind in ("mqtt", "kafka"):
        (libraries / f"libnvds_{kind}_proto.so").touch()
    (folder / "script.json").write_text(json.dumps(runs))
    program = folder / "deepstream-app"
    program.write_text(
        f'#!/bin/bash\n[ "$1" = --version ] && {{ echo "deepstream-app version 7.1.0"; exit; }}\n'
        f'exec {sys.executable} {Path(__file__).absolute()} {folder} "$@"\n'
    )
    program.chmod(0o755)
    return {"DEEPSTREAM_DIR": str(folder / "sdk"), "DEEPSTREAM_APP": str(program)}


def minimal(frame: int, time_text: str, sensor: str, *objects: str) -> dict[str, Any]:
    """The minimal payload: one message a frame."""
    return {"version": "4.0", "id": str(frame), "@timestamp": time_text, "sensorId": sensor, "objects": list(objects)}


def full(time_text: str, sensor: str, track: int, kind: str, box: tuple[float, ...], **more: Any) -> dict[str, Any]:
    """The full payload: one message an object."""
    corners = dict(zip(("topleftx", "toplefty", "bottomrightx", "bottomrighty"), box, strict=True))
    return {
        "messageid": "b7d2b3a6-4b0c-4f7b-9d0e-0a6f5e3c8e11",
        "mdsversion": "1.0",
        "@timestamp": time_text,
        "place": {"id": "1", "name": "hall", "type": "garage", "location": {"lat": 30.3, "lon": -40.5, "alt": 100.0}},
        "sensor": {"id": sensor, "type": "Camera", "description": sensor, "location": {}, "coordinate": {}},
        "analyticsModule": {"id": "1", "description": "", "source": "", "version": "1.0"},
        "object": {
            "id": str(track),
            "speed": 0.0,
            "direction": 0.0,
            "orientation": 0.0,
            kind: more,
            "bbox": corners,
            "location": {"lat": 0.0, "lon": 0.0, "alt": 0.0},
            "coordinate": {"x": 0.0, "y": 0.0, "z": 0.0},
        },
        "event": {"id": "b7d2b3a6-4b0c-4f7b-9d0e-0a6f5e3c8e12", "type": "moving"},
        "videoPath": "",
    }


class _App:
    def __init__(self, config: Path) -> None:
        self._config = config.read_text()
        self._rows = 0
        self._publisher: Any = None
        self.is_interrupted = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        self.is_interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def say(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def perf(self, rates: list[float]) -> None:
        if self._rows % ROWS_BEFORE_HEADING == 0:
            self.say("\n**PERF:  ")
            for number in range(len(rates)):
                self.say(f"FPS {number} (Avg)\t")
            self.say("\n")
        self._rows += 1
        self.say("**PERF:  ")
        for rate in rates:
            self.say(f"{rate:.2f} ({rate:.2f})\t")
        self.say("\n")

    def publish(self, message: Any) -> None:
        payload = message if isinstance(message, str) else json.dumps(message)
        if self._publisher is None:
            self._publisher = self._connect()
        self._publisher(payload.encode())

    def _connect(self) -> Any:
        host, port = (re.search(r"msg-broker-conn-str=(.+);(\d+)\n", self._config) or sys.exit("no broker")).groups()
        topic = (re.search(r"^topic=(.+)$", self._config, re.MULTILINE) or sys.exit("no topic"))[1]
        if "libnvds_kafka_proto" in self._config:
            from confluent_kafka import Producer

            producer = Producer({"bootstrap.servers": f"{host}:{port}"})

            def send(payload: bytes) -> None:
                producer.produce(topic, payload, key=b"sensorId")
                producer.flush(30)

            return send
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if "USER_MQTT" in os.environ:
            client.username_pw_set(os.environ["USER_MQTT"], os.environ["PASSWORD_MQTT"])
        client.connect(host, int(port))
        client.loop_start()
        return lambda payload: client.publish(topic, payload, qos=1).wait_for_publish(30)

    def play(self, steps: list[list[Any]]) -> int:
        for word, *values in steps:
            if self.is_interrupted:
                break
            if word == "perf":
                self.perf(values[0])
            elif word == "raw":
                self.say(values[0])
            elif word == "publish":
                self.publish(values[0])
            elif word == "sleep":
                time.sleep(values[0])
            elif word == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif word == "hang":
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                time.sleep(600)
            elif word == "go_on":
                while not self.is_interrupted:
                    self.perf(values[0])
                    time.sleep(0.05)
            elif values[0] != 0:
                self.say("App run failed\n")
                return int(values[0])
        self.say("App run successful\n")
        return 0


def main() -> None:
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    starts = folder / "starts"
    number = len(starts.read_bytes()) if starts.exists() else 0
    with starts.open("ab") as file:
        file.write(b".")
    runs = json.loads((folder / "script.json").read_text())
    app = _App(Path(arguments[arguments.index("-c") + 1]))
    code = app.play(runs[min(number, len(runs) - 1)])
    (folder / "clean_end").touch()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
