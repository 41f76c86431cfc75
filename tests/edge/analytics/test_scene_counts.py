"""Crossings of drawn factories, detected with noise, are counted at every 1st, 5th and 10th frame."""

import numpy as np
import pytest
from scene_counting import Noise, count, detect, errors, true_counts

from vedette.learn.data.scenes.factory import Factory

FRAMES = 750
NOISES = {
    "as the demo's detector": Noise(),
    "a poor detector": Noise(jitter=0.05, missed=0.08, misread=0.05, weak=0.1, ghosts=2.0),
}


@pytest.fixture(scope="module")
def factories():
    return [Factory(seed, FRAMES) for seed in range(5)]


@pytest.mark.parametrize(  # the promise: 98 %, 97 %, 93 %
    ("noise", "every", "least"),
    [
        ("as the demo's detector", 1, 0.99),
        ("as the demo's detector", 5, 0.99),
        ("as the demo's detector", 10, 0.98),
        ("a poor detector", 5, 0.97),
        ("a poor detector", 10, 0.93),
    ],
)
def test_crossings_of_every_class_and_direction_are_counted(factories, noise, every, least):
    wrong = true = 0
    for seed, factory in enumerate(factories):
        random, frames = np.random.default_rng([seed, every]), range(0, FRAMES, every)
        counted = count(factory, frames, lambda f, s=factory, r=random: detect(s, f, r, NOISES[noise]))
        wrong += errors(counted, true_counts(factory, frames))
        true += true_counts(factory, frames).total()
    assert true > 150
    assert 1 - wrong / true >= least, (wrong, true)
