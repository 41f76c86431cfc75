"""Anchors are found where the boxes are, the same every time."""

import numpy as np
import pytest

from vedette.learn.darknet.anchors import fit_anchors, mean_best_iou
from vedette.learn.darknet.errors import FamilyError

CENTRES = np.array([[10, 14], [30, 20], [20, 60], [90, 80], [200, 60], [150, 300]], float)


def boxes(seed: int = 0) -> np.ndarray:
    """Sizes scattered by 5 % around six centres, in no order."""
    random = np.random.default_rng(seed)
    sizes = np.repeat(CENTRES, 200, axis=0)
    return random.permutation(sizes * random.normal(1, 0.05, sizes.shape))


def test_clusters_are_found_and_sorted_by_area():
    anchors = fit_anchors(boxes(), 6)

    np.testing.assert_allclose(anchors, CENTRES, rtol=0.03)


def test_the_same_boxes_and_seed_give_the_same_anchors():
    assert np.array_equal(fit_anchors(boxes(), 9, seed=5), fit_anchors(boxes(), 9, seed=5))


def test_as_many_sizes_as_anchors_give_the_sizes():
    anchors = fit_anchors(np.repeat(CENTRES, 3, axis=0), 6, seed=1)

    np.testing.assert_allclose(anchors, CENTRES)


def test_mean_best_iou_is_that_of_boxes_on_one_centre():
    assert mean_best_iou(np.array([[10.0, 10], [20, 10]]), np.array([[10.0, 10], [40, 10]])) == pytest.approx(0.75)


def test_fitted_anchors_fit_better_than_the_familys():
    tiny = np.array([[10, 14], [23, 27], [37, 58], [81, 82], [135, 169], [344, 319]], float)

    assert mean_best_iou(boxes(), fit_anchors(boxes(), 6)) > mean_best_iou(boxes(), tiny) + 0.1


def test_many_boxes_are_sampled():
    many = np.random.default_rng(0).uniform(5, 300, (200_000, 2))

    assert mean_best_iou(many, fit_anchors(many, 6)) > 0.6


def test_too_few_different_sizes_are_refused():
    with pytest.raises(FamilyError, match="6 anchors need boxes of at least 6 different sizes; the data has 5"):
        fit_anchors(np.repeat(CENTRES[:5], 100, axis=0), 6)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_sizes_that_are_no_sizes_are_refused(value):
    sizes = boxes()
    sizes[3, 1] = value

    with pytest.raises(FamilyError, match="positive numbers"):
        fit_anchors(sizes, 6)
