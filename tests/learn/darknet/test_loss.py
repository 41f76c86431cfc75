"""The loss against a slow, plain reading of its own rules, and what follows from them."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from vedette.learn.darknet.loss import (
    IGNORED_CLASS,
    NO_OBJECT,
    DetectionLoss,
    LossSettings,
    Truths,
    box_overlap,
    ignored_cells,
    reaching_cells,
)

CLASSES = 3


@dataclass(frozen=True)
class Head:
    anchors: tuple[tuple[float, float], ...]
    classes: int = CLASSES
    scale_x_y: float = 2.0
    new_coords: bool = False
    softmax: bool = False


COARSE = Head(((40.0, 30.0), (60.0, 60.0)))
FINE = Head(((10.0, 12.0), (24.0, 20.0)))
WIDTH, HEIGHT = 96, 64
GRIDS = ((3, 2), (6, 4))  # columns and rows at strides 32 and 16


def random_heads(seed: int, heads: tuple[Head, ...], batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, len(head.anchors) * (5 + CLASSES), rows, columns, generator=generator)
        for head, (columns, rows) in zip(heads, GRIDS[: len(heads)], strict=True)
    ]


def some_truths() -> Truths:
    boxes = torch.tensor(
        [
            [[5.0, 5.0, 45.0, 40.0], [50.0, 20.0, 62.0, 33.0], [51.0, 21.0, 63.0, 35.0], [70.0, 40.0, 95.0, 63.0]],
            [[0.0, 0.0, 90.0, 8.0], [40.0, 30.0, 64.0, 50.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]],
        ]
    )
    classes = torch.tensor([[0, 1, 2, IGNORED_CLASS], [2, 0, NO_OBJECT, NO_OBJECT]])
    return Truths(boxes, classes)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def iou_of(a: list[float], b: list[float]) -> tuple[float, float]:
    """Intersection over union, and intersection over the area of `a`."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area_a + area_b - width * height), width * height / area_a


def ciou_of(a: list[float], b: list[float]) -> float:
    iou, _ = iou_of(a, b)
    outer = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    angle = math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))
    aspect = 4 / math.pi**2 * angle**2
    return iou - apart / outer - aspect * aspect / (1 - iou + aspect)


def cross_entropy(logit: float, target: float) -> float:
    return -target * math.log(sigmoid(logit)) - (1 - target) * math.log(1 - sigmoid(logit))


