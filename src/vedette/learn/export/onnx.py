"""Writes a planned network with its Darknet weights as ONNX, straight from the plan: no torch, no tracing.

The graph takes "input" (batch, channels, height, width) float32, RGB in 0..1, any batch, and gives the raw tensors
head_0, head_1, ... (batch, anchors * (5 + classes), grid height, grid width); decoding and NMS stay outside. Batch
norm is folded into the kernels in float64. Maxpool keeps Darknet's padding on the operator itself: a separate Pad
would cost engines their fused paths (facts/performance). The result is checked by ONNX's own checker and shape
inference. Source: ONNX operator set 13.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.layers import (
    NETWORK_INPUT,
    Activation,
    AvgpoolLayer,
    ConvolutionalLayer,
    DropoutLayer,
    Layer,
    MaxpoolLayer,
    RegionLayer,
    ReorgLayer,
    RouteLayer,
    ScaleChannelsLayer,
    Shape,
    ShortcutLayer,
    UpsampleLayer,
    YoloLayer,
)
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import BATCH_NORM_EPSILON, ConvolutionalWeights, DarknetWeights
from vedette.version import __version__

OPSET = 13
IR_VERSION = 8  # of ONNX 1.10 and later; every ONNX Runtime since 1.10 and TensorRT since 8.2 read it
INPUT_NAME = "input"
LEAKY_SLOPE = 0.1


def export_onnx(plan: NetworkPlan, weights: DarknetWeights) -> bytes:
    """The network as a serialized ONNX model; the same plan and weights give the same bytes.

    Raises:
        WeightsError: a convolution has no weights, or not those of the plan.
    """
    graph = _Graph(plan)
    for layer, given in zip(plan.layers, weights.layers, strict=True):
        if isinstance(layer, ConvolutionalLayer):
            if given is None or given.kernel.shape != layer.kernel_shape:
                raise WeightsError(
                    f"{plan.source}: layer {layer.index} has no weights of its own shape; nothing to export"
                )
            _convolutional(graph, layer, given)
        else:
            _WRITERS[type(layer)](graph, layer)
    model = helper.make_model(
        graph.finish(),
        producer_name="vedette",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)  # a failure here is a bug of this module, so it is not translated
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def fold_batch_norm(given: ConvolutionalWeights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The kernel and bias of a convolution that does what convolution and batch norm do; computed in float64.

    Raises:
        WeightsError: the result is beyond float32; torch, which folds nothing, would overflow in its own way.
    """
    if given.batch_norm is None:
        return given.kernel, given.biases
    norm = given.batch_norm
    factors = norm.scales.astype(np.float64) / np.sqrt(norm.variances.astype(np.float64) + BATCH_NORM_EPSILON)
    kernel = given.kernel.astype(np.float64) * factors[:, None, None, None]  # (filters, channels / groups, size, size)
    biases = given.biases.astype(np.float64) - norm.means.astype(np.float64) * factors  # (filters,)
    largest = max(float(np.abs(kernel).max()), float(np.abs(biases).max()))
    if largest > float(np.finfo(np.float32).max):
        raise WeightsError(f"batch norm folded into its convolution gives {largest:.3g}, which is beyond float32")
    return kernel.astype(np.float32), biases.astype(np.float32)


