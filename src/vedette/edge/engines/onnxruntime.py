"""ONNX Runtime on the processor: runs wherever Python does, x86-64 and aarch64.

Threads sleep when there is nothing to do (no spinning): the processors belong to the decoders too. ONNX Runtime's
telemetry is turned off before a session is made.
"""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.contracts.frame import Pixels
from vedette.edge.engines.errors import EngineError
from vedette.vision.resize import network_tensor

SEVERITY_FATAL = 4  # what goes wrong is raised, and needs no second line on standard error

# every exception of its own derives from Exception directly
NATIVE_ERRORS = (
    native.EPFail,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NotImplemented,
    native.RuntimeException,
    RuntimeError,
    ValueError,
)


class OnnxRuntimeEngine:
    """A `HeadEngine` on ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self, manifest: BundleManifest, model: bytes, precision: Precision, threads: int) -> None:
        """Make a session from model bytes; INT8 is in the model itself, as QuantizeLinear and DequantizeLinear.

        Raises:
            EngineError: when BF16 or FP16 is asked for, or ONNX Runtime refuses the model.
        """
        if precision not in (Precision.FP32, Precision.INT8):
            raise EngineError(f"ONNX Runtime on a processor has no {precision.value}; use OpenVINO, or fp32")
        self.version = str(onnxruntime.__version__)
        plural = "" if threads == 1 else "s"
        self.description = f"onnxruntime {self.version} {precision.value}, {threads} thread{plural}"
        self._input = manifest.input.tensor
        self._scale = manifest.input.scale
        self._outputs = list(manifest.decode.outputs)
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = SEVERITY_FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except NATIVE_ERRORS as error:
            raise EngineError(f"ONNX Runtime {self.version} will not take the model: {error}") from error
        named = {output.name for output in self._session.get_outputs()}
        absent = [output for output in self._outputs if output not in named]
        if absent:
            raise EngineError(f"the model has no output {', '.join(absent)}; it has {', '.join(sorted(named))}")

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        tensor = network_tensor(pixels_nhwc_rgb, self._scale)
        try:
            return list(self._session.run(self._outputs, {self._input: tensor}))
        except NATIVE_ERRORS as error:
            raise EngineError(f"ONNX Runtime {self.version} failed: {error}") from error
