"""ONNX files that say what they are, and the way back from one to Darknet weights.

`describe_model` adds what a reader needs beside the graph as metadata: `vedette.decode` (the manifest's decode
section), `vedette.names` (class names), `vedette.cfg` (the cfg itself) and `vedette.seen`. `weights_from_model` takes a
graph only when it is, up to names, the one that `export_onnx` writes for the plan: then equal outputs are certain, not
hoped for. Batch norm was folded away, so the weights that come back hold one that does nothing: mean 0, variance 1024,
scale 32 (powers of two, beside which every epsilon vanishes), and exporting them again gives the same kernels.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vedette.learn.darknet.layers import ConvolutionalLayer
from vedette.learn.darknet.plan import NetworkPlan, decode_spec
from vedette.learn.darknet.weights import BatchNorm, ConvolutionalWeights, DarknetWeights
from vedette.learn.export.errors import OnnxError
from vedette.learn.export.onnx import export_onnx

DECODE_KEY, NAMES_KEY, CFG_KEY, SEEN_KEY = "vedette.decode", "vedette.names", "vedette.cfg", "vedette.seen"
MAX_ONNX_BYTES = 2 << 30  # protobuf's limit
NEUTRAL_VARIANCE, NEUTRAL_SCALE = 1024.0, 32.0


def describe_model(
    model: bytes, plan: NetworkPlan, cfg_text: str, class_names: tuple[str, ...] | None, seen: int
) -> bytes:
    """The same graph with its metadata; the same input gives the same bytes.

    Raises:
        OnnxError: the number of names is not that of the plan's classes.
    """
    if class_names is not None and len(class_names) != plan.class_count:
        raise OnnxError(f"{plan.source} detects {plan.class_count} classes, the names list has {len(class_names)}")
    found = onnx.load_from_string(model)
    metadata = {DECODE_KEY: decode_spec(plan).model_dump_json(), CFG_KEY: cfg_text, SEEN_KEY: str(seen)}
    if class_names is not None:
        metadata[NAMES_KEY] = json.dumps(class_names, ensure_ascii=False)
    helper.set_model_props(found, metadata)
    serialized: bytes = found.SerializeToString(deterministic=True)
    return serialized


def read_model(path: Path) -> Any:
    """Parse an ONNX file; files that it may point to are not opened.

    Raises:
        OnnxError: unreadable, too large, or not ONNX.
    """
    return parse_model(read_onnx_bytes(path), str(path))


def read_onnx_bytes(path: Path) -> bytes:
    """The bytes of a file that is small enough to be ONNX.

    Raises:
        OnnxError: unreadable, no file (a device has no end), or too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise OnnxError(f"{path}: not a file")
        if path.stat().st_size > MAX_ONNX_BYTES:
            raise OnnxError(f"{path}: larger than 2 GiB, which no ONNX file can be")
        return path.read_bytes()
    except OSError as error:
        raise OnnxError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_model(content: bytes, source: str) -> Any:
    """Parse the bytes of an ONNX file; `source` is its name, for messages.

    Raises:
        OnnxError: not ONNX.
    """
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise OnnxError(f"{source}: not an ONNX file, or one that was cut off") from error
    if not model.graph.node:
        raise OnnxError(f"{source}: not an ONNX file, or one without a graph")
    return model


def metadata_of(model: Any) -> dict[str, str]:
    """The metadata of a parsed file, also where Vedette did not write it."""
    return {entry.key: entry.value for entry in model.metadata_props}


def names_of(model: Any, source: str) -> tuple[str, ...] | None:
    """The class names in the metadata, where Vedette wrote them.

    Raises:
        OnnxError: they are no list of names.
    """
    text = metadata_of(model).get(NAMES_KEY)
    if text is None:
        return None
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OnnxError(f"{source}: its metadata {NAMES_KEY} is no JSON; give --names FILE") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise OnnxError(f"{source}: its metadata {NAMES_KEY} is no list of names; give --names FILE")
    return tuple(names)


def weights_from_model(model: Any, plan: NetworkPlan, source: str) -> DarknetWeights:
    """The Darknet weights whose export is this graph.

    Args:
        model: what `read_model` gave.
        source: the file's name, for messages.

    Raises:
        OnnxError: the graph is not the one that `export_onnx` writes for the plan, or holds what is not finite.
    """
    constants = _constants(model, source)
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    if len(convolutions) != len(plan.convolutions):
        raise OnnxError(
            f"{source}: {len(convolutions)} convolutions, {plan.source} has {len(plan.convolutions)}; another network"
        )
    layers: list[ConvolutionalWeights | None] = [None] * len(plan.layers)
    for node, layer in zip(convolutions, plan.convolutions, strict=True):
        layers[layer.index] = _convolution(node, layer, constants, source)
    weights = DarknetWeights(0, 2, 5, _seen(metadata_of(model)), tuple(layers), len(layers))
    expected = onnx.load_from_string(export_onnx(plan, weights))
    _require_same_graph(_Side(model, nodes, constants), _Side.whole(expected), f"{source}: not {plan.source}:")
    return weights


