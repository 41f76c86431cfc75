"""The assignment is the best one, whatever the gains."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vedette.edge.analytics.association import assign, pair_gains, take_unrivalled
from vedette.edge.analytics.kalman import VAR_VALUE, Measured, measure, start_filters
from vedette.vision.boxes import iou_matrix

GAINS = st.tuples(st.integers(0, 5), st.integers(0, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.integers(-3, 9).map(lambda v: v / 8)))
)


def best_sum(gains):
    if gains.shape[0] > gains.shape[1]:
        gains = gains.T
    worth = np.maximum(gains, 0)
    rows = range(gains.shape[0])
    return max(
        sum(worth[r, c] for r, c in zip(rows, p, strict=True)) for p in permutations(range(gains.shape[1]), len(rows))
    )


@given(GAINS)
@settings(max_examples=400, deadline=None)
def test_assignment_is_one_to_one_positive_and_no_other_is_worth_more(gains):
    rows, columns = assign(gains.copy())
    assert len(set(rows.tolist())) == len(rows) == len(columns) == len(set(columns.tolist()))
    assert (gains[rows, columns] > 0).all()
    assert abs(gains[rows, columns].sum() - best_sum(gains)) < 1e-9


def test_large_ambiguous_assignment_beats_the_greedy_one():
    gains = np.random.default_rng(1).uniform(0.4, 0.6, (40, 60))
    rows, columns = assign(gains.copy())
    left, greedy = gains.copy(), 0.0
    for _ in range(40):
        row, column = np.unravel_index(left.argmax(), left.shape)
        greedy += left[row, column]
        left[row] = left[:, column] = -1
    assert len(rows) == 40
    assert gains[rows, columns].sum() >= greedy


def test_gains_are_not_changed_by_assigning():
    gains = np.array([[0.5, 0.4], [0.4, 0.1]])
    before = gains.copy()
    assert sorted(zip(*[a.tolist() for a in assign(gains)], strict=True)) == [(0, 1), (1, 0)]
    assert (gains == before).all()


@given(GAINS)
@settings(max_examples=400, deadline=None)
def test_pairs_without_a_rival_and_the_best_of_the_rest_are_the_best_of_all(gains):
    gains = np.maximum(gains, 0)
    rows, columns, left_rows, left_columns = take_unrivalled(*gains.nonzero())
    assert (gains[rows, columns] > 0).all()
    rest_rows, rest_columns = assign(gains[np.ix_(left_rows, left_columns)])
    rows, columns = np.append(rows, left_rows[rest_rows]), np.append(columns, left_columns[rest_columns])
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))
    assert abs(gains[rows, columns].sum() - best_sum(gains)) < 1e-9


def at(x, y, side=40.0):
    return np.array([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]], np.float32)


def of_one_camera(measured):
    return Measured(*(values[..., None, :] for values in measured))


def gain(filters, box, same=True, unseen_s=0.1):
    measured = of_one_camera(measure(box))
    return pair_gains(filters[:, :, None], np.array([[unseen_s]]), measured, np.array([[[same]]]))[0][0, 0, 0]


def track_with_uncertain_place():
    track = start_filters(measure(at(100, 100)).values)
    track[VAR_VALUE, :2] = 1.5**2  # sides
    return track


def test_a_box_of_another_class_needs_overlap_to_continue_a_track():
    track = track_with_uncertain_place()
    assert gain(track, at(145, 100)) > 0
    assert gain(track, at(145, 100), same=False) == 0
    assert 0 < gain(track, at(102, 100), same=False) < gain(track, at(102, 100))


def test_far_is_measured_in_what_is_unknown():
    certain = start_filters(measure(at(100, 100)).values)
    assert gain(certain, at(160, 100)) == 0
    assert gain(track_with_uncertain_place(), at(160, 100)) > 0
    assert gain(track_with_uncertain_place(), at(300, 100)) == 0


def test_a_box_of_another_size_is_no_candidate_without_overlap():
    track = track_with_uncertain_place()
    assert gain(track, at(145, 100, side=40)) > 0
    assert gain(track, at(145, 100, side=15)) == 0


def test_a_track_just_seen_comes_before_one_long_gone():
    track = track_with_uncertain_place()
    assert gain(track, at(110, 100), unseen_s=0.1) > gain(track, at(110, 100), unseen_s=0.6) > 0


def test_overlap_is_that_of_vision():
    random = np.random.default_rng(4)
    corner = random.uniform(0, 200, (9, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 120, (9, 2))], axis=1).astype(np.float32)
    filters = start_filters(measure(boxes[:5]).values)[:, :, None]
    (overlap,) = pair_gains(filters, np.zeros((1, 5)), of_one_camera(measure(boxes[5:])), None)[1]
    assert np.allclose(overlap, iou_matrix(boxes[:5], boxes[5:]), atol=1e-5)
    assert overlap.max() > 0.1
