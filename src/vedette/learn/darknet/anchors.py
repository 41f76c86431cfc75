"""Anchor boxes that fit a data set: k-means over box sizes, with 1 - IoU of two boxes on one centre as distance.

Sizes are (width, height) in network-input pixels, whatever mode of resizing brought them there; that is the caller's
matter. The result depends on nothing but the sizes and the seed. Source: Redmon and Farhadi, YOLO9000, section 2
(dimension clusters); the start is k-means++ (Arthur and Vassilvitskii 2007) under the same distance.
"""

import numpy as np
from numpy.typing import NDArray

from vedette.learn.darknet.errors import FamilyError

MAX_ROUNDS = 300
RESTARTS = 4  # the best of a few starts: k-means only finds a local optimum
MAX_SIZES = 20_000  # a sample this large moves no anchor by a pixel


def fit_anchors(sizes_wh_px: NDArray[np.floating], count: int, seed: int = 0) -> NDArray[np.float64]:
    """Fit `count` anchors to box sizes, smallest area first.

    Args:
        sizes_wh_px: (boxes, 2) widths and heights, in network-input pixels.

    Returns:
        (count, 2) float64 widths and heights.

    Raises:
        FamilyError: fewer different sizes than anchors, or sizes that are not positive numbers.
    """
    sizes = np.asarray(sizes_wh_px, np.float64).reshape(-1, 2)  # (boxes, 2) float64
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise FamilyError("anchors are fitted to boxes whose width and height are positive numbers")
    distinct = len(np.unique(sizes, axis=0))
    if distinct < count:
        raise FamilyError(
            f"{count} anchors need boxes of at least {count} different sizes; the data has {distinct}. "
            "Use the family's own anchors instead"
        )
    random = np.random.default_rng(seed)
    if len(sizes) > MAX_SIZES:
        sizes = random.choice(sizes, MAX_SIZES, replace=False)
    fits: list[NDArray[np.float64]] = [_cluster(sizes, _start(sizes, count, random)) for _ in range(RESTARTS)]
    best = max(fits, key=lambda anchors: mean_best_iou(sizes, anchors))
    order = np.lexsort((best[:, 0], best.prod(axis=1)))  # by area, then width
    return np.asarray(best[order], np.float64)


def mean_best_iou(sizes_wh_px: NDArray[np.floating], anchors_wh_px: NDArray[np.floating]) -> float:
    """How well anchors fit: the mean, over boxes, of the IoU with the best of them, all on one centre; 0..1."""
    return float(_iou(np.asarray(sizes_wh_px, np.float64), np.asarray(anchors_wh_px, np.float64)).max(axis=1).mean())


def _iou(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    shared = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)  # (boxes, anchors)
    union = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared
    return np.asarray(shared / union, np.float64)


def _start(sizes: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Boxes of the data, each drawn far from those drawn before."""
    chosen: NDArray[np.float64] = sizes[random.integers(len(sizes))][None]  # (1, 2), grows to (count, 2)
    while len(chosen) < count:
        distance = 1.0 - _iou(sizes, chosen).max(axis=1)
        distance[distance < 1e-12] = 0.0  # a size that is already chosen: rounding must not draw it again
        chosen = np.vstack([chosen, sizes[random.choice(len(sizes), p=distance / distance.sum())]])
    return chosen


def _cluster(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    members = np.full(len(sizes), -1)
    for _ in range(MAX_ROUNDS):
        nearest = _iou(sizes, anchors).argmax(axis=1)
        if (nearest == members).all():
            break
        members = nearest
        anchors = np.stack(
            [sizes[members == k].mean(axis=0) if (members == k).any() else anchors[k] for k in range(len(anchors))]
        )
    return np.asarray(anchors, np.float64)
