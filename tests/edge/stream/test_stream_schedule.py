"""Fair turns by deadline, max-min shares, and how much detection a machine is asked for: simulated, without a clock."""

import itertools
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vedette.edge.stream.schedule import (
    BUSY_TARGET,
    LEAST_PER_S,
    Observed,
    RateControl,
    Turns,
    demand_per_s,
    fair_rates,
)

PATIENT = settings(deadline=None)  # a busy machine takes its time

# What happens to a few cameras: a number is a slot of that camera, None is a turn of the detector
HAPPENINGS = st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=300)


def play(happenings, deadlines=lambda camera, now: now + 1.0):
    """(cameras waiting before each turn, the camera served), with time going on by one for everything that happens."""
    turns, waiting, served = Turns(6), {}, []
    for now, camera in enumerate(happenings):
        if camera is None:
            before = dict(waiting)
            chosen = turns.next()
            served.append((before, chosen))
            if chosen is not None:
                del waiting[chosen]
        else:
            turns.wait(camera, deadlines(camera, now))
            waiting.setdefault(camera, now)
    return served


@PATIENT
@given(HAPPENINGS)
def test_somebody_who_waits_is_served_and_nobody_else(happenings):
    for waiting, chosen in play(happenings):
        assert (chosen in waiting) if waiting else chosen is None


@PATIENT
@given(HAPPENINGS)
def test_nobody_starves(happenings):
    passed_by = dict.fromkeys(range(6), 0)
    for waiting, chosen in play(happenings):
        for camera in waiting:
            passed_by[camera] = 0 if camera == chosen else passed_by[camera] + 1
            assert passed_by[camera] <= 2 * 5


@PATIENT
@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 10)), max_size=60), st.integers(1, 200), st.integers(0, 2**31)
)
def test_cameras_that_always_wait_get_equal_shares_whatever_the_others_do(others, served, seed):
    chance, turns, shares = random.Random(seed), Turns(6), [0] * 6
    greedy = {0, 1, 2}
    for _ in range(served):
        for camera in greedy:
            turns.wait(camera, chance.random())  # deadlines in any order must not matter
        for camera, deadline_s in others:
            if chance.random() < 0.3:
                turns.wait(camera, deadline_s)
        shares[turns.next()] += 1
        got = [shares[camera] for camera in greedy]
        assert max(got) - min(got) <= 1
        assert max(shares) <= max(got) + 1  # and who waits now and then gets no more


@PATIENT
@given(st.permutations(range(6)))
def test_within_a_round_the_earliest_deadline_is_first(deadlines):
    turns = Turns(6)
    for camera, deadline_s in enumerate(deadlines):
        turns.wait(camera, deadline_s)
    assert [deadlines[turns.next()] for _ in range(6)] == sorted(deadlines)


def test_being_overtaken_by_a_newer_slot_keeps_the_turn():
    turns = Turns(2)
    turns.wait(0, 1.0)
    turns.wait(1, 2.0)
    turns.wait(0, 9.0)  # a newer slot of the same camera
    assert [turns.next(), turns.next(), turns.next()] == [0, 1, None]


def test_who_had_nothing_to_do_saves_up_no_claims():
    turns = Turns(2)
    for _ in range(50):
        turns.wait(0, 0.0)
        assert turns.next() == 0
    served = []
    for _ in range(10):
        turns.wait(0, 0.0)
        turns.wait(1, 0.0)
        served.append(turns.next())
    assert served.count(1) == 5