class _Graph:
    """Nodes and constants so far, and under which name each layer's output goes."""

    def __init__(self, plan: NetworkPlan) -> None:
        self.plan = plan
        self._names = {NETWORK_INPUT: INPUT_NAME}
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._head_of = {head.source_index: f"head_{number}" for number, head in reversed(list(enumerate(plan.heads)))}

    def inputs(self, layer: Layer) -> list[str]:
        return [self._names[index] for index in layer.inputs]

    def shape(self, index: int) -> Shape:
        """What a layer gives, or the picture."""
        if index == NETWORK_INPUT:
            return Shape(self.plan.input_channels, self.plan.input_height, self.plan.input_width)
        return self.plan.layers[index].shape

    def node(self, layer: Layer, operator: str, inputs: list[str], label: str = "", **attributes: Any) -> str:
        """One operator; `label` tells the inner steps of a layer apart, and the last step goes without."""
        output = f"layer_{layer.index}_{label}" if label else self._head_of.get(layer.index, f"layer_{layer.index}")
        self._nodes.append(
            helper.make_node(operator, inputs, [output], name=f"{output}_{operator.lower()}", **attributes)
        )
        if not label:
            self._names[layer.index] = output
        return output

    def activate(self, layer: Layer, activation: Activation, source: Callable[[str], str]) -> None:
        """The layer's activation on what `source` makes; `source` takes the label that its node must bear."""
        if activation is Activation.LINEAR:
            source("")
            return
        given = source("raw")
        match activation:
            case Activation.LEAKY:
                self.node(layer, "LeakyRelu", [given], alpha=LEAKY_SLOPE)
            case Activation.RELU:
                self.node(layer, "Relu", [given])
            case Activation.RELU6:
                bounds = [self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))]
                self.node(layer, "Clip", [given, *bounds])
            case Activation.LOGISTIC:
                self.node(layer, "Sigmoid", [given])
            case Activation.MISH:
                softplus = self.node(layer, "Softplus", [given], "softplus")
                self.node(layer, "Mul", [given, self.node(layer, "Tanh", [softplus], "tanh")])
            case Activation.SWISH:
                self.node(layer, "Mul", [given, self.node(layer, "Sigmoid", [given], "sigmoid")])

    def constant(self, name: str, values: NDArray[Any] | np.generic) -> str:
        """A constant; the same name twice is the same constant."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("i64_" + "_".join(str(value) for value in values), np.array(values, np.int64))

    def same(self, layer: Layer, name: str) -> None:
        """The layer does nothing: its output is another's."""
        if layer.index in self._head_of:
            self.node(layer, "Identity", [name])
        else:
            self._names[layer.index] = name

    def finish(self) -> Any:
        plan, outputs = self.plan, []
        for number, head in enumerate(plan.heads):
            name = f"head_{number}"
            if self._head_of[head.source_index] != name:  # two heads read one layer
                source = self._names[head.source_index]
                self._nodes.append(helper.make_node("Identity", [source], [name], name=f"{name}_identity"))
            shape = ["batch", head.channels, head.grid_height, head.grid_width]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        shape = ["batch", plan.input_channels, plan.input_height, plan.input_width]
        given = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)
        return helper.make_graph(self._nodes, "darknet", [given], outputs, list(self._constants.values()))


def _convolutional(graph: _Graph, layer: ConvolutionalLayer, given: ConvolutionalWeights) -> None:
    try:
        kernel, biases = fold_batch_norm(given)
    except WeightsError as error:
        raise WeightsError(f"{graph.plan.source}, line {layer.line}: layer {layer.index}: {error}") from error
    inputs = [
        *graph.inputs(layer),
        graph.constant(f"layer_{layer.index}_kernel", kernel),
        graph.constant(f"layer_{layer.index}_bias", biases),
    ]

    def convolve(label: str) -> str:
        return graph.node(
            layer,
            "Conv",
            inputs,
            label,
            kernel_shape=[layer.size, layer.size],
            strides=[layer.stride, layer.stride],
            pads=[layer.padding] * 4,
            group=layer.groups,
        )

    graph.activate(layer, layer.activation, convolve)


def _maxpool(graph: _Graph, layer: MaxpoolLayer) -> None:
    given = graph.shape(layer.inputs[0])
    top, bottom = layer.padding_before_after(given.height)
    left, right = layer.padding_before_after(given.width)
    graph.node(
        layer,
        "MaxPool",
        graph.inputs(layer),
        kernel_shape=[layer.size, layer.size],
        strides=[layer.stride, layer.stride],
        pads=[top, left, bottom, right],
    )


