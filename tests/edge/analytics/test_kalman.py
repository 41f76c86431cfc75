"""The decoupled filters equal the textbook's matrices, and time may come in any pieces."""

import numpy as np
import pytest

from vedette.edge.analytics.kalman import (
    ACCELERATION,
    FIRST_RATE,
    POSITION_NOISE,
    RATE,
    VALUE,
    VAR_RATE,
    VAR_VALUE,
    correct,
    predict,
    start_filters,
)

BOX = np.array([[100.0, 200.0, 60.0, 40.0]])  # mean side 50


def test_one_coordinate_equals_the_matrix_form():
    filters = start_filters(BOX)
    state, covariance = np.array([100.0, 0.0]), np.diag([(POSITION_NOISE * 50) ** 2, (FIRST_RATE[0] * 50) ** 2])
    for step_s, measured_px in [(0.1, 104.0), (0.2, 115.0), (0.05, 118.0)]:
        side_px = filters[0, VALUE, 2:].mean()
        predict(filters, step_s)
        move = np.array([[1, step_s], [0, 1]])
        noise = ACCELERATION[0] * side_px**2 * np.array([[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]])
        state, covariance = move @ state, move @ covariance @ move.T + noise
        correct(filters, np.array([0]), np.array([[measured_px, 200.0, 60.0, 40.0]]))
        gain = covariance[:, 0] / (covariance[0, 0] + (POSITION_NOISE * 50) ** 2)
        state = state + gain * (measured_px - state[0])
        covariance = covariance - np.outer(gain, covariance[0])
        assert filters[0, VALUE, 0] == pytest.approx(state[0])
        assert filters[0, RATE, 0] == pytest.approx(state[1])
        assert filters[0, VAR_VALUE, 0] == pytest.approx(covariance[0, 0])
        assert filters[0, VAR_RATE, 0] == pytest.approx(covariance[1, 1])


def test_two_steps_are_as_good_as_one():
    once, twice = start_filters(BOX), start_filters(BOX)
    once[:, RATE, 0] = twice[:, RATE, 0] = 30.0
    predict(once, 0.5)
    predict(twice, 0.2)
    predict(twice, 0.3)
    assert np.allclose(once, twice)


def test_speed_is_learnt_from_positions_at_uneven_times():
    filters, time_s = start_filters(BOX), 0.0
    for step_s in [0.1, 0.3, 0.2, 0.1, 0.4, 0.2]:
        time_s += step_s
        predict(filters, step_s)
        correct(filters, np.array([0]), BOX + np.array([[80.0 * time_s, 0, 0, 0]]))
    assert filters[0, RATE, 0] == pytest.approx(80.0, rel=0.05)
    assert filters[0, RATE, 1] == pytest.approx(0.0, abs=1.0)


def test_a_shrinking_box_never_vanishes():
    filters = start_filters(BOX)
    filters[:, RATE, 2:] = -100.0
    predict(filters, 2.0)
    assert (filters[0, VALUE, 2:] == 1.0).all()
