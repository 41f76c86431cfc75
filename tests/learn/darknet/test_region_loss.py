"""Darknet's loss of a [region] against a slow one, value by value, from what is known of its region_layer.c."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from vedette.learn.darknet.darknet_loss import DarknetLoss
from vedette.learn.darknet.loss import IGNORED_CLASS, Truths
from vedette.learn.darknet.region_loss import FIRST_PICTURES, RegionLearning

SIZE = (96, 64)
CLASSES, COLUMNS, ROWS = 3, 3, 2
ANCHORS_IN_CELLS = ((0.4, 0.5), (1.2, 0.9), (0.5, 1.1))

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Head:
    all_anchors: tuple[tuple[float, float], ...] = tuple((w * 32, h * 32) for w, h in ANCHORS_IN_CELLS)
    mask: tuple[int, ...] = (0, 1, 2)
    classes: int = CLASSES
    scale_x_y: float = 1.0
    new_coords: bool = False


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def slow_iou(a: Box, b: Box) -> float:
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return 0.0 if w <= 0 or h <= 0 else w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


class SlowRegion:
    """One picture: nested loops over cells, anchors and objects, and one array that is written over."""

    def __init__(self, raw: torch.Tensor, learning: RegionLearning, seen: int) -> None:
        self.raw, self.how, self.seen = raw.tolist(), learning, seen  # [anchor][entry][row][column]
        self.delta = torch.zeros_like(raw)

    def box(self, n: int, j: int, i: int) -> Box:
        x, y, w, h = (self.raw[n][e][j][i] for e in range(4))
        aw, ah = ANCHORS_IN_CELLS[n]
        return (i + sigmoid(x)) / COLUMNS, (j + sigmoid(y)) / ROWS, math.exp(w) * aw / COLUMNS, math.exp(h) * ah / ROWS

    def pull_box(self, n: int, j: int, i: int, truth: Box, scale: float) -> float:
        tx, ty = truth[0] * COLUMNS - i, truth[1] * ROWS - j
        tw = math.log(truth[2] * COLUMNS / ANCHORS_IN_CELLS[n][0])
        th = math.log(truth[3] * ROWS / ANCHORS_IN_CELLS[n][1])
        for e, wanted in enumerate((tx, ty)):
            s = sigmoid(self.raw[n][e][j][i])
            self.delta[n, e, j, i] = scale * (wanted - s) * s * (1 - s)
        for e, wanted in ((2, tw), (3, th)):
            self.delta[n, e, j, i] = scale * (wanted - self.raw[n][e][j][i])
        return slow_iou(self.box(n, j, i), truth)

    def learn(self, objects: list[tuple[Box, int]]) -> None:
        how = self.how
        for j in range(ROWS):
            for i in range(COLUMNS):
                for n in range(len(ANCHORS_IN_CELLS)):
                    o = sigmoid(self.raw[n][4][j][i])
                    best = max((slow_iou(self.box(n, j, i), truth) for truth, _ in objects), default=0.0)
                    self.delta[n, 4, j, i] = 0 if best > how.thresh else how.noobject_scale * (0 - o) * o * (1 - o)
                    if self.seen < 12800:
                        w, h = ANCHORS_IN_CELLS[n]
                        self.pull_box(n, j, i, ((i + 0.5) / COLUMNS, (j + 0.5) / ROWS, w / COLUMNS, h / ROWS), 0.01)
        for truth, kind in objects:
            if kind >= 0:
                self.object(truth, kind)

    def object(self, truth: Box, kind: int) -> None:
        how, i, j = self.how, int(truth[0] * COLUMNS), int(truth[1] * ROWS)
        best, best_iou = 0, 0.0
        for n, (aw, ah) in enumerate(ANCHORS_IN_CELLS):
            pred = self.box(n, j, i)
            if how.bias_match:
                pred = (0, 0, aw / COLUMNS, ah / ROWS)
            iou = slow_iou((0, 0, pred[2], pred[3]), (0, 0, truth[2], truth[3]))
            if iou > best_iou:
                best, best_iou = n, iou
        iou = self.pull_box(best, j, i, truth, how.coord_scale)
        o = sigmoid(self.raw[best][4][j][i])
        self.delta[best, 4, j, i] = how.object_scale * ((iou if how.rescore else 1) - o) * o * (1 - o)
        powers = [math.exp(self.raw[best][5 + c][j][i]) for c in range(CLASSES)]
        for c in range(CLASSES):
            pull = how.class_scale * (float(c == kind) - powers[c] / sum(powers))
            if how.focal_loss:
                p = powers[kind] / sum(powers) + 1e-15
                pull *= 0.5 * -(1 - p) * (2 * p * math.log(p) + p - 1)
            self.delta[best, 5 + c, j, i] = pull


OBJECTS: list[list[tuple[Box, int]]] = [
    [((0.2, 0.3, 0.15, 0.3), 0), ((0.7, 0.6, 0.4, 0.5), 1), ((0.71, 0.62, 0.38, 0.5), 2), ((0.9, 0.1, 0.1, 0.2), 1)],
    [((0.5, 0.5, 0.9, 0.8), IGNORED_CLASS), ((0.1, 0.8, 0.2, 0.2), 2)],
    [],
]
VOC = RegionLearning(0.6, 1.0, 5.0, 1.0, 1.0, rescore=True, bias_match=True)  # as yolov2's cfgs have it


def truths() -> Truths:
    boxes, classes = torch.zeros(3, 4, 4), torch.full((3, 4), -2)
    for picture, objects in enumerate(OBJECTS):
        for slot, ((x, y, w, h), kind) in enumerate(objects):
            corners = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            boxes[picture, slot] = corners * torch.tensor([*SIZE, *SIZE])
            classes[picture, slot] = kind
    return Truths(boxes, classes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("seen", [0, FIRST_PICTURES])
@pytest.mark.parametrize(
    "learning",
    [VOC, RegionLearning(), RegionLearning(0.2, 2.0, 3.0, 0.5, 0.7, focal_loss=True), replace(VOC, bias_match=False)],
)
def test_every_value_is_pulled_as_darknet_pulls_it(seed: int, seen: int, learning: RegionLearning) -> None:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(3, 3 * (5 + CLASSES), ROWS, COLUMNS, generator=generator, requires_grad=True)
    loss = DarknetLoss([Head()], [learning], batch=3)
    parts = loss([raw], truths(), SIZE, seen)
    parts.total.backward()
    assert raw.grad is not None
    expected = []
    for picture, objects in enumerate(OBJECTS):
        slow = SlowRegion(raw[picture].detach().reshape(3, 5 + CLASSES, ROWS, COLUMNS), learning, seen)
        slow.learn(objects)
        expected.append(slow.delta.reshape(-1, ROWS, COLUMNS))
    delta = torch.stack(expected)
    torch.testing.assert_close(-3 * raw.grad, delta, rtol=1e-4, atol=1e-6)
    assert float(parts.total.detach()) == pytest.approx(float(delta.square().sum()) / 3, rel=1e-4)
    assert 4 <= parts.positives <= 5


def test_class_weights_multiply_what_an_object_pulls() -> None:
    raw = [torch.randn(3, 3 * (5 + CLASSES), ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))]
    one = Truths(truths().boxes_xyxy_px[:, :1], torch.tensor([[1], [-2], [-2]]))
    plain, double = (
        DarknetLoss([Head()], [VOC], 3, weights)(raw, one, SIZE, FIRST_PICTURES) for weights in (None, (9.0, 2.0, 7.0))
    )
    assert float(double.box) == pytest.approx(4 * float(plain.box), rel=1e-5)  # squares are summed
    assert float(double.classes) == pytest.approx(4 * float(plain.classes), rel=1e-5)
