"""What packet sizes say, on made-up cameras: steps are never missed, noise is learned, memory is bounded."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.edge.stream.gate import (
    HIDDEN_LIMIT,
    LEAST_KNOWN,
    MOST_ALLOWANCE,
    MOST_LIMIT,
    MOST_SUM,
    REMEMBERED,
    STRETCHES,
    PacketGate,
)

PICTURE_PX = 1920 * 1080
GROUP, FPS = 60, 30
LARGEST_MISSED = 2 ** (MOST_ALLOWANCE + MOST_LIMIT)  # times the normal size, whatever was learned


class Packets:
    """Packets of a still scene, keyframes and deltas, with log-normal noise; numbered in time."""

    def __init__(self, gate: PacketGate, normal: float, spread: float, seed: int = 1) -> None:
        self.gate, self.normal, self.spread = gate, normal, spread
        self.chance = random.Random(seed)
        self.number = 0

    def send(self, times_normal: float = 1.0) -> bool:
        keyframe = self.number % GROUP == 0
        size = self.normal * (20 if keyframe else 1) * times_normal * math.exp(self.chance.gauss(0, self.spread))
        self.number += 1
        return self.gate.see(int(size) + 1, keyframe, self.number / FPS)

    def stay_still(self, seconds: float) -> int:
        """Alarms, with a look every second that finds stillness."""
        alarms = 0
        for n in range(int(seconds * FPS)):
            alarms += self.send()
            if n % FPS == FPS - 1:
                self.gate.settle(moving=False)
        return alarms


def test_nothing_is_known_before_enough_still_packets() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 400, 0.2)
    for _ in range(LEAST_KNOWN):
        assert not packets.send(times_normal=1000)  # not even movement: there is no normal yet
    packets.gate.settle(moving=True)
    assert not packets.gate.ready
    packets.stay_still(1)
    assert packets.gate.ready


@pytest.mark.parametrize("normal", [50, 400, 3000])
def test_one_packet_of_several_times_the_normal_size_raises_the_alarm(normal: float) -> None:
    packets = Packets(PacketGate(PICTURE_PX), normal, 0.15)
    assert packets.stay_still(20) == 0
    floor = PICTURE_PX / 8192
    assert packets.send(times_normal=10 * (normal + floor) / normal)


def test_small_excess_raises_the_alarm_after_some_packets() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 2000, 0.1)
    packets.stay_still(20)
    taken = next(n for n in range(60) if packets.send(times_normal=2))
    assert 1 <= taken <= 6


def test_a_small_lasting_excess_is_found_where_sizes_are_steady() -> None:
    """A third more for a second, as a small object costs: less than sizes fall within a group of pictures."""
    packets = Packets(PacketGate(PICTURE_PX), 2000, 0.05)
    for n in range(20 * FPS):
        assert not packets.send(times_normal=2.0 - (n % GROUP) / GROUP)
        if n % GROUP == GROUP - 1:
            packets.gate.settle(moving=False)
    alarms = [packets.send(times_normal=1.33 * (2.0 - n / GROUP)) for n in range(GROUP * 2 // 3)]
    assert any(alarms)


def test_a_small_lasting_excess_is_found_where_rate_control_saves_up_and_makes_up_for_it() -> None:
    """As average bit rates do it: sizes fall for many groups, each third one is another, and all jump late."""
    chance = random.Random(5)
    gate, number = PacketGate(PICTURE_PX), 0

    def alarms_of_group(group: int, excess: float) -> int:
        nonlocal number
        jump, alarms = 46 + chance.randrange(5), 0
        for place in range(GROUP):
            size = 370_000.0 if place == 0 else 14_000 if place > jump else 4000 * (1 + 2 * math.exp(-place / 12))
            if group % 3 == 0:
                size *= 0.6 if 0 < place < 12 else 0.88
            size *= (1 + 0.5 * math.exp(-group / 4)) * (excess if 8 <= place < 46 else 1.0)
            number += 1
            alarms += gate.see(int(size * chance.lognormvariate(0, 0.01)), place == 0, number / FPS)
        gate.settle(moving=excess != 1.0)
        return alarms

    moving = (11, 22, 34)
    assert [group for group in range(61) if alarms_of_group(group, 1.2 if group in moving else 1.0)] == [*moving]


@pytest.mark.parametrize("spread", [0.05, 0.3, 0.6])
def test_noise_seldom_raises_the_alarm_once_it_is_known(spread: float) -> None:
    packets = Packets(PacketGate(PICTURE_PX), 800, spread)
    packets.stay_still(60)
    alarms = sum(packets.stay_still(1) > 0 for _ in range(120))
    assert alarms <= 4


def test_activity_is_never_learned_as_normal() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 500, 0.2)
    packets.stay_still(20)
    for _ in range(600 * FPS):
        packets.send(times_normal=10)
        packets.gate.settle(moving=True)
    for _ in range(2 * FPS):
        packets.send()
    packets.gate.settle(moving=False)
    assert packets.gate.calm
    assert any(packets.send(times_normal=10) for _ in range(3))


def test_rate_that_drifts_slowly_is_followed() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 500, 0.2)
    packets.stay_still(30)
    alarms = 0
    for _ in range(300):  # to 20 times as much in five minutes, as night falls
        packets.normal *= 1.01
        alarms += packets.stay_still(1) > 0
    assert alarms <= 6


def test_a_new_scene_is_known_a_second_after_it_is_started_afresh() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 300, 0.2)
    packets.stay_still(20)
    packets.normal = 5000
    assert packets.send()
    packets.gate.start_afresh()
    packets.stay_still(1)
    assert packets.gate.ready
    assert packets.gate.calm
    assert packets.stay_still(10) == 0


def test_packets_between_others_have_a_normal_of_their_own() -> None:
    gate = PacketGate(PICTURE_PX)
    chance = random.Random(3)

    def send_pair(number: int, between: int) -> bool:  # decode order: the later frame first
        alarm = gate.see(4000 + chance.randrange(400), False, (2 * number + 2) / FPS)
        return gate.see(between + chance.randrange(40), False, (2 * number + 1) / FPS) or alarm

    for number in range(300):
        assert not send_pair(number, 300)
        if number % 15 == 14:
            gate.settle(moving=False)
    assert any(send_pair(300 + n, 3000) for n in range(2))


@pytest.mark.parametrize(("normal", "tells"), [(400, True), (3000, True), (12000, True), (30000, False)])
def test_frames_filled_up_by_rate_control_carry_no_signal(normal: float, tells: bool) -> None:
    packets = Packets(PacketGate(PICTURE_PX), normal, 0.1)
    packets.stay_still(10)
    assert packets.gate.has_signal is tells


def test_sizes_that_are_the_same_in_movement_carry_no_signal() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 2000, 0.1)
    packets.stay_still(10)
    for _ in range(60):
        packets.send()
    packets.gate.settle(moving=True)
    assert not packets.gate.has_signal


def test_alarms_that_are_always_false_are_believed_no_more_until_one_is_true() -> None:
    packets = Packets(PacketGate(PICTURE_PX), 1000, 0.1)
    packets.stay_still(20)
    for _ in range(8):
        packets.send(times_normal=400)
        packets.gate.settle(moving=False)
        packets.stay_still(1)
    assert packets.gate.useless
    assert not packets.send(times_normal=400)
    for _ in range(3):
        packets.send(times_normal=400)
        packets.gate.settle(moving=True)
    assert not packets.gate.useless


def test_packets_that_came_since_are_not_judged_by_a_look_back() -> None:
    packets, undisturbed = (Packets(PacketGate(PICTURE_PX), 1000, 0.1) for _ in range(2))
    for each in (packets, undisturbed):
        each.stay_still(20)
        for _ in range(FPS):
            each.send()
    large = [packets.send(times_normal=40) for _ in range(5)]
    assert any(large)
    packets.gate.settle(moving=False, newer=5)
    undisturbed.gate.settle(moving=False)
    assert packets.gate._still[1].median == undisturbed.gate._still[1].median
    assert not packets.gate._alarms  # whether that one was false is not known yet
    packets.gate.settle(moving=True)
    assert list(packets.gate._alarms) == [True]


def test_sizes_that_come_back_to_normal_slowly_are_one_false_alarm() -> None:
    """Encoders repair a picture for seconds after something has gone; looks find it still all the while."""
    packets = Packets(PacketGate(PICTURE_PX), 1000, 0.1)
    packets.stay_still(20)
    for _ in range(10):
        packets.send(times_normal=40)
    packets.gate.settle(moving=True)
    for slot in range(12):
        for _ in range(5):
            packets.send(times_normal=20 * 0.8**slot)
        packets.gate.settle(moving=False)
    assert list(packets.gate._alarms) == [True, False]
    assert packets.gate.has_signal


Sizes = st.lists(st.tuples(st.integers(0, 1 << 24), st.booleans(), st.sampled_from("sml.")), max_size=400)


@settings(max_examples=60, deadline=None)
@given(Sizes, st.floats(0.5, 5))
def test_no_history_lets_a_large_step_pass(history: list[tuple[int, bool, str]], factor: float) -> None:
    """Whatever came before, sizes far enough above all that was learned as still raise the alarm, or none does."""
    gate = PacketGate(PICTURE_PX)
    largest, now = 1, 0.0
    for size, keyframe, look in history:
        now += 1 / FPS
        gate.see(size, keyframe, now)
        largest = max(largest, size)
        if look in "sm":
            gate.settle(moving=look == "m")
    if gate.useless or not gate._still[1].known:
        return
    step = factor * LARGEST_MISSED * (largest + PICTURE_PX / 8192)
    assert any(gate.see(int(step), False, now + n / FPS) for n in range(1, 3))


@settings(max_examples=60, deadline=None)
@given(Sizes, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_no_history_makes_the_state_explode(history: list[tuple[int, bool, str]], times: list[float]) -> None:
    gate = PacketGate(PICTURE_PX)
    for number, (size, keyframe, look) in enumerate(history * 3):
        gate.see(size, keyframe, times[number % len(times)])
        if look in "sm":
            gate.settle(moving=look == "m")
        elif look == "l":
            gate.drop_unsettled()
        assert 0 <= gate._sum <= MOST_SUM
        assert gate.limit <= (MOST_LIMIT if gate.has_signal else HIDDEN_LIMIT)
        assert len(gate._unsettled) <= REMEMBERED
        assert len(gate._peaks) <= STRETCHES
        for normal in (*gate._still, *gate._moving):
            assert len(normal._ordered) == len(normal._recent) <= REMEMBERED
            assert not normal.known or math.isfinite(normal.median)
