"""Whether an engine reproduces a bundle's golden detections, within the tolerances that stand beside them.

Scores near the threshold may fall on either side of it: only what lies clear of it, by the tolerance, must be there.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import GoldenDetection, GoldenFile
from vedette.contracts.detections import Detections


def golden_differences(golden: GoldenFile, expected: Sequence[GoldenDetection], found: Detections) -> list[str]:
    """What is missing or too much in one golden picture, in words; empty when the engine reproduces it."""
    class_ids = np.array([d.class_id for d in expected], np.int32)  # (n,)
    scores = np.array([d.score for d in expected], np.float32)  # (n,)
    boxes_px = np.array([d.box_xyxy_px for d in expected], np.float32).reshape(-1, 4)  # (n, 4)
    same = (
        (class_ids[:, None] == found.class_ids[None, :])
        & (np.abs(scores[:, None] - found.scores[None, :]) <= golden.score_tolerance)
        & (_largest_difference_px(boxes_px, found.boxes_xyxy_px) <= golden.box_tolerance_px)
    )  # (expected, found)
    clear = golden.score + golden.score_tolerance
    missing = np.flatnonzero(~same.any(axis=1) & (scores > clear))
    extra = np.flatnonzero(~same.any(axis=0) & (found.scores > clear))
    return [f"missing: {_words(class_ids[i], scores[i], boxes_px[i], found.class_names)}" for i in missing] + [
        f"not expected: {_words(found.class_ids[i], found.scores[i], found.boxes_xyxy_px[i], found.class_names)}"
        for i in extra
    ]


def _largest_difference_px(a_xyxy: NDArray[np.float32], b_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.abs(a_xyxy[:, None] - b_xyxy[None]).max(axis=2, initial=0), np.float32)  # (a, b)


def _words(class_id: np.int32, score: np.float32, box_px: NDArray[np.float32], names: tuple[str, ...]) -> str:
    return f"{names[class_id]} {score:.3f} at {', '.join(f'{v:.1f}' for v in box_px)}"
