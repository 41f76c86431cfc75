"""How far a variant finds in the golden pictures what FP32 finds: a figure for its receipt, not a test to pass.

A detection is found when one of the same class overlaps it by IoU 0.5 or more, each used once, the best overlap first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, GoldenFile, GoldenPicture
from vedette.contracts.detections import Detections
from vedette.contracts.receipt import GoldenAgreement
from vedette.learn.export.golden import GOLDEN_NAME, detect_with
from vedette.learn.export.receipt import HeadSource
from vedette.vision.boxes import iou_matrix
from vedette.vision.postprocess import DetectionRules

LEAST_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Matches:
    """Which detections of two lists belong together: places in each, and how much they overlap."""

    expected: NDArray[np.intp]  # (matched,)
    found: NDArray[np.intp]  # (matched,)
    ious: NDArray[np.float32]  # (matched,)


def measure_golden(contents: Mapping[str, bytes], engine: HeadSource, manifest: BundleManifest) -> GoldenAgreement:
    """Let an engine detect in the golden pictures and compare with what FP32 found there."""
    golden = GoldenFile.model_validate_json(contents[GOLDEN_NAME])
    rules = DetectionRules.of(manifest, golden.score, golden.nms_iou)
    matched = missing = extra = 0
    ious: list[float] = []
    differences: list[float] = []
    for entry in golden.pictures:
        encoded = np.frombuffer(contents[entry.file], np.uint8)
        picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
        expected, found = _as_detections(entry, manifest.classes), detect_with(engine, picture, manifest, rules)
        pairs = match(expected, found)
        matched += len(pairs.expected)
        missing += len(expected) - len(pairs.expected)
        extra += len(found) - len(pairs.found)
        ious += pairs.ious.tolist()
        differences += np.abs(expected.scores[pairs.expected] - found.scores[pairs.found]).tolist()
    total = matched + missing + extra
    return GoldenAgreement(
        pictures=len(golden.pictures),
        found=matched,
        missing=missing,
        extra=extra,
        agreement=matched / total if total else 1.0,
        mean_iou=float(np.mean(ious)) if ious else None,
        max_score_difference=max(differences) if differences else None,
    )


def match(expected: Detections, found: Detections) -> Matches:
    """Pair detections of two lists."""
    ious = iou_matrix(expected.boxes_xyxy_px, found.boxes_xyxy_px)  # (expected, found)
    ious = np.where(expected.class_ids[:, None] == found.class_ids[None, :], ious, 0.0)
    rows, columns = [], []
    for place in np.argsort(-ious, axis=None, kind="stable"):
        row, column = divmod(int(place), ious.shape[1])
        if ious[row, column] < LEAST_IOU:
            break
        if row not in rows and column not in columns:
            rows.append(row)
            columns.append(column)
    places = np.array(rows, np.intp), np.array(columns, np.intp)
    return Matches(*places, np.asarray(ious[places], np.float32))


def _as_detections(entry: GoldenPicture, names: tuple[str, ...]) -> Detections:
    return Detections(
        np.array([one.box_xyxy_px for one in entry.detections], np.float32).reshape(-1, 4),  # (n, 4)
        np.array([one.score for one in entry.detections], np.float32),  # (n,)
        np.array([one.class_id for one in entry.detections], np.int32),  # (n,)
        names,
    )