def _constants(model: Any, source: str) -> dict[str, Any]:
    """Constant tensors by name: initializers, and nodes that hold one."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            values = [item.t for item in node.attribute if item.name == "value"]
            found |= dict.fromkeys(node.output, values[0]) if values else {}
    for name, tensor in found.items():
        if tensor.data_location == TensorProto.EXTERNAL:
            raise OnnxError(f"{source}: constant {name[:60]!r} lies in another file; save the model as one file")
    return found


def _convolution(
    node: Any, layer: ConvolutionalLayer, constants: Mapping[str, Any], source: str
) -> ConvolutionalWeights:
    where = f"{source}: convolution of layer {layer.index}"
    if len(node.input) != 3:
        raise OnnxError(f"{where} has {len(node.input)} inputs, not picture, kernel and bias")
    kernel = _floats(constants.get(node.input[1]), layer.kernel_shape, f"{where}, kernel")
    biases = _floats(constants.get(node.input[2]), (layer.filters,), f"{where}, bias")
    norm = None
    if layer.batch_normalize:
        norm = BatchNorm(*(np.full(layer.filters, v, np.float32) for v in (NEUTRAL_SCALE, 0.0, NEUTRAL_VARIANCE)))
    return ConvolutionalWeights(biases, norm, kernel)


def _floats(tensor: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """A constant of exactly this shape; the shape is compared before anything is allocated."""
    if tensor is None:
        raise OnnxError(f"{where}: not a constant of the file")
    if tensor.data_type != TensorProto.FLOAT or tuple(tensor.dims) != shape:
        kind = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in TensorProto.DataType.values() else "?"
        raise OnnxError(f"{where}: {kind} {tuple(tensor.dims)}, the cfg asks for FLOAT {shape}")
    values = np.asarray(_array(tensor, where), np.float32)
    if not np.isfinite(values).all():
        raise OnnxError(f"{where}: holds values that are not finite (NaN or infinite)")
    return values


def _array(tensor: Any, where: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:  # what it raises for too little data, or an unknown type
        raise OnnxError(f"{where}: its values do not fill its shape {tuple(tensor.dims)}; damaged") from error
    return values


def _seen(metadata: Mapping[str, str]) -> int:
    """Pictures seen, where Vedette wrote them; other files do not say."""
    text = metadata.get(SEEN_KEY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64 else 0


class _Side:
    """One of two graphs that are compared."""

    def __init__(self, model: Any, nodes: list[Any], constants: Mapping[str, Any]) -> None:
        self.nodes, self.constants = nodes, constants
        self.inputs = [item.name for item in model.graph.input if item.name not in constants]
        self.outputs = [item.name for item in model.graph.output]

    @classmethod
    def whole(cls, model: Any) -> "_Side":
        return cls(model, list(model.graph.node), {tensor.name: tensor for tensor in model.graph.initializer})


def _require_same_graph(found: _Side, wanted: _Side, where: str) -> None:
    """Node by node, in order; names of values may differ.

    Raises:
        OnnxError: at the first difference.
    """
    if len(found.inputs) != 1 or len(found.nodes) != len(wanted.nodes):
        raise OnnxError(
            f"{where} {len(found.inputs)} inputs and {len(found.nodes)} nodes, where Vedette writes 1 and "
            f"{len(wanted.nodes)}"
        )
    same = {found.inputs[0]: wanted.inputs[0]}
    for number, (one, other) in enumerate(zip(found.nodes, wanted.nodes, strict=True)):
        what = f"{where} node {number} ({one.op_type[:30]}, where Vedette writes {other.op_type})"
        if (one.op_type, one.domain or "") != (other.op_type, "") or _attributes(one) != _attributes(other):
            raise OnnxError(f"{what} is another operator or has other attributes")
        if len(one.input) != len(other.input) or len(one.output) != len(other.output):
            raise OnnxError(f"{what} has another number of inputs or outputs")
        for given, expected in zip(one.input, other.input, strict=True):
            if expected in wanted.constants:
                if not _same_constant(found.constants.get(given), wanted.constants[expected], what):
                    raise OnnxError(f"{what} has another constant")
            elif same.get(given, "") != expected:
                raise OnnxError(f"{what} reads another layer")
        same |= dict(zip(one.output, other.output, strict=True))
    if [same.get(name) for name in found.outputs] != wanted.outputs:
        raise OnnxError(f"{where} its outputs are not the raw heads {', '.join(wanted.outputs)}, in this order")


def _attributes(node: Any) -> dict[str, bytes]:
    """Attributes by name, without their descriptions."""
    found = {}
    for item in node.attribute:
        bare = onnx.AttributeProto()
        bare.CopyFrom(item)
        bare.ClearField("doc_string")
        found[item.name] = bare.SerializeToString(deterministic=True)
    return found


def _same_constant(found: Any, wanted: Any, where: str) -> bool:
    if found is None or (found.data_type, tuple(found.dims)) != (wanted.data_type, tuple(wanted.dims)):
        return False
    return bool(np.array_equal(_array(found, where), numpy_helper.to_array(wanted)))
