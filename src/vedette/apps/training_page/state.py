"""What the page shows of a training beyond the files in its folder: the epoch at hand, every loss, the last lines.

Written by the training's thread in microseconds (`Shown` is a `Progress` that passes everything on), read by the
server's. Bounded: of many steps pairs are averaged, of many lines the last are kept.
"""

import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vedette.contracts.ports import Progress

POINTS = 400  # of the loss curve; when there are twice as many, pairs are averaged
LINES = 8
EPOCH = re.compile(r"epoch (\d+)")  # how the training names its stages


@dataclass(frozen=True, slots=True)
class Now:
    """A moment of the training."""

    folder: Path | None
    stage: str
    unit: str
    done: int
    total: int
    seconds: float  # since the stage began
    figures: dict[str, float]
    lines: tuple[str, ...]
    steps: tuple[tuple[float, float], ...]  # (epochs done, loss)
    ended: bool


@dataclass
class TrainingState:
    """Thread-safe."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _folder: Path | None = None
    _stage: str = "getting ready"
    _unit: str = ""
    _done: int = 0
    _total: int = 0
    _began: float = field(default_factory=time.monotonic)
    _figures: dict[str, float] = field(default_factory=dict)
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _steps: list[tuple[float, float]] = field(default_factory=list)
    _every: int = 1  # steps in a point
    _pending: list[tuple[float, float]] = field(default_factory=list)
    _ended: bool = False

    def follow(self, folder: Path) -> None:
        """A run begins in this folder; folds do so one after another."""
        with self._lock:
            self._folder, self._steps, self._pending, self._every, self._ended = folder, [], [], 1, False

    def start(self, stage: str, total: int, unit: str) -> None:
        with self._lock:
            self._stage, self._total, self._unit, self._done = stage, total, unit, 0
            self._began = time.monotonic()

    def advance(self, count: int, figures: dict[str, float]) -> None:
        with self._lock:
            self._done += count
            self._figures.update(figures)
            epoch = EPOCH.search(self._stage)
            if epoch is not None and "loss" in figures:
                at = int(epoch.group(1)) - 1 + self._done / max(self._total, 1)
                self._add_step(at, figures["loss"])

    def _add_step(self, at: float, loss: float) -> None:
        self._pending.append((at, loss))
        if len(self._pending) < self._every:
            return
        self._steps.append(_mean(self._pending))
        self._pending = []
        if len(self._steps) >= 2 * POINTS:
            self._steps = [_mean(self._steps[place : place + 2]) for place in range(0, len(self._steps), 2)]
            self._every *= 2

    def say(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)

    def end(self) -> None:
        """Nothing more will come; the report is whole."""
        with self._lock:
            self._ended = True

    def now(self) -> Now:
        with self._lock:
            return Now(
                self._folder,
                self._stage,
                self._unit,
                self._done,
                self._total,
                time.monotonic() - self._began,
                dict(self._figures),
                tuple(self._lines),
                tuple(self._steps),
                self._ended,
            )


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


class Shown:
    """A `contracts.ports.Progress` that tells another one and the page."""

    def __init__(self, inner: Progress, state: TrainingState) -> None:
        self._inner, self._state = inner, state

    def start(self, stage: str, total: int, unit: str, **more: Any) -> None:
        self._state.start(stage, total, unit)
        self._inner.start(stage, total, unit, **more)

    def advance(self, count: int = 1, **figures: float) -> None:
        self._state.advance(count, figures)
        self._inner.advance(count, **figures)

    def say(self, line: str) -> None:
        self._state.say(line)
        self._inner.say(line)