class Naive:
    """Every rule spelt out, one cell and one object at a time."""

    def __init__(self, heads: tuple[Head, ...], raw: list[torch.Tensor], settings: LossSettings) -> None:
        self.settings, self.softmax = settings, heads[0].softmax
        self.cells: list[dict] = []  # of every picture
        for head, tensor, (columns, rows) in zip(heads, raw, GRIDS[: len(heads)], strict=True):
            stride_x, stride_y, s = WIDTH / columns, HEIGHT / rows, head.scale_x_y
            for picture in range(len(tensor)):
                for number, anchor in enumerate(head.anchors):
                    for row in range(rows):
                        for column in range(columns):
                            start = number * (5 + CLASSES)
                            t = [float(v) for v in tensor[picture, start : start + 5 + CLASSES, row, column]]
                            x = (sigmoid(t[0]) * s - (s - 1) / 2 + column) * stride_x
                            y = (sigmoid(t[1]) * s - (s - 1) / 2 + row) * stride_y
                            w, h = math.exp(t[2]) * anchor[0], math.exp(t[3]) * anchor[1]
                            self.cells.append(
                                {
                                    "picture": picture, "anchor": anchor, "column": column, "row": row, "t": t,
                                    "stride": (stride_x, stride_y), "reach": min((s - 1) / 2, 0.5),
                                    "box": [x - w / 2, y - h / 2, x + w / 2, y + h / 2],
                                }
                            )  # fmt: skip

    def may_answer(self, cell: dict, box: list[float]) -> bool:
        x = (box[0] + box[2]) / 2 / cell["stride"][0]
        y = (box[1] + box[3]) / 2 / cell["stride"][1]
        own = cell["column"] == math.floor(x) and cell["row"] == math.floor(y)
        outside_x = max(cell["column"] - x, x - cell["column"] - 1)
        outside_y = max(cell["row"] - y, y - cell["row"] - 1)
        beside = (cell["row"] == math.floor(y) and 0 <= outside_x < cell["reach"]) or (
            cell["column"] == math.floor(x) and 0 <= outside_y < cell["reach"]
        )
        return own or beside

    def shape_ratio(self, cell: dict, box: list[float]) -> float:
        w, h = box[2] - box[0], box[3] - box[1]
        a, b = cell["anchor"]
        return max(w / a, a / w, h / b, b / h)

    def total(self, truths: Truths) -> tuple[float, float, float, int]:
        owners: dict[int, tuple[float, int, int]] = {}  # cell -> price, picture, object
        for picture in range(len(truths.classes)):
            for slot, kind in enumerate(truths.classes[picture].tolist()):
                if kind >= 0:
                    self._claim(owners, picture, slot, truths)
        count = max(len(owners), 1)
        box_loss = object_loss = class_loss = 0.0
        for index, cell in enumerate(self.cells):
            boxes, kinds = truths.boxes_xyxy_px[cell["picture"]].tolist(), truths.classes[cell["picture"]].tolist()
            if index in owners:
                _, _, slot = owners[index]
                box_loss += 1 - ciou_of(cell["box"], boxes[slot])
                target = 1 + self.settings.quality * (iou_of(cell["box"], boxes[slot])[0] - 1)
                object_loss += cross_entropy(cell["t"][4], target) * self.focus(cell, target)
                class_loss += self.class_loss(cell, kinds[slot])
            elif not any(
                iou_of(cell["box"], box)[0] > self.settings.ignore_iou
                or (kind == IGNORED_CLASS and iou_of(cell["box"], box)[1] > 0.5)
                for box, kind in zip(boxes, kinds, strict=True)
                if kind != NO_OBJECT
            ):
                object_loss += cross_entropy(cell["t"][4], 0.0) * self.focus(cell, 0.0)
        return box_loss / count, object_loss / count, class_loss / count, len(owners)

    def probability(self, cell: dict, kind: int) -> float:
        t = cell["t"]
        if not self.softmax:
            return sigmoid(t[5 + kind])
        return math.exp(t[5 + kind]) / sum(math.exp(t[5 + c]) for c in range(CLASSES))

    def class_loss(self, cell: dict, kind: int) -> float:
        if self.softmax:
            return -math.log(self.probability(cell, kind))
        return sum(cross_entropy(cell["t"][5 + c], float(c == kind)) for c in range(CLASSES))

    def focus(self, cell: dict, target: float) -> float:
        return float(abs(target - sigmoid(cell["t"][4])) ** self.settings.focus)

    def _claim(self, owners: dict[int, tuple[float, int, int]], picture: int, slot: int, truths: Truths) -> None:
        box, kind = truths.boxes_xyxy_px[picture, slot].tolist(), int(truths.classes[picture, slot])
        near = [i for i, c in enumerate(self.cells) if c["picture"] == picture and self.may_answer(c, box)]
        limit = max(self.settings.shape_ratio, min(self.shape_ratio(self.cells[i], box) for i in near))
        able = [i for i in near if self.shape_ratio(self.cells[i], box) <= limit + 1e-6]
        ious = {i: iou_of(self.cells[i]["box"], box)[0] for i in able}

        def price(i: int) -> float:
            t = self.cells[i]["t"]
            score = sigmoid(t[4]) * self.probability(self.cells[i], kind)
            return -math.log(max(score, 1e-6)) - 3 * math.log(max(ious[i], 1e-6))

        wanted = max(self.settings.least_k, round(sum(sorted(ious.values(), reverse=True)[: self.settings.largest_k])))
        for i in sorted(able, key=price)[:wanted]:
            if i not in owners or price(i) < owners[i][0]:
                owners[i] = (price(i), picture, slot)


