"""The arithmetic of capacity: what must hold whatever a box costs."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vedette.edge.stream.capacity import (
    DECODE,
    RESERVE,
    SKIPS,
    CameraWork,
    UnitCost,
    answer,
    answers_by_rate,
    rate_for,
)

PATIENT = settings(deadline=None)  # a busy machine takes its time

COSTS = st.floats(0.01, 100).map(lambda ms: UnitCost(ms * 0.9, ms))
WORKS = st.builds(
    CameraWork, st.sampled_from([5.0, 12.5, 25.0, 30.0, 60.0]), COSTS,
    st.fixed_dictionaries({"resizing": COSTS, "inference": COSTS, "tracking": COSTS}),
)  # fmt: skip
RATES = st.floats(0.1, 60)
PROCESSORS = st.integers(1, 128)


def test_the_published_example():
    """Two cores, 4.8 ms a frame, 16.5 ms a detection on every fifth frame: 8.2 streams of 30 frames a second."""
    work = CameraWork(30.0, UnitCost(4.8, 4.8), {"resizing": UnitCost(0.7, 0.7), "inference": UnitCost(15.8, 15.8)})
    found = answer(work, 6.0, processors=2)
    assert found.full == pytest.approx(2000 / 30 / (4.8 + 16.5 / 5))
    assert (found.planned, found.bottleneck) == (6, DECODE)  # of 6.997: what is planned with is never rounded up
    assert found.shares[DECODE] == pytest.approx(4.8 / (4.8 + 3.3))


def test_only_decoding_is_an_answer_too():
    found = answer(CameraWork(25.0, UnitCost(3, 4), {}), 0.0, processors=4)
    assert (found.full, found.planned, found.bottleneck) == (pytest.approx(40.0), 34, DECODE)


@PATIENT
@given(work=WORKS, rate=RATES, processors=PROCESSORS)
def test_shares_are_a_whole_and_the_bottleneck_is_the_largest(work, rate, processors):
    found = answer(work, rate, processors)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.shares[found.bottleneck] == max(found.shares.values())
    assert found.planned <= RESERVE * found.full + 1e-6 and found.planned > RESERVE * found.full - 1 - 1e-6


@PATIENT
@given(work=WORKS, rate=RATES, processors=PROCESSORS)
def test_more_processors_carry_more_and_more_detection_carries_less(work, rate, processors):
    full = answer(work, rate, processors).full
    assert answer(work, rate, 2 * processors).full == pytest.approx(2 * full)
    assert answer(work, 2 * rate, processors).full <= full + 1e-9
    dearer = replace(work, per_frame=UnitCost(1, work.per_frame.loaded_ms + 1))
    assert answer(dearer, rate, processors).full < full


@PATIENT
@given(work=WORKS, rate=RATES, processors=PROCESSORS)
def test_nobody_detects_on_more_frames_than_there_are(work, rate, processors):
    found = answer(work, rate, processors)
    assert found.detections_per_s <= work.frames_per_s
    assert answer(work, work.frames_per_s + rate, processors) == answer(work, work.frames_per_s, processors)


@PATIENT
@given(work=WORKS, cameras=st.integers(1, 300), processors=PROCESSORS)
def test_the_rate_for_so_many_cameras_is_what_just_fits(work, cameras, processors):
    rate = rate_for(work, cameras, processors)
    assert 0 <= rate <= work.frames_per_s
    if 0 < rate < work.frames_per_s:
        assert RESERVE * answer(work, rate, processors).full == pytest.approx(cameras)
    elif rate == 0:
        assert cameras * work.frames_per_s * work.per_frame.loaded_ms >= RESERVE * 1000 * processors * (1 - 1e-9)
    else:
        assert RESERVE * answer(work, rate, processors).full >= cameras * (1 - 1e-9)


@PATIENT
@given(work=WORKS, processors=PROCESSORS)
def test_the_table_grows_with_every_step(work, processors):
    assume(work.slot_ms > 0)
    table = answers_by_rate(work, processors)
    assert list(table) == list(SKIPS)
    fulls = [one.full for one in table.values()]
    assert fulls == sorted(fulls)
