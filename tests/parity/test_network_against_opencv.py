"""Random weights of small nets through OpenCV's own Darknet importer, and through torch, ONNX Runtime, OpenVINO here.

Source and what must be minded about it: `opencv_importer`. Tolerance: 1e-4 absolute, on boxes as fractions of the input
and on scores. The published families are the matter of test_every_family_against_opencv.
"""

from pathlib import Path

import pytest

from opencv_importer import ENGINES, compare, opencv_decoded, run_torch
from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights
from vedette.learn.darknet.zoo import make_cfg

TOLERANCE = 1e-4

# Grouped convolution, dropout, shortcuts, pyramid pooling, grouped routes and upsampling: what yolo-fastest has, small.
FAST_CFG = """
[net]
width=96
height=64
channels=3
[convolutional]
filters=8
size=3
stride=2
pad=1
batch_normalize=1
activation=leaky
[convolutional]
filters=16
size=1
batch_normalize=1
activation=relu
[convolutional]
filters=16
groups=16
size=3
stride=1
pad=1
batch_normalize=1
activation=swish
[convolutional]
filters=8
size=1
batch_normalize=1
activation=linear
[dropout]
probability=.15
[shortcut]
from=-5
activation=leaky
[convolutional]
filters=16
size=5
groups=8
stride=2
pad=1
batch_normalize=1
activation=mish
[maxpool]
stride=1
size=3
[route]
layers=-2
[maxpool]
stride=1
size=5
[route]
layers=-2
[maxpool]
stride=1
size=9
[route]
layers=-1,-3,-5,-6
[route]
layers=-1
groups=2
group_id=1
[maxpool]
size=2
stride=2
[convolutional]
filters=21
size=1
activation=linear
[yolo]
mask=0,2,3
anchors=8,9, 10,14, 23,17, 37,28
classes=2
num=4
scale_x_y=1.1
[route]
layers=-4
[upsample]
stride=2
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=1,0
anchors=8,9, 10,14, 23,17, 37,28
classes=2
num=4
"""

SQUEEZE_CFG = """
[net]
width=64
height=64
channels=3
[convolutional]
filters=12
size=3
stride=2
pad=1
batch_normalize=1
activation=relu
[avgpool]
[convolutional]
filters=4
size=1
activation=relu
[convolutional]
filters=12
size=1
activation=logistic
[scale_channels]
from=-4
[convolutional]
filters=14
size=1
stride=1
activation=logistic
[yolo]
mask=0,1
anchors=10,14, 23,17
classes=2
num=2
new_coords=1
scale_x_y=2.0
"""

CFGS = {
    "yolov3-tiny": make_cfg("yolov3-tiny", 4, 128, 96),
    "yolov3": make_cfg("yolov3", 2, 96, 96),
    "fast": FAST_CFG,
    "squeeze-excite": SQUEEZE_CFG,
}


SLOW = {"yolov3"}  # 62 million parameters, five times over


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in sorted(CFGS)],
)
def case(request, tmp_path_factory):
    """One network with weights, a batch of two, and what OpenCV makes of it."""
    return build_case(CFGS[request.param], tmp_path_factory.mktemp("weights"))


def build_case(text: str, folder: Path, width: int | None = None, height: int | None = None):
    plan = plan_network(parse_cfg(text), width, height)
    weights = random_weights(plan, seed=3)
    path = folder / "random.weights"
    write_weights(path, plan, weights)
    images = random_input(plan, batch=2, seed=4)
    return plan, weights, images, opencv_decoded(text, path, plan, images)


def assert_same_as_opencv(plan, raw, expected) -> None:
    found = compare(plan, raw, expected)
    assert found.scores > 0.5 * sum(head.scores.size for picture in expected for head in picture)  # else it says little
    assert max(found.box, found.score) <= TOLERANCE


@pytest.mark.parametrize("engine", ENGINES)
def test_random_weights_decode_as_in_opencv(case, engine):
    plan, weights, images, expected = case

    assert_same_as_opencv(plan, ENGINES[engine](plan, weights, images), expected)


def test_comparison_notices_one_wrong_mean(case):
    """The tolerance is tight enough: one changed batch-norm mean of the first layer shows."""
    plan, weights, images, expected = case
    weights.layers[0].batch_norm.means[0] += 0.1
    try:
        with pytest.raises(AssertionError):
            assert_same_as_opencv(plan, run_torch(plan, weights, images), expected)
    finally:
        weights.layers[0].batch_norm.means[0] -= 0.1


REAL_CFGS = [
    "yolo-fastest/ModelZoo/yolo-fastest-1.0_coco/yolo-fastest.cfg",
    "yolo-fastest/ModelZoo/yolo-fastest-1.1_body/yolo-fastest-1.1_body.cfg",
    "yolo-fastest/ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1.cfg",
    "yolo-fastest/ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1-xl.cfg",
    "mobilenet-yolo/MobileNetV2-YOLO-Fastest/v1/MobileNetV2-YOLO-Fastest-voc.cfg",
    "mobilenet-yolo/MobileNetV2-YOLO-Fastest/v2/MobileNetV2-YOLO-Fastest-voc-v2.cfg",
    "mobilenet-yolo/MobileNetV2-YOLOv3-Nano/VOC/MobileNetV2-YOLOv3-Nano-voc.cfg",
    "mobilenet-yolo/yoloface-50k/yoloface-50k.cfg",
]


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_CFGS, ids=lambda name: Path(name).stem)
def test_real_cfgs_with_random_weights_decode_as_in_opencv(real_data, tmp_path, name):
    text = (real_data / "weights" / name).read_text()
    plan, weights, images, expected = build_case(text, tmp_path)

    for run in ENGINES.values():
        assert_same_as_opencv(plan, run(plan, weights, images), expected)
