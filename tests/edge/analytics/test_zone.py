"""Zones: even-odd, half-open edges, patient exits, one dwell for each stay."""

import pytest

from vedette.edge.analytics.zone import Change, WatchedZone

SQUARE = WatchedZone("yard", ((0, 0), (10, 0), (10, 10), (0, 10)), dwell_s=2.0)
RING = WatchedZone("ring", ((0, 0), (10, 0), (10, 10), (0, 10), (0, 0), (3, 3), (7, 3), (7, 7), (3, 7), (3, 3)))


def stay_through(zone, looks):
    stay, told = None, []
    for time_s, inside in looks:
        stay, change = zone.see(stay, inside, time_s)
        if change is not None:
            told.append((time_s, change, round(stay.dwell_s, 6)))
        if change is Change.EXITED:
            stay = None
    return told


@pytest.mark.parametrize(
    ("zone", "point", "inside"),
    [
        (SQUARE, (5, 5), True),
        (SQUARE, (11, 5), False),
        (SQUARE, (5, -1), False),
        (RING, (1, 5), True),
        (RING, (5, 5), False),
    ],
)
def test_even_odd(zone, point, inside):
    assert zone.contains(*point) is inside


def test_a_point_on_a_shared_edge_is_in_exactly_one_zone():
    right = WatchedZone("r", ((10, 0), (20, 0), (20, 10), (10, 10)))
    below = WatchedZone("b", ((0, 10), (10, 10), (10, 20), (0, 20)))
    assert SQUARE.contains(10, 5) + right.contains(10, 5) == 1
    assert SQUARE.contains(5, 10) + below.contains(5, 10) == 1


def test_enter_dwell_once_and_leave_with_the_time_inside():
    looks = [(0.0, False), (0.5, True), (1.5, True), (2.5, True), (4.0, True), (4.2, False), (4.6, False)]
    assert stay_through(SQUARE, looks) == [
        (0.5, Change.ENTERED, 0.0),
        (2.5, Change.DWELLED, 2.0),
        (4.6, Change.EXITED, 3.5),
    ]


def test_trembling_on_the_edge_is_one_stay():
    looks = [(0.2 * n, n % 2 == 0) for n in range(9)]
    assert [change for _, change, _ in stay_through(SQUARE, looks)] == [Change.ENTERED]


def test_who_comes_back_after_leaving_enters_anew_and_may_dwell_anew():
    looks = [(0, True), (2.5, True), (3, False), (4, False), (5, True), (7.5, True)]
    changes = [change for _, change, _ in stay_through(SQUARE, looks)]
    assert changes == [Change.ENTERED, Change.DWELLED, Change.EXITED, Change.ENTERED, Change.DWELLED]
