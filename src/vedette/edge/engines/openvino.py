"""OpenVINO on the processor: 8-bit pictures go in as they are; conversion, scale and layout are compiled in.

Only where 8 bits cannot hold what the network gets (letterbox, Darknet's resize) the tensor is made here, by
`vision.resize.network_tensor`, in half the time that the compiled model takes to convert a float picture.

With one stream all threads work on one batch of any size: the least time for one picture. With several, each works on
one picture with its share of the threads and pictures wait in OpenVINO's own queue, so that no processor ever waits for
Python: 3 to 8 % more pictures a second on yolov3-tiny 416 and 60 to 90 MB less memory than batches of four (2026.4, two
cores). Threads are not pinned, because decoders share the processors.
"""

import functools
import threading
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.contracts.frame import Pixels, ResizeMode
from vedette.edge.engines.errors import EngineError
from vedette.vision.resize import network_tensor

# INT8 is in the model itself; what it leaves in higher precision runs in FP32
HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16", Precision.INT8: "f32"}
NEEDED = {Precision.BF16: "BF16", Precision.FP16: "FP16"}  # INT8 runs on every processor, fast with VNNI or its like


@functools.cache
def _core() -> ov.Core:
    """The one Core of this process, never given up.

    OpenVINO's CPU plug-in (2026.4) gives the thread that makes it another stack for signals, and unmaps that when the
    plug-in goes, on whatever thread that is, or while a younger one has it noted as the stack to return to. The next
    signal, Ctrl-C, would then kill the process.
    """
    return ov.Core()


class OpenVinoEngine:
    """A `HeadEngine` on OpenVINO's CPU plug-in."""

    name = "openvino"

    def __init__(
        self,
        manifest: BundleManifest,
        model: bytes,
        precision: Precision,
        threads: int,
        *,
        streams: int = 1,
        ir_weights: bytes | None = None,
    ) -> None:
        """Compile model bytes; `ir_weights` are the weights where these are the XML of an OpenVINO IR.

        With several `streams` as many pictures are worked on at once, each with its share of the threads.

        Raises:
            EngineError: when the processor lacks the precision, or OpenVINO refuses the model.
        """
        self._takes_u8 = manifest.input.resize is ResizeMode.STRETCH
        self._scale = manifest.input.scale
        self.version = ov.get_version().partition("-")[0]
        plural = "" if threads == 1 else "s"
        self.description = f"openvino {self.version} {precision.value}, {threads} thread{plural}"
        self.streams = streams
        self._lock = threading.Lock()
        self._batch = 1 if streams > 1 else manifest.input.batch or -1
        try:
            core = _core()
            capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if NEEDED.get(precision, capabilities[0]) not in capabilities:
                raise EngineError(
                    f"this processor has no {NEEDED[precision]} arithmetic (OpenVINO says: {', '.join(capabilities)}); "
                    "use fp32, or int8 where the bundle has it"
                )
            settings = {
                "INFERENCE_PRECISION_HINT": HINTS[precision],
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
                "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
                "ENABLE_CPU_PINNING": False,
            }
            read = core.read_model(model=model) if ir_weights is None else core.read_model(model, ir_weights)
            self._compiled = core.compile_model(self._with_input(read, manifest), "CPU", settings)
            self._outputs = [self._compiled.output(name) for name in manifest.decode.outputs]
            self._idle = [self._compiled.create_infer_request()]
        except RuntimeError as error:
            raise EngineError(f"OpenVINO {self.version} will not take the model: {_first_line(error)}") from error

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        if self.streams > 1:
            started = [self.start(pixels[None]) for pixels in pixels_nhwc_rgb]
            singles = [[head.copy() for head in one.wait()] for one in started]
            for one in started:
                one.release()
            return [np.concatenate(heads) for heads in zip(*singles, strict=True)]
        one = self.start(pixels_nhwc_rgb)
        heads = [head.copy() for head in one.wait()]
        one.release()
        return heads

    def start(self, pixels_nhwc_rgb: Pixels) -> "StartedInference":
        """Begin one picture (with one stream: a batch) and return at once. Thread-safe."""
        if not self._takes_u8:
            given: NDArray[Any] = network_tensor(pixels_nhwc_rgb, self._scale)
        elif pixels_nhwc_rgb.dtype == np.uint8:
            given = np.ascontiguousarray(pixels_nhwc_rgb)
        else:
            raise ValueError(
                f"opened for a bundle that stretches: expected uint8 pictures, got {pixels_nhwc_rgb.dtype}"
            )
        try:
            with self._lock:
                request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
            request.start_async({0: given}, share_inputs=True)
        except RuntimeError as error:
            raise self._failure(error) from error
        return StartedInference(self, request, given)

    def finish(self, request: Any) -> list[NDArray[np.float32]]:
        """Wait for a request; the heads are its own memory."""
        try:
            request.wait()
            return [request.get_tensor(output).data for output in self._outputs]
        except RuntimeError as error:
            raise self._failure(error) from error

    def give_back(self, request: Any) -> None:
        """A request may be used again."""
        with self._lock:
            self._idle.append(request)

    def _failure(self, error: RuntimeError) -> EngineError:
        return EngineError(f"OpenVINO {self.version} failed: {_first_line(error)}")

    def _with_input(self, model: Any, manifest: BundleManifest) -> Any:
        """The model with a batch of any size of what `infer` hands over."""
        spec = manifest.input
        if self._takes_u8:
            return _with_picture_input(model, manifest, self._batch)
        model.reshape({spec.tensor: [self._batch, spec.channels, spec.height, spec.width]})
        return model


class StartedInference:
    """One request under way."""

    def __init__(self, engine: OpenVinoEngine, request: Any, given: NDArray[Any]) -> None:
        self._engine = engine
        self._request = request
        self._given = given  # the request reads it where it lies

    def wait(self) -> list[NDArray[np.float32]]:
        """The heads; they are overwritten after `release`.

        Raises:
            EngineError: the engine failed.
        """
        return self._engine.finish(self._request)

    def release(self) -> None:
        """The heads are not needed any more."""
        self._engine.give_back(self._request)


def _with_picture_input(model: Any, manifest: BundleManifest, batch: int) -> Any:
    """The model with (batch, height, width, 3) uint8 RGB as input."""
    spec = manifest.input
    steps = PrePostProcessor(model)
    picture = steps.input(spec.tensor)
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    picture.model().set_layout(ov.Layout("NCHW"))
    picture.preprocess().convert_element_type(ov.Type.f32).scale(1 / spec.scale)
    built = steps.build()
    built.reshape({spec.tensor: [batch, spec.height, spec.width, spec.channels]})
    return built


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__  # OpenVINO's own reason stands last, below source positions
