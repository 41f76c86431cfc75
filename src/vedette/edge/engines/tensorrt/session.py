"""A built engine at work: pictures in, heads out, through the API of whatever generation is installed.

Any number of pictures is taken; the engine sees at most as many at once as it was built for. Buffers on the GPU are
made once. Sound are only engines that this box built: `opening` decides what may come here.
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.contracts.frame import Pixels
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.tensorrt.cuda import CudaGpu
from vedette.edge.engines.tensorrt.generations import Api82, api_of
from vedette.vision.resize import network_tensor

FLOAT32_BYTES = 4


class EngineRefusedError(EngineError):
    """TensorRT will not take an engine; building it again may help."""


class TensorRtEngine:
    """A `HeadEngine` on an engine of this box."""

    name = "tensorrt"

    def __init__(
        self, manifest: BundleManifest, engine: bytes, precision: Precision, gpu: CudaGpu, most_pictures: int
    ) -> None:
        """Raises:
        EngineRefusedError: TensorRT will not take it, or it is not of this model.
        """
        import tensorrt as trt

        self._gpu, self._api = gpu, api_of(trt)
        self.version = str(trt.__version__)
        self.description = f"tensorrt {self.version} {precision.value}, {gpu.name}"
        self._input, self._outputs = manifest.input.tensor, list(manifest.decode.outputs)
        self._scale = manifest.input.scale
        self._most = manifest.input.batch or most_pictures
        self._logger = make_logger(trt)
        gpu.make_current()
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise EngineRefusedError(f"TensorRT {self.version} will not take the engine: {self._logger.told()}")
        _require_tensors(self._api, self._engine, self._input, self._outputs)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"TensorRT {self.version} has no memory to run the engine: {self._logger.told()}")
        self._buffers: dict[str, tuple[int, int]] = {}  # name -> address, bytes

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        tensor = network_tensor(pixels_nhwc_rgb, self._scale)
        self._gpu.make_current()
        portions = [self._run(tensor[start : start + self._most]) for start in range(0, len(tensor), self._most)]
        return [np.concatenate(heads) for heads in zip(*portions, strict=True)]

    def _run(self, tensor_nchw: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        api, engine, context = self._api, self._engine, self._context
        if not api.set_input_shape(engine, context, self._input, tensor_nchw.shape):
            raise self._failure(f"does not take {' x '.join(map(str, tensor_nchw.shape))}")
        heads = []
        for name in self._outputs:
            shape = api.output_shape(engine, context, name)
            if len(shape) < 2 or shape[0] != len(tensor_nchw) or min(shape) < 1:
                raise self._failure(f"would give {name} the shape {shape} for {len(tensor_nchw)} pictures")
            heads.append(np.full(shape, np.nan, np.float32))  # (n, ...); what the GPU leaves out is no number
        addresses = {self._input: self._buffer(self._input, tensor_nchw.nbytes)}
        addresses |= {name: self._buffer(name, head.nbytes) for name, head in zip(self._outputs, heads, strict=True)}
        self._gpu.copy_in(addresses[self._input], tensor_nchw)
        if not api.execute(engine, context, addresses, self._gpu.stream):
            raise self._failure("cannot run")
        for name, head in zip(self._outputs, heads, strict=True):
            self._gpu.copy_out(head, addresses[name])
        self._gpu.synchronize()
        return heads

    def _buffer(self, name: str, size_bytes: int) -> int:
        address, present_bytes = self._buffers.get(name, (0, 0))
        if present_bytes < size_bytes:
            if address:
                self._gpu.release(address)
                del self._buffers[name]
            address = self._gpu.allocate(size_bytes)
            self._buffers[name] = (address, size_bytes)
        return address

    def _failure(self, what: str) -> EngineError:
        return EngineError(f"TensorRT {self.version}: the engine {what}: {self._logger.told()}")


def _require_tensors(api: Api82, engine: Any, input_name: str, outputs: list[str]) -> None:
    found = api.tensors(engine)
    wanted = {input_name: True} | dict.fromkeys(outputs, False)
    if dict(found) != wanted:
        raise EngineRefusedError(
            f"the engine has the tensors {', '.join(sorted(found))}; the bundle has {', '.join(sorted(wanted))}"
        )
    odd = [name for name in found if not api.is_float32(engine, name)]
    if odd:
        raise EngineRefusedError(f"the engine's tensors are not all float32: {', '.join(odd)}")


def make_logger(trt: Any) -> Any:
    """A logger that keeps the last errors, so that a message can say what TensorRT said."""

    class KeepingLogger(trt.ILogger):  # type: ignore[misc]
        """Called from any thread."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._lock, self._errors = threading.Lock(), list[str]()

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                with self._lock:
                    self._errors = [*self._errors[-2:], message.strip()]

        def told(self) -> str:
            with self._lock:
                return "; ".join(self._errors) or "it does not say why"

    return KeepingLogger()
