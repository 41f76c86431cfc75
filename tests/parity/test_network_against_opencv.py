"""Random weights through OpenCV's own Darknet importer, and through torch, ONNX Runtime and OpenVINO here.

Source: OpenCV 4 `cv2.dnn.readNetFromDarknet`, an implementation of its own. Its [yolo] zeroes scores below `thresh`,
so 0.001 is written into the cfg for it; its batch-norm epsilon is 1e-6, so the weights have variances above 1000, where
that does not show. Tolerance: 1e-4 absolute, on boxes as fractions of the input and on scores.
"""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan, decode_spec, plan_network
from vedette.learn.darknet.weights import DarknetWeights, write_weights
from vedette.learn.darknet.zoo import make_cfg
from vedette.learn.export.onnx import export_onnx
from vedette.vision.yolo import decode_heads

TOLERANCE = 1e-4
OPENCV_FLOOR = 0.001  # the thresh written into the cfg

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
    return plan, weights, images, opencv_candidates(text, path, plan, images)


def opencv_candidates(text: str, weights: Path, plan: NetworkPlan, images: np.ndarray):
    """For each head (boxes, scores): (batch, rows, columns, anchors, 4 | classes), boxes cxcywh in fractions."""
    cfg = text.replace("[yolo]", f"[yolo]\nthresh={OPENCV_FLOOR}")
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    found = []
    for image in images:  # one by one: some OpenCV versions mix the pictures of a batch up
        net.setInput(image[None])
        found.append(net.forward(net.getUnconnectedOutLayersNames()))
    heads = []
    for number, head in enumerate(plan.heads):
        shape = (len(images), head.grid_height, head.grid_width, len(head.anchors), 5 + head.classes)
        tensor = np.stack([outputs[number] for outputs in found]).reshape(shape)
        heads.append((tensor[..., :4], tensor[..., 5:]))
    return heads


def assert_same_as_opencv(plan: NetworkPlan, raw: list[np.ndarray], expected) -> float:
    """Decode every cell and compare; gives the largest difference."""
    spec = decode_spec(plan)
    largest = 0.0
    for number, head in enumerate(plan.heads):
        boxes_cv, scores_cv = expected[number]
        one = spec.model_copy(update={"heads": (spec.heads[number],)})
        assert (scores_cv > 0).mean() > 0.5  # else the comparison would say nothing
        for picture, tensor in enumerate(raw[number]):
            found = decode_heads([tensor], one, plan.input_width, plan.input_height, 0.0)
            shape = (len(head.anchors), head.grid_height, head.grid_width, head.classes)
            scores = found.scores.reshape(shape).transpose(1, 2, 0, 3)
            x1, y1, x2, y2 = found.boxes_xyxy_input_px.reshape(*shape, 4)[..., 0, :].transpose(3, 1, 2, 0)
            boxes = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)
            boxes /= [plan.input_width, plan.input_height, plan.input_width, plan.input_height]
            dropped = scores_cv[picture] == 0
            assert (scores[dropped] <= OPENCV_FLOOR + TOLERANCE).all()
            largest = max(
                largest,
                float(np.abs(boxes - boxes_cv[picture]).max()),
                float(np.abs(scores - scores_cv[picture])[~dropped].max()),
            )
    assert largest <= TOLERANCE
    return largest


def run_torch(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    network = DarknetNetwork(plan).eval()
    assert network.load_darknet(weights) == len(plan.layers)
    with torch.no_grad():
        return [head.numpy() for head in network(torch.from_numpy(images))]


def run_onnxruntime(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(export_onnx(plan, weights), providers=["CPUExecutionProvider"])
    names = [f"head_{number}" for number in range(len(plan.heads))]
    return list(session.run(names, {"input": images}))


def run_openvino(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else a processor with BF16 would use that
    compiled = core.compile_model(core.read_model(export_onnx(plan, weights)), "CPU", settings)
    found = compiled([images])
    return [np.array(found[f"head_{number}"]) for number in range(len(plan.heads))]


@pytest.mark.parametrize("run", [run_torch, run_onnxruntime, run_openvino])
def test_random_weights_decode_as_in_opencv(case, run):
    plan, weights, images, expected = case

    assert_same_as_opencv(plan, run(plan, weights, images), expected)


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

    for run in (run_torch, run_onnxruntime, run_openvino):
        assert_same_as_opencv(plan, run(plan, weights, images), expected)
