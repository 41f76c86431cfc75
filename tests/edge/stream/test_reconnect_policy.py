"""When a live camera that went away is opened again, and what is said of it."""

import logging
import threading

import pytest

from vedette.edge.stream import reconnect
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import Retry
from vedette.edge.stream.reconnect import (
    MOST_PAUSE_ODD_S,
    MOST_PAUSE_S,
    MOST_SLOW_PAUSE_S,
    QUICK_TRIES,
    BackOff,
    Comeback,
)
from vedette.edge.stream.statistics import CameraCounters, CameraState

LIVE = CameraSpec("gate", "rtsp://10.0.0.5/live")


class Clock:
    """Stands still between two `pass_s`."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1.7e9 + self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


class Pauses(threading.Event):
    """What a run is stopped by; waiting for it takes the clock's time alone."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.waited_s = clock, []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited_s.append(timeout)
        self.clock.pass_s(timeout)
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reconnect, "time", clock)
    return clock


def make(clock: Clock, spec: CameraSpec = LIVE, give_up_after_s: float | None = None):
    counters, pauses = CameraCounters("gate"), Pauses(clock)
    counters.state = CameraState.RUNNING
    return Comeback(spec, counters, pauses, give_up_after_s), counters, pauses


def test_pauses_double_up_to_three_seconds_and_are_drawn_by_lot():
    longest, shortest = BackOff(lambda: 1.0), BackOff(lambda: 0.0)
    pauses_s = [longest.pause_s(Retry.SOON, has_worked=True) for _ in range(6)]
    assert pauses_s == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert [shortest.pause_s(Retry.SOON, has_worked=True) for _ in range(6)] == [pause / 2 for pause in pauses_s]
    longest.reset()
    assert longest.pause_s(Retry.SOON, has_worked=True) == 0.5
    drawn = {BackOff().pause_s(Retry.SOON, has_worked=True) for _ in range(20)}
    assert len(drawn) > 10


def test_a_wrong_password_is_tried_again_more_and_more_seldom_a_wrong_path_so_that_it_is_back_within_ten_seconds():
    password, path = BackOff(lambda: 1.0), BackOff(lambda: 1.0)
    pauses_s = [password.pause_s(Retry.SELDOM, has_worked=False) for _ in range(40)]
    assert pauses_s[:3] == [10.0, 20.0, 40.0] and pauses_s[-1] == MOST_SLOW_PAUSE_S
    pauses_s = [path.pause_s(Retry.SLOWLY, has_worked=False) for _ in range(40)]
    assert pauses_s[0] == 0.5 and pauses_s[-1] == MOST_PAUSE_ODD_S <= 10.0 - MOST_PAUSE_S


def test_a_camera_that_has_worked_is_believed_to_be_starting_but_not_asked_for_ever_with_a_password_it_refuses():
    path, password = BackOff(lambda: 1.0), BackOff(lambda: 1.0)
    assert max(path.pause_s(Retry.SLOWLY, has_worked=True) for _ in range(40)) == MOST_PAUSE_S
    pauses_s = [password.pause_s(Retry.SELDOM, has_worked=True) for _ in range(QUICK_TRIES + 2)]
    assert max(pauses_s[:QUICK_TRIES]) == MOST_PAUSE_S and pauses_s[QUICK_TRIES:] == [10.0, 20.0]


def test_an_absence_is_one_line_each_way_and_stands_in_the_statistics(clock: Clock, caplog: pytest.LogCaptureFixture):
    comeback, counters, _ = make(clock)
    counters.count_frame(clock.now_s)
    seen_s = clock.now_s
    clock.pass_s(4.0)  # until it is noticed
    for reason in ("it is silent", "it refuses the connection", "it refuses the connection"):
        assert comeback.wait(reason, Retry.SOON, seen_s) is None
    away = counters.snapshot(clock.now_s)
    assert (away.state, away.error) == (CameraState.OFFLINE, "it refuses the connection")
    assert away.offline_since_unix_s == 1.7e9 + seen_s and away.reconnects == 0
    counters.state = CameraState.RUNNING  # it is open, but gives no frame yet
    assert counters.snapshot(clock.now_s).state is CameraState.OFFLINE
    counters.count_frame(clock.now_s)
    here = counters.snapshot(clock.now_s)
    assert (here.state, here.error, here.offline_since_unix_s, here.reconnects) == (CameraState.RUNNING, None, None, 1)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "it is silent; it is tried again until it answers",
        f"camera 'gate' is back after {clock.now_s - seen_s:.0f} s",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_who_must_do_something_is_told_while_the_camera_is_away(clock: Clock, caplog: pytest.LogCaptureFixture):
    comeback, _, pauses = make(clock)
    for _ in range(3):
        comeback.wait("nobody answers", Retry.SOON, None)
    for _ in range(3):
        comeback.wait("wrong password", Retry.SELDOM, None)
    assert [record.getMessage() for record in caplog.records] == [
        "nobody answers; it is tried again until it answers",
        "wrong password; it is tried again now and then",
    ]
    assert all(pause_s >= 5.0 for pause_s in pauses.waited_s[3:])


def test_a_camera_that_comes_and_goes_does_not_flood_the_log_nor_is_it_hammered(
    clock: Clock, caplog: pytest.LogCaptureFixture
):
    comeback, counters, pauses = make(clock)
    for _ in range(20):
        counters.count_frame(clock.now_s)
        comeback.wait("it hung up", Retry.SOON, clock.now_s)
    counters.count_frame(clock.now_s)
    assert counters.reconnects == 20 and min(pauses.waited_s[4:]) >= MOST_PAUSE_S / 2
    assert len(caplog.records) <= 4
    clock.pass_s(reconnect.QUIET_S)
    caplog.clear()
    comeback.wait("it hung up", Retry.SOON, clock.now_s)
    assert "more times since it was last told of" in caplog.text
    assert pauses.waited_s[-1] <= 0.5  # it had been well for a minute


def test_a_try_that_hung_is_a_pause_itself(clock: Clock):
    comeback, _, pauses = make(clock)
    for _ in range(8):
        comeback.wait("it does not answer", Retry.SOON, None)
        clock.pass_s(5.0)
    assert max(pauses.waited_s[1:]) <= 0.25


def test_it_is_given_up_when_its_time_is_over(clock: Clock):
    comeback, counters, pauses = make(clock, give_up_after_s=20.0)
    given_up = None
    while given_up is None:
        given_up = comeback.wait("it refuses", Retry.SOON, None)
    assert given_up == "it refuses; it did not come back within 20 s and is given up"
    assert 19.5 <= sum(pauses.waited_s) <= 20.5 and counters.offline_since_unix_s is not None


def test_files_films_and_who_shall_not_wait_are_over_at_once(clock: Clock):
    file, hopeless, at_once = make(clock, CameraSpec("gate", "a.mp4")), make(clock), make(clock, give_up_after_s=0)
    assert file[0].wait("broken", Retry.SOON, None) == "broken"
    assert hopeless[0].wait("no such form", Retry.NEVER, None) == "no such form"
    assert at_once[0].wait("away", Retry.SOON, None) == "away"
    assert not file[2].waited_s and not hopeless[2].waited_s and not at_once[2].waited_s


def test_whoever_is_in_a_hurry_ends_the_wait(clock: Clock):
    hurry = threading.Event()
    comeback = Comeback(LIVE, CameraCounters("gate"), hurry, None)
    hurry.set()
    assert comeback.wait("wrong password", Retry.SELDOM, None) is None  # else it would take ten seconds
    assert not hurry.is_set(), "once"
