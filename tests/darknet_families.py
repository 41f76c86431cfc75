"""The published detectors of `darknet/cfg` with random weights: every engine here against OpenCV's importer.

A cfg is run at its own input size or at a reduced one, five by four times its largest stride, which has every layer
and every weight, and is not square. The cfg's text is changed in `width` and `height` only; the weights go through a
file in Darknet's format.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from opencv_importer import Difference, compare, opencv_decoded, run_engines
from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import read_weights, write_weights

TOLERANCE = 1e-4  # on boxes as fractions of the input, and on scores

# Every detector in the folder, except Gaussian_yolov3_BDD, whose head is refused; darknet* are classifiers.
FAMILIES = (
    "cd53paspp-gamma", "csresnext50-panet-spp", "enet-coco", "pjreddie-yolov2", "pjreddie-yolov3-tiny",
    "pjreddie-yolov3", "tiny-yolo-voc", "yolo-voc", "yolov2", "yolov2-tiny", "yolov2-tiny-voc", "yolov2-voc",
    "yolov3", "yolov3-openimages", "yolov3-spp", "yolov3-tiny", "yolov3-tiny-prn", "yolov3-tiny_3l", "yolov3-voc",
    "yolov3_5l", "yolov4", "yolov4-csp", "yolov4-csp-s-mish", "yolov4-csp-swish", "yolov4-csp-x-mish",
    "yolov4-custom", "yolov4-p5", "yolov4-p6", "yolov4-tiny", "yolov4-tiny-3l", "yolov4-tiny-custom", "yolov4x-mish",
    "yolov7", "yolov7-tiny", "yolov7x",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One family: how far each engine is from OpenCV, and how many boxes its heads have for one picture."""

    plan: NetworkPlan
    cells: int
    by_engine: dict[str, Difference]


def measure_family(text: str, folder: Path, *, pictures: int = 1) -> Measured:
    """Draw weights for a cfg, write them to `folder` and run them everywhere."""
    plan = plan_network(parse_cfg(text))
    path = folder / "random.weights"
    write_weights(path, plan, random_weights(plan, seed=3))
    weights = read_weights(path, plan)
    images = random_input(plan, pictures, seed=4)
    expected = opencv_decoded(text, path, plan, images)
    found = {name: compare(plan, raw, expected) for name, raw in run_engines(plan, weights, images).items()}
    cells = sum(head.grid_width * head.grid_height * len(head.anchors) for head in plan.heads)
    return Measured(plan, cells, found)


def reduced(text: str) -> str:
    """The same cfg with an input of five by four times its largest stride."""
    stride = max(head.stride for head in plan_network(parse_cfg(text)).heads)
    for key, side in (("width", 5 * stride), ("height", 4 * stride)):
        text = re.sub(rf"(?m)^{key}\s*=.*$", f"{key}={side}", text)
    return text
