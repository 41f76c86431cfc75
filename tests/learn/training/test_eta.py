"""The time that is left, told after the second epoch, is right within 20 %: runs played by a clock that is not real."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vedette.learn.training.eta import Ahead, Estimator, duration_text
from vedette.learn.training.series import Series

EPOCHS, PER_EPOCH, BATCH, VAL_PICTURES = 40, 26, 8, 87
WRITE_EVERY_S = 30.0


@dataclass
class Machine:
    """What things take on it, in seconds; steps by epoch (from 0) and number."""

    step_s: Callable[[int, int], float]
    whole_factor: float = 1.0  # of a step without mosaic
    validation_s: float = 1.0
    first_validation_s: float = 2.0
    write_s: float = 0.8
    first_write_s: float = 2.0
    closing_s: float = 4.0


class PlayedRun:
    """A run as `training_run` does it: steps, validations, writing when half a minute has gone by, closing charts."""

    def __init__(self, machine: Machine, validate_every: int, known: dict[str, float] | None = None) -> None:
        self.machine, self.every = machine, validate_every
        self.estimator = Estimator(VAL_PICTURES, BATCH, known)
        self.clock_s = self.saved_at_s = 0.0
        self.told: dict[int, tuple[float, float]] = {}  # epochs done -> (clock, told)

    def play(self) -> "PlayedRun":
        for epoch in range(EPOCHS):
            self._learn(epoch)
            last = epoch == EPOCHS - 1
            if last or (epoch + 1) % self.every == 0:
                seconds = self.machine.validation_s if epoch >= self.every else self.machine.first_validation_s
                self.clock_s += seconds
                self.estimator.validated(seconds)
            left_s = self.estimator.left_s(self._ahead(epoch + 1))
            assert left_s is not None
            self.told[epoch + 1] = (self.clock_s, left_s)
            if last or epoch == 0 or self.clock_s - self.saved_at_s > WRITE_EVERY_S:
                seconds = self.machine.write_s if epoch else self.machine.first_write_s
                self.clock_s += seconds
                self.saved_at_s = self.clock_s
                self.estimator.wrote(seconds)
        self.clock_s += self.machine.closing_s
        return self

    def _learn(self, epoch: int) -> None:
        for number in range(PER_EPOCH):
            mosaic = epoch * PER_EPOCH + number < 0.85 * EPOCHS * PER_EPOCH
            seconds = self.machine.step_s(epoch, number) * (1.0 if mosaic else self.machine.whole_factor)
            self.clock_s += seconds
            self.estimator.stepped(seconds, mosaic)
        self.estimator.ended_epoch()

    def _ahead(self, done: int) -> Ahead:
        steps = (EPOCHS - done) * PER_EPOCH
        mosaic = max(int(0.85 * EPOCHS * PER_EPOCH) - done * PER_EPOCH, 0)
        validations = sum((n + 1) % self.every == 0 or n == EPOCHS - 1 for n in range(done, EPOCHS))
        return Ahead(mosaic, steps - mosaic, validations, WRITE_EVERY_S, PER_EPOCH)

    def error(self, done: int) -> float:
        """Of what was told after so many epochs, as a part of what was left."""
        clock_s, told_s = self.told[done]
        return told_s / (self.clock_s - clock_s) - 1


def steady(seconds: float) -> Callable[[int, int], float]:
    return lambda epoch, number: seconds


def slow_start(seconds: float) -> Callable[[int, int], float]:
    """Three times as slow in the first epoch, and ten times in its first two steps."""
    return lambda epoch, number: seconds * (1 if epoch else 10 if number < 2 else 3)


def uneven(seconds: float) -> Callable[[int, int], float]:
    """Input sizes that change from step to step."""
    return lambda epoch, number: seconds * (0.6, 1.0, 1.5, 0.9)[(epoch * 7 + number) % 4]


@pytest.mark.parametrize("validate_every", [1, 5])
@pytest.mark.parametrize("whole_factor", [1.0, 0.6, 1.3])
@pytest.mark.parametrize("step_s", [steady(0.2), slow_start(0.2), uneven(0.2), slow_start(0.01), slow_start(6.0)])
def test_it_is_right_within_a_fifth_from_the_second_epoch_on(
    validate_every: int, whole_factor: float, step_s: Callable[[int, int], float]
) -> None:
    scale = step_s(2, 0) / 0.2
    machine = Machine(step_s, whole_factor, validation_s=1.2 * scale, first_validation_s=2.4 * scale)
    machine.closing_s = 4.0 + machine.validation_s
    run = PlayedRun(machine, validate_every).play()
    for done in (2, 3, 10):
        assert abs(run.error(done)) < 0.2, done


def test_a_costly_validation_counts_as_soon_as_it_has_been_seen() -> None:
    run = PlayedRun(Machine(steady(0.2), validation_s=10.0, first_validation_s=10.0, closing_s=14.0), 1).play()
    assert abs(run.error(2)) < 0.2


def test_a_resumed_run_begins_with_what_it_knew() -> None:
    before = PlayedRun(Machine(steady(0.2)), 1).play().estimator.as_known()
    slow = Machine(slow_start(0.2))
    assert abs(PlayedRun(slow, 1, before).play().error(1)) < 0.2
    assert PlayedRun(slow, 1).play().error(1) > 1  # the slow first epoch is all that a new one has seen


def test_nothing_is_told_before_anything_is_known() -> None:
    assert Estimator(10, 4).left_s(Ahead(100, 10, 5, 30.0, 10)) is None


def test_of_several_runs_the_others_are_counted_too() -> None:
    assert Series(2, 5, "again").left_s(100.0, 50.0) == 50 + 3 * 150
    assert Series(2, 5, "again", mean_s=120.0).left_s(100.0, 50.0) == 50 + 3 * 120
    assert Series(5, 5, "again").left_s(100.0, 50.0) == 50


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations_are_said_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
