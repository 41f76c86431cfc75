"""OpenCV's own Darknet importer, and the engines here, on the same weights: every cell decoded on both sides, compared.

OpenCV 4 `cv2.dnn.readNetFromDarknet` is an implementation of its own. What must be minded about it:
- scores that are not above `thresh` of the cfg become 0, so 0.001 is written there (0.2 is its default for [yolo]);
- its batch-norm epsilon is 1e-6, AlexeyAB's 1e-5: random weights have variances above 1000, trained ones are given to
  it with variances raised by the difference, so that both divide by the same number;
- a [region] is suppressed at IoU 0.4 within a class: a score that became 0 must overlap a better box of its class.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan, decode_spec
from vedette.learn.darknet.weights import BATCH_NORM_EPSILON, ConvolutionalWeights, DarknetWeights
from vedette.learn.export.onnx import export_onnx
from vedette.vision.boxes import iou_matrix
from vedette.vision.yolo import decode_heads

OPENCV_FLOOR = 0.001  # the thresh written into the cfg
OPENCV_NMS = 0.4  # of a [region]
OPENCV_EPSILON = 1e-6
EVERY_CELL = -1.0  # below every score

Engine = Callable[[NetworkPlan, DarknetWeights, np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Decoded:
    """One head of one picture: boxes (rows, columns, anchors, 4) cxcywh in fractions of the input, scores (..., C)."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Difference:
    """The largest differences over what was compared: boxes with a score that OpenCV kept, and those scores."""

    box: float
    score: float
    boxes: int
    scores: int

    def __or__(self, other: "Difference") -> "Difference":
        worst = (max(self.box, other.box), max(self.score, other.score))
        return Difference(*worst, self.boxes + other.boxes, self.scores + other.scores)


NOTHING = Difference(0.0, 0.0, 0, 0)


