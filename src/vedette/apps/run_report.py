"""What a finished run says: the table for people, the document for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vedette.contracts.status import Outlets, RecordingStatus


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """One camera's figures over the whole run; `error` is a sentence when it failed, or was away at the end."""

    name: str
    frames: int
    slots: int
    detections: int
    events: int
    drops: int
    restarts: int  # how often its decoder died and another went on
    reconnects: int  # how often it came back after it was away
    offline_since_unix_s: float | None  # away at the end of the run
    gated: int  # frames left undecoded since nothing happened
    gated_slots: int
    fps: float
    detected_per_s: float  # frames detected on, a second of the camera's own time
    error: str | None

    @property
    def gave_nothing(self) -> bool:
        """It failed, or was away from beginning to end."""
        away = self.offline_since_unix_s is not None and self.frames > 0
        return self.error is not None and not away

    @property
    def state(self) -> str:
        """In a word."""
        if self.error is None:
            return "ended"
        return "failed" if self.offline_since_unix_s is None else "offline"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "frames": self.frames,
            "slots": self.slots,
            "detections": self.detections,
            "events": self.events,
            "drops": self.drops,
            "restarts": self.restarts,
            "reconnects": self.reconnects,
            "offline_since_unix_s": self.offline_since_unix_s,
            "gated": self.gated,
            "gated_slots": self.gated_slots,
            "fps": round(self.fps, 2),
            "detected_per_s": round(self.detected_per_s, 2),
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A whole run. `counts` is camera -> line or zone -> class -> figures, as `edge.analytics` keeps them."""

    cameras: Sequence[CameraSummary]
    counts: Mapping[str, Any]
    engine: str
    seconds: float
    events_published: int
    events_lost: int
    sink_errors: Sequence[tuple[str, str]] = ()  # name of the target, what went wrong
    outlets: Outlets = field(default_factory=Outlets)  # recording, clips, publishing

    @property
    def errors(self) -> list[dict[str, str]]:
        """Every camera that failed or was away at the end, every target that lost events, whatever else stopped."""
        failed = [{"camera": c.name, "message": c.error} for c in self.cameras if c.error]
        lost = [{"target": name, "message": message} for name, message in self.sink_errors]
        return [*failed, *lost, *({"message": problem} for problem in self.outlets.problems())]

    @property
    def all_failed(self) -> bool:
        """No camera gave anything."""
        return all(camera.gave_nothing for camera in self.cameras)

    def to_json(self) -> dict[str, Any]:
        """The document of `vedette run --json`."""
        return {
            "cameras": [camera.to_json() for camera in self.cameras],
            "counts": self.counts,
            "errors": self.errors,
            "events": {"published": self.events_published, "lost": self.events_lost},
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "problems": list(self.outlets.problems()),
            **self.outlets.to_json(),
        }

    def print(self) -> None:
        """Tables on standard output."""
        from vedette.apps.console import print_line, print_table

        columns = ["camera", "frames", "gated", "slots", "detections", "events", "drops", "fps", "detected/s", "state"]
        rows = [
            [
                c.name,
                str(c.frames),
                str(c.gated),
                str(c.slots),
                str(c.detections),
                str(c.events),
                str(c.drops),
                f"{c.fps:.1f}",
                f"{c.detected_per_s:.1f}",
                c.state,
            ]
            for c in self.cameras
        ]
        print_table(f"{self.engine} · {self.seconds:.1f} s", columns, rows)
        counted = self.count_rows()
        if counted:
            print_table("Counts", ["camera", "line or zone", "class", "what", "count"], counted)
        if self.events_published or self.events_lost:
            print_line(f"events: {self.events_published} sent, {self.events_lost} lost")
        for line in describe_outlets(self.outlets):
            print_line(line)

    def count_rows(self) -> list[list[str]]:
        """One row for each figure in `counts`: camera, line or zone, class, what, how many."""
        rows = []
        failed = {camera.name for camera in self.cameras if camera.gave_nothing}
        for camera, places in self.counts.items():
            if camera in failed:
                continue
            for line, classes in places["lines"].items():
                for class_name, directions in classes.items():
                    rows += [[camera, line, class_name, what, str(count)] for what, count in directions.items()]
            for zone, figures in places["zones"].items():
                rows += [[camera, zone, "", what, str(count)] for what, count in figures.items()]
        return rows


def describe_outlets(outlets: Outlets) -> list[str]:
    """A line for each that was asked for: `recording: 3 files, 12.1 MB in films; 40 frames not recorded`"""
    lines = [
        _describe_recording(one, lost)
        for one, lost in ((outlets.recording, "frames not recorded"), (outlets.clips, "events without a clip"))
        if one is not None
    ]
    for one in outlets.publishing:
        dropped = f"; {one.dropped} dropped" if one.dropped else ""
        lines.append(f"published: {one.pictures} pictures, {one.bytes / 1e6:.1f} MB of '{one.camera}'{dropped}")
    return lines


def _describe_recording(one: RecordingStatus, lost: str) -> str:
    more = f"; {one.dropped} {lost}" if one.dropped else ""
    again = f"; stopped {one.stops} times" if one.stops > 1 else "; stopped once" if one.stops else ""
    files = "1 file" if one.files == 1 else f"{one.files} files"
    return f"{one.what}: {files}, {one.bytes / 1e6:.1f} MB in {one.folder}{again}{more}"
