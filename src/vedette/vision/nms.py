"""Greedy suppression of overlapping boxes, class by class, as Darknet's `do_nms_sort` and `diounms_sort` do it.

Best score first; equal scores keep the order they came in. A weaker box of the same class (of any class, if the kind
is class-agnostic) goes when its overlap with a kept one is greater than the limit (strictly, in float64). A box whose
area is zero or not finite overlaps nothing. Boxes are swept from left to right, class after class, so that only pairs
that can pass the limit are measured, in blocks of falling score, so that the suppressed cost nothing further. Before
that, the heaps that a detector makes of each object are cleared class by class, all classes at once.

OpenCV's `NMSBoxesBatched` is not used. It is faster up to some 100 boxes only, by microseconds, and not equal for all
inputs: it compares 1 - float32(1 - IoU) with a float32 limit, so a pair within 1e-7 of it may fare otherwise; boxes
without area suppress each other wherever they are; and the offset that sets its classes apart starts at the origin, so
boxes left of and above the picture suppress those of other classes. Elsewhere both keep the same, as a test holds.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import NmsKind
from vedette.vision.boxes import Floats

# The best 64 come first alone: where boxes lie in heaps, these clear most of each before pairs are measured. Of 64..256
# and 256..1024 this pair was the fastest for 60, 300 and 2,500 boxes, scattered and in heaps.
FIRST_BLOCK, BLOCK = 64, 512
# far above the rounding of sums and differences in float64, far below anything that would cost time
ROUNDING = 1e-12
# A round that leaves more than this of the boxes costs more than it saves
PAYS = 0.85

Ranks = NDArray[np.intp]  # positions in the order of falling score
NO_RANKS: Ranks = np.zeros(0, np.intp)
Pairs = tuple[Ranks, Ranks]


def suppress(
    boxes_xyxy: Floats,
    scores: NDArray[np.float32],
    class_ids: NDArray[np.integer[Any]],
    iou: float,
    kind: NmsKind = NmsKind.IOU,
    *,
    limit: int | None = None,
) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first, at most `limit` of them.

    `boxes_xyxy` (n, 4) may have any unit for IoU; for DIoU give fractions of the picture's sides, as Darknet does.

    Raises:
        ValueError: when `iou`, the overlap limit, is not in 0..1.
    """
    if not 0 <= iou <= 1:
        raise ValueError(f"the overlap limit must be in 0..1; got {iou}")
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order[:limit]
    shapes = _measure_shapes(boxes_xyxy[order])
    groups = None if kind is NmsKind.AGNOSTIC else class_ids[order]
    kept = NO_RANKS
    left = np.arange(len(order))  # (n,) ranks
    if kind is not NmsKind.DIOU:
        kept, left = _clear_heaps(shapes, groups, iou)
    if len(left):
        rest = _rank(shapes[:, left], None if groups is None else groups[left], iou)
        kept = np.sort(np.concatenate([kept, left[_sweep(rest, iou, kind, limit)]]))
    return order.take(kept)[:limit]


def _measure_shapes(boxes_xyxy: Floats) -> NDArray[np.float64]:
    """(7, n) float64: x1, y1, x2, y2, width, height, area; boxes without a shape as points, which overlap nothing."""
    shapes = np.empty((7, len(boxes_xyxy)))
    shapes[:4] = boxes_xyxy.T
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(shapes[2:4], shapes[:2], out=shapes[4:6])
        np.maximum(shapes[4:6], 0, out=shapes[4:6])
        np.multiply(shapes[4], shapes[5], out=shapes[6])
        shapeless = ~((shapes[6] > 0) & (shapes[6] < np.inf))
    if np.count_nonzero(shapeless):
        shapes[:, shapeless] = 0
    return shapes


