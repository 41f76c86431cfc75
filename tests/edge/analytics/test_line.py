"""Crossings: direction as seen in the picture, once for each real passage, nothing lost at ends and on the line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.contracts.event import Direction
from vedette.edge.analytics.line import CountingLine

A_TO_B, B_TO_A = Direction.A_TO_B, Direction.B_TO_A
SIZE_PX = 20.0  # clear of the line beyond 3 px


def walk(line, points, size_px=SIZE_PX):
    passage = line.begin(*points[0], size_px)
    return [found for point in points[1:] for found in line.move(passage, *point, size_px)]


def net(directions):
    return directions.count(A_TO_B) - directions.count(B_TO_A)


# Standing on start and facing end, in a picture whose y grows downward.
@pytest.mark.parametrize(
    ("start", "end", "left", "right"),
    [
        pytest.param((0, 50), (100, 50), (50, 20), (50, 80), id="facing right: left is up"),
        pytest.param((100, 50), (0, 50), (50, 80), (50, 20), id="facing left: left is down"),
        pytest.param((50, 0), (50, 100), (80, 50), (20, 50), id="facing down: left is to the right"),
        pytest.param((50, 100), (50, 0), (20, 50), (80, 50), id="facing up: left is to the left"),
    ],
)
def test_a_is_on_the_left_of_start_to_end_as_seen_in_the_picture(start, end, left, right):
    line = CountingLine("l", start, end)
    assert walk(line, [left, right]) == [A_TO_B]
    assert walk(line, [right, left]) == [B_TO_A]


LINE = CountingLine("l", (0.0, 0.0), (100.0, 0.0))  # a is above (negative y)


def test_passing_beside_the_ends_is_no_crossing():
    assert walk(LINE, [(-5, -20), (-5, 20)]) == []
    assert walk(LINE, [(105, -20), (105, 20)]) == []
    assert walk(LINE, [(-30, 20), (30, -90)]) == []  # the ways cross, the segments do not


def test_an_object_first_seen_beyond_the_line_is_not_counted():
    assert walk(LINE, [(50, 10), (50, 30), (50, 60)]) == []


def test_one_long_step_across_counts():
    assert walk(LINE, [(50, -500), (50, 500)]) == [A_TO_B]


def test_stopping_exactly_on_the_line_and_going_on_counts_once():
    assert walk(LINE, [(50, -20), (50, 0), (50, 20)]) == [A_TO_B]
    assert walk(LINE, [(50, 20), (50, 0), (50, -20)]) == [B_TO_A]


def test_touching_the_line_and_turning_back_adds_up_to_nothing():
    assert net(walk(LINE, [(50, -20), (50, 0), (50, -20)])) == 0
    assert walk(LINE, [(50, 20), (50, 0), (50, 20)]) == []


def test_trembling_on_the_line_counts_one_passage():
    trembling = [(50, 1.5 if n % 2 else -1.5) for n in range(40)]
    assert walk(LINE, [(50, -30), *trembling, (50, 30)]) == [A_TO_B]


def test_an_object_that_stands_on_the_line_is_never_counted():
    assert walk(LINE, [(50, 1.5 if n % 2 else -1.5) for n in range(40)]) == []


def test_a_real_return_counts_again():
    assert walk(LINE, [(50, -20), (50, 20), (50, -20), (50, 20)]) == [A_TO_B, B_TO_A, A_TO_B]


def test_a_passage_that_was_taken_back_is_taken_back_in_the_counts():
    assert walk(LINE, [(50, -30), (50, 1), (50, -1), (50, -30)]) == [A_TO_B, B_TO_A]


COORDINATE = st.integers(-40, 140).map(float)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=30)
ENDS = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE).filter(lambda e: e[:2] != e[2:])


@given(POINTS, st.floats(1, 60))
@settings(max_examples=300, deadline=None)
def test_across_a_line_without_ends_the_counts_add_up_to_the_change_of_side(points, size_px):
    line = CountingLine("l", (-1e6, 50.0), (1e6, 50.0))
    start, end = (points[0][0], -1000.0), (points[-1][0], 1000.0)
    assert net(walk(line, [start, *points, end], size_px)) == 1
    assert net(walk(line, [start, *points, start], size_px)) == 0
    assert net(walk(line, [end, *points, start], size_px)) == -1


@given(ENDS, POINTS)
@settings(max_examples=300, deadline=None)
def test_a_closed_path_crosses_any_line_as_often_as_it_winds_and_back_again_to_nothing(ends, points):
    line = CountingLine("l", ends[:2], ends[2:])
    far = (1000.0, 999.0)
    there = walk(line, [far, *points, far])
    back = walk(line, [far, *reversed(points), far])
    assert net(there) == -net(back)


@given(ENDS, POINTS, st.tuples(COORDINATE, COORDINATE))
@settings(max_examples=300, deadline=None)
def test_joined_lines_count_as_one(ends, points, corner):
    """A closed polygon of three lines: what enters less what leaves is what is inside."""
    corners = [ends[:2], ends[2:], corner]
    area = (ends[2] - ends[0]) * (corner[1] - ends[1]) - (ends[3] - ends[1]) * (corner[0] - ends[0])
    if area == 0:
        return
    far = (1000.0, 999.0)
    total = sum(net(walk(CountingLine("l", corners[n], corners[(n + 1) % 3]), [far, *points, far])) for n in range(3))
    assert total == 0