def run_torch(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    """Raw heads; images (batch, channels, height, width) float32."""
    network = DarknetNetwork(plan).eval()
    assert network.load_darknet(weights) == len(plan.layers)
    with torch.no_grad():
        return [head.numpy() for head in network(torch.from_numpy(images))]


def run_onnxruntime(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    """The same of the exported graph in ONNX Runtime."""
    return onnxruntime_heads(export_onnx(plan, weights), plan, images)


def run_openvino(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[np.ndarray]:
    """The same of the exported graph in OpenVINO, FP32."""
    return openvino_heads(export_onnx(plan, weights), plan, images)


def onnxruntime_heads(model: bytes, plan: NetworkPlan, images: np.ndarray) -> list[np.ndarray]:
    """Raw heads of an exported graph."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run([f"head_{number}" for number in range(len(plan.heads))], {"input": images}))


def openvino_heads(model: bytes, plan: NetworkPlan, images: np.ndarray) -> list[np.ndarray]:
    """Raw heads of an exported graph."""
    import openvino  # an extra

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else a processor with BF16 would use that
    found = core.compile_model(core.read_model(model), "CPU", settings)([images])
    return [np.array(found[f"head_{number}"]) for number in range(len(plan.heads))]


ENGINES: dict[str, Engine] = {"torch": run_torch, "onnxruntime": run_onnxruntime, "openvino": run_openvino}


def run_engines(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Raw heads by engine; the graph is exported once."""
    model = export_onnx(plan, weights)
    return {
        "torch": run_torch(plan, weights, images),
        "onnxruntime": onnxruntime_heads(model, plan, images),
        "openvino": openvino_heads(model, plan, images),
    }


def opencv_decoded(text: str, weights: Path, plan: NetworkPlan, images: np.ndarray) -> list[list[Decoded]]:
    """What OpenCV makes of a cfg and a weights file: for each picture, for each head."""
    text = re.sub(r"(?m)^thresh\s*=.*$", "", text)  # of a [region]; the first of two would win
    cfg = re.sub(r"\[(yolo|region)\]", rf"[\1]\nthresh={OPENCV_FLOOR}", text)
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    names = net.getUnconnectedOutLayersNames()
    assert len(names) == len(plan.heads)
    found = []
    for image in images:  # one by one: some OpenCV versions mix the pictures of a batch up
        net.setInput(image[None])
        decoded = []
        for head, output in zip(plan.heads, net.forward(names), strict=True):
            shape = (head.grid_height, head.grid_width, len(head.anchors), 5 + head.classes)
            decoded.append(Decoded(output.reshape(shape)[..., :4], output.reshape(shape)[..., 5:]))
        found.append(decoded)
    return found


def opencv_weights(weights: DarknetWeights) -> DarknetWeights:
    """Variances raised so that OpenCV's smaller epsilon gives the same denominator as Darknet's."""
    return replace(weights, layers=tuple(_raised(layer) for layer in weights.layers))


def _raised(layer: ConvolutionalWeights | None) -> ConvolutionalWeights | None:
    if layer is None or layer.batch_norm is None:
        return layer
    variances = layer.batch_norm.variances.astype(np.float64) + (BATCH_NORM_EPSILON - OPENCV_EPSILON)
    return replace(layer, batch_norm=replace(layer.batch_norm, variances=variances.astype(np.float32)))


def decoded_here(plan: NetworkPlan, raw: Sequence[np.ndarray], picture: int) -> list[Decoded]:
    """Every cell of every head of one picture of a batch, decoded by `vision.yolo`."""
    size, spec, found = (plan.input_width, plan.input_height), decode_spec(plan), []
    for head, stated, tensor in zip(plan.heads, spec.heads, raw, strict=True):
        one = spec.model_copy(update={"heads": (stated,)})
        candidates = decode_heads([tensor[picture]], one, *size, EVERY_CELL)
        shape = (len(head.anchors), head.grid_height, head.grid_width, head.classes)
        scores = candidates.scores.reshape(shape).transpose(1, 2, 0, 3)
        x1, y1, x2, y2 = candidates.boxes_xyxy_input_px.reshape(*shape, 4)[..., 0, :].transpose(3, 1, 2, 0)
        boxes = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1) / np.float32([*size, *size])
        found.append(Decoded(boxes, scores))
    return found


def compare(plan: NetworkPlan, raw: Sequence[np.ndarray], expected: Sequence[Sequence[Decoded]]) -> Difference:
    """Raw heads of a batch against OpenCV's; what OpenCV zeroed must be below its floor, or suppressed in a [region].

    Raises:
        AssertionError: a score that OpenCV zeroed has no business to be 0.
    """
    found = NOTHING
    for picture, pictures_heads in enumerate(expected):
        for head, here, theirs in zip(plan.heads, decoded_here(plan, raw, picture), pictures_heads, strict=True):
            kept = theirs.scores > 0
            found |= difference(here, theirs, kept)
            slack = max(1e-4, 2 * found.score)
            if head.softmax:
                assert_suppressed_with_reason(here, theirs.scores, slack)
            else:
                assert (here.scores[~kept] <= OPENCV_FLOOR + slack).all()
    return found


def difference(here: Decoded, theirs: Decoded, kept: np.ndarray) -> Difference:
    """Of the scores in `kept` (rows, columns, anchors, classes), and of the boxes that have one of them."""
    boxes = kept.any(axis=-1)
    return Difference(
        float(np.abs(here.boxes - theirs.boxes)[boxes].max(initial=0)),
        float(np.abs(here.scores - theirs.scores)[kept].max(initial=0)),
        int(boxes.sum()),
        int(kept.sum()),
    )


def assert_suppressed_with_reason(here: Decoded, scores_cv: np.ndarray, slack: float) -> None:
    """Each score that OpenCV has as 0 is below its floor, or its box overlaps a better one of the class."""
    flat = here.boxes.reshape(-1, 4)
    own, theirs = (scores.reshape(-1, scores_cv.shape[-1]) for scores in (here.scores, scores_cv))
    corners = np.concatenate([flat[:, :2] - flat[:, 2:] / 2, flat[:, :2] + flat[:, 2:] / 2], axis=1)
    overlap = iou_matrix(corners, corners) > OPENCV_NMS - slack
    for class_id in range(own.shape[1]):
        kept = theirs[:, class_id] > 0
        dropped = np.flatnonzero(~kept & (own[:, class_id] > OPENCV_FLOOR + slack))
        better = own[None, :, class_id] >= own[dropped, None, class_id] - slack
        assert (overlap[dropped] & kept[None] & better).any(axis=1).all()
