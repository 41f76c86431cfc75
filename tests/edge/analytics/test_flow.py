"""New objects are expected to move as those on the same way do, and anyhow where nobody is near."""

import numpy as np
import pytest

from vedette.edge.analytics.flow import expect_motion
from vedette.edge.analytics.kalman import FIRST_RATE, RATE, VAR_RATE, measure, start_filters


def filters_at(*centres, side=40.0, rate=(0.0, 0.0), rate_variance=0.01):
    boxes = np.array([[x - side / 2, y - side / 2, x + side / 2, y + side / 2] for x, y in centres], np.float32)
    filters = start_filters(measure(boxes.reshape(-1, 4)).values)
    filters[RATE, :2] = np.array(rate)[:, None]
    filters[VAR_RATE, :2] = rate_variance
    return filters


def test_who_follows_another_on_its_path_is_expected_to_move_like_it():
    new, leader = filters_at((100, 100)), filters_at((180, 100), rate=(240.0, 0.0))
    expect_motion(new, leader)
    assert new[RATE, 0, 0] > 120.0
    assert new[RATE, 1, 0] == 0.0
    assert new[VAR_RATE, 0, 0] < FIRST_RATE[0, 0]


def test_who_is_beside_anothers_path_is_not():
    new, neighbour = filters_at((100, 100)), filters_at((100, 260), rate=(240.0, 0.0))
    expect_motion(new, neighbour)
    assert abs(new[RATE, 0, 0]) < 1.0
    assert new[VAR_RATE, 0, 0] == pytest.approx(FIRST_RATE[0, 0], rel=0.01)


def test_an_object_of_another_size_says_little():
    like, unlike = filters_at((100, 100)), filters_at((100, 100))
    expect_motion(like, filters_at((140, 100), rate=(240.0, 0.0)))
    expect_motion(unlike, filters_at((140, 100), side=160.0, rate=(240.0, 0.0)))
    assert unlike[RATE, 0, 0] < 0.2 * like[RATE, 0, 0]


def test_two_that_go_opposite_ways_leave_the_direction_open():
    new = filters_at((100, 100))
    both = np.concatenate(
        [filters_at((140, 100), rate=(120.0, 0.0)), filters_at((60, 100), rate=(-120.0, 0.0))], axis=2
    )
    expect_motion(new, both)
    assert new[RATE, 0, 0] == pytest.approx(0.0, abs=1e-6)
    assert new[VAR_RATE, 0, 0] > 4.0  # (3 sides per s) squared, shared by two axes, and some


def test_a_new_scene_says_nothing():
    new = filters_at((100, 100))
    before = new.copy()
    expect_motion(new, new[:, :, :0])
    assert (new == before).all()
