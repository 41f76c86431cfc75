"""Real trained nets on real pictures: what is detected here against what Darknet itself (C, CPU, FP32) detected.

Source: `oracles/darknet/*.json`: AlexeyAB's Darknet on 150 pictures of COCO val2017 at 320x320, stretched and
letterboxed, scores >= 0.05, NMS class by class at IoU 0.45. Tolerance: the same detections with IoU >= 0.99 and scores
within 0.002; a detection may be on one side only where rounding decides: its score is within 0.002 of the floor, or
its overlap with a stronger box of its class is within 0.001 of the NMS limit. The grey around a letterboxed picture is
0.5 exactly there, and so here; what 8-bit frames have instead (128 / 255) is judged by a test of its own.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from vedette.contracts.bundle import NmsKind, ResizeMode
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.data.pictures import read_picture
from vedette.vision.boxes import iou_matrix
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import fit, plan_placement

FLOOR, NMS_IOU = 0.05, 0.45
LEAST_IOU, SCORE_TOLERANCE, NMS_TOLERANCE = 0.99, 0.002, 0.001
NETS = ("yolo-fastest-1.1", "yolo-fastest-1.1-xl")
RESIZES = (ResizeMode.STRETCH, ResizeMode.LETTERBOX)  # those of the oracle's files
FAST_PICTURES = 20
ZOO = Path("weights/yolo-fastest/ModelZoo/yolo-fastest-1.1_coco")


@dataclass
class Found:
    """Detections of one picture: boxes (n, 4) xyxy px, scores (n,), category ids (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass
class Verdict:
    """How two sides compare over many pictures; every detection of one side only is a line of text."""

    matched: int
    on_the_edge: list[str]
    wrong: list[str]


@pytest.mark.real_data
@pytest.mark.parametrize("resize", RESIZES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("net", NETS)
def test_trained_net_detects_what_darknet_detects(real_data, darknet_oracle, net, resize):
    assert_equal(compare(real_data, darknet_oracle, net, resize, FAST_PICTURES))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("resize", RESIZES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("net", NETS)
def test_trained_net_detects_what_darknet_detects_on_all_pictures(real_data, darknet_oracle, net, resize):
    assert_equal(compare(real_data, darknet_oracle, net, resize, None))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("net", NETS)
def test_eight_bit_grey_around_a_letterbox_moves_few_detections(real_data, darknet_oracle, net):
    """128 / 255 instead of 0.5: at most one detection in a hundred leaves the tolerance."""
    verdict = compare(real_data, darknet_oracle, net, ResizeMode.LETTERBOX, None, exact_grey=False)

    assert len(verdict.wrong) < 0.01 * verdict.matched


def assert_equal(verdict: Verdict) -> None:
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.matched > 100 * len(verdict.on_the_edge)


def compare(
    data: Path, oracle: Path, net: str, resize: ResizeMode, pictures: int | None, *, exact_grey: bool = True
) -> Verdict:
    coco = json.loads((data / "coco" / "instances.json").read_text())
    categories = [category["id"] for category in coco["categories"]]
    expected = oracle_detections(oracle / f"{net}_{resize.value}.json")
    detect = detector(data / ZOO / f"{net}.cfg", data / ZOO / f"{net}.weights", resize, exact_grey)
    verdict = Verdict(0, [], [])
    for image in coco["images"][:pictures]:
        theirs = expected.get(image["id"], Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)))
        ours = detect(data / "coco" / "images" / image["file_name"], categories)
        pairs = match(ours, theirs)
        verdict.matched += len(pairs)
        for side, other, here in ((ours, theirs, 0), (theirs, ours, 1)):
            for index in sorted(set(range(len(side.scores))) - {pair[here] for pair in pairs}):
                reason = why_alone(side, other, index)
                line = f"{image['file_name']} {'here' if here == 0 else 'Darknet'} only: class {side.classes[index]}, "
                line += f"score {side.scores[index]:.4f}, box {np.round(side.boxes[index], 1)}: {reason or 'no reason'}"
                (verdict.on_the_edge if reason else verdict.wrong).append(line)
    counts = f"{verdict.matched} matched, {len(verdict.on_the_edge)} on the edge, {len(verdict.wrong)} wrong"
    sys.stdout.write("\n".join([f"\n{net} {resize.value}: {counts}", *verdict.on_the_edge, *verdict.wrong, ""]))
    return verdict


def oracle_detections(path: Path) -> dict[int, Found]:
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


def detector(cfg: Path, weights: Path, resize: ResizeMode, exact_grey: bool) -> Callable[[Path, list[int]], Found]:
    plan = plan_network(read_cfg(cfg))
    network = DarknetNetwork(plan).eval()
    network.load_darknet(read_weights(weights, plan))
    names = tuple(str(number) for number in range(plan.class_count))
    rules = DetectionRules(decode_spec(plan), names, FLOOR, NMS_IOU, NmsKind.IOU, max_detections=10_000)

    def detect(picture: Path, categories: list[int]) -> Found:
        image = read_picture(picture)
        placement = plan_placement(image.shape[1], image.shape[0], plan.input_width, plan.input_height, resize)
        fitted = fit(image, placement).astype(np.float32) / 255
        if exact_grey:
            rows = slice(placement.top_px, placement.top_px + placement.inner_height_px)
            columns = slice(placement.left_px, placement.left_px + placement.inner_width_px)
            inner = fitted[rows, columns].copy()
            fitted[:] = 0.5
            fitted[rows, columns] = inner
        with torch.no_grad():
            heads = [head[0].numpy() for head in network(torch.from_numpy(fitted).permute(2, 0, 1)[None])]
        found = detections_from_heads(heads, rules, placement)
        return Found(found.boxes_xyxy_px.astype(float), found.scores, np.array(categories)[found.class_ids])

    return detect


def match(ours: Found, theirs: Found) -> list[tuple[int, int]]:
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


def why_alone(side: Found, other: Found, index: int) -> str | None:
    """Why rounding may decide about a detection, or None."""
    if side.scores[index] <= FLOOR + SCORE_TOLERANCE:
        return "its score is at the floor"
    stronger = (other.classes == side.classes[index]) & (other.scores >= side.scores[index] - SCORE_TOLERANCE)
    overlaps = iou_matrix(side.boxes[index][None], other.boxes[stronger])[0]
    near = np.abs(overlaps - NMS_IOU) <= NMS_TOLERANCE
    return f"its overlap {overlaps[near][0]:.4f} is at the NMS limit" if near.any() else None