def _clear_heaps(
    shapes: NDArray[np.float64], groups: NDArray[np.integer[Any]] | None, iou: float
) -> tuple[Ranks, Ranks]:
    """Ranks that stay, sorted, and those left to judge, which overlap none of them too much.

    The best box of every class stays and takes along what overlaps it, round after round, while that pays: a detector
    gives a dozen boxes an object, so this is most of the work, in a few operations on everything that is left.
    """
    count = shapes.shape[1]
    groups = np.zeros(count, np.int32) if groups is None else groups
    left = groups.argsort(kind="stable")  # class after class, best first in each
    here, group = shapes.take(left, axis=1), groups.take(left)
    kept, before = [NO_RANKS], 2 * count
    while len(left) and len(left) < PAYS * before:
        before = len(left)
        begins = np.empty(before, np.bool_)
        begins[0] = True
        np.not_equal(group[1:], group[:-1], out=begins[1:])
        best = begins.nonzero()[0]
        kept.append(left.take(best))
        stays = ~_overlaps(here, here.take(best.take(begins.cumsum() - 1), axis=1), iou)
        stays[best] = False
        (rest,) = stays.nonzero()
        left, here, group = left.take(rest), here.take(rest, axis=1), group.take(rest)
    return np.sort(np.concatenate(kept)), np.sort(left)


