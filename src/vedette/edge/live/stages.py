"""The work that comes before watching (drawing, training, packing), as cards on the live page.

A stage has a title, progress with an ETA, a few lines of text, pictures and curves. Guarantees: thread-safe; memory is
bounded (lines, pictures and points of each stage); `version` changes with every change, so that a page can wait for it.
`StageProgress` lets any code that reports to a `contracts.ports.Progress` fill a stage.
"""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

MAX_LINES = 12
MAX_PICTURES = 8
MAX_POINTS = 400

Points = tuple[tuple[float, float], ...]


class StageState(str, Enum):
    """Where a stage is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Series:
    """One curve; series of the same `chart` share its axes."""

    name: str
    points_xy: Points
    chart: str


@dataclass(frozen=True, slots=True)
class StagePicture:
    """A JPEG or PNG; the digest is worked out once, when it is set."""

    data: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One card. `progress` is 0..1, `None` where it is not known."""

    title: str
    state: StageState = StageState.WAITING
    progress: float | None = None
    note: str = ""
    lines: tuple[str, ...] = ()
    pictures: Mapping[str, StagePicture] = field(default_factory=dict)  # by caption
    series: tuple[Series, ...] = ()
    began_s: float | None = None  # monotonic
    ended_s: float | None = None

    def to_json(self, number: int, now_s: float) -> dict[str, Any]:
        """As the page takes it; pictures as addresses that change with their content."""
        spent = None if self.began_s is None else (self.ended_s or now_s) - self.began_s
        running = self.state is StageState.RUNNING and spent is not None
        left = spent * (1 - self.progress) / self.progress if running and spent and self.progress else None
        return {
            "title": self.title,
            "state": self.state.value,
            "progress": self.progress,
            "note": self.note,
            "lines": list(self.lines),
            "spent_s": spent,
            "left_s": left,
            "pictures": [
                {"caption": caption, "src": f"/stages/{number}/{place}?v={picture.digest}"}
                for place, (caption, picture) in enumerate(self.pictures.items())
            ],
            "series": [{"name": s.name, "chart": s.chart, "points": s.points_xy} for s in self.series],
        }


class StageBoard:
    """The stages in the order in which they were announced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, Stage] = {}
        self.version = 0

    def plan(self, titles: Sequence[str]) -> None:
        """Announce what will come, so that the page can show the whole way."""
        with self._lock:
            for title in titles:
                self._stages.setdefault(title, Stage(title))
            self.version += 1

    def update(
        self,
        title: str,
        *,
        progress: float | None = None,
        state: StageState = StageState.RUNNING,
        note: str | None = None,
        lines: Sequence[str] | None = None,
        pictures: Mapping[str, bytes] | None = None,
        series: Sequence[Series] | None = None,
    ) -> None:
        """Set what is given of one stage; what is left out stays. Running ends the stages that ran before."""
        now = time.monotonic()
        with self._lock:
            stage = self._stages.get(title, Stage(title))
            if state is StageState.RUNNING and stage.state is not StageState.RUNNING:
                self._finish_running(now)
            self._stages[title] = replace(
                stage,
                state=state,
                progress=stage.progress if progress is None else min(max(progress, 0.0), 1.0),
                note=stage.note if note is None else note,
                lines=stage.lines if lines is None else tuple(lines)[-MAX_LINES:],
                pictures=stage.pictures if pictures is None else _with_digests(pictures),
                series=stage.series if series is None else tuple(_thinned(one) for one in series),
                began_s=stage.began_s or now,
                ended_s=now if state in (StageState.DONE, StageState.FAILED) else None,
            )
            self.version += 1

    def finish(self) -> None:
        """Nothing runs any more: what ran is done."""
        with self._lock:
            self._finish_running(time.monotonic())
            self.version += 1

    def to_json(self) -> list[dict[str, Any]]:
        """Every stage, in order."""
        now = time.monotonic()
        with self._lock:
            stages = list(self._stages.values())
        return [stage.to_json(number, now) for number, stage in enumerate(stages)]

    def picture(self, number: int, place: int) -> bytes | None:
        """The bytes behind an address that `to_json` gave, if they are still there."""
        with self._lock:
            stages = list(self._stages.values())
        if not 0 <= number < len(stages) or not 0 <= place < len(stages[number].pictures):
            return None
        return list(stages[number].pictures.values())[place].data

    def _finish_running(self, now: float) -> None:
        for title, stage in self._stages.items():
            if stage.state is StageState.RUNNING:
                self._stages[title] = replace(stage, state=StageState.DONE, progress=1.0, ended_s=now)


class StageProgress:
    """A `contracts.ports.Progress` that fills one stage: figures become curves over the work since the first."""

    def __init__(self, board: StageBoard, title: str) -> None:
        self._board = board
        self._title = title
        self._note = ""
        self._total = self._done = self._measured = 0
        self._unit = ""
        self._lines: list[str] = []
        self._points: dict[str, list[tuple[float, float]]] = {}

    def start(self, stage: str, total: int, unit: str) -> None:
        self._note, self._total, self._unit, self._done = stage, total, unit, 0
        self._publish()

    def advance(self, count: int = 1, **figures: float) -> None:
        self._done += count
        if figures or self._points:
            self._measured += count
        for name, value in figures.items():
            points = self._points.setdefault(name, [])
            points.append((float(self._measured), float(value)))
            if len(points) >= 2 * MAX_POINTS:
                del points[1:-1:2]  # every other one; the first and the last stay
        self._publish()

    def say(self, line: str) -> None:
        self._lines = [*self._lines, line][-MAX_LINES:]
        self._publish()

    def _publish(self) -> None:
        self._board.update(
            self._title,
            progress=self._done / self._total if self._total > 0 else None,
            note=f"{self._note}: {self._done} of {self._total} {self._unit}",
            lines=self._lines,
            series=[Series(name, tuple(points), chart=name) for name, points in self._points.items()],
        )


def _with_digests(pictures: Mapping[str, bytes]) -> dict[str, StagePicture]:
    newest = list(pictures.items())[-MAX_PICTURES:]
    return {caption: StagePicture(data, hashlib.sha256(data).hexdigest()[:16]) for caption, data in newest}


def _thinned(series: Series) -> Series:
    """At most MAX_POINTS points, evenly chosen, the first and the last among them; only finite ones."""
    points = [p for p in series.points_xy if all(abs(v) < float("inf") for v in p)]
    if len(points) > MAX_POINTS:
        step = (len(points) - 1) / (MAX_POINTS - 1)
        points = [points[round(i * step)] for i in range(MAX_POINTS)]
    return replace(series, points_xy=tuple((float(x), float(y)) for x, y in points))
