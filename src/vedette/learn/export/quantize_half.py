"""The model in float16, for GPUs: weights and arithmetic in half precision, input and outputs float32 as ever.

Typed as it is to run, because engines that take types at their word (TensorRT 11) have no switch any more.
Source: onnxruntime.transformers.float16.
"""

import warnings
from typing import Any

import onnx

from vedette.learn.export.errors import VariantError


def convert_to_half(model: bytes) -> bytes:
    """The model in float16 between casts at its input and outputs.

    Raises:
        VariantError: it holds something that cannot be converted.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values beyond float16, which `half_precision` has told already
            converted = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
        _sort(converted.graph)  # the casts of the input were appended
        onnx.checker.check_model(converted)
    except (ValueError, TypeError, KeyError, AttributeError, onnx.checker.ValidationError) as error:
        raise VariantError(f"the model cannot be converted to float16: {error}") from error
    return bytes(converted.SerializeToString(deterministic=True))


def _sort(graph: Any) -> None:
    """Put every node behind those whose results it reads, else as they were, in place."""
    made = {"", *(one.name for one in graph.input), *(one.name for one in graph.initializer)}
    waiting, ordered = list(graph.node), []
    while waiting:
        late = []
        for node in waiting:
            if made.issuperset(node.input):
                ordered.append(node)
                made.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise ValueError(f"node '{late[0].name}' reads what no node makes")
        waiting = late
    del graph.node[:]
    graph.node.extend(ordered)
