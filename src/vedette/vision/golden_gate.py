"""Whether an engine finds in a bundle's golden pictures what the reference found there, in any precision.

In FP32 within the tolerances that the bundle states. In fewer bits scores and boxes may move, by what is usual for the
precision, and no further than the variant's own receipt admits. NaN is never good. Reading the pictures and running the
engine is the caller's.
"""

from dataclasses import dataclass

import numpy as np

from vedette.contracts.bundle import GoldenDetection, GoldenFile, GoldenPicture, Precision, Variant
from vedette.contracts.detections import Detections
from vedette.vision.boxes import iou_matrix
from vedette.vision.golden import golden_differences

RECEIPT_SLACK = 0.05  # below what the receipt says that the variant finds again: another engine, another rounding
RECEIPT_IOU = 0.5  # with which `contracts.receipt.GoldenAgreement` counts


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


class GoldenCount:
    """Adds up what an engine finds in the golden pictures, one after the other."""

    def __init__(self, golden: GoldenFile, variant: Variant) -> None:
        self._golden, self._variant = golden, variant
        self._faults: list[str] = []
        self._matched = self._missing = self._extra = 0

    def add(self, entry: GoldenPicture, found: Detections) -> None:
        """What was found in one golden picture."""
        if not (np.isfinite(found.scores).all() and np.isfinite(found.boxes_xyxy_px).all()):
            self._faults.append(f"{entry.file}: holds numbers that are none")
        elif self._variant.precision in TOLERANCES:
            both, lost, more = _count(self._golden, entry.detections, found, tolerance_for(self._variant))
            self._matched, self._missing, self._extra = self._matched + both, self._missing + lost, self._extra + more
        else:
            differences = golden_differences(self._golden, entry.detections, found)
            self._faults += [f"{entry.file}: {one}" for one in differences]

    def faults(self) -> list[str]:
        """What is wrong, in words; empty when the engine reproduces the golden pictures."""
        if self._variant.precision not in TOLERANCES:
            return self._faults
        return self._faults + _too_few(self._variant, self._matched, self._missing, self._extra)


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
