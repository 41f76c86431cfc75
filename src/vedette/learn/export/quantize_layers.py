"""The layers of an ONNX model that quantisation is about: convolutions and matrix products, their place and their work.

A head is a layer whose result reaches an output without passing another layer; the tail is what comes after the heads
(decoding inside the model), which INT8 would ruin and which costs next to nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

LAYER_TYPES = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution or matrix product with constant weights."""

    name: str  # of its node
    operator: str
    activation: str  # name of the tensor that it reads
    weights: str  # name of the initializer
    output: str
    macs: int | None  # multiply-adds for one picture; None where shapes are not known
    is_first: bool
    is_head: bool


def name_nodes(model: Any) -> None:
    """Give every nameless node a name, in place: nodes are spoken of by name."""
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type.lower()}_{number}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


def find_layers(model: Any) -> tuple[Layer, ...]:
    """The layers in the order of the graph."""
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    nodes = [
        node
        for node in graph.node
        if node.op_type in LAYER_TYPES and len(node.input) > 1 and node.input[1] in constants
    ]
    shapes = _shapes(model)
    heads = _heads(graph)
    return tuple(
        Layer(
            name=node.name,
            operator=node.op_type,
            activation=node.input[0],
            weights=node.input[1],
            output=node.output[0],
            macs=_macs(node, tuple(constants[node.input[1]].dims), shapes.get(node.output[0])),
            is_first=number == 0,
            is_head=node.name in heads,
        )
        for number, node in enumerate(nodes)
    )


def find_tail(model: Any) -> tuple[str, ...]:
    """The names of the nodes from which no layer is reached any more, layers themselves left out."""
    leading = _leading_to_layers(model.graph)
    return tuple(
        node.name for node in model.graph.node if node.op_type not in LAYER_TYPES and not leading & set(node.output)
    )


def share_of_work(layers: Iterable[Layer], names: Iterable[str]) -> float:
    """How much of the multiply-adds the named layers do, 0..1; by count where shapes are not known."""
    everything, chosen = list(layers), set(names)
    work = {layer.name: layer.macs if all(one.macs for one in everything) else 1 for layer in everything}
    total = sum(value or 0 for value in work.values())
    return sum(work[name] or 0 for name in chosen if name in work) / total if total else 0.0


def _leading_to_layers(graph: Any) -> set[str]:
    """Every tensor that some layer's input depends on."""
    leading: set[str] = set()
    for node in reversed(graph.node):  # ONNX keeps nodes in the order of computation
        if node.op_type in LAYER_TYPES or leading & set(node.output):
            leading |= set(node.input)
    return leading


def _heads(graph: Any) -> set[str]:
    leading = _leading_to_layers(graph)
    return {node.name for node in graph.node if node.op_type in LAYER_TYPES and not _reaches(graph, node, leading)}


def _reaches(graph: Any, layer: Any, leading: set[str]) -> bool:
    """Whether another layer works on what this one gives."""
    return bool(leading & set(layer.output))


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shapes that are known, batch left out."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    found = {}
    for info in [*inferred.value_info, *inferred.output]:
        dims = info.type.tensor_type.shape.dim[1:]
        if dims and all(dim.HasField("dim_value") for dim in dims):
            found[info.name] = tuple(dim.dim_value for dim in dims)
    return found


def _macs(node: Any, kernel: tuple[int, ...], output: tuple[int, ...] | None) -> int | None:
    if output is None:
        return None
    per_value = int(np.prod(kernel[1:])) if node.op_type == "Conv" else int(kernel[0])
    return per_value * int(np.prod(output))
