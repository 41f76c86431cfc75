"""Boxes as corners `x1, y1, x2, y2` in continuous coordinates: conversions that name both ends, clipping, IoU.

The unit does not matter here (pixels or fractions of a side) as long as both arguments share it. An empty or inverted
box has no area; two boxes without any area have an IoU of 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def cxcywh_to_xyxy(boxes_cxcywh: Floats) -> Floats:
    """Centre, width, height to corners: (n, 4) -> (n, 4), same dtype and unit."""
    half_wh = boxes_cxcywh[:, 2:] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half_wh, boxes_cxcywh[:, :2] + half_wh], axis=1)


def xyxy_to_cxcywh(boxes_xyxy: Floats) -> Floats:
    """Corners to centre, width, height: (n, 4) -> (n, 4), same dtype and unit."""
    return np.concatenate([(boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2, boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def clip_xyxy(boxes_xyxy: Floats, width: float, height: float) -> Floats:
    """The parts of the boxes inside 0..width x 0..height, (n, 4); what lies outside becomes empty."""
    limits = np.array([width, height, width, height], dtype=boxes_xyxy.dtype)  # (4,)
    return np.clip(boxes_xyxy, 0, limits)


def areas(boxes_xyxy: Floats) -> Floats:
    """(n,) area of each box; 0 for an empty or inverted one."""
    sides = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou_matrix(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """Intersection over union of every box of `a` with every box of `b`: (len(a), len(b)) in 0..1."""
    # columns, not (n, m, 4) blocks: a quarter of the memory traffic
    wide = np.minimum(a_xyxy[:, None, 2], b_xyxy[None, :, 2]) - np.maximum(a_xyxy[:, None, 0], b_xyxy[None, :, 0])
    high = np.minimum(a_xyxy[:, None, 3], b_xyxy[None, :, 3]) - np.maximum(a_xyxy[:, None, 1], b_xyxy[None, :, 1])
    inside = np.maximum(wide, 0) * np.maximum(high, 0)  # (a, b)
    union = areas(a_xyxy)[:, None] + areas(b_xyxy)[None, :] - inside
    return np.asarray(np.divide(inside, union, out=np.zeros_like(inside), where=union > 0))
