"""How a run is doing at this moment: what the live page shows and what a supervisor may ask for.

Plain values, filled by the wiring in `apps` from the stream and the analytics, so that the page needs to know neither.
Rates are those of the last few seconds; counters only grow. Coordinates are source pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from vedette.contracts.box_health import BoxHealth

NO_COUNTS: Mapping[str, int] = MappingProxyType({})


class CameraState(str, Enum):
    """Where a camera is in its life; `ended` is the good end of a file, `failed` comes with an error.

    `offline` is a live camera that gives nothing and is opened again and again; its error says why.
    """

    OPENING = "opening"
    RUNNING = "running"
    OFFLINE = "offline"
    ENDED = "ended"
    FAILED = "failed"


class GateState(str, Enum):
    """Whether a camera is spared work: `shut` means that nothing happens and only keyframes are decoded."""

    OFF = "off"
    LEARNING = "learning"
    OPEN = "open"
    SHUT = "shut"


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A counting line in source pixels; `a_to_b` is from the left to the right of start -> end."""

    name: str
    start_xy_px: tuple[float, float]
    end_xy_px: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlacedZone:
    """A polygon in source pixels."""

    name: str
    polygon_xy_px: tuple[tuple[float, float], ...]


NUMBERS = (
    "name", "error", "offline_since_unix_s", "width_px", "height_px", "frames", "fps", "detections_per_s", "drops",
    "restarts", "reconnects",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera. `error` is a sentence for a person; width and height are 0 until the first frame."""

    name: str
    state: CameraState
    error: str | None = None
    offline_since_unix_s: float | None = None  # when its last picture came; None while it gives pictures
    width_px: int = 0
    height_px: int = 0
    frames: int = 0
    fps: float = 0.0  # frames decoded a second
    detections_per_s: float = 0.0  # frames detected on a second
    drops: int = 0  # frames that should have been detected on and were not
    restarts: int = 0  # how often its decoder died and another went on
    reconnects: int = 0  # how often it came back after it was away
    lines: tuple[PlacedLine, ...] = ()
    zones: tuple[PlacedZone, ...] = ()
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)  # label for a person -> count
    gate: GateState = GateState.OFF
    gate_note: str = ""  # a sentence for a person, where there is something to say
    gated: int = 0  # frames left undecoded since nothing happened
    gated_slots: int = 0  # frames that would have been detected on had something happened

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names; the geometry as `[{"name", "xy_px": [[x, y], ...]}]`."""
        document: dict[str, Any] = {name: getattr(self, name) for name in NUMBERS}
        document["state"] = self.state.value
        document["gate"] = {
            "state": self.gate.value, "note": self.gate_note, "gated": self.gated, "gated_slots": self.gated_slots,
        }  # fmt: skip
        document["lines"] = [{"name": line.name, "xy_px": [line.start_xy_px, line.end_xy_px]} for line in self.lines]
        document["zones"] = [{"name": zone.name, "xy_px": list(zone.polygon_xy_px)} for zone in self.zones]
        document["counts"] = dict(self.counts)
        return document


class OutletState(str, Enum):
    """Whether what stands beside watching works: recording, clips, publishing."""

    WAITING = "waiting"  # to publish: nothing has arrived at the server yet
    WORKING = "working"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """Films or clips that are written to a folder; `problem` is a sentence for a person. It goes on when it can."""

    what: str  # "recording" or "clips"
    folder: str
    state: OutletState = OutletState.WORKING
    problem: str | None = None
    disk_full: bool = False
    stopped_since_unix_s: float | None = None
    stops: int = 0  # how often it stopped
    files: int = 0
    bytes: int = 0
    removed: int = 0  # clips, by their quota
    dropped: int = 0  # frames not recorded; events without a clip
    free_bytes: int | None = None  # of the disk, for this user

    def to_json(self) -> dict[str, Any]:
        """All fields but `what` under their own names."""
        return {name: getattr(self, name) for name in RECORDING_FIELDS} | {"state": self.state.value}


RECORDING_FIELDS = (
    "state", "problem", "disk_full", "stopped_since_unix_s", "stops", "files", "bytes", "removed", "dropped",
    "free_bytes", "folder",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PublishingStatus:
    """One camera's way to a media server; `url` is without secrets."""

    camera: str
    url: str
    state: OutletState = OutletState.WAITING
    problem: str | None = None
    stopped_since_unix_s: float | None = None
    stops: int = 0
    pictures: int = 0
    bytes: int = 0
    dropped: int = 0  # pictures that the server could not take in time, or that came while it was away

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names."""
        return {name: getattr(self, name) for name in PUBLISHING_FIELDS} | {"state": self.state.value}


PUBLISHING_FIELDS = (
    "camera", "url", "state", "problem", "stopped_since_unix_s", "stops", "pictures", "bytes", "dropped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outlets:
    """What stands beside watching; None or empty where it was not asked for."""

    recording: RecordingStatus | None = None
    clips: RecordingStatus | None = None
    publishing: tuple[PublishingStatus, ...] = ()

    def problems(self) -> tuple[str, ...]:
        """A sentence for each that has stopped."""
        said = [one.problem for one in (self.recording, self.clips) if one is not None]
        said += [one.problem for one in self.publishing]
        return tuple(problem for problem in said if problem is not None)

    def to_json(self) -> dict[str, Any]:
        """Under `recording`, `clips` (an object or null each) and `publishing` (a list)."""
        return {
            "recording": None if self.recording is None else self.recording.to_json(),
            "clips": None if self.clips is None else self.clips.to_json(),
            "publishing": [one.to_json() for one in self.publishing],
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The whole run: every camera in the order of the pipeline, and what detects."""

    cameras: tuple[CameraStatus, ...] = ()
    engine: str = ""  # the detector's engine_description
    bundle: str = ""  # name of the bundle
    box: str = ""
    started_unix_s: float | None = None
    events: int = 0
    events_lost: int = 0
    health: BoxHealth | None = None  # of the machine; None where it has no sensor
    outlets: Outlets = field(default_factory=Outlets)
    sink_problems: tuple[str, ...] = ()  # sentences for a person: targets that events do not reach at the moment

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences for a person: what has stopped beside the cameras, such as a recording."""
        return (*self.outlets.problems(), *self.sink_problems)

    def camera(self, name: str) -> CameraStatus | None:
        """The camera of that name, if there is one."""
        return next((camera for camera in self.cameras if camera.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names."""
        document = {
            name: getattr(self, name) for name in ("engine", "bundle", "box", "started_unix_s", "events", "events_lost")
        }
        document["health"] = None if self.health is None else self.health.to_json()
        document |= {"problems": list(self.problems), **self.outlets.to_json()}
        return {**document, "cameras": [camera.to_json() for camera in self.cameras]}