OTHER_RULES = LossSettings(ignore_iou=0.3, least_k=3, quality=0.4, focus=1.5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 1.05, 2.0])
@pytest.mark.parametrize("settings", [LossSettings(ignore_iou=0.3), OTHER_RULES], ids=["default", "other"])
def test_loss_equals_its_rules_read_one_cell_at_a_time(seed: int, scale: float, settings: LossSettings) -> None:
    heads = (Head(COARSE.anchors, scale_x_y=scale), Head(FINE.anchors, scale_x_y=scale))
    raw, truths = random_heads(seed, heads), some_truths()
    parts = DetectionLoss(heads, WIDTH, HEIGHT, settings)(raw, truths)
    box, objectness, classes, positives = Naive(heads, raw, settings).total(truths)
    assert parts.positives == positives
    assert float(parts.box) == pytest.approx(box, rel=1e-4)
    assert float(parts.objectness) == pytest.approx(objectness, rel=1e-4)
    assert float(parts.classes) == pytest.approx(classes, rel=1e-4)
    assert float(parts.total) == pytest.approx(5 * box + objectness + classes, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_region_has_one_question_for_all_classes_of_a_box(seed: int) -> None:
    heads = (Head(FINE.anchors, scale_x_y=1.0, softmax=True),)
    raw, truths = random_heads(seed, heads), some_truths()
    parts = DetectionLoss(heads, WIDTH, HEIGHT)(raw, truths)
    box, objectness, classes, positives = Naive(heads, raw, LossSettings()).total(truths)
    assert parts.positives == positives > 0
    assert float(parts.total) == pytest.approx(5 * box + objectness + classes, rel=1e-4)
    assert float(parts.classes) == pytest.approx(classes, rel=1e-4)


def test_a_batch_of_another_size_is_judged_as_by_a_network_of_that_size() -> None:
    heads, truths = (COARSE, FINE), some_truths()
    raw = random_heads(5, heads)
    loss = DetectionLoss(heads, WIDTH, HEIGHT)
    first = loss(raw, truths)
    larger = [torch.cat([head, head], dim=3) for head in raw]  # twice as many columns
    twice = loss(larger, replace(truths, size_px=(2 * WIDTH, HEIGHT)))
    assert float(twice.total) == float(DetectionLoss(heads, 2 * WIDTH, HEIGHT)(larger, truths).total)
    assert float(twice.total) != float(first.total)
    assert float(loss(raw, truths).total) == float(first.total)


def test_box_overlap_is_iou_and_ciou_worked_by_hand() -> None:
    a, b = [0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 20.0]
    iou, ciou = box_overlap(torch.tensor(a), torch.tensor(b))
    assert float(iou) == pytest.approx(50 / 250, abs=1e-6)
    assert float(ciou) == pytest.approx(ciou_of(a, b), abs=1e-6)
    assert float(ciou) < float(iou)


def test_without_objects_only_objectness_counts_and_gradients_are_finite() -> None:
    raw = [t.requires_grad_() for t in random_heads(0, (COARSE, FINE))]
    nothing = Truths(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64))
    parts = DetectionLoss((COARSE, FINE), WIDTH, HEIGHT)(raw, nothing)
    parts.total.backward()
    assert parts.positives == 0
    assert float(parts.box) == float(parts.classes) == 0.0
    assert float(parts.objectness) > 0
    assert all(bool(torch.isfinite(t.grad).all()) for t in raw)


def test_extreme_predictions_give_finite_loss_and_gradient() -> None:
    raw = [(t * 60).requires_grad_() for t in random_heads(3, (COARSE, FINE))]
    parts = DetectionLoss((COARSE, FINE), WIDTH, HEIGHT)(raw, some_truths())
    parts.total.backward()
    assert math.isfinite(float(parts.total.detach()))
    assert all(bool(torch.isfinite(t.grad).all()) for t in raw)


