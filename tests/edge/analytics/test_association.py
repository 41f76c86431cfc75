"""The assignment is the best one, whatever the gains."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vedette.edge.analytics.association import assign, pair_gains
from vedette.edge.analytics.kalman import start_filters

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


def test_a_box_of_another_class_needs_overlap_to_continue_a_track():
    track = start_filters(np.array([[100.0, 100.0, 40.0, 40.0]]))
    beside, over = np.array([[135.0, 100.0, 40.0, 40.0]]), np.array([[102.0, 100.0, 40.0, 40.0]])
    same, other = np.array([[True]]), np.array([[False]])
    track[:, 2] += 60.0**2  # its place is uncertain by 60 px
    assert pair_gains(track, beside, same)[0][0, 0] > 0
    assert pair_gains(track, beside, other)[0][0, 0] == 0
    assert 0 < pair_gains(track, over, other)[0][0, 0] < pair_gains(track, over, same)[0][0, 0]
