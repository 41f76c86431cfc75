"""The plan of a run: by steps, or by the clock."""

import pytest

from vedette.learn.training.schedule import LARGEST_DECAY, LAST_RATE, Schedule, average_decay

BY_STEPS = Schedule(total_steps=1000, warm_up_steps=100, mosaic_until=0.85)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.01), (49, 0.497), (99, 0.976), (500, 0.51), (1000, LAST_RATE)],
)
def test_rate_warms_up_and_then_follows_a_cosine(step: int, rate: float) -> None:
    assert BY_STEPS.rate(step, BY_STEPS.fraction(step, 0.0)) == pytest.approx(rate, abs=2e-3)


def test_rate_only_falls_after_the_warm_up() -> None:
    rates = [BY_STEPS.rate(step, BY_STEPS.fraction(step, 0.0)) for step in range(100, 1001)]
    assert rates == sorted(rates, reverse=True)
    assert min(rates) == pytest.approx(LAST_RATE)


def test_steps_measure_a_run_without_a_budget() -> None:
    assert [BY_STEPS.fraction(step, 1e9) for step in (0, 250, 1000, 1001)] == [0.0, 0.25, 1.0, 1.0]


def test_the_clock_measures_a_run_with_a_budget() -> None:
    by_time = Schedule(total_steps=1000, warm_up_steps=100, mosaic_until=0.85, budget_s=200.0)
    assert [by_time.fraction(5, seconds) for seconds in (0, 50, 200, 300)] == [0.0, 0.25, 1.0, 1.0]


def test_the_last_part_shows_whole_pictures() -> None:
    assert [BY_STEPS.mosaic(fraction) for fraction in (0.0, 0.84, 0.85, 1.0)] == [True, True, False, False]


def test_the_average_looks_back_over_a_share_of_the_run() -> None:
    decays = [average_decay(step) for step in (0, 100, 1000, 10_000_000)]
    assert decays == sorted(decays)
    assert decays[0] < 0.1
    assert decays[-1] == LARGEST_DECAY