def _route(graph: _Graph, layer: RouteLayer) -> None:
    parts = graph.inputs(layer)
    if layer.groups > 1:
        parts = [
            graph.node(layer, "Slice", [part, *_channel_slice(graph, layer, index)], f"part_{number}")
            for number, (part, index) in enumerate(zip(parts, layer.inputs, strict=True))
        ]
    if len(parts) == 1:
        graph.same(layer, parts[0])
    else:
        graph.node(layer, "Concat", parts, axis=1)


def _channel_slice(graph: _Graph, layer: RouteLayer, index: int) -> list[str]:
    """Starts, ends and axes of the group that a route takes of one input."""
    given = graph.shape(index).channels // layer.groups
    return [graph.integers(layer.group_id * given), graph.integers((layer.group_id + 1) * given), graph.integers(1)]


def _shortcut(graph: _Graph, layer: ShortcutLayer) -> None:
    first, *others = graph.inputs(layer)

    def add(label: str) -> str:
        total = first
        for number, (name, index) in enumerate(zip(others, layer.inputs[1:], strict=True)):
            is_last = number == len(others) - 1
            other = _with_channels(graph, layer, (name, number), graph.shape(index).channels)
            total = graph.node(layer, "Add", [total, other], label if is_last else f"sum_{number}")
        return total

    graph.activate(layer, layer.activation, add)


def _with_channels(graph: _Graph, layer: ShortcutLayer, other: tuple[str, int], channels: int) -> str:
    """A shortcut's other input (its name and number), cut or filled with zeros to the channels of the first."""
    wanted = layer.shape.channels
    name, number = other
    if channels > wanted:
        bounds = [graph.integers(0), graph.integers(wanted), graph.integers(1)]
        return graph.node(layer, "Slice", [name, *bounds], f"cut_{number}")
    if channels < wanted:
        return graph.node(
            layer, "Pad", [name, graph.integers(0, 0, 0, 0, 0, wanted - channels, 0, 0)], f"filled_{number}"
        )
    return name


def _upsample(graph: _Graph, layer: UpsampleLayer) -> None:
    scales = graph.constant(f"scales_{layer.stride}", np.array([1, 1, layer.stride, layer.stride], np.float32))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    inputs = [*graph.inputs(layer), "", scales]
    if layer.scale == 1.0:
        graph.node(layer, "Resize", inputs, **attributes)
        return
    larger = graph.node(layer, "Resize", inputs, "larger", **attributes)
    graph.node(layer, "Mul", [larger, graph.constant(f"layer_{layer.index}_scale", np.float32(layer.scale))])


def _avgpool(graph: _Graph, layer: AvgpoolLayer) -> None:
    graph.node(layer, "GlobalAveragePool", graph.inputs(layer))


def _scale_channels(graph: _Graph, layer: ScaleChannelsLayer) -> None:
    factors, images = graph.inputs(layer)
    graph.activate(layer, layer.activation, lambda label: graph.node(layer, "Mul", [images, factors], label))


def _reorg(graph: _Graph, layer: ReorgLayer) -> None:
    """The input's memory read as (channels / s^2, height * s, width * s): see the network's `Reorg`."""
    s, shape = layer.stride, layer.shape
    channels = shape.channels // s**4  # of that reading
    cells = graph.integers(0, channels, shape.height * s, s, shape.width * s, s)  # 0: the batch stays
    split = graph.node(layer, "Reshape", [*graph.inputs(layer), cells], "cells")
    moved = graph.node(layer, "Transpose", [split], "moved", perm=[0, 3, 5, 1, 2, 4])
    graph.node(layer, "Reshape", [moved, graph.integers(0, shape.channels, shape.height, shape.width)])


_WRITERS: dict[type[Layer], Callable[[_Graph, Any], None]] = {
    MaxpoolLayer: _maxpool,
    RouteLayer: _route,
    ShortcutLayer: _shortcut,
    UpsampleLayer: _upsample,
    DropoutLayer: lambda graph, layer: graph.same(layer, graph.inputs(layer)[0]),
    AvgpoolLayer: _avgpool,
    ScaleChannelsLayer: _scale_channels,
    ReorgLayer: _reorg,
    YoloLayer: lambda graph, layer: None,
    RegionLayer: lambda graph, layer: None,
}
