"""Greedy suppression of overlapping boxes, class by class, as Darknet's `do_nms_sort` and `diounms_sort` do it.

Best score first; equal scores keep the order they came in. A weaker box of the same class (of any class, if the kind
is class-agnostic) goes when its overlap with a kept one is greater than the limit (strictly). Works in blocks, so
memory grows with what is kept, not with the square of the candidates; inside a block the suppression matrix becomes
rows of bits, walked as Python integers.
"""

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import NmsKind
from vedette.vision.boxes import Floats, diou_matrix, iou_matrix

BLOCK = 512


def suppress(
    boxes_xyxy: Floats,
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int32],
    iou: float,
    kind: NmsKind = NmsKind.IOU,
    *,
    limit: int | None = None,
) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first, at most `limit` of them.

    `boxes_xyxy` (n, 4) may have any unit for IoU; for DIoU give fractions of the picture's sides, as Darknet does.
    """
    order = np.argsort(-scores, kind="stable")
    kept = np.zeros(0, np.intp)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if len(kept):
            block = block[~_overlapping(boxes_xyxy, class_ids, block, kept, (iou, kind)).any(axis=1)]
        own = _overlapping(boxes_xyxy, class_ids, block, block, (iou, kind))  # (block, block) bool
        kept = np.concatenate([kept, block[_greedy(own)]])
        if limit is not None and len(kept) >= limit:
            return kept[:limit]
    return kept


def _overlapping(
    boxes_xyxy: Floats,
    class_ids: NDArray[np.int32],
    a: NDArray[np.intp],
    b: NDArray[np.intp],
    rule: tuple[float, NmsKind],
) -> NDArray[np.bool_]:
    """(len(a), len(b)): overlap above the limit, and the same class where that counts."""
    limit, kind = rule
    measure = diou_matrix if kind is NmsKind.DIOU else iou_matrix
    overlap = measure(boxes_xyxy[a], boxes_xyxy[b])
    if kind is NmsKind.AGNOSTIC:
        return np.asarray(overlap > limit)
    return np.asarray((overlap > limit) & (class_ids[a][:, None] == class_ids[b][None, :]))


def _greedy(overlapping: NDArray[np.bool_]) -> list[int]:
    """Positions, in order, that no earlier kept position overlaps."""
    bits = np.packbits(overlapping, axis=1, bitorder="little")
    gone = 0
    kept = []
    for position, row in enumerate(bits):
        if not gone >> position & 1:
            kept.append(position)
            gone |= int.from_bytes(row.tobytes(), "little")
    return kept