@PATIENT
@given(total=st.floats(0, 1000), wanted=st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_shares_are_max_min_fair(total, wanted):
    shares = fair_rates(total, wanted)
    assert sum(shares) == pytest.approx(min(total, sum(wanted)), abs=1e-6)
    assert all(0 <= share <= want + 1e-9 for share, want in zip(shares, wanted, strict=True))
    unmet = [share for share, want in zip(shares, wanted, strict=True) if share < want - 1e-6]
    if unmet:
        assert max(unmet) - min(unmet) < 1e-6 and max(shares) <= max(unmet) + 1e-6


class Machine:
    """Processors that decode first and detect with what is left: what a second of asking for `total` shows."""

    def __init__(self, processors: int, decoding: float, cost_s: float, others: float = 0.0) -> None:
        self.processors, self.decoding, self.cost_s = processors, decoding, cost_s  # busy share, CPU-s per detection
        self.others = others  # share that other programs take, as long as we leave it; never more than half

    @property
    def capacity(self) -> float:
        return (1 - min(self.others, 0.5) - self.decoding) * self.processors / self.cost_s

    def second(self, total: float, believed: float = 1.0, network_late: bool = False) -> Observed:
        done = min(total, self.capacity)
        ours = min(self.decoding + done * self.cost_s / self.processors, 1.0)
        busy = min(ours + self.others, 1.0)
        late = network_late or ours > 0.97 - min(self.others, 0.5)
        return Observed(
            busy_share=busy, our_share=ours, processors=self.processors, cpu_s_per_detection=believed * self.cost_s,
            detected_per_s=done, overtaken_per_s=max(total - done, 0.0), decoders_late=late,
        )  # fmt: skip


MACHINES = st.builds(Machine, st.integers(1, 64), st.floats(0, 0.7), st.floats(0.001, 0.1))


@PATIENT
@given(machine=MACHINES, cameras=st.integers(1, 32), believed=st.floats(0.6, 3), start=st.floats(0.1, 1000))
def test_detection_takes_what_decoding_leaves_and_stays_there(machine, cameras, believed, start):
    ideal = (BUSY_TARGET - machine.decoding) * machine.processors / machine.cost_s
    assume(ideal > 1.2 * cameras * LEAST_PER_S)
    control = RateControl(cameras, start)
    for _ in range(60):
        control.update(machine.second(control.total_per_s, believed))
    settled = [control.update(machine.second(control.total_per_s, believed)) for _ in range(20)]
    assert all(total == pytest.approx(ideal, rel=0.1) for total in settled)


@PATIENT
@given(machine=MACHINES, cameras=st.integers(1, 32), decoding=st.floats(0.7, 0.85))
def test_decoding_that_grows_is_given_way_within_seconds(machine, cameras, decoding):
    control = RateControl(cameras, 1.0)
    for _ in range(60):
        control.update(machine.second(control.total_per_s))
    machine.decoding = decoding
    for _ in range(10):
        control.update(machine.second(control.total_per_s))
    busy = machine.decoding + control.total_per_s * machine.cost_s / machine.processors
    assert busy <= BUSY_TARGET + 0.05 or control.total_per_s <= 1.1 * cameras * LEAST_PER_S


@PATIENT
@given(st.integers(1, 64), st.floats(0, 0.15), st.floats(0.001, 0.05), st.floats(0.5, 1.0))
def test_a_machine_that_others_keep_busy_gives_a_share_too(processors, decoding, cost_s, others):
    machine, control = Machine(processors, decoding, cost_s, others), RateControl(1, 1.0)
    for _ in range(60):
        control.update(machine.second(control.total_per_s))
    settled = [control.update(machine.second(control.total_per_s)) for _ in range(30)]
    ours = [machine.decoding + total * cost_s / processors for total in settled]
    assert max(ours) <= 0.55 and (min(ours) >= 0.2 or control.total_per_s == LEAST_PER_S)


def test_a_stalled_network_is_no_reason_to_give_way():
    machine, control = Machine(2, 0.1, 0.02), RateControl(4, 20.0)
    assert control.update(machine.second(20.0, network_late=True)) > 20.0


def test_an_engine_that_is_behind_is_asked_for_less_though_processors_are_idle():
    control = RateControl(2, 100.0)  # a GPU, say
    control.update(Observed(0.2, 0.2, 4, 0.001, detected_per_s=40.0, overtaken_per_s=60.0, decoders_late=False))
    assert control.total_per_s == pytest.approx(36.0)


def test_quiet_cameras_prove_no_capacity():
    control = RateControl(8, 40.0)
    for _ in range(100):
        control.update(Observed(0.05, 0.05, 2, 0.02, detected_per_s=4.0, overtaken_per_s=0.0, decoders_late=False))
    assert control.total_per_s <= 12.0


def test_demand_is_every_frame_or_what_a_quiet_camera_used():
    assert demand_per_s(30.0, asked_per_s=6.0, detected_per_s=5.8) == 30.0
    assert demand_per_s(30.0, asked_per_s=6.0, detected_per_s=0.5) == 1.0
    assert demand_per_s(30.0, asked_per_s=10.0, detected_per_s=3.0) == 6.0
    assert demand_per_s(0.0, asked_per_s=1.0, detected_per_s=0.0) == LEAST_PER_S


def test_turns_cost_no_order_of_the_cameras():
    """Ties are broken by number only where rounds and deadlines are equal, and even out over a round."""
    turns = Turns(3)
    order = []
    for _ in range(4):
        for camera in range(3):
            turns.wait(camera, 0.0)
        order.append(turns.next())
    assert len(set(itertools.islice(order, 3))) == 3
