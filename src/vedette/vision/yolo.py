"""Raw Darknet `[yolo]` and `[region]` heads to candidate boxes, without a Python loop over cells.

Source: Darknet's `get_yolo_box`, `get_yolo_detections` and `get_region_box` (AlexeyAB). A candidate is one cell, one
anchor and one class with objectness * class probability above the score, so one box may come back with several
classes; candidates come in the order of head, anchor, row, column, class. Objectness is gated first, as a logit: the
product cannot pass unless objectness does, and few cells do; class probabilities, a softmax for `[region]`, are worked
out for those alone.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import DarknetDecode, RegionHead, YoloHead
from vedette.vision.candidates import Candidates

# exp(20) = 4.9e8 anchors: wider than any picture, and its square still is a float32
LARGEST_LOG_SIZE = 20.0
# float32 logits near the gate may round either way; the exact test on the product follows
GATE_SLACK = 1e-3


def decode_heads(
    heads: Sequence[NDArray[np.float32]], spec: DarknetDecode, input_width_px: int, input_height_px: int, score: float
) -> Candidates:
    """Every candidate of one picture whose score is above `score` (strictly).

    Args:
        heads: one array for each head of `spec`, in its order: (anchors * (5 + classes), grid height, grid width).

    Raises:
        ValueError: when the heads do not have the shapes that `spec` states.
    """
    return decode_pictures([heads], spec, input_width_px, input_height_px, score)[0]


def decode_pictures(
    pictures: Sequence[Sequence[NDArray[np.float32]]],
    spec: DarknetDecode,
    input_width_px: int,
    input_height_px: int,
    score: float,
) -> tuple[Candidates, NDArray[np.intp]]:
    """The candidates of several pictures, one after the other, and each candidate's picture (n,).

    What they are does not depend on which pictures come together; the time does: 40 % less each for four.

    Raises:
        ValueError: as `decode_heads`.
    """
    layout = _lay_out(spec, input_width_px, input_height_px, score)
    picked, cells, counts = [], [], []
    for heads in pictures:
        if len(heads) != len(layout.heads):
            raise ValueError(f"expected {len(layout.heads)} heads, got {len(heads)}")
        for tensor, head in zip(heads, layout.heads, strict=True):
            values, places = _pick(tensor, head)
            picked.append(values)
            cells.append(places)
            counts.append(len(places))
    numbers = np.arange(len(pictures)).repeat(len(layout.heads)).repeat(counts)  # (k,)
    return _candidates(np.concatenate(picked, axis=1), np.concatenate(cells), layout, numbers, score)


class _HeadLayout(NamedTuple):
    """One head's shape, its gate, and where its cells begin among those of all heads."""

    output: str
    anchors: int
    grid: tuple[int, int]  # height, width
    gate: float
    first: int


class _Layout(NamedTuple):
    """What is the same for every picture of a model. A cell is a place of the grid and an anchor."""

    heads: tuple[_HeadLayout, ...]
    corners: NDArray[np.float32]  # (2, cells) column and row
    anchors_px: NDArray[np.float32]  # (2, cells)
    stretch: NDArray[np.float32]  # (2, cells) `scale_x_y`, and what is taken off for it
    cell_px: NDArray[np.float32]  # (2, cells)
    activated: NDArray[np.bool_]  # (cells,)
    is_region: bool


@lru_cache(maxsize=16)
def _lay_out(spec: DarknetDecode, input_width_px: int, input_height_px: int, score: float) -> _Layout:
    stated: tuple[YoloHead | RegionHead, ...] = spec.heads
    heads, columns, first = [], [], 0
    for head in stated:
        yolo = head if isinstance(head, YoloHead) else None
        count = len(head.anchors) * head.grid_height * head.grid_width
        anchor, row, column = np.indices((len(head.anchors), head.grid_height, head.grid_width)).reshape(3, count)
        scale = np.float32(1 if yolo is None else yolo.scale_x_y)
        off = np.float32(0 if yolo is None else 0.5 * (yolo.scale_x_y - 1))
        cell_px = (input_width_px / head.grid_width, input_height_px / head.grid_height)
        rest = [np.full(count, value, np.float32) for value in (scale, off, *cell_px, _activated(head))]
        columns.append(np.stack([column, row, *np.array(head.anchors, np.float32)[anchor].T, *rest]).astype(np.float32))
        gate = probability_gate(score, activated=_activated(head))
        heads.append(_HeadLayout(head.output, len(head.anchors), (head.grid_height, head.grid_width), gate, first))
        first += count
    table = np.concatenate(columns, axis=1)  # (9, cells)
    is_region = isinstance(stated[0], RegionHead)
    return _Layout(tuple(heads), table[:2], table[2:4], table[4:6], table[6:8], table[8] > 0, is_region)


