"""YOLOv2's `[region]` and `[reorg]` through OpenCV's own Darknet importer, and through torch, ONNX Runtime, OpenVINO.

OpenCV takes `thresh` from the cfg (0.6 in the published ones), so 0.001 is written there, and it always suppresses
within a class at IoU 0.4: a score that it zeroes must be below the floor, or overlap a better box of its class.
Random weights: 1e-4 absolute, on boxes as fractions of the input and on scores. Trained nets: OpenCV's batch-norm
epsilon of 1e-6 (AlexeyAB's is 1e-5) shows; scores within 0.003, boxes within 0.5 input pixels.
"""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_network_against_opencv import OPENCV_FLOOR, TOLERANCE, run_onnxruntime, run_openvino, run_torch

from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import NetworkPlan, decode_spec, plan_network
from vedette.learn.darknet.weights import read_weights, write_weights
from vedette.vision.boxes import iou_matrix
from vedette.vision.yolo import decode_heads

OPENCV_NMS = 0.4
EVERY_CELL = -1.0
RUNS = [run_torch, run_onnxruntime, run_openvino]

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


def opencv_region(text: str, weights: Path, plan: NetworkPlan, images: np.ndarray):
    """Boxes (batch, rows, columns, anchors, 4) cxcywh in fractions, and scores (batch, rows, columns, anchors, C)."""
    cfg = re.sub(r"(?m)^thresh\s*=.*$", "", text).replace("[region]", f"[region]\nthresh={OPENCV_FLOOR}")
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    found = []
    for image in images:
        net.setInput(image[None])
        found.append(net.forward())
    head = plan.heads[0]
    tensor = np.stack(found).reshape(
        len(images), head.grid_height, head.grid_width, len(head.anchors), 5 + head.classes
    )
    return tensor[..., :4], tensor[..., 5:]


def decoded_here(plan: NetworkPlan, tensor: np.ndarray):
    """The same two arrays of one picture, from its raw head."""
    head, size = plan.heads[0], (plan.input_width, plan.input_height)
    found = decode_heads([tensor], decode_spec(plan), *size, EVERY_CELL)
    shape = (len(head.anchors), head.grid_height, head.grid_width, head.classes)
    x1, y1, x2, y2 = found.boxes_xyxy_input_px.reshape(*shape, 4)[..., 0, :].transpose(3, 1, 2, 0)
    boxes = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1) / [*size, *size]
    return boxes, found.scores.reshape(shape).transpose(1, 2, 0, 3)


def assert_zeroed_with_reason(boxes: np.ndarray, scores: np.ndarray, scores_cv: np.ndarray, slack: float) -> None:
    """Each score that OpenCV has as 0 is below its floor, or its box overlaps a better one of the class."""
    flat, own, theirs = boxes.reshape(-1, 4), *(s.reshape(-1, scores.shape[-1]) for s in (scores, scores_cv))
    corners = np.concatenate([flat[:, :2] - flat[:, 2:] / 2, flat[:, :2] + flat[:, 2:] / 2], axis=1)
    overlap = iou_matrix(corners, corners) > OPENCV_NMS - slack
    for class_id in range(own.shape[1]):
        kept = theirs[:, class_id] > 0
        dropped = np.flatnonzero(~kept & (own[:, class_id] > OPENCV_FLOOR + slack))
        better = own[None, :, class_id] >= own[dropped, None, class_id] - slack
        assert (overlap[dropped] & kept[None] & better).any(axis=1).all()


def assert_same_region(plan: NetworkPlan, raw: np.ndarray, expected, limits: tuple[float, float]) -> None:
    """Every score that OpenCV kept, and every box that has one (limits: score, box in fractions of the input)."""
    compared = 0
    for tensor, boxes_cv, scores_cv in zip(raw, *expected, strict=True):
        boxes, scores = decoded_here(plan, tensor)
        kept = scores_cv > 0
        compared += int(kept.sum())
        assert np.abs(scores - scores_cv)[kept].max() <= limits[0]
        assert np.abs(boxes - boxes_cv)[kept.any(axis=-1)].max() <= limits[1]
        assert_zeroed_with_reason(boxes, scores, scores_cv, limits[0])
    assert compared > 20  # else the comparison would say nothing


def random_case(text: str, folder: Path):
    plan = plan_network(parse_cfg(text))
    weights = random_weights(plan, seed=3)
    write_weights(folder / "random.weights", plan, weights)
    images = random_input(plan, batch=2, seed=4)
    return plan, weights, images, opencv_region(text, folder / "random.weights", plan, images)


@pytest.mark.parametrize("run", RUNS)
def test_random_region_weights_decode_as_in_opencv(tmp_path, run):
    plan, weights, images, expected = random_case(REGION_CFG, tmp_path)

    assert_same_region(plan, run(plan, weights, images)[0], expected, (TOLERANCE, TOLERANCE))


def test_region_comparison_notices_values_in_another_order(tmp_path):
    plan, weights, images, expected = random_case(REGION_CFG, tmp_path)
    weights.layers[6].kernel[:, [0, 1]] = weights.layers[6].kernel[:, [1, 0]]  # two channels that [reorg] gives

    with pytest.raises(AssertionError):
        assert_same_region(plan, run_torch(plan, weights, images)[0], expected, (TOLERANCE, TOLERANCE))


def narrowed(text: str) -> str:
    """The same layers with a sixteenth of the filters and a small input that is not square."""
    head = len(re.findall("filters", text)) - 1
    counts = iter(range(head + 1))

    def fewer(match: re.Match) -> str:
        return match.group(0) if next(counts) == head else f"filters={max(4, int(match.group(1)) // 16)}"

    text = re.sub(r"(?m)^filters\s*=\s*(\d+)", fewer, text)
    return re.sub(r"(?m)^height\s*=.*$", "height=96", re.sub(r"(?m)^width\s*=.*$", "width=160", text))


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["yolov2", "yolov2-voc", "yolov2-tiny", "yolov2-tiny-voc", "tiny-yolo-voc", "yolo-voc"]
)
def test_published_v2_cfgs_with_random_weights_decode_as_in_opencv(real_data, tmp_path, name):
    text = narrowed((real_data / "darknet" / "cfg" / f"{name}.cfg").read_text())
    plan, weights, images, expected = random_case(text, tmp_path)

    for run in RUNS:
        assert_same_region(plan, run(plan, weights, images)[0], expected, (TOLERANCE, TOLERANCE))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["tiny-yolov2-trial3", "tiny-yolov2-trial5"])
def test_trained_yolo_lite_nets_find_what_opencv_finds(real_data, tmp_path, name):
    folder = real_data / "weights" / "yolo-lite"
    text, path = (folder / "cfg" / f"{name}.cfg").read_text(), folder / "weights" / f"{name}.weights"
    plan = plan_network(parse_cfg(text))
    weights = read_weights(path, plan)
    assert not weights.wide_header  # the old header of 16 bytes
    write_weights(tmp_path / "again.weights", plan, weights)
    assert (tmp_path / "again.weights").read_bytes() == path.read_bytes()
    pictures = [cv2.imread(str(file)) for file in sorted((real_data / "coco" / "images").iterdir())[:8]]
    size = (plan.input_width, plan.input_height)
    images = np.stack([cv2.resize(picture, size)[..., ::-1].transpose(2, 0, 1) for picture in pictures])
    images = images.astype(np.float32) / np.float32(255)  # (8, 3, height, width)
    expected = opencv_region(text, path, plan, images)

    for run in RUNS:
        assert_same_region(plan, run(plan, weights, images)[0], expected, (0.003, 0.5 / plan.input_width))
