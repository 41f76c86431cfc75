"""The decoupled filters equal the textbook's matrices, and time may come in any pieces."""

import numpy as np
import pytest

from vedette.edge.analytics.kalman import (
    ACCELERATION,
    COVAR,
    FIRST_RATE,
    MOST_CORRECTION,
    NOISE,
    RATE,
    VALUE,
    VAR_RATE,
    VAR_VALUE,
    corners_of,
    correct,
    measure,
    predict,
    smooth,
    start_filters,
)

BOX = np.array([[70.0, 180.0, 130.0, 220.0]], np.float32)  # 60 x 40 around (100, 200)


def test_a_box_measured_and_drawn_again_is_the_same_box():
    boxes = np.array([[0, 0, 10, 30], [5.5, -4, 800, 2]], np.float32)
    measured = measure(boxes)
    assert measured.values[:2].T.tolist() == [[5, 15], [402.75, -1]]
    drawn = corners_of(measured.values).T
    assert drawn == pytest.approx(boxes, abs=1e-3)
    assert measured.areas_px.tolist() == pytest.approx([300, 794.5 * 6])


def test_an_empty_box_has_sides_of_one_pixel():
    measured = measure(np.array([[5, 5, 5, 5], [9, 9, 3, 3]], np.float32))
    assert measured.areas_px.tolist() == [1.0, 1.0]
    assert np.isfinite(measured.values).all()


@pytest.mark.parametrize("coordinate", range(4))
def test_one_coordinate_equals_the_matrix_form(coordinate):
    filters = start_filters(measure(BOX).values)
    state = np.array([filters[VALUE, coordinate, 0], 0.0])
    covariance = np.diag([NOISE[coordinate, 0], FIRST_RATE[coordinate, 0]])
    for step_s, off in [(0.1, 0.4), (0.2, 1.5), (0.05, 1.8)]:
        predict(filters, step_s)
        move = np.array([[1, step_s], [0, 1]])
        noise = np.array([[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]]) * ACCELERATION[coordinate, 0]
        state, covariance = move @ state, move @ covariance @ move.T + noise
        measured = measure(BOX).values
        measured[coordinate] += off
        new_values = correct(filters, np.array([0]), measured)
        gain = covariance[:, 0] / (covariance[0, 0] + NOISE[coordinate, 0])
        state = state + gain * (measured[coordinate, 0] - state[0])
        covariance = covariance - np.outer(gain, covariance[0])
        assert new_values[coordinate, 0] == pytest.approx(state[0])
        assert filters[:, coordinate, 0] == pytest.approx(
            [state[0], state[1], covariance[0, 0], covariance[0, 1], covariance[1, 1]]
        )


def test_two_steps_are_as_good_as_one():
    once, twice = start_filters(measure(BOX).values), start_filters(measure(BOX).values)
    once[RATE, 0] = twice[RATE, 0] = 30.0
    predict(once, 0.5)
    predict(twice, 0.2)
    predict(twice, 0.3)
    assert np.allclose(once, twice)
    assert once[VALUE, 0, 0] == pytest.approx(115.0)


def test_speed_is_learnt_from_positions_at_uneven_times():
    filters, time_s = start_filters(measure(BOX).values), 0.0
    for step_s in [0.1, 0.3, 0.2, 0.1, 0.4, 0.2]:
        time_s += step_s
        predict(filters, step_s)
        correct(filters, np.array([0]), measure(BOX + np.float32([80 * time_s, 0, 80 * time_s, 0])).values)
    assert filters[RATE, 0, 0] == pytest.approx(80.0, rel=0.05)
    assert filters[RATE, 1, 0] == pytest.approx(0.0, abs=1.0)


def test_only_the_named_filters_are_corrected():
    filters = start_filters(measure(np.repeat(BOX, 3, axis=0)).values)
    before = filters.copy()
    correct(filters, np.array([1]), measure(BOX + 10).values)
    assert (filters[:, :, [0, 2]] == before[:, :, [0, 2]]).all()
    assert (filters[VAR_VALUE, :, 1] < before[VAR_VALUE, :, 1]).all()
    assert (filters[COVAR, :, 1] == 0).all()
    assert (filters[VAR_RATE, :, 1] == before[VAR_RATE, :, 1]).all()  # no time has passed: nothing is learnt of speed


def test_a_shrinking_box_never_vanishes():
    filters = start_filters(measure(BOX).values)
    filters[RATE, 2] = -100.0
    predict(filters, 2.0)
    corners = corners_of(filters[VALUE])
    assert np.isfinite(corners).all()
    assert (corners[2:] >= corners[:2]).all()


def test_smoothing_never_moves_a_box_further_than_a_detector_trembles():
    measured = measure(BOX)
    side_px = np.sqrt(60 * 40)
    near, far = measured.values + 0.01, measured.values + np.array([[500.0], [-500.0], [2.0], [-2.0]])
    assert (smooth(near, measured.values, measured.areas_px) == near).all()
    moved = smooth(far, measured.values, measured.areas_px) - measured.values
    most = MOST_CORRECTION[:, 0]
    assert moved[:, 0] == pytest.approx([most[0] * side_px, -most[1] * side_px, most[2], -most[3]])
