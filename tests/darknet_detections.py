"""What Darknet itself made of the COCO pictures (`oracles/darknet`), and how detections here compare with it.

Source: AlexeyAB's Darknet (C, CPU, FP32) with two real nets at 320x320: detections with scores from 0.05, suppressed
class by class at IoU 0.45, and AP over all scores from 0.001; the oracle's README has the figures. Detections are the
same when class, box (IoU >= 0.99) and score (within 0.002) are. One may be on one side only where rounding decides:
its score is within 0.002 of the floor, or its overlap with a stronger box of its class within 0.001 of the NMS limit.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from small_bundle import make_manifest
from vedette.contracts.bundle import NmsKind
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.detector import PackedDetector
from vedette.edge.engines.opening import open_engine
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.data.pictures import read_picture
from vedette.learn.data.reading import read_data_set
from vedette.learn.export.onnx import export_onnx
from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed, evaluate_pictures
from vedette.learn.training.predictor import DarknetPredictor
from vedette.vision.boxes import iou_matrix
from vedette.vision.postprocess import DetectionRules

FLOOR, NMS_IOU = 0.05, 0.45
LEAST_IOU, SCORE_TOLERANCE, NMS_TOLERANCE = 0.99, 0.002, 0.001
NETS = ("yolo-fastest-1.1", "yolo-fastest-1.1-xl")
ENGINES = ("torch", "onnxruntime", "openvino")
RESIZES = (ResizeMode.STRETCH, ResizeMode.LETTERBOX)  # those of the oracle's files
ZOO = Path("weights/yolo-fastest/ModelZoo/yolo-fastest-1.1_coco")

# AP50 and AP50-95 in percent on the same pictures, all scores from 0.001; NMS by IoU unless stated. The last four rows
# include Darknet's own JPEG loader beside its own resize.
AVERAGE_PRECISION = {
    ("yolo-fastest-1.1", ResizeMode.STRETCH, NmsKind.IOU): (33.80, 14.79),
    ("yolo-fastest-1.1", ResizeMode.LETTERBOX, NmsKind.IOU): (31.74, 14.30),
    ("yolo-fastest-1.1-xl", ResizeMode.STRETCH, NmsKind.IOU): (45.25, 22.63),
    ("yolo-fastest-1.1-xl", ResizeMode.LETTERBOX, NmsKind.IOU): (39.81, 19.61),
    ("yolo-fastest-1.1", ResizeMode.DARKNET, NmsKind.IOU): (33.59, 14.56),
    ("yolo-fastest-1.1-xl", ResizeMode.DARKNET, NmsKind.IOU): (45.43, 23.33),
    ("yolo-fastest-1.1", ResizeMode.DARKNET, NmsKind.DIOU): (33.17, 14.77),
    ("yolo-fastest-1.1-xl", ResizeMode.DARKNET, NmsKind.DIOU): (45.17, 23.42),
}


@dataclass
class Found:
    """Detections of one picture: boxes (n, 4) xyxy px, scores (n,), category ids (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass
class Verdict:
    """How two sides compare over many pictures; every detection of one side only is a line of text."""

    matched: int = 0
    least_iou: float = 1.0
    largest_score_difference: float = 0.0
    here: Counter[int] = field(default_factory=Counter)  # detections by category
    darknets: Counter[int] = field(default_factory=Counter)
    on_the_edge: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def compare_detections(
    data: Path, oracle: Path, net: str, resize: ResizeMode, *, engine: str = "torch", pictures: int | None = None
) -> Verdict:
    """Over the first so many pictures, or all; `data` and `oracle` are the folders of the fixtures."""
    coco = json.loads((data / "coco" / "instances.json").read_text())
    categories = np.array([category["id"] for category in coco["categories"]])
    expected = _oracle_detections(oracle / f"{net}_{resize.value}.json")
    rules = rules_of(data, net, FLOOR)
    predictor = (open_torch if engine == "torch" else partial(open_packed, engine=engine))(data, net, resize, rules)
    verdict = Verdict()
    for image in coco["images"][:pictures]:
        theirs = expected.get(image["id"], Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)))
        found = predictor(read_picture(data / "coco" / "images" / image["file_name"]))
        ours = Found(found.boxes_xyxy_px.astype(float), found.scores, categories[found.class_ids])
        _compare_picture(verdict, image["file_name"], ours, theirs)
    return verdict


def measure_ap(data: Path, net: str, resize: ResizeMode, nms_kind: NmsKind = NmsKind.IOU) -> tuple[float, float]:
    """AP50 and AP50-95 in percent on the COCO pictures, as `vedette evaluate` has them."""
    rules = rules_of(data, net, SCORE_FLOOR, nms_kind)
    predictor = open_torch(data, net, resize, rules)
    result = evaluate_pictures(predictor, read_data_set(data / "coco"), rules.class_names)
    return result.map50 * 100, result.map50_95 * 100


