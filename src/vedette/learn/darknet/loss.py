"""What a Darknet-family network is trained against: which cells answer for which object, and how wrong they are.

Guarantees: decoding is that of `[yolo]` (`scale_x_y` and `new_coords` honoured) or `[region]` (a box's classes exclude
each other: softmax), arithmetic is float32 whatever the
heads' precision, and no Python loop runs over pictures or objects. Leaves the optimiser and the data to
`learn.training`.

Every object proposes candidates: in each head the anchors whose shape is within `shape_ratio` of it, in the cell that
owns its centre and in those neighbours that `scale_x_y` lets reach it. Of these the cheapest few by the network's own
present answer become positives, as many as their summed overlap says (dynamic k of OTA, Ge et al. 2021,
arXiv:2103.14259, 2107.08430). Box loss is CIoU (Zheng et al. 2020, arXiv:1911.08287); the objectness of a positive is
taught its overlap.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

IGNORED_CLASS = -1  # labelled, but neither rewards nor punishes (difficult, crowd, mostly cut off)
NO_OBJECT = -2  # padding of the truth arrays
LARGEST_EXPONENT = 8.0  # exp(8) anchors wide is wider than any picture; keeps exp and its gradient finite
EPSILON = 1e-7


class HeadGeometry(Protocol):
    """What the loss needs to know of one head (`learn.darknet.layers.HeadPlan` has it)."""

    @property
    def anchors(self) -> tuple[tuple[float, float], ...]: ...

    @property
    def classes(self) -> int: ...

    @property
    def scale_x_y(self) -> float: ...

    @property
    def new_coords(self) -> bool: ...

    @property
    def softmax(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Weights and rules of the loss; the defaults were chosen by experiment (docs/how-to/train.md)."""

    box_weight: float = 5.0
    objectness_weight: float = 1.0
    class_weight: float = 1.0
    shape_ratio: float = 4.0  # an anchor answers for objects at most this many times larger or smaller, each way
    ignore_iou: float = 0.7  # a cell that is no positive but overlaps an object this well is not told "nothing here"
    largest_k: int = 10  # at most this many positives for one object
    least_k: int = 1  # and at least so many, where there are candidates
    quality: float = 1.0  # objectness of a positive is taught its overlap (1), or plainly "yes" (0), or between
    label_smoothing: float = 0.0  # class targets are half of this and 1 less that, instead of 0 and 1
    focus: float = 0.0  # power of |target - answer| that objectness is weighted with; 0 is plain cross entropy


@dataclass(frozen=True, slots=True)
class Truths:
    """The objects of a batch, padded to the most that one picture has."""

    boxes_xyxy_px: Tensor  # (batch, most, 4) float32 corners in input pixels
    classes: Tensor  # (batch, most) int64; IGNORED_CLASS, NO_OBJECT
    size_px: tuple[int, int] | None = None  # width and height of this batch's input, where not the network's own


