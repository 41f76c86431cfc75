"""The training loss of `[yolo]` layers as AlexeyAB's Darknet has it: which value of a head is pulled where, how hard.

Darknet has no loss function: it writes a pull (its `delta`, minus the gradient) for every raw value and reports the
sum of their squares. So does this: the result's gradient by the raw heads is minus the pull, its value the sum of
squares, both divided by the pictures of a whole batch. All options of `[yolo]` that say how to learn are honoured; the
pulls of a `[region]` are `region_loss`'s.

Two things differ from Darknet: objects marked difficult, which it does not know, excuse the cells on them; a centre on
the right or lower border belongs to the last cell, where Darknet writes beyond its array. Values that are exactly 0
(a saturated sigmoid) do not reopen a cell for its next object. Source: AlexeyAB/darknet yolo_layer.c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vedette.learn.darknet.darknet_boxes import overlap, slopes
from vedette.learn.darknet.layers import IouLoss
from vedette.learn.darknet.loss import IGNORED_CLASS, LossParts, Truths
from vedette.learn.darknet.region_loss import RegionGeometry, RegionHead, RegionLearning

CLASS_FOUND = 0.25  # with no class above it, a cell's overlap excuses nothing
FOCAL_ALPHA = 0.5
FOCAL_LEAST = 1e-15
OFF = 3.4028234663852886e38  # Darknet's FLT_MAX


class YoloGeometry(RegionGeometry, Protocol):
    """What the loss needs to know of one `[yolo]` head (`learn.darknet.layers.HeadPlan` has it)."""

    @property
    def scale_x_y(self) -> float: ...

    @property
    def new_coords(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class YoloLearning:
    """How one `[yolo]` is trained; names and defaults are Darknet's."""

    ignore_thresh: float = 0.5
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0
    iou_thresh_kind: IouLoss = IouLoss.IOU
    iou_loss: IouLoss = IouLoss.MSE
    iou_normalizer: float = 0.75
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    max_delta: float = OFF
    objectness_smooth: bool = False
    label_smooth_eps: float = 0.0
    focal_loss: bool = False
    counters_per_class: tuple[int, ...] = ()  # objects of each class in the data; empty: classes count alike