def rules_of(data: Path, net: str, score: float, nms_kind: NmsKind = NmsKind.IOU) -> DetectionRules:
    """One of `NETS` with Darknet's NMS limit, and as many detections as there are."""
    names = tuple((data / ZOO / "coco.names").read_text().split("\n")[:80])
    spec = decode_spec(plan_network(read_cfg(data / ZOO / f"{net}.cfg")))
    return DetectionRules(spec, names, score, NMS_IOU, nms_kind, detections_needed(len(names)))


def open_torch(data: Path, net: str, resize: ResizeMode, rules: DetectionRules) -> DarknetPredictor:
    """What `vedette evaluate --cfg --weights` runs."""
    plan = plan_network(read_cfg(data / ZOO / f"{net}.cfg"))
    return DarknetPredictor(plan, read_weights(data / ZOO / f"{net}.weights", plan), rules, resize)


def open_packed(data: Path, net: str, resize: ResizeMode, rules: DetectionRules, *, engine: str) -> PackedDetector:
    """What runs on the edge: the exported graph on one of its engines, FP32."""
    plan = plan_network(read_cfg(data / ZOO / f"{net}.cfg"))
    model = export_onnx(plan, read_weights(data / ZOO / f"{net}.weights", plan))
    manifest = make_manifest(resize, (plan.input_width, plan.input_height))
    manifest = manifest.model_copy(update={"decode": rules.decode, "classes": rules.class_names})
    return PackedDetector(manifest, open_engine(manifest, model, EngineChoice(engine)), rules)


def _compare_picture(verdict: Verdict, name: str, ours: Found, theirs: Found) -> None:
    pairs = _match(ours, theirs)
    verdict.matched += len(pairs)
    verdict.here.update(ours.classes.tolist())
    verdict.darknets.update(theirs.classes.tolist())
    for index, other in pairs:
        iou = float(iou_matrix(ours.boxes[index][None], theirs.boxes[other][None])[0, 0])
        verdict.least_iou = min(verdict.least_iou, iou)
        apart = abs(float(ours.scores[index] - theirs.scores[other]))
        verdict.largest_score_difference = max(verdict.largest_score_difference, apart)
    for side, other, which in ((ours, theirs, 0), (theirs, ours, 1)):
        for index in sorted(set(range(len(side.scores))) - {pair[which] for pair in pairs}):
            reason = _why_alone(side, other, index)
            line = f"{name} {'here' if which == 0 else 'Darknet'} only: class {side.classes[index]}, "
            line += f"score {side.scores[index]:.4f}, box {np.round(side.boxes[index], 1)}: {reason or 'no reason'}"
            (verdict.on_the_edge if reason else verdict.wrong).append(line)


def _oracle_detections(path: Path) -> dict[int, Found]:
    by_image: dict[int, list] = {}
    for entry in json.loads(path.read_text()):
        by_image.setdefault(entry["image_id"], []).append(entry)
    return {
        image: Found(
            np.array([[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in entries)]),
            np.array([entry["score"] for entry in entries]),
            np.array([entry["category_id"] for entry in entries]),
        )
        for image, entries in by_image.items()
    }


def _match(ours: Found, theirs: Found) -> list[tuple[int, int]]:
    """Pairs of the same class, boxes and scores within tolerance; each detection at most once, best score first."""
    good = iou_matrix(ours.boxes, theirs.boxes) >= LEAST_IOU  # (ours, theirs)
    good &= np.abs(ours.scores[:, None] - theirs.scores[None]) <= SCORE_TOLERANCE
    good &= ours.classes[:, None] == theirs.classes[None]
    pairs = []
    for index in range(len(ours.scores)):
        partners = np.flatnonzero(good[index])
        if len(partners):
            pairs.append((index, int(partners[0])))
            good[:, partners[0]] = False
    return pairs


def _why_alone(side: Found, other: Found, index: int) -> str | None:
    """Why rounding may decide about a detection, or None."""
    if side.scores[index] <= FLOOR + SCORE_TOLERANCE:
        return "its score is at the floor"
    stronger = (other.classes == side.classes[index]) & (other.scores >= side.scores[index] - SCORE_TOLERANCE)
    overlaps = iou_matrix(side.boxes[index][None], other.boxes[stronger])[0]
    near = np.abs(overlaps - NMS_IOU) <= NMS_TOLERANCE
    return f"its overlap {overlaps[near][0]:.4f} is at the NMS limit" if near.any() else None
