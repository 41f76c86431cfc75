"""The gate before a release: the engine that will run it must find in the golden pictures what the reference found.

In FP32 within the tolerances that the bundle states. In fewer bits scores and boxes may move, by what is usual for the
precision, and no further than the variant's own receipt admits. NaN is never good. Who opens the engine decides which
one is asked; nothing is written here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vedette.bundle_folder import BundleError, OpenBundle
from vedette.contracts.bundle import GoldenDetection, GoldenFile, Precision, Variant
from vedette.contracts.detections import Detections
from vedette.edge.update.errors import GateError
from vedette.vision.boxes import iou_matrix
from vedette.vision.golden import golden_differences

MOST_TOLD = 3
RECEIPT_SLACK = 0.05  # below what the receipt says that the variant finds again: another engine, another rounding
RECEIPT_IOU = 0.5  # with which `contracts.receipt.GoldenAgreement` counts

Detect = Callable[[NDArray[np.uint8]], Detections]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a precision may change. `least_found` is the share (F1) of detections that both find."""

    least_iou: float
    most_score_difference: float
    least_found: float


TOLERANCES = {
    Precision.BF16: Tolerance(0.90, 0.05, 0.99),
    Precision.FP16: Tolerance(0.90, 0.05, 0.99),
    Precision.INT8: Tolerance(0.75, 0.15, 0.97),
}


def read_golden(bundle: OpenBundle) -> GoldenFile:
    """The golden detections of a bundle; open the engine with their `score` and `nms_iou`.

    Raises:
        BundleError: it has none, or what it has is none.
    """
    name = bundle.manifest.golden
    if name is None:
        raise BundleError(
            f"{bundle.path}: the bundle has no golden pictures, so nothing can prove an engine built from it; pack it "
            "again with vedette pack"
        )
    try:
        return GoldenFile.model_validate_json(bundle.read(name))
    except ValidationError as error:
        raise BundleError(f"{bundle.path / name}: holds no golden detections") from error


def require_golden(bundle: OpenBundle, golden: GoldenFile, detect: Detect, variant: Variant, engine: str) -> int:
    """Let an engine detect in every golden picture; gives how many reference detections they hold.

    Raises:
        GateError: it does not reproduce them; says where and how.
        BundleError: a picture cannot be read.
    """
    faults: list[str] = []
    matched = missing = extra = 0
    for entry in golden.pictures:
        picture = _decode(bundle, entry.file)
        found = detect(picture)
        broken = not (np.isfinite(found.scores).all() and np.isfinite(found.boxes_xyxy_px).all())
        if broken:
            faults.append(f"{entry.file}: holds numbers that are none")
        elif variant.precision in TOLERANCES:
            both, lost, more = _count(golden, entry.detections, found, tolerance_for(variant))
            matched, missing, extra = matched + both, missing + lost, extra + more
        else:
            faults += [f"{entry.file}: {one}" for one in golden_differences(golden, entry.detections, found)]
    if variant.precision in TOLERANCES:
        faults += _too_few(variant, matched, missing, extra)
    if faults:
        told = "; ".join(faults[:MOST_TOLD]) + (
            f"; and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        )
        raise GateError(f"{engine} does not reproduce the golden pictures of '{bundle.manifest.name}': {told}")
    return sum(len(entry.detections) for entry in golden.pictures)


def _decode(bundle: OpenBundle, name: str) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_COLOR)  # (h, w, 3) uint8 BGR
    if picture is None:
        raise BundleError(f"{bundle.path / name}: is no picture")
    return np.asarray(picture, np.uint8)


def _count(
    golden: GoldenFile, expected: tuple[GoldenDetection, ...], found: Detections, tolerance: Tolerance
) -> tuple[int, int, int]:
    """Found by both, by the reference only, by the engine only; near the threshold either side is good."""
    boxes_px = np.array([one.box_xyxy_px for one in expected], np.float32).reshape(-1, 4)  # (n, 4)
    scores = np.array([one.score for one in expected], np.float32)  # (n,)
    class_ids = np.array([one.class_id for one in expected], np.int32)  # (n,)
    ious = iou_matrix(boxes_px, found.boxes_xyxy_px)  # (expected, found)
    fits = (
        (class_ids[:, None] == found.class_ids[None])
        & (np.abs(scores[:, None] - found.scores[None]) <= tolerance.most_score_difference)
        & (ious >= tolerance.least_iou)
    )
    ious = np.where(fits, ious, 0.0)
    rows, columns = set[int](), set[int]()
    for place in np.argsort(-ious, axis=None, kind="stable"):
        row, column = divmod(int(place), ious.shape[1])
        if ious[row, column] > 0 and row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
    clear = golden.score + tolerance.most_score_difference
    lost = sum(1 for row in range(len(scores)) if row not in rows and scores[row] > clear)
    more = sum(1 for column in range(len(found)) if column not in columns and found.scores[column] > clear)
    return len(rows), lost, more


def tolerance_for(variant: Variant) -> Tolerance:
    """What is usual for the precision, or what the variant's receipt admits where that is more."""
    usual, told = TOLERANCES[variant.precision], variant.receipt.golden
    if told is None:
        return usual
    return Tolerance(
        RECEIPT_IOU if told.agreement < 1 or (told.mean_iou or 1.0) < usual.least_iou else usual.least_iou,
        max(usual.most_score_difference, (told.max_score_difference or 0.0) + RECEIPT_SLACK),
        min(usual.least_found, told.agreement - RECEIPT_SLACK),
    )


def _too_few(variant: Variant, matched: int, missing: int, extra: int) -> list[str]:
    least = tolerance_for(variant).least_found
    share = 2 * matched / (2 * matched + missing + extra) if matched + missing + extra else 1.0
    if share >= least:
        return []
    return [
        f"{matched} detections are found again, {missing} are missing, {extra} are too many; a share of "
        f"{least:.2f} is needed for {variant.precision.value}, {share:.2f} was reached"
    ]