class DarknetLoss:
    """The loss of all `[yolo]` heads of a network, whatever its input size at the moment."""

    def __init__(
        self,
        heads: Sequence[YoloGeometry],
        learning: Sequence[YoloLearning | RegionLearning],
        batch: int,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if len(heads) != len(learning):
            raise ValueError(f"{len(heads)} heads, but {len(learning)} ways to train one")
        self._heads = [
            RegionHead(head, one, class_weights) if isinstance(one, RegionLearning) else _Head(head, one, class_weights)
            for head, one in zip(heads, learning, strict=True)
        ]
        self._batch = batch

    def __call__(
        self, raw_heads: Sequence[Tensor], truths: Truths, size_px: tuple[int, int], seen: int = 0
    ) -> LossParts:
        """Heads as the network gives them; truths in pixels of an input of that width and height.

        `seen` is how many pictures the run has seen before.
        """
        device = raw_heads[0].device
        scale = torch.tensor([*size_px, *size_px], dtype=torch.float32, device=device)
        corners = truths.boxes_xyxy_px / scale
        boxes = torch.cat([(corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]], dim=-1)
        sums = torch.zeros(3, device=device)  # squared pulls on boxes, objectness, classes
        lever = torch.zeros((), device=device)
        positives = 0
        for raw, head in zip(raw_heads, self._heads, strict=True):
            values = split_anchors(raw, len(head.geometry.mask))
            with torch.no_grad():
                pull, found = head.pull(values.detach(), boxes, truths.classes, size_px, seen)
                squared = pull.square().sum(dim=(0, 1, 3, 4))  # (5 + classes)
                sums += torch.stack([squared[:4].sum(), squared[4], squared[5:].sum()])
            lever = lever - (values * pull).sum()
            positives += found
        lever, sums = lever / self._batch, sums / self._batch
        total = lever + (sums.sum() - lever).detach()  # the value of one, the gradient of the other
        return LossParts(total, sums[0], sums[1], sums[2], positives)


def split_anchors(raw: Tensor, anchors: int) -> Tensor:
    """A raw head as (batch, anchors, 5 + classes, grid height, grid width) float32."""
    batch, channels, height, width = raw.shape
    return raw.float().reshape(batch, anchors, channels // anchors, height, width)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Cells and the objects they answer for, in the order in which Darknet comes to them."""

    picture: Tensor  # (n,) int64
    cell: Tensor  # (n,) int64 into the (anchors * height * width) of a picture
    truth: Tensor  # (n,) int64 into the objects of the picture
    order: Tensor  # (n,) int64

    def __len__(self) -> int:
        return len(self.cell)


class _Head:
    """One `[yolo]`: its geometry and the way it is trained."""

    def __init__(self, geometry: YoloGeometry, learning: YoloLearning, class_weights: Sequence[float] | None) -> None:
        self.geometry, self.learning = geometry, learning
        self._multipliers = torch.ones(geometry.classes)
        if counters := [max(count, 1) for count in learning.counters_per_class]:
            self._multipliers = torch.tensor([min(max(counters) / n, learning.max_delta) for n in counters])
        if class_weights is not None:
            self._multipliers = self._multipliers * torch.tensor(class_weights, dtype=torch.float32)
        self._weighs_classes = bool(counters) or class_weights is not None

    def pull(
        self, raw: Tensor, boxes: Tensor, classes: Tensor, size_px: tuple[int, int], seen: int
    ) -> tuple[Tensor, int]:  # (batch, anchors, 5 + classes, height, width) float32
        """Darknet's delta for (batch, anchors, 5 + classes, height, width), and how many cells answer for an object."""
        batch, anchors, channels, height, width = raw.shape
        rows = raw.permute(0, 1, 3, 4, 2).reshape(batch, anchors * height * width, channels)
        grid = self._grid(height, width, size_px, raw.device)
        output, predicted = self._decode(rows, grid)
        best, best_truth, excused = self._overlaps(output, predicted, boxes, classes)
        pull = torch.zeros_like(rows)
        pull[..., 4] = self._no_object(output, best, excused)
        pairs = _join(self._overlapping(best, best_truth), self._assigned(boxes, classes, (height, width), size_px))
        if len(pairs):
            at = (pairs.picture, pairs.cell)
            of_truth = (pairs.picture, pairs.truth)
            key = pairs.picture * pull.shape[1] + pairs.cell
            kinds = classes[of_truth]
            claims = _Claims(
                key, pairs.order, pairs.order < 0, best[at], kinds, self._multipliers.to(raw.device)[kinds], output[at]
            )
            flat = pull.view(-1, channels)
            self._pull_objectness(flat, claims)
            self._pull_classes(flat, claims)
            self._pull_boxes(flat, claims, (rows[at], predicted[at]), boxes[of_truth], grid[pairs.cell])
        return pull.reshape(batch, anchors, height, width, channels).permute(0, 1, 4, 2, 3), len(pairs)

    def _grid(self, height: int, width: int, size_px: tuple[int, int], device: torch.device) -> Tensor:
        """Column, row, their counts, the anchor's width and height in parts of the input: (cells, 6) float32."""
        mine = torch.tensor([self.geometry.all_anchors[number] for number in self.geometry.mask], device=device)
        rows, columns = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        place = torch.stack([columns, rows], dim=-1).reshape(-1, 2).float().repeat(len(mine), 1)
        counts = torch.tensor([width, height], device=device).float().expand_as(place)
        shape = (mine / torch.tensor(size_px, device=device)).float().repeat_interleave(height * width, dim=0)
        return torch.cat([place, counts, shape], dim=1)

    def _decode(self, rows: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output, as Darknet keeps it, and the boxes that it stands for."""
        scale = self.geometry.scale_x_y
        output = rows.clone() if self.geometry.new_coords else rows.sigmoid()
        output[..., :2] = output[..., :2] * scale - 0.5 * (scale - 1)
        output[..., 2:4] = rows[..., 2:4]
        size = 4 * output[..., 2:4].square() if self.geometry.new_coords else output[..., 2:4].exp()
        return output, torch.cat([(grid[:, :2] + output[..., :2]) / grid[:, 2:4], size * grid[:, 4:]], dim=-1)

    @staticmethod
    def _overlaps(output: Tensor, predicted: Tensor, boxes: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of every cell the best IoU with an object, which one that is, and what may excuse it: (batch, cells) each."""
        best, best_truth = torch.zeros_like(output[..., 4]), torch.zeros_like(output[..., 4], dtype=torch.int64)
        spared = torch.zeros_like(best)
        for picture in range(len(boxes)):  # one at a time keeps (cells, objects) within the cache
            there = torch.nonzero(classes[picture] >= IGNORED_CLASS).flatten()
            if not len(there):
                continue
            iou = overlap(predicted[picture][:, None], boxes[picture][there])  # (cells, objects)
            is_real = classes[picture][there] >= 0
            best[picture], column = (iou * is_real).max(dim=1)
            best_truth[picture] = there[column]
            spared[picture] = (iou * ~is_real).amax(dim=1)
        sure = (output[..., 5:] > CLASS_FOUND).any(dim=-1)
        return best, best_truth, torch.maximum(best * sure, spared)

    def _no_object(self, output: Tensor, best: Tensor, excused: Tensor) -> Tensor:
        """What pulls a cell's objectness before objects claim it."""
        learning, present = self.learning, output[..., 4]
        pull = learning.obj_normalizer * (0 - present)
        over = excused > learning.ignore_thresh
        if learning.objectness_smooth:
            return torch.where(over, torch.maximum(pull, learning.obj_normalizer * (excused - present)), pull)
        return torch.where(over, torch.zeros_like(pull), pull)

    def _overlapping(self, best: Tensor, best_truth: Tensor) -> _Pairs:
        """Cells above truth_thresh, which answer for the object they overlap most."""
        picture, cell = torch.nonzero(best > self.learning.truth_thresh, as_tuple=True)
        return _Pairs(picture, cell, best_truth[picture, cell], torch.full_like(cell, -1))

    def _assigned(self, boxes: Tensor, classes: Tensor, grid: tuple[int, int], size_px: tuple[int, int]) -> _Pairs:
        """The cell that owns an object's centre, with the anchor of best shape, and those above iou_thresh."""
        height, width = grid
        device, mask = boxes.device, self.geometry.mask
        picture, truth = torch.nonzero(classes >= 0, as_tuple=True)
        mine = boxes[picture, truth]  # (n, 4)
        anchors = torch.zeros(len(self.geometry.all_anchors), 4, device=device)
        anchors[:, 2:] = torch.tensor(self.geometry.all_anchors, device=device) / torch.tensor(size_px, device=device)
        shape = torch.cat([torch.zeros_like(mine[:, :2]), mine[:, 2:]], dim=1)[:, None]
        claims = torch.zeros(len(mine), len(anchors), dtype=torch.bool, device=device)
        if len(mine):
            claims[torch.arange(len(mine), device=device), overlap(anchors, shape).argmax(dim=1)] = True
        if self.learning.iou_thresh < 1:
            claims |= overlap(anchors, shape, self.learning.iou_thresh_kind) > self.learning.iou_thresh
        number, plane = torch.nonzero(claims[:, list(mask)], as_tuple=True)
        column = (mine[:, 0] * width).long().clamp(0, width - 1)[number]
        row = (mine[:, 1] * height).long().clamp(0, height - 1)[number]
        return _Pairs(picture[number], (plane * height + row) * width + column, truth[number], truth[number])

    def _pull_objectness(self, flat: Tensor, claims: "_Claims") -> None:
        """The last object that claims a cell decides."""
        learning, present = self.learning, claims.output[:, 4]
        target = torch.where(claims.by_overlap & learning.objectness_smooth, claims.iou.square(), 1.0)
        wanted = torch.where(claims.by_overlap, 1.0, claims.weight) * learning.obj_normalizer * (target - present)
        for chosen, smooth in ((claims.by_overlap, False), (~claims.by_overlap, learning.objectness_smooth)):
            deciding = chosen & claims.extreme(chosen, len(flat), "amin" if smooth else "amax")
            now = flat[claims.key[deciding], 4]
            keeps = (now != 0) & smooth
            flat[claims.key[deciding], 4] = torch.where(keeps, now, wanted[deciding])

    def _pull_classes(self, flat: Tensor, claims: "_Claims") -> None:
        """The first object that claims a cell pulls all its classes, those after it only their own."""
        learning, eps, present = self.learning, self.learning.label_smooth_eps, claims.output[:, 5:]
        one_hot = torch.nn.functional.one_hot(claims.kinds, present.shape[1]).float()
        own = present.gather(1, claims.kinds[:, None])  # (n, 1)
        if learning.focal_loss:
            sure = own + FOCAL_LEAST
            steep = -(1 - sure) * (2 * sure * sure.log() + sure - 1)
            all_classes = (one_hot - present) * FOCAL_ALPHA * steep
        else:
            all_classes = one_hot * (1 - eps) + 0.5 * eps - present
            if self._weighs_classes:
                factor = (claims.weight * learning.cls_normalizer)[:, None]
                all_classes = torch.where(one_hot > 0, all_classes * factor, all_classes)
        if learning.objectness_smooth:
            smooth = claims.weight * (claims.iou.square() - own.squeeze(1))
            all_classes = torch.where((one_hot > 0) & claims.by_overlap[:, None], smooth[:, None], all_classes)
        own_class = (1 - eps + 0.5 * eps - own.squeeze(1)) * claims.weight
        first = claims.extreme(torch.ones_like(claims.by_overlap), len(flat), "amin")
        flat[claims.key[first], 5:] = all_classes[first]
        flat[claims.key[~first], 5 + claims.kinds[~first]] = own_class[~first]

    def _pull_boxes(
        self, flat: Tensor, claims: "_Claims", present: tuple[Tensor, Tensor], truth: Tensor, grid: Tensor
    ) -> None:
        """All objects that claim a cell pull its box; with iou_thresh, divided by the classes that it is pulled to."""
        rows, predicted = present
        pull = self._towards(rows, claims.output, predicted, truth, grid) * claims.weight[:, None]
        if self.learning.iou_loss is not IouLoss.MSE:
            pull = torch.nan_to_num(pull, nan=0.0, posinf=0.0, neginf=0.0)
            pull = pull.clamp(-self.learning.max_delta, self.learning.max_delta)
        summed = torch.zeros_like(flat[:, :4]).index_add_(0, claims.key, pull)
        if self.learning.iou_thresh < 1:
            wanted = (flat[:, 5:] > 0).sum(dim=1, keepdim=True)
            summed = torch.where((wanted > 0) & (flat[:, 4:5] != 0), summed / wanted.clamp(min=1), summed)
        flat[:, :4] = summed

    def _towards(self, rows: Tensor, output: Tensor, predicted: Tensor, truth: Tensor, grid: Tensor) -> Tensor:
        """What pulls the four numbers of a box towards its object, (n, 4)."""
        learning, is_new = self.learning, self.geometry.new_coords
        if learning.iou_loss is IouLoss.MSE:
            ratio = truth[:, 2:] / grid[:, 4:]
            size = (ratio / 4).sqrt() if is_new else ratio.log()
            target = torch.cat([truth[:, :2] * grid[:, 2:4] - grid[:, :2], size], dim=1)
            smaller_counts_more = (2 - truth[:, 2:].prod(dim=1, keepdim=True)) * learning.iou_normalizer
            return (target - output[:, :4]) * smaller_counts_more
        never_empty = torch.where(predicted == 0, 1.0, predicted)
        boxes = torch.cat([predicted[:, :2], never_empty[:, 2:]], dim=1)
        found = slopes(boxes, truth, learning.iou_loss) * learning.iou_normalizer
        if not is_new:
            found = torch.cat([found[:, :2], found[:, 2:] * rows[:, 2:4].exp()], dim=1)
        return found


@dataclass(frozen=True, slots=True)
class _Claims:
    """What is known of each of n pairs of cell and object."""

    key: Tensor  # (n,) int64 the cell among those of all pictures
    order: Tensor  # (n,) int64
    by_overlap: Tensor  # (n,) bool: through truth_thresh
    iou: Tensor  # (n,) of the cell's box with the object that it overlaps most
    kinds: Tensor  # (n,) int64 classes
    weight: Tensor  # (n,) of the classes
    output: Tensor  # (n, 5 + classes) of the cell

    def extreme(self, counted: Tensor, size: int, how: str) -> Tensor:
        """Which pairs are the first or last of those counted that claim their cell, (n,) bool."""
        start = int(self.order.max()) + 1 if how == "amin" else int(self.order.min()) - 1
        found = torch.full((size,), start, dtype=torch.int64, device=self.key.device)
        found.scatter_reduce_(0, self.key[counted], self.order[counted], how)
        return self.order == found[self.key]


def _join(first: _Pairs, second: _Pairs) -> _Pairs:
    names = ("picture", "cell", "truth", "order")
    return _Pairs(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in names))