@lru_cache(maxsize=64)
def _addresses(anchors: int, values: int, places: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where, in a flat head, each cell's first value lies (cells,), and how far from it the others do (values, 1)."""
    first = (np.arange(anchors)[:, None] * values * places + np.arange(places)).ravel()
    return first, np.arange(values)[:, None] * places


def _pick(tensor: NDArray[np.float32], head: _HeadLayout) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The raw values (5 + classes, k) of the cells whose objectness passes the gate, and their numbers (k,)."""
    anchors, grid = head.anchors, head.grid
    if tensor.ndim != 3 or tensor.shape[1:] != grid or tensor.shape[0] % anchors or tensor.shape[0] < anchors * 6:
        raise ValueError(
            f"head '{head.output}': expected ({anchors} * (5 + classes), {grid[0]}, {grid[1]}); got {tensor.shape}"
        )
    flat = np.ascontiguousarray(tensor, np.float32).reshape(-1)
    values, places = tensor.shape[0] // anchors, grid[0] * grid[1]
    (cells,) = (flat.reshape(anchors, values, places)[:, 4] > head.gate).ravel().nonzero()
    first, steps = _addresses(anchors, values, places)
    return flat.take(first.take(cells) + steps), cells + head.first


def _candidates(
    picked: NDArray[np.float32],
    cells: NDArray[np.intp],
    layout: _Layout,
    numbers: NDArray[np.intp],
    score: float,
) -> tuple[Candidates, NDArray[np.intp]]:
    """Of raw values (5 + classes, k): each class of each cell that is above the score, in order."""
    activated = layout.activated.take(cells)
    products = _products(picked[4:], activated, layout)  # (classes, k)
    rows, class_ids = np.greater(products.T, score).nonzero()
    boxes = _boxes_xyxy_px(picked, cells, activated, layout)  # (4, k)
    found = Candidates(boxes.take(rows, axis=1).T, products[class_ids, rows], class_ids.astype(np.int32))
    return found, numbers.take(rows)


def _activated(head: YoloHead | RegionHead) -> bool:
    return isinstance(head, YoloHead) and head.new_coords


def _products(picked: NDArray[np.float32], activated: NDArray[np.bool_], layout: _Layout) -> NDArray[np.float32]:
    """Objectness times class probability (classes, k), of raw (1 + classes, k)."""
    if layout.is_region:
        classes = softmax(np.ascontiguousarray(picked[1:].T))  # (k, classes)
        return sigmoid(picked[:1]) * classes.T
    probabilities = _where_raw(sigmoid(picked), picked, activated)
    return probabilities[:1] * probabilities[1:]


def _where_raw(
    computed: NDArray[np.float32], raw: NDArray[np.float32], activated: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """What was computed, but for the cells of heads that are activated already."""
    return np.where(activated, raw, computed) if activated.any() else computed


def probability_gate(score: float, activated: bool) -> float:
    """The value (a logit unless `activated`) below which a probability cannot exceed `score`."""
    if score <= 0:
        return -np.inf
    if activated:
        return score - GATE_SLACK
    if score >= 1:
        return np.inf
    return float(np.log(score) - np.log1p(-score)) - GATE_SLACK


def _boxes_xyxy_px(
    picked: NDArray[np.float32], cells: NDArray[np.intp], activated: NDArray[np.bool_], layout: _Layout
) -> NDArray[np.float32]:
    """(4, k) corners in input pixels."""
    anchors_px = layout.anchors_px.take(cells, axis=1)
    offsets = _where_raw(sigmoid(picked[:2]), picked[:2], activated)
    sizes_px = np.exp(np.minimum(picked[2:4], LARGEST_LOG_SIZE)) * anchors_px
    if activated.any():
        sizes_px = np.where(activated, np.square(2 * picked[2:4]) * anchors_px, sizes_px)
    scale, off = layout.stretch.take(cells, axis=1)
    centres_px = (layout.corners.take(cells, axis=1) + (offsets * scale - off)) * layout.cell_px.take(cells, axis=1)
    half_px = sizes_px / 2
    return np.concatenate([centres_px - half_px, centres_px + half_px])


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-v)), float32 in and out; 0 and 1 far out."""
    with np.errstate(over="ignore"):  # exp(100) is inf, and 1 / inf is the 0 we want
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(v) / sum(exp(v)) along the last axis, float32 in and out."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
