"""An ONNX file of another program, taken only when it can travel in a bundle: whole, checked, with one picture input.

Refused, each by name: a file that onnx.checker refuses, operators outside the ONNX standard, weights in another file,
an input that is not one NCHW float32 picture. `adapt_batch` and `adapt_input` change a copy: any number of pictures at
once, RGB in place of BGR. Whether the copy still computes the same is measured by the caller. Nothing is run here.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from vedette.contracts.bundle import InputSpec
from vedette.contracts.frame import ResizeMode
from vedette.learn.export.errors import OnnxError
from vedette.learn.export.onnx_files import parse_model, read_onnx_bytes

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
LARGEST_INPUT_SIDE = 8192
LARGEST_INPUT_VALUES = 1 << 28  # of a whole batch: 1 GiB as float32
REVERSED_INPUT = "vedette_rgb"
REVERSAL = (2, 1, 0)

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A checked file: its graph, and its one input, of which `None` is what the file leaves open."""

    source: str
    model: Any  # onnx.ModelProto
    sha256: str  # of the file
    input_name: str
    batch: int | None
    width: int | None
    height: int | None


def read_detector(path: Path) -> OnnxDetector:
    """Parse and check an ONNX file.

    Raises:
        OnnxError: says what cannot be taken, and what to do.
    """
    source = str(path)
    content = read_onnx_bytes(path)
    model = parse_model(content, source)
    try:
        name, batch, height, width = _check(model, source)
    except UnicodeDecodeError as error:
        raise OnnxError(f"{source}: damaged: a name in it is no text") from error
    return OnnxDetector(source, model, hashlib.sha256(content).hexdigest(), name, batch, width, height)


def _check(model: Any, source: str) -> tuple[str, int | None, int | None, int | None]:
    """Refuse what cannot travel; gives the input's name, batch, height and width."""
    _refuse_external_data(model, source)
    _refuse_custom_operators(model, source)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise OnnxError(f"{source}: onnx.checker refuses it: {str(error).strip().splitlines()[0]}") from error
    if not model.graph.output:
        raise OnnxError(f"{source}: it has no output")
    name, (batch, channels, height, width) = _picture_input(model, source)
    if channels not in {3, None}:
        hint = "it is NHWC: export it with channels first (NCHW)" if width == 3 else "it must have 3 channels"
        shape = ", ".join(str(side or "?") for side in (batch, channels, height, width))
        raise OnnxError(f"{source}: the input {name!r} has the shape ({shape}); {hint}")
    return name, batch, height, width


def input_spec(detector: OnnxDetector, size: Size | None, resize: ResizeMode, scale: float) -> InputSpec:
    """The input as a manifest states it; `size` fills what the file leaves open.

    Raises:
        OnnxError: the size is missing, or contradicts the file.
    """
    sides = []
    for name, own, given in zip(
        ("width", "height"), (detector.width, detector.height), size or (None, None), strict=True
    ):
        if own is None and given is None:
            raise OnnxError(f"{detector.source}: the file leaves its input's {name} open; give --size WIDTHxHEIGHT")
        if own is not None and given is not None and own != given:
            raise OnnxError(f"{detector.source}: its input's {name} is {own}, not {given}")
        side = own or given or 0
        if not 1 <= side <= LARGEST_INPUT_SIDE:
            raise OnnxError(f"{detector.source}: an input {name} of {side}; at most {LARGEST_INPUT_SIDE}")
        sides.append(side)
    values = (detector.batch or 1) * 3 * sides[0] * sides[1]
    if values > LARGEST_INPUT_VALUES:
        raise OnnxError(f"{detector.source}: its input has {values} values; at most {LARGEST_INPUT_VALUES}")
    return InputSpec(
        tensor=detector.input_name, batch=detector.batch, width=sides[0], height=sides[1], resize=resize, scale=scale
    )


def adapt_input(model: Any, spec: InputSpec, bgr: bool) -> tuple[Any, InputSpec]:
    """A copy with the size fixed that takes RGB, also where the file wants BGR."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # shapes worked out for the input as it was
    picture = _inputs(copy)[0]
    for place, side in ((1, 3), (2, spec.height), (3, spec.width)):
        picture.type.tensor_type.shape.dim[place].dim_value = side
    if not bgr:
        return copy, spec
    picture.name = REVERSED_INPUT
    order = numpy_helper.from_array(_int64(REVERSAL), "vedette_channel_order")
    copy.graph.initializer.append(order)
    copy.graph.node.insert(0, helper.make_node("Gather", [picture.name, order.name], [spec.tensor], axis=1))
    return copy, spec.model_copy(update={"tensor": REVERSED_INPUT})


def adapt_batch(model: Any, spec: InputSpec) -> tuple[Any, InputSpec]:
    """A copy that says to take any number of pictures; constants inside the graph may still say otherwise."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (_inputs(copy)[0], *copy.graph.output):
        sides = value.type.tensor_type.shape.dim
        if len(sides) and sides[0].dim_value == spec.batch:
            sides[0].dim_param = "batch"
    return copy, spec.model_copy(update={"batch": None})


def _int64(values: tuple[int, ...]) -> Any:
    import numpy as np

    return np.array(values, np.int64)  # (n,)


def _inputs(model: Any) -> list[Any]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _picture_input(model: Any, source: str) -> tuple[str, list[int | None]]:
    """The one input: its name and its four sides."""
    inputs = _inputs(model)
    if len(inputs) != 1:
        named = ", ".join(repr(value.name) for value in inputs) or "none"
        raise OnnxError(f"{source}: it must have one input, the picture; it has {len(inputs)}: {named}")
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise OnnxError(f"{source}: the input {inputs[0].name!r} is {name}; export the model with float32 input")
    sides = [side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim]
    if len(sides) != 4:
        raise OnnxError(f"{source}: the input {inputs[0].name!r} has {len(sides)} dimensions, not 4 (NCHW)")
    return inputs[0].name, sides


def _graphs(model: Any) -> Iterator[Any]:
    """The graph, functions, and the graphs inside their nodes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors


def _refuse_external_data(model: Any, source: str) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise OnnxError(f"{source}: constant {tensor.name[:60]!r} lies in another file; save the model as one file")


def _refuse_custom_operators(model: Any, source: str) -> None:
    known = STANDARD_DOMAINS | {function.domain for function in model.functions}
    foreign = {
        f"{node.domain}.{node.op_type}" for graph in _graphs(model) for node in graph.node if node.domain not in known
    }
    if foreign:
        listed = ", ".join(sorted(foreign)[:5])
        raise OnnxError(
            f"{source}: it uses operators outside the ONNX standard: {listed}; export it without them (without a "
            "plug-in for suppression, say)"
        )