def _overlaps(these: NDArray[np.float64], others: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Whether the IoU of each of `these` (7, n) with its partner is above the limit; `_measure_iou`'s arithmetic."""
    inside = np.minimum(these[2:4], others[2:4])
    inside -= np.maximum(these[:2], others[:2])
    np.maximum(inside, 0, out=inside)
    common = inside[0] * inside[1]
    union = these[6] + others[6]
    union -= common
    # a point's is 0 / 0 with another point
    with np.errstate(invalid="ignore"):
        common /= union
        return np.asarray(common > limit)


def _sweep(boxes: "_Ranked", iou: float, kind: NmsKind, limit: int | None) -> Ranks:
    """The ranks that stay, best first; no fewer than the `limit` best of them."""
    measure = _pairs_above_diou if kind is NmsKind.DIOU else _pairs_above_iou
    gone = np.zeros(len(boxes.sweep), np.bool_)  # by rank
    stop = 0
    while stop < len(gone):
        start, stop = stop, stop + (BLOCK if stop else FIRST_BLOCK)
        block = boxes.sweep[(boxes.sweep >= start) & (boxes.sweep < stop)]
        if start:
            kept = boxes.sweep[(boxes.sweep < start) & ~gone[boxes.sweep]]
            _, weaker = measure(boxes, _meeting_either_way(boxes, kept, block), iou)
            gone[weaker] = True
            block = block[~gone[block]]
        _suppress_in_order(gone, measure(boxes, _meeting(boxes, block, block), iou))
        if limit is not None and np.count_nonzero(~gone[:stop]) >= limit:
            break
    return np.flatnonzero(~gone[:stop])


class _Ranked(NamedTuple):
    """Boxes by rank (n,), and the order in which the sweep meets them."""

    x1: NDArray[np.float64]
    y1: NDArray[np.float64]
    x2: NDArray[np.float64]
    y2: NDArray[np.float64]
    areas: NDArray[np.float64]
    begins: NDArray[np.float64]  # where the sweep meets the box: x1, each class beyond the one before
    reaches: NDArray[np.float64]  # no box met after this can overlap this one enough
    sweep: Ranks  # by `begins`


def _rank(shapes: NDArray[np.float64], class_ids: NDArray[np.integer[Any]] | None, iou: float) -> _Ranked:
    x1, y1, x2, y2, widths, _, areas = shapes
    begins = x1 - x1.min()
    if class_ids is not None:
        begins = begins + class_ids * (2 * (begins + widths).max())
    # IoU is at most that of the two extents in x: later by (1 - limit) of a width, a box has too little in common
    reaches = begins + (1 - iou) * widths + ROUNDING * np.abs(begins).max()
    return _Ranked(x1, y1, x2, y2, areas, begins, reaches, np.argsort(begins))


def _meeting(boxes: _Ranked, these: Ranks, others: Ranks) -> Pairs:
    """Each of `these` with each of `others` that the sweep meets within its reach; both in sweep order."""
    begins = boxes.begins[others]
    # a box of the same set meets those after it, not itself
    first = np.arange(1, len(these) + 1) if these is others else begins.searchsorted(boxes.begins[these])
    counts = begins.searchsorted(boxes.reaches[these], "right") - first
    left = these.repeat(counts)
    steps = np.arange(len(left)) + (first - counts.cumsum() + counts).repeat(counts)
    return left, others[steps]


def _meeting_either_way(boxes: _Ranked, these: Ranks, others: Ranks) -> Pairs:
    a, b = _meeting(boxes, these, others)
    d, c = _meeting(boxes, others, these)
    return np.concatenate([a, c]), np.concatenate([b, d])


def _pairs_above_iou(boxes: _Ranked, pairs: Pairs, iou: float) -> Pairs:
    above, _ = _measure_iou(boxes, pairs, iou)
    return above


def _pairs_above_diou(boxes: _Ranked, pairs: Pairs, diou: float) -> Pairs:
    """What Darknet's `greedynms` compares: IoU - (d / c)^0.6.

    `d` is the squared distance of the centres, `c` the squared diagonal of the smallest box around both. The exponent
    0.6 is AlexeyAB's (`box_diou`); the DIoU paper (arXiv 1911.08287) has 1. Unlike IoU it changes when one axis is
    scaled alone: Darknet takes fractions of the picture's sides.
    """
    (a, b), iou = _measure_iou(boxes, pairs, diou)  # the others have less than the limit already
    wide = np.maximum(boxes.x2[a], boxes.x2[b]) - np.minimum(boxes.x1[a], boxes.x1[b])
    high = np.maximum(boxes.y2[a], boxes.y2[b]) - np.minimum(boxes.y1[a], boxes.y1[b])
    apart_x = (boxes.x1[a] + boxes.x2[a] - boxes.x1[b] - boxes.x2[b]) / 2
    apart_y = (boxes.y1[a] + boxes.y2[a] - boxes.y1[b] - boxes.y2[b]) / 2
    ratio = (apart_x * apart_x + apart_y * apart_y) / (wide * wide + high * high)
    above = iou - np.power(ratio, 0.6) > diou
    return a[above], b[above]


def _measure_iou(boxes: _Ranked, pairs: Pairs, limit: float) -> tuple[Pairs, NDArray[np.float64]]:
    """The pairs whose IoU is above the limit, and that IoU."""
    a, b = pairs
    # take() rather than brackets, and height before width: most pairs of a column miss each other there
    high = np.minimum(boxes.y2.take(a), boxes.y2.take(b)) - np.maximum(boxes.y1.take(a), boxes.y1.take(b))
    (near,) = (high > 0).nonzero()
    a, b, high = a.take(near), b.take(near), high.take(near)
    wide = np.minimum(boxes.x2.take(a), boxes.x2.take(b)) - np.maximum(boxes.x1.take(a), boxes.x1.take(b))
    inside = np.maximum(wide, 0) * high
    iou = inside / (boxes.areas.take(a) + boxes.areas.take(b) - inside)
    (above,) = (iou > limit).nonzero()
    return (a.take(above), b.take(above)), iou.take(above)


def _suppress_in_order(gone: NDArray[np.bool_], overlapping: Pairs) -> None:
    """Mark as gone every box that overlaps a stronger one which stays."""
    stronger, weaker = np.minimum(*overlapping), np.maximum(*overlapping)
    turn = np.argsort(stronger)
    flags = gone.data  # an item of a memoryview costs half of an array's
    for strong, weak in zip(stronger[turn].tolist(), weaker[turn].tolist(), strict=True):
        if not flags[strong]:
            flags[weak] = True
