"""What the page is told: status, stages, new events and new pictures, gathered for one answer.

Guarantees: bounded memory (the last 200 events); the status callable is asked at most every STATUS_INTERVAL_S however
many people look; thread-safe. It knows nothing of HTTP.
"""

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from vedette.contracts.event import Event
from vedette.contracts.status import Status
from vedette.edge.live.load import MachineLoad, ProgramLoad
from vedette.edge.live.snapshots import Snapshot, SnapshotStore, Use
from vedette.edge.live.stages import StageBoard

MAX_EVENTS = 200
STATUS_INTERVAL_S = 0.5


class Seen(BaseModel):
    """What a viewer says that it has already: untrusted, so nothing depends on it but what that viewer is sent."""

    model_config = ConfigDict(frozen=True, strict=True)

    instance: str = ""
    event: int = 0
    stages: int = -1
    cameras: frozenset[str] = frozenset()  # whose tiles it has on the screen
    pictures: dict[str, int] = {}  # camera -> serial


@dataclass(frozen=True, slots=True)
class Answer:
    """One JSON document and the JPEGs it lists, in that order."""

    document: Mapping[str, Any]
    pictures: Sequence[bytes]

    def to_bytes(self) -> bytes:
        """Length of the JSON (4 bytes, big-endian), the JSON in UTF-8, the JPEGs one after the other."""
        head = json.dumps(self.document, separators=(",", ":"), allow_nan=False).encode()
        return b"".join((len(head).to_bytes(4, "big"), head, *self.pictures))


class Feed:
    """Gathers from the stores; `instance` tells a page that it talks to another run than before."""

    def __init__(self, snapshots: SnapshotStore, stages: StageBoard) -> None:
        self.snapshots = snapshots
        self.stages = stages
        self.instance = secrets.token_hex(8)
        self.has_video = False  # whether the page may ask for the cameras' own
        self._lock = threading.Lock()
        self._status_of: Callable[[], Status] = Status
        self._events: deque[tuple[int, Event]] = deque(maxlen=MAX_EVENTS)
        self._last_event = 0
        self._asking = threading.Lock()
        self._asked_s = float("-inf")
        self._status = Status()
        self._load: dict[str, float] = {}
        self._program = ProgramLoad()
        self._machine = MachineLoad()

    def ask_from_now_on(self, status_of: Callable[[], Status]) -> None:
        """Where the status comes from."""
        with self._asking:
            self._status_of, self._asked_s = status_of, float("-inf")

    def add_event(self, event: Event) -> None:
        """Remember an event; the oldest beyond MAX_EVENTS is forgotten."""
        with self._lock:
            self._last_event += 1
            self._events.append((self._last_event, event))

    def events_after(self, number: int) -> list[dict[str, Any]]:
        """Events newer than `number`, oldest first, each with its `number`."""
        with self._lock:
            newer = [(n, event) for n, event in self._events if n > number]
        return [{"number": n, **event.model_dump(mode="json", by_alias=True, exclude_none=True)} for n, event in newer]

    def status(self) -> Status:
        """The status of at most STATUS_INTERVAL_S ago; CPU load is measured with it."""
        with self._asking:
            now = time.monotonic()
            if now - self._asked_s >= STATUS_INTERVAL_S:
                self._status, self._asked_s = self._status_of(), now
                percent, memory_mb = self._program.percent_and_mb()
                self._load = {
                    "process_cpu_percent": percent,  # 100 is one core
                    "machine_cpu_percent": self._machine.percent(),  # 100 is all cores
                    "cores": float(psutil.cpu_count() or 1),
                    "memory_mb": memory_mb,
                }
            return self._status

    def status_to_json(self) -> dict[str, Any]:
        """The status with CPU load, counts and sizes of the newest pictures where the status itself has none."""
        status = self.status()
        document = {**status.to_json(), **self._load, "now_unix_s": time.time()}
        for camera in document["cameras"]:
            camera["counts"] = camera["counts"] or dict(self.snapshots.counts(camera["name"]))
            if not camera["width_px"]:
                camera["width_px"], camera["height_px"] = self.snapshots.size_px(camera["name"])
        return document

    def has_news(self, seen: Seen) -> bool:
        """Whether there is more to tell than a fresh status."""
        with self._lock:
            if self._last_event > seen.event:
                return True
        return (
            seen.instance != self.instance
            or self.stages.version != seen.stages
            or bool(self.snapshots.ready(seen.cameras, seen.pictures))
        )

    def answer(self, seen: Seen) -> Answer:
        """All that a viewer does not have yet. Blocks for making pictures."""
        if seen.instance != self.instance:
            seen = Seen(cameras=seen.cameras)
        version = self.stages.version  # before the stages, so that a change in between is told again
        made: list[tuple[str, Snapshot]] = []
        for name in self.snapshots.ready(seen.cameras, seen.pictures):
            snapshot = self.snapshots.snapshot(name, Use.TILE)
            if snapshot is not None:
                made.append((name, snapshot))
        document = {
            "instance": self.instance,
            "video": self.has_video,
            "status": self.status_to_json(),
            "stages_version": version,
            "stages": None if version == seen.stages else self.stages.to_json(),
            "events": self.events_after(seen.event),
            "pictures": [
                {"camera": name, "serial": shot.serial, "size_bytes": len(shot.jpeg), **shot.boxes_to_json()}
                for name, shot in made
            ],
        }
        return Answer(document, [shot.jpeg for _, shot in made])
