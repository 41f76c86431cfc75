"""Raw Darknet `[yolo]` and `[region]` heads to candidate boxes, without a Python loop over cells.

Source: Darknet's `get_yolo_box`, `get_yolo_detections` and `get_region_box` (AlexeyAB). A candidate is one cell, one
anchor and one class with objectness * class probability above the score, so one box may come back with several
classes; candidates come in the order of head, anchor, row, column, class. Objectness is gated first, as a logit: the
product cannot pass unless objectness does, and few cells do; class probabilities, a softmax for `[region]`, are worked
out for those alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import DarknetDecode, RegionHead, YoloHead
from vedette.vision.candidates import Candidates

# exp(20) = 4.9e8 anchors: wider than any picture, and its square still is a float32
LARGEST_LOG_SIZE = 20.0
# float32 logits near the gate may round either way; the exact test on the product follows
GATE_SLACK = 1e-3


def decode_heads(
    heads: Sequence[NDArray[np.float32]], spec: DarknetDecode, input_width_px: int, input_height_px: int, score: float
) -> Candidates:
    """Every candidate of one picture whose score is above `score` (strictly).

    Args:
        heads: one array for each head of `spec`, in its order: (anchors * (5 + classes), grid height, grid width).

    Raises:
        ValueError: when the heads do not have the shapes that `spec` states.
    """
    stated: tuple[YoloHead | RegionHead, ...] = spec.heads
    if len(heads) != len(stated):
        raise ValueError(f"expected {len(stated)} heads, got {len(heads)}")
    parts = [
        _decode_head(tensor, head, (input_width_px, input_height_px), score)
        for tensor, head in zip(heads, stated, strict=True)
    ]
    return Candidates(
        np.concatenate([part.boxes_xyxy_input_px for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
    )


def _decode_head(
    tensor: NDArray[np.float32], head: YoloHead | RegionHead, input_wh_px: tuple[int, int], score: float
) -> Candidates:
    cells = _by_anchor(tensor, head)  # (anchors, 5 + classes, grid height * grid width)
    anchor_ids, places = np.nonzero(cells[:, 4] > probability_gate(score, activated=_activated(head)))
    picked = cells[anchor_ids, :, places]  # (k, 5 + classes)
    products = _products(picked[:, 4:], head)  # (k, classes)
    rows, class_ids = np.nonzero(products > score)
    boxes = _boxes_xyxy_px(picked, anchor_ids, places, head, input_wh_px)  # (k, 4)
    return Candidates(boxes[rows], products[rows, class_ids], class_ids.astype(np.int32))


def _activated(head: YoloHead | RegionHead) -> bool:
    return isinstance(head, YoloHead) and head.new_coords


def _products(picked: NDArray[np.float32], head: YoloHead | RegionHead) -> NDArray[np.float32]:
    """Objectness times class probability (k, classes), of raw (k, 1 + classes)."""
    if isinstance(head, RegionHead):
        return sigmoid(picked[:, :1]) * softmax(picked[:, 1:])
    activated = picked if head.new_coords else sigmoid(picked)
    return activated[:, :1] * activated[:, 1:]


def _by_anchor(tensor: NDArray[np.float32], head: YoloHead | RegionHead) -> NDArray[np.float32]:
    anchors = len(head.anchors)
    grid = (head.grid_height, head.grid_width)
    if tensor.ndim != 3 or tensor.shape[1:] != grid or tensor.shape[0] % anchors or tensor.shape[0] < anchors * 6:
        raise ValueError(
            f"head '{head.output}': expected ({anchors} * (5 + classes), {grid[0]}, {grid[1]}); got {tensor.shape}"
        )
    return np.ascontiguousarray(tensor, np.float32).reshape(anchors, -1, grid[0] * grid[1])


def probability_gate(score: float, activated: bool) -> float:
    """The value (a logit unless `activated`) below which a probability cannot exceed `score`."""
    if score <= 0:
        return -np.inf
    if activated:
        return score - GATE_SLACK
    if score >= 1:
        return np.inf
    return float(np.log(score) - np.log1p(-score)) - GATE_SLACK


def _boxes_xyxy_px(
    picked: NDArray[np.float32],
    anchor_ids: NDArray[np.intp],
    places: NDArray[np.intp],
    head: YoloHead | RegionHead,
    input_wh_px: tuple[int, int],
) -> NDArray[np.float32]:
    rows, columns = np.divmod(places, head.grid_width)
    corners = np.stack([columns, rows], axis=1).astype(np.float32)  # (k, 2)
    anchors_px = np.array(head.anchors, np.float32)[anchor_ids]  # (k, 2)
    if _activated(head):
        offsets, sizes_px = picked[:, :2], np.square(2 * picked[:, 2:4]) * anchors_px
    else:
        offsets = sigmoid(picked[:, :2])
        sizes_px = np.exp(np.minimum(picked[:, 2:4], LARGEST_LOG_SIZE)) * anchors_px
    if isinstance(head, YoloHead):
        offsets = offsets * np.float32(head.scale_x_y) - np.float32(0.5 * (head.scale_x_y - 1))
    cell_px = np.array([input_wh_px[0] / head.grid_width, input_wh_px[1] / head.grid_height], np.float32)
    centres_px = (corners + offsets) * cell_px
    return np.concatenate([centres_px - sizes_px / 2, centres_px + sizes_px / 2], axis=1)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-v)), float32 in and out; 0 and 1 far out."""
    with np.errstate(over="ignore"):  # exp(100) is inf, and 1 / inf is the 0 we want
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(v) / sum(exp(v)) along the last axis, float32 in and out."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
