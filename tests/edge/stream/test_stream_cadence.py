"""Which frames are due: by number or by media time, undecoded frames counted as the slots they would have been."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.edge.stream.cadence import EveryNth, PerSecond, make_cadence

PATIENT = settings(deadline=None)  # a busy machine takes its time

RATES = st.floats(0.05, 400)
INTERVALS = st.floats(1 / 240, 1.0)


def due_times(cadence: PerSecond, interval_s: float, count: int) -> list[float]:
    return [i * interval_s for i in range(count) if cadence.is_due(i, i * interval_s)]


def test_a_rate_or_every_nth():
    assert isinstance(make_cadence(5, None), EveryNth)
    assert isinstance(make_cadence(5, 6.0), PerSecond)


@PATIENT
@given(every=st.integers(1, 50), before=st.integers(0, 1000), count=st.integers(0, 200))
def test_every_nth_counts_what_it_passes_over(every: int, before: int, count: int):
    cadence = EveryNth(every)
    assert cadence.pass_over(before, count, 0.0) == sum(cadence.is_due(before + i, 0.0) for i in range(count))


@PATIENT
@given(fps=RATES, interval_s=INTERVALS, count=st.integers(1, 400))
def test_so_many_a_second_of_media_time_but_no_more_than_there_are_frames(fps: float, interval_s: float, count: int):
    slots = len(due_times(PerSecond(fps), interval_s, count))
    span_s = (count - 1) * interval_s
    wanted = min(count, span_s * fps + 1)
    assert 1 <= slots <= span_s * fps + 2
    # A frame interval a little below the slot's loses a slot now and then where frames and ticks meet
    assert slots >= min(wanted, span_s / max(interval_s, 1 / fps)) - 1 or slots >= 0.98 * wanted


@PATIENT
@given(fps=st.sampled_from([1, 2, 3, 5, 6, 10, 15, 30]), frames=st.integers(1, 300))
def test_whole_rates_of_thirty_frames_a_second_are_exact_also_with_rounded_time_stamps(fps: int, frames: int):
    cadence = PerSecond(fps)
    due = [i for i in range(frames) if cadence.is_due(i, round(i / 30, 3))]
    assert due == list(range(0, frames, 30 // fps))


def test_a_rate_that_does_not_divide_the_frames_is_kept_on_average():
    assert len(due_times(PerSecond(12), 1 / 30, 3001)) == 1201


@PATIENT
@given(fps=RATES, interval_s=INTERVALS, count=st.integers(0, 100), split=st.integers(0, 100))
def test_passing_over_counts_like_looking_where_frames_are_denser_than_slots(fps, interval_s, count, split):
    interval_s = min(interval_s, 0.5 / fps)
    looked, passed = PerSecond(fps), PerSecond(fps)
    first = due_times(looked, interval_s, split)
    for i in range(split):
        passed.is_due(i, i * interval_s)
    slots = sum(looked.is_due(i, i * interval_s) for i in range(split, split + count))
    assert passed.pass_over(split, count, (split + count - 1) * interval_s) == slots
    after = split + count
    assert [looked.is_due(i, i * interval_s) for i in range(after, after + 9)] == [
        passed.is_due(i, i * interval_s) for i in range(after, after + 9)
    ]
    assert len(first) <= split


@PATIENT
@given(fps=RATES, stop=st.integers(1, 200))
def test_a_successor_goes_on_where_the_other_stopped(fps: float, stop: int):
    whole = PerSecond(fps)
    for i in range(stop):
        whole.is_due(i, i / 25)
    successor = PerSecond(fps, after_s=(stop - 1) / 25)
    rest = range(stop, stop + 100)
    assert [successor.is_due(i, i / 25) for i in rest] == [whole.is_due(i, i / 25) for i in rest]


def test_another_rate_counts_from_the_last_slot():
    cadence = PerSecond(1)
    assert [i for i in range(30) if cadence.is_due(i, i / 25)] == [0, 25]
    cadence.ask(5)
    assert [i for i in range(30, 50) if cadence.is_due(i, i / 25)] == [30, 35, 40, 45]
    cadence.ask(0.5)
    assert [i for i in range(50, 200) if cadence.is_due(i, i / 25)] == [95, 145, 195]
    assert cadence.spacing_s(1 / 25) == 2.0


@PATIENT
@given(rates=st.lists(st.tuples(RATES, st.integers(1, 40)), min_size=1, max_size=8))
def test_no_rate_ever_asked_for_stops_slots_from_coming(rates):
    cadence, index = PerSecond(1), 0
    last_s = 0.0
    for fps, frames in rates:
        cadence.ask(fps)
        for _ in range(frames):
            now_s = index / 25
            if cadence.is_due(index, now_s):
                last_s = now_s
            assert now_s - last_s <= 1 / min(fps, 25) + 1 / 25
            index += 1


def test_every_nth_has_no_rate_to_change():
    with pytest.raises(ValueError, match="every 5th"):
        EveryNth(5).ask(2)
