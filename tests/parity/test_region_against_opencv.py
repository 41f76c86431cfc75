"""YOLOv2's `[region]` and `[reorg]`, small, through OpenCV's own Darknet importer, and through every engine here.

Source and what must be minded about it: `opencv_importer`. Tolerance: 1e-4 absolute, on boxes as fractions of the input
and on scores. The published cfgs are the matter of test_every_family_against_opencv, trained nets of
test_trained_nets_against_opencv.
"""

from pathlib import Path

import pytest

from opencv_importer import ENGINES, compare, opencv_decoded, run_torch
from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights

TOLERANCE = 1e-4

REGION_CFG = """
[net]
width=96
height=64
channels=3
[convolutional]
filters=8
size=3
stride=4
pad=1
batch_normalize=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=16
size=3
stride=2
pad=1
batch_normalize=1
activation=leaky
[route]
layers=-2
[reorg]
stride=2
[route]
layers=-1,-3
[convolutional]
filters=24
size=1
activation=linear
[region]
anchors=0.57273,0.677385, 1.87446,2.06253, 3.33843,2.47434
classes=3
coords=4
num=3
softmax=1
thresh=.6
"""


def random_case(folder: Path):
    plan = plan_network(parse_cfg(REGION_CFG))
    weights = random_weights(plan, seed=3)
    write_weights(folder / "random.weights", plan, weights)
    images = random_input(plan, batch=2, seed=4)
    return plan, weights, images, opencv_decoded(REGION_CFG, folder / "random.weights", plan, images)


def assert_same_as_opencv(plan, raw, expected) -> None:
    found = compare(plan, raw, expected)
    assert found.scores > 20  # else the comparison would say nothing
    assert max(found.box, found.score) <= TOLERANCE


@pytest.mark.parametrize("engine", ENGINES)
def test_random_region_weights_decode_as_in_opencv(tmp_path, engine):
    plan, weights, images, expected = random_case(tmp_path)

    assert_same_as_opencv(plan, ENGINES[engine](plan, weights, images), expected)


def test_region_comparison_notices_values_in_another_order(tmp_path):
    plan, weights, images, expected = random_case(tmp_path)
    weights.layers[6].kernel[:, [0, 1]] = weights.layers[6].kernel[:, [1, 0]]  # two channels that [reorg] gives

    with pytest.raises(AssertionError):
        assert_same_as_opencv(plan, run_torch(plan, weights, images), expected)
