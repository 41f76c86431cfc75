"""Overlaps of boxes, and the slopes that Darknet's box loss follows: what `iou_loss=` and `iou_thresh_kind=` name.

Boxes are (..., 4) float32 tensors: centre x, centre y, width, height, in parts of the input. Left out: which boxes are
compared, and what becomes of the slopes (`darknet_loss`).

The slopes are Darknet's, not calculus: those of width and height are twice the true ones for (G)IoU's own part, the
intersection of boxes that are apart is not cut off at 0, for x and y the change of the hull has the other sign, and
the aspect term of CIoU goes without its divisor w^2 + h^2. Source: AlexeyAB/darknet box.c; Zheng et al. 2020,
arXiv:1911.08287.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vedette.learn.darknet.layers import IouLoss

DIOU_POWER = 0.6  # Darknet's DIoU is IoU - (d / c)^0.6
TINY = 1e-6  # as in Darknet's CIoU


def overlap(first: Tensor, second: Tensor, kind: IouLoss = IouLoss.IOU) -> Tensor:
    """IoU, GIoU, DIoU or CIoU of boxes that broadcast, (...) float32; of boxes apart, or without area, IoU is 0."""
    low = torch.maximum(first[..., :2] - first[..., 2:] / 2, second[..., :2] - second[..., 2:] / 2)
    high = torch.minimum(first[..., :2] + first[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = first[..., 2:].prod(dim=-1) + second[..., 2:].prod(dim=-1) - shared
    iou = torch.where((shared > 0) & (union != 0), shared / union, torch.zeros_like(union))
    if kind in {IouLoss.IOU, IouLoss.MSE}:
        return iou
    outer = torch.maximum(first[..., :2] + first[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2) - torch.minimum(
        first[..., :2] - first[..., 2:] / 2, second[..., :2] - second[..., 2:] / 2
    )
    if kind is IouLoss.GIOU:
        hull = outer.prod(dim=-1)
        return torch.where(hull == 0, iou, iou - (hull - union) / hull)
    diagonal = outer.square().sum(dim=-1)
    apart = (first[..., :2] - second[..., :2]).square().sum(dim=-1) / diagonal
    if kind is IouLoss.DIOU:
        return torch.where(diagonal == 0, iou, iou - apart.pow(DIOU_POWER))
    aspect = 4 / math.pi**2 * _angle_between(first, second).square()
    weight = aspect / (1 - iou + aspect + TINY)
    return torch.where(diagonal == 0, iou, iou - apart - weight * aspect)


def slopes(predicted: Tensor, truth: Tensor, kind: IouLoss) -> Tensor:
    """Where Darknet moves boxes (n, 4) that should be `truth` (n, 4): upwards in their (G/D/C)IoU, (n, 4) float32."""
    pair = _pair(predicted, truth)
    shared = pair.inner.prod(dim=-1)  # of boxes that are apart, one or both sides are negative
    union = predicted[:, 2:].prod(dim=-1) + truth[:, 2:].prod(dim=-1) - shared
    # by each border: 0 is left and top, 1 right and bottom; a border counts where it is the inner one of the two
    across, across_inner = predicted[:, 2:].flip(1), pair.inner.flip(1)  # (n, 2) the other side's length
    by_low = (-across, torch.where(pair.low_is_inner, -across_inner, 0.0))
    by_high = (across, torch.where(pair.high_is_inner, across_inner, 0.0))
    sides, hulls = [], []
    for (area, intersection), is_outer, sign in ((by_low, pair.low_is_outer, -1), (by_high, pair.high_is_outer, 1)):
        joined = area - intersection
        own = (union[:, None] * intersection - shared[:, None] * joined) / union[:, None].square()
        sides.append(torch.where(union[:, None] > 0, own, 0.0))
        hull = pair.outer.prod(dim=-1)[:, None]
        grown = torch.where(is_outer, sign * pair.outer.flip(1), 0.0)
        hulls.append(torch.where(hull > 0, (hull * joined - union[:, None] * grown) / hull.square(), 0.0))
    apart = (pair.inner <= 0).any(dim=-1, keepdim=True)
    if kind is IouLoss.GIOU:
        sides = [torch.where(apart, hull, side + hull) for side, hull in zip(sides, hulls, strict=True)]
    found = torch.cat([sides[0] + sides[1], sides[1] - sides[0]], dim=1)
    if kind in {IouLoss.DIOU, IouLoss.CIOU}:
        more = _towards_centre(predicted, truth, pair)
        if kind is IouLoss.CIOU:
            more = more + _towards_aspect(predicted, truth, shared / union)
        found = torch.where(apart, more, found + more)
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """Predicted boxes against their truths; (n, 2) for x and y each."""

    inner: Tensor
    outer: Tensor
    low_is_inner: Tensor
    high_is_inner: Tensor
    low_is_outer: Tensor
    high_is_outer: Tensor


def _pair(predicted: Tensor, truth: Tensor) -> _Pair:
    low, high = predicted[:, :2] - predicted[:, 2:] / 2, predicted[:, :2] + predicted[:, 2:] / 2
    true_low, true_high = truth[:, :2] - truth[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    return _Pair(
        torch.minimum(high, true_high) - torch.maximum(low, true_low),
        torch.maximum(high, true_high) - torch.minimum(low, true_low),
        low > true_low,
        high < true_high,
        low < true_low,
        high > true_high,
    )


def _towards_centre(predicted: Tensor, truth: Tensor, pair: _Pair) -> Tensor:
    """The slopes of -(distance of centres / diagonal of the hull)^2."""
    low, high = pair.low_is_outer.float(), pair.high_is_outer.float()
    away = truth[:, :2] - predicted[:, :2]
    distance = away.square().sum(dim=-1, keepdim=True)
    diagonal = pair.outer.square().sum(dim=-1, keepdim=True)
    by_place = (2 * away * diagonal - 2 * pair.outer * (high - low) * distance) / diagonal.square()
    by_size = 2 * pair.outer * (high + low) / 2 * distance / diagonal.square()
    return torch.cat([by_place, by_size], dim=1)


def _towards_aspect(predicted: Tensor, truth: Tensor, iou: Tensor) -> Tensor:
    """The slopes of CIoU's aspect term, without their divisor."""
    angle = _angle_between(predicted, truth)
    aspect = 4 / math.pi**2 * angle.square()
    weight = aspect / (1 - iou + aspect + TINY)
    by_width = weight * 8 / math.pi**2 * angle * predicted[:, 3]
    by_height = -weight * 8 / math.pi**2 * angle * predicted[:, 2]
    return torch.stack([torch.zeros_like(angle), torch.zeros_like(angle), by_width, by_height], dim=1)


def _angle_between(predicted: Tensor, truth: Tensor) -> Tensor:
    """Of the diagonals: atan(w / h) of the truth less that of the prediction."""
    return torch.atan(truth[..., 2] / truth[..., 3]) - torch.atan(predicted[..., 2] / predicted[..., 3])
