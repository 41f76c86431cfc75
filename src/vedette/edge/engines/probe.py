"""Runs any ONNX model once: how `vedette pack` learns the real shapes of outputs that a file leaves open."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.onnxruntime import NATIVE_ERRORS, SEVERITY_FATAL


def run_once(model: bytes, input_name: str, tensor_nchw: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Every output of the model that is an array, for one input tensor, by name.

    Raises:
        EngineError: when ONNX Runtime refuses the model or fails.
    """
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SEVERITY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        results = session.run(names, {input_name: tensor_nchw})
    except NATIVE_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise EngineError(f"ONNX Runtime {onnxruntime.__version__} cannot run the model: {reason}") from error
    return {name: result for name, result in zip(names, results, strict=True) if isinstance(result, np.ndarray)}
