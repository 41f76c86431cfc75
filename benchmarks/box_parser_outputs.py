"""Outputs of the kinds of networks that the box parser decodes, with as many candidates as are wanted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import (
    BoxForm,
    BoxLayout,
    BoxUnits,
    DarknetHeads,
    DarknetRegionHead,
    DecodedBoxes,
    RegionHead,
    YoloHead,
)

CLASSES, SCORE = 80, 0.25
ANCHORS = ((30.0, 40.0), (60.0, 80.0), (90.0, 160.0))

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Network:
    """One kind of network: how its outputs are decoded, and what makes them."""

    name: str
    width_px: int
    height_px: int
    cells: int
    decode: DarknetHeads | DarknetRegionHead | DecodedBoxes
    make: Callable[[int, np.random.Generator], Outputs]


def _yolo(name: str, side_px: int, grids: tuple[int, ...], scale_x_y: float = 1.0, new_coords: bool = False) -> Network:
    heads = tuple(
        YoloHead(
            output=f"head_{number}", grid_width=side, grid_height=side, anchors=ANCHORS, scale_x_y=scale_x_y,
            new_coords=new_coords,
        )
        for number, side in enumerate(grids)
    )  # fmt: skip
    decode = DarknetHeads(heads=heads)

    def make(count: int, rng: np.random.Generator) -> Outputs:
        heads = _raw_heads([(3, side * side) for side in grids], count, rng)
        shaped = [head.reshape(-1, side, side) for head, side in zip(heads, grids, strict=True)]
        if new_coords:  # the layer before has applied the logistic function
            shaped = [1 / (1 + np.exp(-head)) for head in shaped]
        return {f"head_{number}": head.astype(np.float32) for number, head in enumerate(shaped)}

    return Network(name, side_px, side_px, 3 * sum(side * side for side in grids), decode, make)


def _region(name: str, side_px: int, side: int) -> Network:
    anchors = tuple((10.0 * number, 12.0 * number) for number in range(1, 6))
    decode = DarknetRegionHead(heads=(RegionHead(output="out", grid_width=side, grid_height=side, anchors=anchors),))

    def make(count: int, rng: np.random.Generator) -> Outputs:
        (head,) = _raw_heads([(5, side * side)], count, rng, strong=8.0)  # softmax of 80: above the others by much
        return {"out": head.reshape(-1, side, side)}

    return Network(name, side_px, side_px, 5 * side * side, decode, make)


def _raw_heads(
    shapes: list[tuple[int, int]], count: int, rng: np.random.Generator, strong: float = 4.0
) -> list[NDArray[np.float32]]:
    """Per head (anchors, 5 + classes, places) of logits; `count` cells, spread evenly, have a class above the score."""
    heads = [rng.normal(-6, 1, (anchors, 5 + CLASSES, places)).astype(np.float32) for anchors, places in shapes]
    cells = [(number, anchor, place) for number, (anchors, places) in enumerate(shapes) for anchor in range(anchors)
             for place in range(places)]  # fmt: skip
    for at in rng.choice(len(cells), count, replace=False):
        number, anchor, place = cells[at]
        heads[number][anchor, 4, place] = strong
        heads[number][anchor, 5 + int(rng.integers(CLASSES)), place] = strong
    return heads


def _decoded(name: str, kind: str, layout: BoxLayout, boxes: int) -> Network:
    decode = DecodedBoxes(
        kind=kind, outputs=("output",), classes=CLASSES, layout=layout, box_form=BoxForm.CXCYWH,
        box_units=BoxUnits.PIXELS,
    )  # fmt: skip

    def make(count: int, rng: np.random.Generator) -> Outputs:
        table = rng.random((boxes, decode.values), dtype=np.float32) * np.float32(0.2)  # a box a row
        chosen = rng.choice(boxes, count, replace=False)
        table[chosen, 4] = 0.9  # the objectness, the one score, or the score of class 0
        if kind == "boxes_objectness_scores":
            table[chosen, 5 + rng.integers(CLASSES, size=count)] = 0.9
        if kind == "boxes_score_class":
            table[:, 5] = rng.integers(CLASSES, size=boxes)
        return {"output": table if layout is BoxLayout.ROWS else np.ascontiguousarray(table.T)}

    return Network(name, 640, 640, boxes, decode, make)


NETWORKS = (
    _yolo("yolov3-tiny 416", 416, (13, 26)),
    _yolo("yolov3 416", 416, (13, 26, 52)),
    _yolo("yolov4 416 (scale_x_y)", 416, (52, 26, 13), scale_x_y=1.1),
    _yolo("yolov4-csp 512 (new_coords)", 512, (64, 32, 16), scale_x_y=2.0, new_coords=True),
    _region("yolov2-tiny 416 (region)", 416, 13),
    _decoded("decoded: boxes, objectness, scores", "boxes_objectness_scores", BoxLayout.ROWS, 25200),
    _decoded("decoded: boxes, scores, in columns", "boxes_scores", BoxLayout.COLUMNS, 8400),
    _decoded("decoded: boxes, scores, in rows", "boxes_scores", BoxLayout.ROWS, 10647),
    _decoded("decoded: boxes, score, class", "boxes_score_class", BoxLayout.ROWS, 300),
)
