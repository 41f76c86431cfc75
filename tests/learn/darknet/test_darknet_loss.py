"""Darknet's loss against a slow one, value by value, written here from what is known of Darknet (its yolo_layer.c)."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from vedette.learn.darknet.darknet_boxes import overlap, slopes
from vedette.learn.darknet.darknet_loss import DarknetLoss, YoloLearning
from vedette.learn.darknet.layers import IouLoss
from vedette.learn.darknet.loss import Truths

SIZE = (96, 64)
ANCHORS = ((10.0, 14.0), (16.0, 12.0), (20.0, 30.0), (40.0, 24.0))


@dataclass(frozen=True)
class Head:
    all_anchors: tuple[tuple[float, float], ...] = ANCHORS
    mask: tuple[int, ...] = (1, 2, 3)
    classes: int = 3
    scale_x_y: float = 1.05
    new_coords: bool = False


Box = tuple[float, float, float, float]


def borders(box: Box) -> Box:
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def slow_iou(a: Box, b: Box) -> float:
    (al, at, ar, ab), (bl, bt, br, bb) = borders(a), borders(b)
    w, h = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
    shared = w * h if w > 0 and h > 0 else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared) if shared else 0.0


def slow_likeness(a: Box, b: Box, kind: IouLoss) -> float:
    """Of shapes with one centre."""
    iou = slow_iou(a, b)
    if kind is not IouLoss.CIOU:
        return iou
    v = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
    return iou - v * v / (1 - iou + v + 0.000001)


def slow_slope(pred: Box, truth: Box, kind: IouLoss) -> list[float]:
    """dx, dy, dw, dh, border by border."""
    (left, top, right, bottom), (tl, tt, tr, tb) = borders(pred), borders(truth)
    iw, ih = min(right, tr) - max(left, tl), min(bottom, tb) - max(top, tt)
    cw, ch = max(right, tr) - min(left, tl), max(bottom, tb) - min(top, tt)
    inter, hull = iw * ih, cw * ch
    union = pred[2] * pred[3] + truth[2] * truth[3] - inter
    area = {"l": -pred[3], "r": pred[3], "t": -pred[2], "b": pred[2]}
    d_inter = {"l": -ih * (left > tl), "r": ih * (right < tr), "t": -iw * (top > tt), "b": iw * (bottom < tb)}
    d_hull = {"l": -ch * (left < tl), "r": ch * (right > tr), "t": -cw * (top < tt), "b": cw * (bottom > tb)}
    slope = {}
    for side in "lrtb":
        d_union = area[side] - d_inter[side]
        own = (union * d_inter[side] - inter * d_union) / union**2
        more = (hull * d_union - union * d_hull[side]) / hull**2
        slope[side] = own
        if kind is IouLoss.GIOU:
            slope[side] = more if iw <= 0 or ih <= 0 else own + more
    found = [slope["l"] + slope["r"], slope["t"] + slope["b"], slope["r"] - slope["l"], slope["b"] - slope["t"]]
    if kind not in {IouLoss.DIOU, IouLoss.CIOU}:
        return found
    s, c = (pred[0] - truth[0]) ** 2 + (pred[1] - truth[1]) ** 2, cw * cw + ch * ch
    more = [
        (2 * (truth[0] - pred[0]) * c - 2 * cw * ((right > tr) - (left < tl)) * s) / c**2,
        (2 * (truth[1] - pred[1]) * c - 2 * ch * ((bottom > tb) - (top < tt)) * s) / c**2,
        2 * cw * (0.5 * (right > tr) + 0.5 * (left < tl)) * s / c**2,
        2 * ch * (0.5 * (bottom > tb) + 0.5 * (top < tt)) * s / c**2,
    ]
    if kind is IouLoss.CIOU:
        turn = math.atan(truth[2] / truth[3]) - math.atan(pred[2] / pred[3])
        v = 4 / math.pi**2 * turn**2
        alpha = v / (1 - inter / union + v + 0.000001)
        more[2] += alpha * 8 / math.pi**2 * turn * pred[3]
        more[3] -= alpha * 8 / math.pi**2 * turn * pred[2]
    return more if iw <= 0 or ih <= 0 else [a + b for a, b in zip(found, more, strict=True)]


class SlowYolo:
    """One picture, one head: nested loops over cells, anchors and objects, and one array that is written over."""

    def __init__(self, raw: torch.Tensor, head: Head, learning: YoloLearning) -> None:
        self.raw, self.head, self.how = raw.tolist(), head, learning  # [anchor][entry][row][column]
        self.h, self.w = raw.shape[2:]
        entries = 5 + head.classes
        self.delta = [[[[0.0] * self.w for _ in range(self.h)] for _ in range(entries)] for _ in range(len(head.mask))]
        counters = [max(n, 1) for n in learning.counters_per_class]
        self.multiplier = [min(max(counters) / n, learning.max_delta) for n in counters] or None

    def out(self, a: int, e: int, j: int, i: int) -> float:
        value = self.raw[a][e][j][i]
        if e in (2, 3):
            return value
        value = value if self.head.new_coords else 1 / (1 + math.exp(-value))
        return value * self.head.scale_x_y - 0.5 * (self.head.scale_x_y - 1) if e < 2 else value

    def box(self, a: int, j: int, i: int) -> Box:
        x, y, w, h = (self.out(a, e, j, i) for e in range(4))
        aw, ah = ANCHORS[self.head.mask[a]]
        w, h = (4 * w * w, 4 * h * h) if self.head.new_coords else (math.exp(w), math.exp(h))
        return (i + x) / self.w, (j + y) / self.h, w * aw / SIZE[0], h * ah / SIZE[1]

    def weight(self, kind: int) -> float:
        return self.multiplier[kind] if self.multiplier else 1.0

    def learn(self, objects: list[tuple[Box, int]]) -> None:
        how, head = self.how, self.head
        for a in range(len(head.mask)):
            for j in range(self.h):
                for i in range(self.w):
                    self.no_object(a, j, i, objects)
        for truth, kind in objects:
            i, j = int(truth[0] * self.w), int(truth[1] * self.h)
            shapes = [(0.0, 0.0, w / SIZE[0], h / SIZE[1]) for w, h in ANCHORS]
            there = (0.0, 0.0, truth[2], truth[3])
            ious = [slow_iou(shape, there) for shape in shapes]
            best = ious.index(max(ious))
            for n in [best, *(n for n in range(len(shapes)) if n != best)]:
                like = slow_likeness(shapes[n], there, how.iou_thresh_kind)
                if n in head.mask and (n == best or (how.iou_thresh < 1 and like > how.iou_thresh)):
                    self.object(head.mask.index(n), j, i, truth, kind)
        if how.iou_thresh < 1:
            self.average()

    def no_object(self, a: int, j: int, i: int, objects: list[tuple[Box, int]]) -> None:
        how, pred, now = self.how, self.box(a, j, i), self.out(a, 4, j, i)
        ious = [slow_iou(pred, truth) for truth, _ in objects]
        best = max(ious, default=0.0)
        sure = any(self.out(a, 5 + c, j, i) > 0.25 for c in range(self.head.classes))
        pull = how.obj_normalizer * (0 - now)
        if sure and best > how.ignore_thresh:
            pull = max(pull, how.obj_normalizer * (best - now)) if how.objectness_smooth else 0.0
        self.delta[a][4][j][i] = pull
        if best > how.truth_thresh:
            truth, kind = objects[ious.index(best)]
            target = best * best if how.objectness_smooth else 1.0
            self.delta[a][4][j][i] = how.obj_normalizer * (target - now)
            self.classes(a, j, i, kind)
            if how.objectness_smooth:
                self.delta[a][5 + kind][j][i] = self.weight(kind) * (target - self.out(a, 5 + kind, j, i))
            self.pull_box(a, j, i, truth, kind)

    def object(self, a: int, j: int, i: int, truth: Box, kind: int) -> None:
        self.pull_box(a, j, i, truth, kind)
        wanted = self.weight(kind) * self.how.obj_normalizer * (1 - self.out(a, 4, j, i))
        if not self.how.objectness_smooth or self.delta[a][4][j][i] == 0:
            self.delta[a][4][j][i] = wanted
        self.classes(a, j, i, kind)

    def classes(self, a: int, j: int, i: int, kind: int) -> None:
        how, eps = self.how, self.how.label_smooth_eps
        if self.delta[a][5 + kind][j][i]:
            self.delta[a][5 + kind][j][i] = (1 - eps + 0.5 * eps - self.out(a, 5 + kind, j, i)) * self.weight(kind)
            return
        for c in range(self.head.classes):
            wanted, now = float(c == kind), self.out(a, 5 + c, j, i)
            if how.focal_loss:
                pt = self.out(a, 5 + kind, j, i) + 1e-15
                pull = (wanted - now) * 0.5 * -(1 - pt) * (2 * pt * math.log(pt) + pt - 1)
            else:
                pull = wanted * (1 - eps) + 0.5 * eps - now
                if self.multiplier and c == kind:
                    pull *= self.multiplier[kind] * how.cls_normalizer
            self.delta[a][5 + c][j][i] = pull

    def pull_box(self, a: int, j: int, i: int, truth: Box, kind: int) -> None:
        how, factor = self.how, self.how.iou_normalizer * self.weight(kind)
        if how.iou_loss is IouLoss.MSE:
            aw, ah = ANCHORS[self.head.mask[a]]
            ratio = (truth[2] * SIZE[0] / aw, truth[3] * SIZE[1] / ah)
            size = [math.sqrt(r / 4) if self.head.new_coords else math.log(r) for r in ratio]
            wanted = [truth[0] * self.w - i, truth[1] * self.h - j, *size]
            pulls = [(2 - truth[2] * truth[3]) * (t - self.out(a, e, j, i)) * factor for e, t in enumerate(wanted)]
        else:
            pulls = slow_slope(self.box(a, j, i), truth, how.iou_loss)
            if not self.head.new_coords:
                pulls = [p * math.exp(self.out(a, e, j, i)) if e > 1 else p for e, p in enumerate(pulls)]
            pulls = [max(-how.max_delta, min(how.max_delta, p * factor)) for p in pulls]
        for e, pull in enumerate(pulls):
            self.delta[a][e][j][i] += pull

    def average(self) -> None:
        for cells in self.delta:
            for j in range(self.h):
                for i in range(self.w):
                    kinds = sum(cells[5 + c][j][i] > 0 for c in range(self.head.classes))
                    for e in range(4):
                        cells[e][j][i] /= kinds if kinds and cells[4][j][i] != 0 else 1


PLAIN, NEW = Head(), Head(new_coords=True, scale_x_y=2.0)
WAYS = {
    "pjreddie": (replace(PLAIN, scale_x_y=1.0), YoloLearning(ignore_thresh=0.7, iou_normalizer=1.0)),
    "alexeyab": (PLAIN, YoloLearning(ignore_thresh=0.3)),
    "iou": (PLAIN, YoloLearning(iou_loss=IouLoss.IOU, iou_normalizer=0.5)),
    "giou": (PLAIN, YoloLearning(iou_loss=IouLoss.GIOU, iou_normalizer=0.5, max_delta=2.0)),
    "diou": (PLAIN, YoloLearning(iou_loss=IouLoss.DIOU, iou_thresh=0.2)),
    "yolov4": (
        PLAIN,
        YoloLearning(iou_loss=IouLoss.CIOU, iou_normalizer=0.07, iou_thresh=0.213, max_delta=5.0, ignore_thresh=0.3),
    ),
    "scaled yolov4": (
        NEW,
        YoloLearning(
            iou_loss=IouLoss.CIOU, iou_thresh=0.2, objectness_smooth=True, truth_thresh=0.25, ignore_thresh=0.1,
            obj_normalizer=0.4,
        ),
    ),
    "squares, new coordinates": (NEW, YoloLearning(truth_thresh=0.3)),
    "focal": (PLAIN, YoloLearning(focal_loss=True, iou_thresh=0.3, truth_thresh=0.3)),
    "smoothed labels": (PLAIN, YoloLearning(label_smooth_eps=0.1, iou_thresh=0.4, iou_thresh_kind=IouLoss.CIOU)),
    "counted classes": (
        PLAIN,
        YoloLearning(counters_per_class=(10, 400, 0), cls_normalizer=0.5, iou_thresh=0.2, max_delta=30.0),
    ),
}  # fmt: skip


def scene(head: Head, seed: int) -> tuple[torch.Tensor, Truths]:
    """Two pictures with crowded, partly equal objects, their heads at random but near the objects."""
    draw = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, len(head.mask) * (5 + head.classes), 4, 6, generator=draw)
    raw = raw.sigmoid() if head.new_coords else raw
    centre, size = torch.rand(2, 9, 2, generator=draw), 0.1 + 0.4 * torch.rand(2, 9, 2, generator=draw)
    centre[:, 1], size[0, 2] = centre[:, 0], size[0, 0]  # several classes in one cell
    centre[:, 2] = centre[:, 0]
    classes = torch.randint(0, head.classes, (2, 9), generator=draw)
    classes[:, 0], classes[:, 1], classes[:, 2] = 0, 2, 0
    classes[1, 5:] = -2
    boxes = torch.cat([centre - size / 2, centre + size / 2], -1) * torch.tensor([*SIZE, *SIZE])
    return raw, Truths(boxes, classes)


def objects_of(truths: Truths, picture: int) -> list[tuple[Box, int]]:
    found = []
    for (x1, y1, x2, y2), kind in zip(
        truths.boxes_xyxy_px[picture].tolist(), truths.classes[picture].tolist(), strict=True
    ):
        if kind >= 0:
            w, h = SIZE
            found.append((((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h), kind))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_every_pull_is_the_one_that_the_loops_find(way: str) -> None:
    head, learning = WAYS[way]
    for seed in range(3):
        raw, truths = scene(head, seed)
        raw.requires_grad_()
        parts = DarknetLoss([head], [learning], 2)([raw], truths, SIZE)
        parts.total.backward()
        expected = []
        for picture in range(2):
            slow = SlowYolo(raw.detach()[picture].reshape(3, 5 + head.classes, 4, 6).double(), head, learning)
            slow.learn(objects_of(truths, picture))
            expected.append(torch.tensor(slow.delta, dtype=torch.float64))
        pulls = torch.stack(expected)
        torch.testing.assert_close(-raw.grad.double() * 2, pulls.reshape(raw.shape), rtol=2e-4, atol=2e-5)
        assert float(parts.total.detach()) == pytest.approx(float(pulls.square().sum() / 2), rel=1e-3)
        assert float(parts.box) == pytest.approx(float(pulls[:, :, :4].square().sum() / 2), rel=1e-3)
        assert float(parts.classes) == pytest.approx(float(pulls[:, :, 5:].square().sum() / 2), rel=1e-3)
        assert parts.positives > 4


def true_gradient(predicted: torch.Tensor, truth: torch.Tensor, part: str) -> torch.Tensor:
    """Of IoU, GIoU or -(distance / diagonal)^2 by x, y, w, h, as calculus has it."""
    given = predicted.clone().requires_grad_()
    low = torch.minimum(given[:, :2] - given[:, 2:] / 2, truth[:, :2] - truth[:, 2:] / 2)
    high = torch.maximum(given[:, :2] + given[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2)
    if part == "distance":
        value = -(given[:, :2] - truth[:, :2]).square().sum(1) / (high - low).square().sum(1)
    else:
        value = overlap(given, truth, IouLoss(part))
    value.sum().backward()
    assert given.grad is not None
    return given.grad


def test_slopes_are_those_of_calculus_but_for_darknets_own_ways() -> None:
    draw = torch.Generator().manual_seed(1)
    truth = torch.cat([torch.full((50, 2), 0.5), 0.2 + 0.4 * torch.rand(50, 2, generator=draw)], 1)
    predicted = truth + 0.03 * torch.randn(50, 4, generator=draw)  # all overlap their truth
    assert bool((overlap(predicted, truth) > 0).all())
    twice = torch.tensor([1.0, 1.0, 2.0, 2.0])
    for kind in (IouLoss.IOU, IouLoss.GIOU):
        torch.testing.assert_close(slopes(predicted, truth, kind), twice * true_gradient(predicted, truth, kind.value))
    both = twice * true_gradient(predicted, truth, "iou") + true_gradient(predicted, truth, "distance")
    towards = slopes(predicted, truth, IouLoss.DIOU)
    torch.testing.assert_close(towards[:, 2:], both[:, 2:])
    torch.testing.assert_close(towards[:, :2], both[:, :2], rtol=0.2, atol=0.3)  # Darknet turns the hull's sign round
    turn = (slopes(predicted, truth, IouLoss.CIOU) - towards)[:, 2:]
    wanted = torch.sign(truth[:, 2] / truth[:, 3] - predicted[:, 2] / predicted[:, 3])  # 1: too narrow
    assert float((turn[:, 0] * wanted).min()) > -1e-6  # too narrow: wider, and lower
    assert float((turn[:, 1] * wanted).max()) < 1e-6
    assert float(turn.abs().max()) > 1e-3


def test_a_step_along_the_gradient_lessens_the_loss() -> None:
    head, learning = WAYS["alexeyab"]
    raw, truths = scene(head, 5)
    loss = DarknetLoss([head], [learning], 2)
    values = []
    for _ in range(30):
        raw = raw.detach().requires_grad_()
        parts = loss([raw], truths, SIZE)
        values.append(float(parts.total.detach()))
        parts.total.backward()
        raw = raw.detach() - 0.1 * raw.grad
    assert values[-1] < 0.3 * values[0]


def test_a_difficult_object_excuses_cells_and_is_not_learnt() -> None:
    head, learning = WAYS["alexeyab"]
    raw, truths = scene(head, 2)
    difficult = Truths(truths.boxes_xyxy_px, torch.full_like(truths.classes, -1))
    parts = DarknetLoss([head], [learning], 2)([raw], difficult, SIZE)
    nothing = DarknetLoss([head], [learning], 2)([raw], Truths(truths.boxes_xyxy_px, difficult.classes - 1), SIZE)
    assert parts.positives == 0
    assert float(parts.box) == float(parts.classes) == 0
    assert float(parts.objectness) < float(nothing.objectness)


def test_class_weights_multiply_what_objects_of_a_class_pull() -> None:
    head, learning = WAYS["alexeyab"]
    raw, _ = scene(head, 3)
    truths = Truths(torch.tensor([[[10.0, 10.0, 40.0, 40.0]]] * 2), torch.tensor([[1]] * 2))
    plain = DarknetLoss([head], [learning], 2)([raw], truths, SIZE)
    double = DarknetLoss([head], [learning], 2, (1.0, 2.0, 1.0))([raw], truths, SIZE)
    assert float(double.box) == pytest.approx(4 * float(plain.box))
    assert float(double.classes) > float(plain.classes)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    head, learning = WAYS["yolov4"]
    raw, truths = scene(head, 4)
    raw.requires_grad_()
    loss = DarknetLoss([head], [learning], 2)
    whole = loss([raw], truths, SIZE)
    whole.total.backward()
    expected, raw.grad = raw.grad.clone(), None
    for picture in range(2):
        part = Truths(truths.boxes_xyxy_px[picture : picture + 1], truths.classes[picture : picture + 1])
        loss([raw[picture : picture + 1]], part, SIZE).total.backward()
    torch.testing.assert_close(raw.grad, expected)