def test_descending_the_loss_makes_the_decoded_box_the_object() -> None:
    raw = [torch.zeros_like(t, requires_grad=True) for t in random_heads(0, (COARSE, FINE), batch=1)]
    truths = Truths(torch.tensor([[[20.0, 10.0, 50.0, 42.0]]]), torch.tensor([[2]]))
    loss = DetectionLoss((COARSE, FINE), WIDTH, HEIGHT)
    optimiser = torch.optim.Adam(raw, lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        parts = loss(raw, truths)
        parts.total.backward()
        optimiser.step()
    cells = Naive((COARSE, FINE), [t.detach() for t in raw], LossSettings()).cells
    best = max(cells, key=lambda cell: cell["t"][4])
    assert iou_of(best["box"], [20.0, 10.0, 50.0, 42.0])[0] > 0.97
    assert int(np.argmax(best["t"][5:])) == 2
    assert sigmoid(best["t"][4]) > 0.9


def test_a_plain_sigmoid_reaches_no_neighbouring_cell() -> None:
    _, valid = reaching_cells(torch.tensor([[2.0, 1.0], [2.3, 1.9]]), torch.tensor([6, 4]), 1.0)
    assert valid.tolist() == [[True, False, False], [True, False, False]]


def test_scale_two_reaches_the_nearer_neighbours_inside_the_grid() -> None:
    cells, valid = reaching_cells(torch.tensor([[2.3, 1.9], [0.2, 3.9], [6.0, 4.0]]), torch.tensor([6, 4]), 2.0)
    assert valid.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
    assert cells[0].tolist() == [[2, 1], [1, 1], [2, 2]]
    assert cells[2, 0].tolist() == [5, 3]  # a centre on the far edge belongs to the last cell


def test_cells_on_ignored_objects_are_not_told_that_nothing_is_there() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [30.0, 30.0, 40.0, 40.0]]])
    truths = Truths(torch.tensor([[[0.0, 0.0, 50.0, 12.0]]]), torch.tensor([[IGNORED_CLASS]]))
    assert ignored_cells(boxes, truths, 0.7).tolist() == [[True, False]]
    real = Truths(truths.boxes_xyxy_px, torch.tensor([[0]]))
    assert ignored_cells(boxes, real, 0.7).tolist() == [[False, False]]


def test_an_object_of_any_shape_finds_a_cell() -> None:
    raw = random_heads(1, (COARSE, FINE), batch=1)
    needle = Truths(torch.tensor([[[1.0, 30.0, 95.0, 31.0]]]), torch.tensor([[1]]))
    assert DetectionLoss((COARSE, FINE), WIDTH, HEIGHT)(raw, needle).positives >= 1


def test_activated_heads_of_new_coords_decode_as_they_are() -> None:
    heads = (Head(COARSE.anchors, new_coords=True), Head(FINE.anchors, new_coords=True))
    raw = [torch.sigmoid(t).requires_grad_() for t in random_heads(2, heads)]
    parts = DetectionLoss(heads, WIDTH, HEIGHT)(raw, some_truths())
    parts.total.backward()
    assert math.isfinite(float(parts.total.detach())) and parts.positives > 0
    with pytest.raises(ValueError, match="new_coords"):
        DetectionLoss((COARSE, heads[1]), WIDTH, HEIGHT)


def test_class_weights_multiply_what_objects_of_a_class_cost() -> None:
    heads = (COARSE, FINE)
    raw = random_heads(3, heads, batch=1)
    truths = Truths(torch.tensor([[[8.0, 8.0, 40.0, 44.0]]]), torch.tensor([[1]]))
    plain, other, triple = (
        DetectionLoss(heads, WIDTH, HEIGHT, class_weights=weights)(raw, truths)
        for weights in (None, (5.0, 1.0, 4.0), (1.0, 3.0, 1.0))
    )
    assert float(other.total) == pytest.approx(float(plain.total))
    assert float(triple.box) == pytest.approx(3 * float(plain.box))
    assert float(triple.classes) == pytest.approx(3 * float(plain.classes))
    assert float(plain.objectness) < float(triple.objectness) < 3 * float(plain.objectness)


def test_smoothed_labels_stop_short_of_certainty() -> None:
    heads = (COARSE, FINE)
    raw = random_heads(3, heads, batch=1)
    truths = Truths(torch.tensor([[[8.0, 8.0, 40.0, 44.0]]]), torch.tensor([[1]]))
    losses = []
    for logit in (2.2, 8.0):  # sigmoid 0.9 and almost 1
        for head in raw:
            values = head.view(1, 2, 5 + CLASSES, *head.shape[2:])
            values[:, :, 5:] = -logit
            values[:, :, 6] = logit
        loss = DetectionLoss(heads, WIDTH, HEIGHT, LossSettings(label_smoothing=0.2))
        losses.append(float(loss(raw, truths).classes))
    assert losses[0] < losses[1]
