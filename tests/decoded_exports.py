"""Exports as other programs write them, made of a net with raw Darknet heads: its decode is put inside the graph.

The boxes are those of the raw heads, in their order (head, anchor, row, column), so that a bundle of such a model must
detect what the bundle of the raw heads does.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vedette.contracts.bundle import DarknetHeads, YoloHead

# YOLOv5 and v7, YOLOv8 and v11, YOLOv4 from PyTorch, YOLOv10
LAYOUTS = ("objectness_rows", "scores_columns", "two_outputs", "chosen")
KIND_OF = {
    "objectness_rows": "boxes_objectness_scores",
    "scores_columns": "boxes_scores",
    "two_outputs": "boxes_scores",
    "chosen": "boxes_score_class",
}


@dataclass
class _Graph:
    model: Any
    batch: int  # in constants of Reshape; 0 copies the batch that came in
    names: int = 0
    constants: list[Any] = field(default_factory=list)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        self.names += 1
        tensor = numpy_helper.from_array(np.asarray(values, dtype), f"constant_{self.names}")
        self.model.graph.initializer.append(tensor)
        return tensor.name

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        self.names += 1
        names = [f"value_{self.names}_{number}" for number in range(outputs)]
        self.model.graph.node.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def reshape(self, value: str, *sides: int) -> str:
        return self.add("Reshape", value, self.constant([self.batch, *sides], np.int64))

    def split(self, value: str, axis: int, *sizes: int) -> list[str]:
        return self.add("Split", value, self.constant(sizes, np.int64), outputs=len(sizes), axis=axis)


def decoded_model(
    raw: bytes,
    spec: DarknetHeads,
    layout: str,
    *,
    batch: int | None = None,
    frozen: bool = False,
    logits: bool = False,
    most: int = 20,
) -> bytes:
    """The raw model with its heads decoded inside.

    `batch` fixes the input's; `frozen` writes it into the graph's constants too, so that no other batch works. `logits`
    leaves out the sigmoids of objectness and classes (objectness_rows only). `most` boxes of `chosen`.
    """
    model = onnx.load_from_string(raw)
    graph = _Graph(model, (batch or 1) if frozen else 0)
    height, width = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[2:])
    parts = [_boxes(graph, head, (width, height), logits) for head in spec.heads]
    boxes, objectness, classes = (graph.add("Concat", *values, axis=1) for values in zip(*parts, strict=True))
    channels = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    class_count = channels // len(spec.heads[0].anchors) - 5
    count = sum(len(head.anchors) * head.grid_width * head.grid_height for head in spec.heads)
    outputs = _arrange(graph, layout, (boxes, objectness, classes), (count, class_count), (width, height), most)
    del model.graph.output[:]
    sides = batch or "batch"
    for name, (value, shape) in outputs.items():
        model.graph.node.append(helper.make_node("Identity", [value], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [sides, *shape]))
    if batch is not None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _boxes(graph: _Graph, head: YoloHead, size: tuple[int, int], logits: bool) -> tuple[str, str, str]:
    """Boxes (batch, n, 4) cxcywh in pixels, objectness (batch, n, 1), classes (batch, n, classes) of one head."""
    anchors, cells = len(head.anchors), head.grid_width * head.grid_height
    by_anchor = graph.reshape(head.output, anchors, -1, cells)
    rows = graph.reshape(graph.add("Transpose", by_anchor, perm=[0, 1, 3, 2]), anchors * cells, -1)
    channels = next(
        value.type.tensor_type.shape.dim[1].dim_value for value in graph.model.graph.output if value.name == head.output
    )
    place, extent, objectness, classes = graph.split(rows, 2, 2, 2, 1, channels // anchors - 5)
    y, x = np.divmod(np.arange(cells), head.grid_width)
    stride = np.array([size[0] / head.grid_width, size[1] / head.grid_height])
    grid = np.tile(np.stack([x, y], 1) - 0.5 * (head.scale_x_y - 1), (anchors, 1))[None]  # (1, n, 2)
    stretched = graph.add("Mul", graph.add("Sigmoid", place), graph.constant(head.scale_x_y))
    centre = graph.add("Mul", graph.add("Add", stretched, graph.constant(grid)), graph.constant(stride))
    sides = np.repeat(np.array(head.anchors), cells, axis=0)[None]  # (1, n, 2)
    boxes = graph.add("Concat", centre, graph.add("Mul", graph.add("Exp", extent), graph.constant(sides)), axis=2)
    if logits:
        return boxes, objectness, classes
    return boxes, graph.add("Sigmoid", objectness), graph.add("Sigmoid", classes)


def _arrange(
    graph: _Graph,
    layout: str,
    parts: tuple[str, str, str],
    counts: tuple[int, int],
    size: tuple[int, int],
    most: int,
) -> dict[str, tuple[str, tuple[int, ...]]]:
    boxes, objectness, classes = parts
    count, class_count = counts
    if layout == "objectness_rows":
        return {"output": (graph.add("Concat", *parts, axis=2), (count, 5 + class_count))}
    scores = graph.add("Mul", objectness, classes)
    if layout == "scores_columns":
        rows = graph.add("Concat", boxes, scores, axis=2)
        return {"output0": (graph.add("Transpose", rows, perm=[0, 2, 1]), (4 + class_count, count))}
    centre, extent = graph.split(boxes, 2, 2, 2)
    half = graph.add("Div", extent, graph.constant(2))
    corners = graph.add("Concat", graph.add("Sub", centre, half), graph.add("Add", centre, half), axis=2)
    if layout == "two_outputs":
        fractions = graph.add("Div", corners, graph.constant([*size, *size]))
        return {
            "boxes": (graph.reshape(fractions, count, 1, 4), (count, 1, 4)),
            "confs": (scores, (count, class_count)),
        }
    best = graph.add("ReduceMax", scores, axes=[2], keepdims=1)
    number = graph.add("Cast", graph.add("ArgMax", scores, axis=2, keepdims=1), to=TensorProto.FLOAT)
    rows = graph.add("Concat", corners, best, number, axis=2)
    flat = graph.reshape(best, count)
    _, order = graph.add("TopK", flat, graph.constant([most], np.int64), outputs=2, axis=1)
    wide = graph.add("Expand", graph.reshape(order, most, 1), graph.constant([1, most, 6], np.int64))
    return {"detections": (graph.add("GatherElements", rows, wide, axis=1), (most, 6))}
