"""Which layers hurt: what each one alone, in the variant's arithmetic, does to the boxes that a model finds.

For every layer one model is made in which only that layer's weights and input are rounded, and run on a few pictures;
the error is how far decoded boxes move (score and overlap) from those of the model as it is. It is a measure for
ranking, by the same arithmetic for every engine: 8 bits per channel for INT8, Cast for BF16 and FP16.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vedette.contracts.bundle import Decode, InputSpec, Precision
from vedette.contracts.ports import Progress
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.comparison import mean_difference
from vedette.learn.export.quantize_layers import Layer, find_layers, name_nodes

MOST_PICTURES = 4
ONNX_TYPES = {Precision.BF16: TensorProto.BFLOAT16, Precision.FP16: TensorProto.FLOAT16}

# model, name of its input, tensor -> every output by name
RunOnce = Callable[[bytes, str, NDArray[np.float32]], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class LayerError:
    """One layer and what it alone does: 0 nothing; 1 would be every box lost."""

    layer: Layer
    error: float


def measure_layer_errors(
    model: bytes,
    precision: Precision,
    pictures: CalibrationPictures,
    decode: Decode,
    *,
    run_once: RunOnce,
    progress: Progress,
) -> tuple[LayerError, ...]:
    """Every layer with its error, the worst first."""
    loaded = onnx.load_from_string(model)
    name_nodes(loaded)
    layers = find_layers(loaded)
    spec = pictures.spec
    tensors = [pictures.tensor(number) for number in range(min(MOST_PICTURES, len(pictures)))]
    expected = [run_once(loaded.SerializeToString(), spec.tensor, tensor) for tensor in tensors]
    ranges = _ranges(loaded, layers, tensors, spec.tensor, run_once) if precision is Precision.INT8 else {}
    progress.start(f"{precision.value}: looking for the layers that hurt", len(layers), "layers")
    found = []
    for layer in layers:
        altered = onnx.ModelProto()
        altered.CopyFrom(loaded)
        _round_layer(altered.graph, layer, precision, ranges.get(layer.activation))
        serialized = altered.SerializeToString()
        given = [run_once(serialized, spec.tensor, tensor) for tensor in tensors]
        found.append(LayerError(layer, _error(expected, given, decode, spec)))
        progress.advance()
    return tuple(sorted(found, key=lambda one: -one.error))


def _error(
    expected: Sequence[dict[str, NDArray[Any]]],
    given: Sequence[dict[str, NDArray[Any]]],
    decode: Decode,
    spec: InputSpec,
) -> float:
    values = [
        mean_difference([a[name][0] for name in decode.outputs], [b[name][0] for name in decode.outputs], decode, spec)
        for a, b in zip(expected, given, strict=True)
    ]
    return float(np.mean(values))


def _ranges(
    model: Any, layers: Sequence[Layer], tensors: Sequence[NDArray[np.float32]], input_name: str, run_once: RunOnce
) -> dict[str, tuple[float, float]]:
    """The least and the greatest value that each layer reads."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = sorted({layer.activation for layer in layers} - {input_name})
    present = {output.name for output in watched.graph.output}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    serialized = watched.SerializeToString()
    found: dict[str, tuple[float, float]] = {}
    for tensor in tensors:
        for name, values in {**run_once(serialized, input_name, tensor), input_name: tensor}.items():
            low, high = found.get(name, (0.0, 0.0))
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def _round_layer(graph: Any, layer: Layer, precision: Precision, limits: tuple[float, float] | None) -> None:
    """Round one layer's weights and input, in place."""
    place = next(number for number, node in enumerate(graph.node) if node.name == layer.name)
    node = graph.node[place]
    stored = next(one for one in graph.initializer if one.name == layer.weights)
    weights = numpy_helper.to_array(stored)
    if precision is Precision.INT8:
        rounded = _round_weights(weights, 0 if layer.operator == "Conv" else 1 % weights.ndim)
        before = _round_to_8_bits(graph, layer.activation, limits or (0.0, 1.0))
    else:
        kind = ONNX_TYPES[precision]
        rounded = weights
        before = [*_cast(layer.activation, "vedette_rounded", kind), *_cast(layer.weights, "vedette_weights", kind)]
        node.input[1] = "vedette_weights"
    node.input[0] = "vedette_rounded"
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(rounded, np.float32), layer.weights))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes[:place], *before, *nodes[place:]])


def _cast(source: str, target: str, kind: int) -> list[Any]:
    half = f"{target}_half"
    return [
        helper.make_node("Cast", [source], [half], name=half, to=kind),
        helper.make_node("Cast", [half], [target], name=target, to=TensorProto.FLOAT),
    ]


def _round_to_8_bits(graph: Any, source: str, limits: tuple[float, float]) -> list[Any]:
    low, high = limits
    scale = max((high - low) / 255, 1e-12)
    zero = int(np.clip(round(-low / scale), 0, 255))
    graph.initializer.append(numpy_helper.from_array(np.float32(scale), "vedette_scale"))
    graph.initializer.append(numpy_helper.from_array(np.uint8(zero), "vedette_zero"))
    constants = ["vedette_scale", "vedette_zero"]
    return [
        helper.make_node("QuantizeLinear", [source, *constants], ["vedette_8"], name="vedette_8"),
        helper.make_node("DequantizeLinear", ["vedette_8", *constants], ["vedette_rounded"], name="vedette_rounded"),
    ]


def _round_weights(weights: NDArray[Any], channel_axis: int) -> NDArray[np.float32]:
    """As symmetric signed 8 bits with a scale for each channel would have them."""
    others = tuple(axis for axis in range(weights.ndim) if axis != channel_axis)
    scale = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 127, 1e-12)
    return np.asarray(np.rint(weights / scale) * scale, np.float32)
