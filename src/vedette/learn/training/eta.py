"""How long a run will still take: from what its own steps, validations and writing have taken so far. Pure.

The first epoch is slower (kernels are chosen, pictures are touched for the first time), so it counts only until there
is another one. Recent epochs count, not all: what else the machine does changes. Steps with and without mosaic are told
apart, once there are both. What has not happened yet is guessed: validating a picture as half of learning from one, the
closing charts as `CLOSING_WRITES` times those of an epoch. A resumed run begins with what it knew.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

RECENT = 5  # epochs, validations, writes
SETTLING_STEPS = 3  # of the first epoch, left out until it is over
VALIDATION_SHARE = 0.5  # of a step's time for the same number of pictures, before the first validation
CLOSING_WRITES = 3.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is still to be done."""

    mosaic_steps: int
    whole_steps: int
    validations: int
    write_every_s: float  # checkpoint and charts, at ends of epochs but no more often
    epoch_steps: int


class _Recent:
    """A mean of the last few, the very first left out as soon as there is another."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=RECENT)
        self._is_first = True

    def add(self, value: float) -> None:
        if len(self._values) == 1 and self._is_first:
            self._values.clear()
            self._is_first = False
        self._values.append(value)

    def mean(self, other: float | None) -> float | None:
        return sum(self._values) / len(self._values) if self._values else other


class Estimator:
    """Told what each thing took, in seconds; asked how long the rest takes."""

    def __init__(self, val_pictures: int, batch: int, known: Mapping[str, float] | None = None) -> None:
        self._val_batches = val_pictures / batch
        self._known = dict(known or {})
        self._steps = {True: _Recent(), False: _Recent()}  # seconds of one step, by mosaic
        self._validations, self._writes = _Recent(), _Recent()
        self._running: dict[bool, list[float]] = {True: [], False: []}  # steps of the epoch at hand
        self._epochs = 0

    def stepped(self, seconds: float, mosaic: bool) -> None:
        self._running[mosaic].append(seconds)

    def ended_epoch(self) -> None:
        """All steps of an epoch, or of the rest of one, have been told."""
        for mosaic, steps in self._running.items():
            if steps:
                self._steps[mosaic].add(sum(steps) / len(steps))
                steps.clear()
        self._epochs += 1

    def validated(self, seconds: float) -> None:
        self._validations.add(seconds)

    def wrote(self, seconds: float) -> None:
        """Checkpoint, charts and report at the end of an epoch."""
        self._writes.add(seconds)

    def left_s(self, ahead: Ahead) -> float | None:
        """Seconds to the end of the run, closing charts included; None while nothing is known."""
        known = self.as_known()
        step_s = known.get("mosaic_step_s", known.get("whole_step_s"))
        if step_s is None:
            return None
        whole_s = known.get("whole_step_s", step_s)
        validation_s = known.get("validation_s", VALIDATION_SHARE * self._val_batches * step_s)
        write_s = known.get("write_s", 0.0)
        learning_s = ahead.mosaic_steps * step_s + ahead.whole_steps * whole_s + ahead.validations * validation_s
        writing = write_s / max(ahead.write_every_s, ahead.epoch_steps * step_s, write_s)
        return learning_s * (1 + writing) + validation_s + CLOSING_WRITES * write_s

    def as_known(self) -> dict[str, float]:
        """What is known, by name; for a checkpoint, whose run begins with it when it goes on."""
        found = {
            "mosaic_step_s": self._step_s(True),
            "whole_step_s": self._step_s(False),
            "validation_s": self._validations.mean(self._known.get("validation_s")),
            "write_s": self._writes.mean(self._known.get("write_s")),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _step_s(self, mosaic: bool) -> float | None:
        known = self._known.get("mosaic_step_s" if mosaic else "whole_step_s")
        if known is not None and self._epochs < 2:  # the first here is slow: what was known before is better
            return known
        running = self._running[mosaic][SETTLING_STEPS:] or self._running[mosaic]
        return self._steps[mosaic].mean(sum(running) / len(running) if running else known)


def duration_text(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