@dataclass(frozen=True, slots=True)
class LossParts:
    """The loss to minimise and what it is made of (detached), for a person to look at."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor
    positives: int


@dataclass(frozen=True, slots=True)
class _Grid:
    """Every cell-and-anchor of all heads in one row, in the order of the flattened predictions."""

    cell_xy: Tensor  # (cells, 2) column and row
    stride_xy: Tensor  # (cells, 2) input pixels of a cell
    anchor_wh_px: Tensor  # (cells, 2)
    scale: Tensor  # (cells, 1) scale_x_y


@dataclass(frozen=True, slots=True)
class _Candidates:
    """For every real object (n of them) the cells that may answer: (n, candidates)."""

    cell: Tensor  # int64 index into the grid
    valid: Tensor  # bool
    picture: Tensor  # (n,) int64
    boxes_xyxy_px: Tensor  # (n, 4)
    classes: Tensor  # (n,) int64


@dataclass(frozen=True, slots=True)
class _Positives:
    picture: Tensor  # (p,)
    cell: Tensor  # (p,)
    truth: Tensor  # (p,) index into the candidates' objects


class DetectionLoss:
    """The loss of all heads of one network, at its input size or at others that its strides divide.

    A batch may be shared out among processes: `count_all` then gives the positives of all of them from those here, and
    the losses of the parts add up to that of the whole batch.
    """

    def __init__(
        self,
        heads: Sequence[HeadGeometry],
        width_px: int,
        height_px: int,
        settings: LossSettings | None = None,
        count_all: Callable[[int], int] = int,
        *,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self._heads = tuple(heads)
        self._size_px = (width_px, height_px)
        self._settings = settings or LossSettings()
        self._count_all = count_all
        self._class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self._grids: dict[tuple[int, int, torch.device], _Grid] = {}
        if len({head.new_coords for head in self._heads}) > 1:
            raise ValueError("heads with and without new_coords in one network cannot be trained together")

    def __call__(self, raw_heads: Sequence[Tensor], truths: Truths) -> LossParts:
        """Heads as the network gives them, (batch, anchors * (5 + classes), grid height, grid width)."""
        size_px = truths.size_px or self._size_px
        grid = self._grid_for(raw_heads, size_px)
        predictions = self._flatten(raw_heads)  # (batch, cells, 5 + classes) float32, logits
        with torch.no_grad():
            boxes = decode_boxes(predictions[..., :4], grid, self._heads[0].new_coords)  # (batch, cells, 4)
            candidates = self._candidates(raw_heads, truths, size_px)
            positives = self._choose(predictions, boxes, candidates)
            ignored = ignored_cells(boxes, truths, self._settings.ignore_iou)  # (batch, cells) bool
        return self._measure(predictions, grid, candidates, positives, ignored)

    def _measure(
        self, predictions: Tensor, grid: _Grid, candidates: _Candidates, positives: _Positives, ignored: Tensor
    ) -> LossParts:
        settings = self._settings
        count = max(self._count_all(len(positives.cell)), 1)
        chosen = predictions[positives.picture, positives.cell]  # (p, 5 + classes)
        chosen_boxes = decode_boxes(chosen[:, :4], _rows(grid, positives.cell), self._heads[0].new_coords)
        iou, ciou = box_overlap(chosen_boxes, candidates.boxes_xyxy_px[positives.truth])
        classes = candidates.classes[positives.truth]  # (p,)
        weight = self._weigh(classes)  # (p,)
        box_loss = ((1.0 - ciou) * weight).sum() / count

        objectness_target = torch.zeros_like(predictions[..., 4])  # (batch, cells)
        overlap = iou.detach().clamp(0.0, 1.0)
        objectness_target[positives.picture, positives.cell] = 1.0 + settings.quality * (overlap - 1.0)
        counted = ~ignored
        counted[positives.picture, positives.cell] = True
        objectness = functional.binary_cross_entropy_with_logits(
            predictions[..., 4], objectness_target, reduction="none"
        )
        if settings.focus:
            objectness = objectness * (objectness_target - predictions[..., 4].sigmoid()).abs() ** settings.focus
        counts = counted.float()
        counts[positives.picture, positives.cell] = weight
        objectness_loss = (objectness * counts).sum() / count

        class_loss = (self._class_losses(chosen[:, 5:], classes) * weight).sum() / count
        total = (
            settings.box_weight * box_loss
            + settings.objectness_weight * objectness_loss
            + settings.class_weight * class_loss
        )
        return LossParts(total, box_loss.detach(), objectness_loss.detach(), class_loss.detach(), len(positives.cell))

    def _class_losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy of each of (p, classes) logits: one question for each class, or with a softmax one in all."""
        smoothing = self._settings.label_smoothing
        if self._heads[0].softmax:
            return functional.cross_entropy(logits, classes, reduction="none", label_smoothing=smoothing)
        target = functional.one_hot(classes, logits.shape[1]).float() * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=1)

    def _class_scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=-1) if self._heads[0].softmax else logits.sigmoid()

    def _weigh(self, classes: Tensor) -> Tensor:
        """How much an object of each of these classes counts."""
        if self._class_weights is None:
            return torch.ones(classes.shape, device=classes.device)
        return self._class_weights.to(classes.device)[classes]

    def _flatten(self, raw_heads: Sequence[Tensor]) -> Tensor:
        """All heads as one (batch, cells, 5 + classes) float32 array of logits."""
        rows = []
        for raw, head in zip(raw_heads, self._heads, strict=True):
            anchors = len(head.anchors)
            batch, channels, height, width = raw.shape
            row = raw.float().reshape(batch, anchors, channels // anchors, height * width)
            row = row.permute(0, 1, 3, 2).reshape(batch, anchors * height * width, channels // anchors)
            if head.new_coords:  # the layer before is logistic already: back to logits for objectness and classes
                row = torch.cat([row[..., :4], torch.logit(row[..., 4:], eps=1e-6)], dim=-1)
            rows.append(row)
        return torch.cat(rows, dim=1)

    def _grid_for(self, raw_heads: Sequence[Tensor], size_px: tuple[int, int]) -> _Grid:
        """The grid, made once: it depends on the input size and the device alone."""
        device = raw_heads[0].device
        known = self._grids.get((*size_px, device))
        if known is not None:
            return known
        cells, strides, anchors, scales = [], [], [], []
        for raw, head in zip(raw_heads, self._heads, strict=True):
            height, width = raw.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            cell = torch.stack([columns, rows], dim=-1).reshape(-1, 2).float()  # (height * width, 2)
            count, size = len(head.anchors), height * width
            cells.append(cell.repeat(count, 1))
            strides.append(torch.tensor([[size_px[0] / width, size_px[1] / height]]).repeat(count * size, 1))
            anchors.append(torch.tensor(head.anchors, dtype=torch.float32).repeat_interleave(size, dim=0))
            scales.append(torch.full((count * size, 1), float(head.scale_x_y)))
        grid = _Grid(*(torch.cat(part).to(device) for part in (cells, strides, anchors, scales)))
        self._grids[(*size_px, device)] = grid
        return grid

    def _candidates(self, raw_heads: Sequence[Tensor], truths: Truths, size_px: tuple[int, int]) -> _Candidates:
        """Which cells may answer for which object, by shape and place alone."""
        picture, slot = torch.nonzero(truths.classes >= 0, as_tuple=True)
        boxes = truths.boxes_xyxy_px[picture, slot]  # (n, 4)
        centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=EPSILON)
        device, cells, valids, ratios, offset = boxes.device, [], [], [], 0
        for raw, head in zip(raw_heads, self._heads, strict=True):
            height, width = raw.shape[2:]
            extent = torch.tensor([width, height], device=device)
            at = centre / torch.tensor([size_px[0] / width, size_px[1] / height], device=device)
            columns_rows, near = reaching_cells(at, extent, head.scale_x_y)  # (n, 3, 2) int64, (n, 3) bool
            anchors = torch.tensor(head.anchors, dtype=torch.float32, device=device)
            quotient = size[:, None] / anchors[None]  # (n, anchors, 2)
            ratio = torch.maximum(quotient, 1 / quotient).amax(dim=-1)  # (n, anchors), 1 when the shapes are equal
            plane = torch.arange(len(head.anchors), device=device)[None, :, None] * (height * width)
            cell = offset + plane + (columns_rows[..., 1] * width + columns_rows[..., 0])[:, None]  # (n, anchors, 3)
            cells.append(cell.flatten(1))
            valids.append(near[:, None].expand_as(cell).flatten(1))
            ratios.append(ratio[:, :, None].expand_as(cell).flatten(1))
            offset += len(head.anchors) * height * width
        ratio = torch.cat(ratios, dim=1)
        fits = ratio <= torch.clamp(ratio.amin(dim=1, keepdim=True), min=self._settings.shape_ratio)  # never none
        valid = torch.cat(valids, dim=1) & fits
        return _Candidates(torch.cat(cells, dim=1), valid, picture, boxes, truths.classes[picture, slot])

    def _choose(self, predictions: Tensor, boxes: Tensor, candidates: _Candidates) -> _Positives:
        """The positives: for each object its cheapest candidates; a cell wanted by several goes to the cheapest."""
        picture = candidates.picture[:, None].expand_as(candidates.cell)
        if not len(candidates.classes):
            nothing = torch.zeros(0, dtype=torch.int64, device=boxes.device)
            return _Positives(nothing, nothing, nothing)
        iou, _ = box_overlap(boxes[picture, candidates.cell], candidates.boxes_xyxy_px[:, None])  # (n, candidates)
        iou = iou.clamp(0.0, 1.0) * candidates.valid
        logits = predictions[picture, candidates.cell]  # (n, candidates, 5 + classes)
        of_class = torch.take_along_dim(self._class_scores(logits[..., 5:]), candidates.classes[:, None, None], dim=-1)
        score = logits[..., 4].sigmoid() * of_class.squeeze(-1)
        cost = -torch.log(score.clamp(min=1e-6)) - 3.0 * torch.log(iou.clamp(min=1e-6))
        cost = cost.masked_fill(~candidates.valid, math.inf)
        wanted = iou.topk(min(self._settings.largest_k, iou.shape[1]), dim=1).values.sum(dim=1)  # (n,)
        wanted = wanted.round().clamp(min=self._settings.least_k)
        rank = cost.argsort(dim=1).argsort(dim=1)  # 0 is the cheapest
        chosen = (rank < wanted[:, None]) & candidates.valid
        truth, column = torch.nonzero(chosen, as_tuple=True)
        cell, price = candidates.cell[truth, column], cost[truth, column]
        key = candidates.picture[truth] * boxes.shape[1] + cell
        cheapest = torch.full((boxes.shape[0] * boxes.shape[1],), math.inf, device=boxes.device)
        cheapest.scatter_reduce_(0, key, price, "amin")
        keep = price == cheapest[key]
        return _Positives(candidates.picture[truth][keep], cell[keep], truth[keep])


def _rows(grid: _Grid, cell: Tensor) -> _Grid:
    return _Grid(grid.cell_xy[cell], grid.stride_xy[cell], grid.anchor_wh_px[cell], grid.scale[cell])


def decode_boxes(raw_xywh: Tensor, grid: _Grid, new_coords: bool) -> Tensor:
    """Raw (..., cells, 4) to corners in input pixels, as `[yolo]` decodes them (facts of Darknet's `get_yolo_box`)."""
    if new_coords:
        place, size = raw_xywh[..., :2], (2.0 * raw_xywh[..., 2:]).square()
    else:
        place, size = raw_xywh[..., :2].sigmoid(), raw_xywh[..., 2:].clamp(max=LARGEST_EXPONENT).exp()
    centre = (place * grid.scale - (grid.scale - 1.0) / 2 + grid.cell_xy) * grid.stride_xy
    half = size * grid.anchor_wh_px / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def reaching_cells(at: Tensor, extent: Tensor, scale_x_y: float) -> tuple[Tensor, Tensor]:
    """The cell that owns each centre, and the nearer neighbours, across and down, whose boxes can reach it.

    `at` (n, 2) in cells. Returns columns and rows (n, 3, 2) int64, clipped into the grid, and which may answer (n, 3).
    """
    reach = min((scale_x_y - 1.0) / 2, 0.5)  # how far outside its cell a centre can lie
    own = torch.minimum(at.floor().long().clamp(min=0), extent - 1)
    inside = at - own
    step = torch.where(inside < 0.5, -1, 1)  # (n, 2)
    distance = torch.where(inside < 0.5, inside, 1 - inside)  # to the nearer border
    zero = torch.zeros_like(step[:, 0])
    neighbours = own[:, None] + torch.stack(
        [torch.zeros_like(step), torch.stack([step[:, 0], zero], 1), torch.stack([zero, step[:, 1]], 1)], dim=1
    )
    clipped = torch.minimum(neighbours.clamp(min=0), extent - 1)
    in_grid = (clipped == neighbours).all(dim=-1)
    near = torch.cat([torch.ones_like(distance[:, :1], dtype=torch.bool), distance < reach], dim=1)
    return clipped, near & in_grid


def box_overlap(a_xyxy: Tensor, b_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and complete IoU of corresponding boxes (..., 4); CIoU is IoU less centre distance and aspect difference."""
    inner = (torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])).clamp(
        min=0
    )
    outer = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    a_size, b_size = a_xyxy[..., 2:] - a_xyxy[..., :2], b_xyxy[..., 2:] - b_xyxy[..., :2]
    shared = inner.prod(dim=-1)
    iou = shared / (a_size.prod(dim=-1) + b_size.prod(dim=-1) - shared + EPSILON)
    apart = ((a_xyxy[..., :2] + a_xyxy[..., 2:] - b_xyxy[..., :2] - b_xyxy[..., 2:]) / 2).square().sum(dim=-1)
    distance = apart / (outer.square().sum(dim=-1) + EPSILON)
    angle = torch.atan2(b_size[..., 0], b_size[..., 1]) - torch.atan2(a_size[..., 0], a_size[..., 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + EPSILON)
    return iou, iou - distance - weight * aspect


def ignored_cells(boxes: Tensor, truths: Truths, ignore_iou: float) -> Tensor:
    """Cells (batch, cells) bool whose box overlaps an object by more than `ignore_iou`, or lies on an ignored one."""
    found = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)  # (batch, cells)
    for picture in range(len(boxes)):  # one picture at a time keeps (cells, objects) within the cache
        kinds = truths.classes[picture]
        there = truths.boxes_xyxy_px[picture][kinds != NO_OBJECT]  # (objects, 4)
        if not len(there):
            continue
        cells = boxes[picture][:, None]
        corner = torch.minimum(cells[..., 2:], there[:, 2:]) - torch.maximum(cells[..., :2], there[:, :2])
        shared = corner.clamp(min=0).prod(dim=-1)  # (cells, objects)
        own = area[picture][:, None]
        union = own + (there[:, 2:] - there[:, :2]).prod(dim=-1) - shared
        spared = (kinds[kinds != NO_OBJECT] == IGNORED_CLASS) & (shared > 0.5 * own)
        found[picture] = ((shared > ignore_iou * union) | spared).any(dim=1)
    return found
