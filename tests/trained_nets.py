"""Real trained nets on real pictures against OpenCV's importer, its batch-norm epsilon as it is and made Darknet's."""

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from opencv_importer import Difference, compare, opencv_decoded, opencv_weights, run_engines
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import DarknetWeights, read_weights, write_weights

PICTURES = 8

# Every net that the folder's PROVENANCE.md lists; some of the files are not in every copy of it.
NETS = (
    "yolo-fastest", "yolo-fastest-1.1", "yolo-fastest-1.1-xl", "yolo-fastest-1.1_body", "MobileNetV2-YOLO-Fastest-voc",
    "MobileNetV2-YOLO-Fastest-voc-v2", "MobileNetV2-YOLOv3-Nano-voc", "MobileNetV2-YOLOv3-Nano-coco", "yoloface-50k",
    "yoloface-500k", "tiny-yolov2-trial3", "tiny-yolov2-trial3-noBatch", "tiny-yolov2-trial5", "trial6_653550",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """One net at one input size."""

    text: str
    path: Path
    plan: NetworkPlan
    weights: DarknetWeights


def find_trained(folder: Path, name: str, size: tuple[int, int] | None = None) -> Trained | None:
    """A net of that folder, None where its weights or cfg is not there; `size` (width, height) replaces the cfg's."""
    paths = [next(iter(sorted(folder.rglob(f"{name}.{ending}"))), None) for ending in ("cfg", "weights")]
    if paths[0] is None or paths[1] is None:
        return None
    text = paths[0].read_text()
    for key, side in zip(("width", "height"), size or (), strict=False):
        text = re.sub(rf"(?m)^{key}\s*=.*$", f"{key}={side}", text)
    plan = plan_network(parse_cfg(text))
    return Trained(text, paths[1], plan, read_weights(paths[1], plan))


def measure_trained(net: Trained, pictures: Path, folder: Path, *, same_epsilon: bool) -> dict[str, Difference]:
    """How far each engine is from OpenCV; with `same_epsilon`, OpenCV gets variances that make up for its own."""
    path = net.path
    if same_epsilon:
        path = folder / "raised.weights"
        write_weights(path, net.plan, opencv_weights(net.weights))
    images = real_input(net.plan, pictures)
    expected = opencv_decoded(net.text, path, net.plan, images)
    return {name: compare(net.plan, raw, expected) for name, raw in run_engines(net.plan, net.weights, images).items()}


def real_input(plan: NetworkPlan, pictures: Path) -> np.ndarray:
    """(pictures, 3, height, width) float32 RGB in 0..1, stretched."""
    size = (plan.input_width, plan.input_height)
    read = [cv2.imread(str(file)) for file in sorted(pictures.iterdir())[:PICTURES]]
    stacked = np.stack([cv2.resize(picture, size)[..., ::-1].transpose(2, 0, 1) for picture in read])
    return stacked.astype(np.float32) / np.float32(255)
