"""The training loss of a `[region]` (YOLOv2) as AlexeyAB's Darknet has it; `darknet_loss` makes a loss of its pulls.

Unlike `[yolo]`: an object pulls one anchor alone, the last object that claims a cell has all of it, the pulls on place
and objectness are those on the raw values (with the sigmoid's slope), classes are a softmax, and while a run has seen
fewer than 12,800 pictures every box is drawn a little towards its anchor. Objects marked difficult, which Darknet does
not know, excuse the cells on them. Left out: `classfix`, `tree`, `map`. Source: AlexeyAB/darknet region_layer.c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vedette.learn.darknet.darknet_boxes import overlap
from vedette.learn.darknet.loss import IGNORED_CLASS

FIRST_PICTURES = 12_800  # of a run, that draw boxes towards their anchors
TOWARDS_ANCHORS = 0.01
FOCAL_ALPHA = 0.5
FOCAL_LEAST = 1e-15


class RegionGeometry(Protocol):
    """What the loss needs to know of a head (`learn.darknet.layers.HeadPlan` has it)."""

    @property
    def all_anchors(self) -> tuple[tuple[float, float], ...]: ...

    @property
    def mask(self) -> tuple[int, ...]: ...

    @property
    def classes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RegionLearning:
    """How a `[region]` is trained; names and defaults are Darknet's."""

    thresh: float = 0.5
    coord_scale: float = 1.0
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0
    rescore: bool = False
    bias_match: bool = False
    focal_loss: bool = False


class RegionHead:
    """A `[region]`: its geometry and the way it is trained."""

    def __init__(
        self, geometry: RegionGeometry, learning: RegionLearning, class_weights: Sequence[float] | None
    ) -> None:
        self.geometry, self.learning = geometry, learning
        self._weights = torch.ones(geometry.classes) if class_weights is None else torch.tensor(class_weights)

    def pull(
        self, raw: Tensor, boxes: Tensor, classes: Tensor, size_px: tuple[int, int], seen: int
    ) -> tuple[Tensor, int]:  # (batch, anchors, 5 + classes, height, width) float32
        """Darknet's delta for (batch, anchors, 5 + classes, height, width), and how many cells answer for an object."""
        batch, anchors, channels, height, width = raw.shape
        rows = raw.permute(0, 1, 3, 4, 2).reshape(batch, anchors * height * width, channels)
        shape = torch.tensor(self.geometry.all_anchors, device=raw.device) / torch.tensor(size_px, device=raw.device)
        place = rows[..., :2].sigmoid()
        size = rows[..., 2:4].exp() * shape.repeat_interleave(height * width, dim=0)
        predicted = torch.cat([(place + _cells(height, width, anchors, raw.device)) / _extent(raw), size], dim=-1)
        present = rows[..., 4].sigmoid()
        pull = torch.zeros_like(rows)
        free = _best(predicted, boxes, classes) <= self.learning.thresh
        pull[..., 4] = self.learning.noobject_scale * -present * present * (1 - present) * free
        if seen < FIRST_PICTURES:
            pull[..., :2] = TOWARDS_ANCHORS * (0.5 - place) * place * (1 - place)
            pull[..., 2:4] = TOWARDS_ANCHORS * -rows[..., 2:4]
        picture, truth = torch.nonzero(classes >= 0, as_tuple=True)
        mine = boxes[picture, truth]  # (n, 4)
        column_row = torch.minimum((mine[:, :2] * _extent(raw)).long().clamp(min=0), _extent(raw).long() - 1)
        cell = column_row[:, 1] * width + column_row[:, 0]
        cell = cell + self._anchor(mine, size[picture], shape, cell) * (height * width)
        last = _last(picture * rows.shape[1] + cell, batch * rows.shape[1])
        picture, cell, mine, column_row = picture[last], cell[last], mine[last], column_row[last]
        kinds = classes[picture, truth[last]]
        wanted = self._wanted(rows[picture, cell], predicted[picture, cell], mine, kinds)
        moved = mine[:, :2] * _extent(raw) - column_row, (mine[:, 2:] / shape[cell // (height * width)]).log()
        inside = place[picture, cell]
        wanted[:, :2] = self.learning.coord_scale * (moved[0] - inside) * inside * (1 - inside)
        wanted[:, 2:4] = self.learning.coord_scale * (moved[1] - rows[picture, cell, 2:4])
        pull[picture, cell] = wanted * self._weights.to(raw.device)[kinds][:, None]
        return pull.reshape(batch, anchors, height, width, channels).permute(0, 1, 4, 2, 3), len(cell)

    def _anchor(self, mine: Tensor, size: Tensor, shape: Tensor, cell: Tensor) -> Tensor:
        """Which anchor answers for each object, (n,) int64: the one most like its shape, or whose box at present is."""
        per_anchor = size.shape[1] // len(shape)
        planes = torch.arange(len(shape), device=mine.device) * per_anchor
        own = size[torch.arange(len(mine), device=mine.device)[:, None], cell[:, None] + planes]  # (n, anchors, 2)
        shapes = shape.expand_as(own) if self.learning.bias_match else own
        there = torch.cat([torch.zeros_like(shapes), shapes], dim=-1)
        wanted = torch.cat([torch.zeros_like(mine[:, :2]), mine[:, 2:]], dim=1)[:, None]
        return overlap(there, wanted).argmax(dim=1)

    def _wanted(self, rows: Tensor, predicted: Tensor, mine: Tensor, kinds: Tensor) -> Tensor:
        """What pulls objectness and classes of n cells, (n, 5 + classes); the box is still 0."""
        learning, present = self.learning, rows[:, 4].sigmoid()
        found = torch.zeros_like(rows)
        target = overlap(predicted, mine) if learning.rescore else torch.ones_like(present)
        found[:, 4] = learning.object_scale * (target - present) * present * (1 - present)
        probabilities = rows[:, 5:].softmax(dim=1)
        one_hot = torch.nn.functional.one_hot(kinds, probabilities.shape[1]).float()
        found[:, 5:] = learning.class_scale * (one_hot - probabilities)
        if learning.focal_loss:
            sure = probabilities.gather(1, kinds[:, None]) + FOCAL_LEAST
            found[:, 5:] *= FOCAL_ALPHA * -(1 - sure) * (2 * sure * sure.log() + sure - 1)
        return found


def _extent(raw: Tensor) -> Tensor:
    """Columns and rows of a head, (2,) float32."""
    return torch.tensor([raw.shape[4], raw.shape[3]], dtype=torch.float32, device=raw.device)


def _cells(height: int, width: int, anchors: int, device: torch.device) -> Tensor:
    """Column and row of each cell, (anchors * height * width, 2) float32."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], dim=-1).reshape(-1, 2).float().repeat(anchors, 1).to(device)


def _best(predicted: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
    """The largest IoU of each cell's box with an object, difficult ones included, (batch, cells)."""
    best = torch.zeros_like(predicted[..., 0])
    for picture in range(len(boxes)):  # one at a time keeps (cells, objects) within the cache
        there = boxes[picture][classes[picture] >= IGNORED_CLASS]
        if len(there):
            best[picture] = overlap(predicted[picture][:, None], there).amax(dim=1)
    return best


def _last(key: Tensor, size: int) -> Tensor:
    """Which of n claims is the last one on its cell, (n,) bool."""
    order = torch.arange(len(key), device=key.device)
    found = torch.full((size,), -1, dtype=torch.int64, device=key.device)
    found.scatter_reduce_(0, key, order, "amax")
    return order == found[key]
