"""TensorRT's Python API as it is in each generation, behind one small interface: `api_of` picks by version.

| | 8.0 to 8.4 | 8.5, 8.6 | 10 | 11 |
|---|---|---|---|---|
| network | EXPLICIT_BATCH | EXPLICIT_BATCH | 0, STRONGLY_TYPED for FP16 and INT8 | 0: always strongly typed |
| workspace | max_workspace_size | set_memory_pool_limit | same | same |
| FP16, INT8 | builder flags | builder flags | the model's own types | the model's own types |
| calibrator | yes | yes | deprecated, with its flag | none |
| running | bindings, execute_async_v2 | names, execute_async_v3 | same | same |
| progress | none | none | IProgressMonitor | same |

Enums are used by name: their numbers change between generations. TF32 is switched off where FP32 is asked for. Source:
NVIDIA's headers and docstrings of 8.2, 8.6, 10 and 11 (facts of the API boundaries).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vedette.contracts.bundle import Precision
from vedette.edge.engines.errors import EngineError

Shape = tuple[int, ...]
Report = Callable[[str, int, int], None]  # phase, steps done, steps in all


class Api82:
    """8.0 to 8.4: JetPack 4.6 and 5.0."""

    generation = "8.2"

    def __init__(self, trt: Any) -> None:
        self.trt = trt

    # -- building -------------------------------------------------------------------------------------------------

    def network_flags(self, precision: Precision, calibrated: bool) -> int:
        """The flags of `create_network`."""
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)

    def limit_workspace(self, config: Any, workspace_bytes: int) -> None:
        """How much memory a layer may use while it works."""
        config.max_workspace_size = workspace_bytes

    def set_precision(self, config: Any, precision: Precision, calibrated: bool) -> None:
        """What arithmetic the builder may choose from."""
        flags = self.trt.BuilderFlag
        if precision is Precision.FP32:
            config.clear_flag(flags.TF32)  # ten bits of mantissa are no FP32
        else:
            config.set_flag(flags.FP16 if precision is Precision.FP16 else flags.INT8)

    def set_calibrator(self, config: Any, cache: bytes) -> Any:
        """INT8 by ranges that were found elsewhere: the text of a calibration cache. Keep what is returned alive.

        Raises:
            EngineError: this generation has no calibrators.
        """
        calibrator = _calibrator(self.trt, cache)
        config.int8_calibrator = calibrator
        return calibrator

    def set_progress(self, config: Any, report: Report) -> Any:
        """Tell of the builder's steps, where it does. Keep what is returned alive."""
        return None

    # -- running --------------------------------------------------------------------------------------------------

    def tensors(self, engine: Any) -> Mapping[str, bool]:
        """The engine's tensors by name, and whether each is an input."""
        return {
            engine.get_binding_name(index): bool(engine.binding_is_input(index)) for index in range(engine.num_bindings)
        }

    def is_float32(self, engine: Any, name: str) -> bool:
        """Whether a tensor is float32 at the engine's border."""
        return bool(engine.get_binding_dtype(engine.get_binding_index(name)) == self.trt.DataType.FLOAT)

    def set_input_shape(self, engine: Any, context: Any, name: str, shape: Shape) -> bool:
        """Choose the shape of one run; False where the profile does not allow it."""
        return bool(context.set_binding_shape(engine.get_binding_index(name), shape))

    def output_shape(self, engine: Any, context: Any, name: str) -> Shape:
        """The shape that an output will have."""
        return tuple(context.get_binding_shape(engine.get_binding_index(name)))

    def execute(self, engine: Any, context: Any, addresses: Mapping[str, int], stream: int) -> bool:
        """Begin one run; False where it cannot."""
        bindings = [0] * engine.num_bindings
        for name, address in addresses.items():
            bindings[engine.get_binding_index(name)] = address
        return bool(context.execute_async_v2(bindings=bindings, stream_handle=stream))


class Api86(Api82):
    """8.5 and 8.6: JetPack 5.1 and 6.0."""

    generation = "8.6"

    def limit_workspace(self, config: Any, workspace_bytes: int) -> None:
        config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, workspace_bytes)

    def tensors(self, engine: Any) -> Mapping[str, bool]:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return {name: bool(engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT) for name in names}

    def is_float32(self, engine: Any, name: str) -> bool:
        return bool(engine.get_tensor_dtype(name) == self.trt.DataType.FLOAT)

    def set_input_shape(self, engine: Any, context: Any, name: str, shape: Shape) -> bool:
        return bool(context.set_input_shape(name, shape))

    def output_shape(self, engine: Any, context: Any, name: str) -> Shape:
        return tuple(context.get_tensor_shape(name))

    def execute(self, engine: Any, context: Any, addresses: Mapping[str, int], stream: int) -> bool:
        placed = [bool(context.set_tensor_address(name, address)) for name, address in addresses.items()]
        return all(placed) and bool(context.execute_async_v3(stream_handle=stream))


class Api10(Api86):
    """10.x: JetPack 6.1 to 7.2. Types are the model's own; only a calibrated model still needs the old flag."""

    generation = "10"

    def network_flags(self, precision: Precision, calibrated: bool) -> int:
        if precision is Precision.FP32 or calibrated:
            return 0
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def set_precision(self, config: Any, precision: Precision, calibrated: bool) -> None:
        if precision is Precision.FP32 or calibrated:
            super().set_precision(config, precision, calibrated)

    def set_progress(self, config: Any, report: Report) -> Any:
        monitor = _monitor(self.trt, report)
        config.progress_monitor = monitor
        return monitor


class Api11(Api10):
    """11.x: nothing but the model's own types."""

    generation = "11"

    def network_flags(self, precision: Precision, calibrated: bool) -> int:
        return 0

    def set_calibrator(self, config: Any, cache: bytes) -> Any:
        raise EngineError(
            f"TensorRT {self.trt.__version__} has no calibrators; pack the model in 8 bits instead: vedette pack ... "
            "--variants fp32,int8_qdq_symmetric --calibration DATA"
        )


GENERATIONS: Sequence[tuple[tuple[int, int], tuple[int, int], type[Api82]]] = (
    ((8, 0), (8, 4), Api82),
    ((8, 5), (8, 99), Api86),
    ((10, 0), (10, 99), Api10),
    ((11, 0), (11, 99), Api11),
)


def api_of(trt: Any) -> Api82:
    """The adapter for an imported `tensorrt`.

    Raises:
        EngineError: there is none for its version.
    """
    version = str(trt.__version__)
    major, minor = parse_version(version)
    for oldest, newest, api in GENERATIONS:
        if oldest <= (major, minor) <= newest:
            return api(trt)
    raise EngineError(f"TensorRT {version} is none of those that Vedette speaks to: 8.0 to 8.6, 10 and 11")


def parse_version(version: str) -> tuple[int, int]:
    """Major and minor of `8.2.1.8`.

    Raises:
        EngineError: it is no version.
    """
    parts = version.split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        raise EngineError(f"TensorRT says that its version is '{version}', which is none")
    return int(parts[0]), int(parts[1])


def _calibrator(trt: Any, cache: bytes) -> Any:
    class CachedRanges(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        """Gives the ranges that were found; has no pictures of its own."""

        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Sequence[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: bytes) -> None:
            """They stand in a file already."""

    return CachedRanges()


def _monitor(trt: Any, report: Report) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called from several threads of the builder."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            if parent_phase is None:
                report(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            report(phase_name, step + 1, self._steps.get(phase_name, step + 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
