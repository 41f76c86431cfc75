"""Stands in for `tensorrt` of each generation: the documented surface that Vedette could use, and nothing else.

`surface("8.2.1.8")` gives the names of a module. What a generation lacks is an AttributeError, for reading and for
setting; what it forbids (an FP16 model without the flag, a flag on a strongly typed network, a shape outside of the
profile, an engine of another version) fails as TensorRT does: None or False, and a line in the log. Engines are ONNX
with a header; ONNX Runtime computes, at the addresses that the stand-in for libcuda gave out.

Environment: STANDIN_BUILD_S lets a build take that long, STANDIN_CRASH ends it as a lack of memory would,
STANDIN_FAULT makes a wrong engine ("zeroed": the first weights are gone).
"""

import ctypes
import enum
import json
import os
import signal
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

MAGIC = b"STANDIN ENGINE\n"
TIMING_MAGIC = b"STANDIN TIMING\n"
EXECUTED: list[tuple[int, ...]] = []  # the input shapes of every run in this process


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self._is_made = True


class Logger(ILogger):
    def log(self, severity: Severity, message: str) -> None: ...


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL = range(5)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class MemoryPoolType(enum.Enum):
    WORKSPACE = 7


class IInt8EntropyCalibrator2:
    def __init__(self) -> None:
        self._is_made = True


class IProgressMonitor:
    def __init__(self) -> None:
        self._is_made = True


class HostMemory:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._content)

    @property
    def nbytes(self) -> int:
        return len(self._content)


def flags_of(major: int) -> tuple[type[enum.IntEnum], type[enum.IntEnum]]:
    """NetworkDefinitionCreationFlag and BuilderFlag; numbers change between generations."""
    if major == 8:
        network, builder = {"EXPLICIT_BATCH": 0}, {"FP16": 0, "INT8": 1, "TF32": 7}
    elif major == 10:
        network, builder = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, {"FP16": 0, "INT8": 1, "TF32": 7, "BF16": 17}
    else:
        network, builder = {"STRONGLY_TYPED": 0}, {"TF32": 3, "VERSION_COMPATIBLE": 12}
    return enum.IntEnum("NetworkDefinitionCreationFlag", network), enum.IntEnum("BuilderFlag", builder)


class Profile:
    __slots__ = ("shapes",)

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))


class TimingCache:
    __slots__ = ("entries", "version")

    def __init__(self, version: str, entries: int) -> None:
        self.version, self.entries = version, entries

    def serialize(self) -> HostMemory:
        return HostMemory(TIMING_MAGIC + json.dumps([self.version, self.entries]).encode())


class Network:
    __slots__ = ("flags", "model")

    def __init__(self, flags: int) -> None:
        self.flags, self.model = flags, b""


def surface(version: str) -> dict[str, Any]:
    """The module `tensorrt` of one version."""
    major, minor = (int(part) for part in version.split(".")[:2])
    by_names, has_bindings = (major, minor) >= (8, 5), major == 8
    network_flags, builder_flags = flags_of(major)

    def refuse(logger: Any, message: str) -> None:
        logger.log(Severity.ERROR, message)

    def strongly_typed(network: Network) -> bool:
        return major == 11 or (major == 10 and bool(network.flags & (1 << int(network_flags.STRONGLY_TYPED))))

    class BuilderConfig:
        __slots__ = (
            "_flags", "_profiles", "_timing", "_workspace",
            *(("max_workspace_size",) if major == 8 else ()),
            *(("int8_calibrator",) if major < 11 else ()),
            *(("progress_monitor",) if major >= 10 else ()),
        )  # fmt: skip

        def __init__(self) -> None:
            self._flags, self._profiles, self._timing, self._workspace = {builder_flags.TF32}, [], None, None

        def set_flag(self, flag: Any) -> None:
            self._flags.add(builder_flags(flag))

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(builder_flags(flag))

        def add_optimization_profile(self, profile: Profile) -> int:
            if any(
                not lo <= mid <= hi for triple in profile.shapes.values() for lo, mid, hi in zip(*triple, strict=True)
            ):
                return -1
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, content: bytes) -> TimingCache:
            if not content:
                return TimingCache(version, 0)
            if not content.startswith(TIMING_MAGIC):
                return TimingCache("none", 0)
            return TimingCache(*json.loads(content[len(TIMING_MAGIC) :]))

        def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
            if cache.version != version and not ignore_mismatch:
                return False
            self._timing = cache
            return True

        def get_timing_cache(self) -> TimingCache:
            return self._timing

        if (major, minor) >= (8, 4):

            def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
                self._workspace = (MemoryPoolType(pool), size)

    class Builder:
        __slots__ = ("_logger",)

        def __init__(self, logger: ILogger) -> None:
            if not (isinstance(logger, ILogger) and getattr(logger, "_is_made", False)):
                raise TypeError("Builder(): incompatible constructor arguments")
            self._logger = logger

        def create_network(self, flags: int = 0) -> Network:
            if flags >> len(network_flags):
                raise ValueError(f"no such flags: {flags}")
            return Network(flags)

        def create_builder_config(self) -> BuilderConfig:
            return BuilderConfig()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
            _take_time(config, major)
            fault = _build_fault(network, config, version, strongly_typed(network))
            if fault is not None:
                refuse(self._logger, fault)
                return None
            if config._timing is not None:
                config._timing.entries += 1
            return HostMemory(_engine_bytes(network.model, config, version))

    class OnnxParser:
        __slots__ = ("_errors", "_network")

        def __init__(self, network: Network, logger: ILogger) -> None:
            self._network, self._errors = network, list[str]()

        def parse(self, model: bytes) -> bool:
            if major == 8 and not self._network.flags & (1 << int(network_flags.EXPLICIT_BATCH)):
                self._errors.append("only networks with an explicit batch dimension are supported")
                return False
            try:
                proto = onnx.load_from_string(model)
            except DecodeError:
                self._errors.append("Failed to parse ONNX model")
                return False
            opset = max(one.version for one in proto.opset_import if one.domain in {"", "ai.onnx"})
            if (major, minor) < (8, 4) and opset > 13:
                self._errors.append(f"opset {opset} is not supported")
                return False
            self._network.model = model
            return True

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> str:
            return self._errors[index]

    class Engine:
        __slots__ = ("_header", "_logger", "_model", "_names")

        def __init__(self, header: dict[str, Any], model: bytes, logger: ILogger) -> None:
            self._header, self._model, self._logger = header, onnx.load_from_string(model), logger
            graph = self._model.graph
            self._names = [one.name for one in (*graph.input, *graph.output)]

        def create_execution_context(self) -> Any:
            return ExecutionContext(self)

        @property
        def num_optimization_profiles(self) -> int:
            return max(1, len(self._header["profiles"]))

        if has_bindings:

            @property
            def num_bindings(self) -> int:
                return len(self._names)

            def get_binding_name(self, index: int) -> str:
                return self._names[index]

            def get_binding_index(self, name: str) -> int:
                return self._names.index(name) if name in self._names else -1

            def binding_is_input(self, index: int) -> bool:
                return index < len(self._model.graph.input)

            def get_binding_dtype(self, index: int) -> DataType:
                return _data_type(self._model, self._names[index])

        if by_names:

            @property
            def num_io_tensors(self) -> int:
                return len(self._names)

            def get_tensor_name(self, index: int) -> str:
                return self._names[index]

            def get_tensor_mode(self, name: str) -> TensorIOMode:
                if name not in self._names:
                    return TensorIOMode.NONE
                inside = self._names.index(name) < len(self._model.graph.input)
                return TensorIOMode.INPUT if inside else TensorIOMode.OUTPUT

            def get_tensor_dtype(self, name: str) -> DataType:
                return _data_type(self._model, name)

    class ExecutionContext:
        __slots__ = ("_addresses", "_engine", "_session", "_shape")

        def __init__(self, engine: Engine) -> None:
            self._engine, self._shape, self._addresses = engine, None, dict[str, int]()
            self._session = open_session(engine._model.SerializeToString())

        def _choose(self, name: str, shape: tuple[int, ...]) -> bool:
            graph = self._engine._model.graph
            if name != graph.input[0].name:
                return False
            profiles = self._engine._header["profiles"]
            fixed = tuple(one.dim_value for one in graph.input[0].type.tensor_type.shape.dim)
            allowed = profiles[0][name] if profiles else [fixed, fixed, fixed]
            if len(shape) != len(fixed) or any(
                not lo <= side <= hi for lo, side, hi in zip(allowed[0], shape, allowed[2], strict=True)
            ):
                refuse(self._engine._logger, f"the shape {tuple(shape)} of {name} does not satisfy the profile")
                return False
            self._shape = tuple(shape)
            return True

        def _output_shape(self, name: str) -> tuple[int, ...]:
            dims = next(one for one in self._engine._model.graph.output if one.name == name).type.tensor_type.shape.dim
            return (self._shape[0] if self._shape else -1, *(one.dim_value for one in dims[1:]))

        def _run(self, addresses: dict[str, int]) -> bool:
            if self._shape is None or any(not addresses.get(name) for name in self._engine._names):
                refuse(self._engine._logger, "not all tensors have a shape and an address")
                return False
            EXECUTED.append(self._shape)
            return run_at(self._session, self._shape, addresses)

        if has_bindings:

            def set_binding_shape(self, index: int, shape: tuple[int, ...]) -> bool:
                return self._choose(self._engine._names[index], shape)

            def get_binding_shape(self, index: int) -> tuple[int, ...]:
                return self._output_shape(self._engine._names[index])

            def execute_async_v2(self, bindings: list[int], stream_handle: int) -> bool:
                return self._run(dict(zip(self._engine._names, bindings, strict=True)))

        if by_names:

            def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
                return self._choose(name, shape)

            def get_tensor_shape(self, name: str) -> tuple[int, ...]:
                return self._output_shape(name)

            def set_tensor_address(self, name: str, memory: int) -> bool:
                self._addresses[name] = memory
                return name in self._engine._names

            def execute_async_v3(self, stream_handle: int) -> bool:
                return self._run(self._addresses)

    class Runtime:
        __slots__ = ("_logger",)

        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
            if not content.startswith(MAGIC):
                refuse(self._logger, "magicTag does not match")
                return None
            header, _, model = content[len(MAGIC) :].partition(b"\n")
            parsed = json.loads(header)
            if parsed["version"] != version:
                refuse(self._logger, f"the engine was built with {parsed['version']}, this is {version}")
                return None
            return Engine(parsed, model, self._logger)

    names = {
        "__version__": version, "ILogger": ILogger, "Logger": Logger, "DataType": DataType, "Builder": Builder,
        "OnnxParser": OnnxParser, "Runtime": Runtime, "NetworkDefinitionCreationFlag": network_flags,
        "BuilderFlag": builder_flags,
    }  # fmt: skip
    if (major, minor) >= (8, 4):
        names["MemoryPoolType"] = MemoryPoolType
    if by_names:
        names["TensorIOMode"] = TensorIOMode
    if major < 11:
        names["IInt8EntropyCalibrator2"] = IInt8EntropyCalibrator2
    if major >= 10:
        names["IProgressMonitor"] = IProgressMonitor
    return names


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_at(session: onnxruntime.InferenceSession, shape: tuple[int, ...], addresses: dict[str, int]) -> bool:
    """Compute on the float32 numbers at one address, and put the results at others."""
    given = session.get_inputs()[0].name
    count = int(np.prod(shape))
    tensor = np.frombuffer((ctypes.c_float * count).from_address(addresses[given]), np.float32).reshape(shape).copy()
    for output, result in zip(session.get_outputs(), session.run(None, {given: tensor}), strict=True):
        content = np.ascontiguousarray(result, np.float32)
        ctypes.memmove(addresses[output.name], content.ctypes.data, content.nbytes)
    return True


def spoil(model: bytes, fault: str) -> bytes:
    """A model with a fault that a builder may have."""
    if fault != "zeroed":
        raise ValueError(fault)
    proto = onnx.load_from_string(model)
    weight = next(one for one in proto.graph.initializer if len(one.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(weight)), weight.name))
    return bytes(proto.SerializeToString())


def _data_type(model: onnx.ModelProto, name: str) -> DataType:
    found = next(one for one in (*model.graph.input, *model.graph.output) if one.name == name)
    return {TensorProto.FLOAT: DataType.FLOAT, TensorProto.FLOAT16: DataType.HALF}[found.type.tensor_type.elem_type]


def _take_time(config: Any, major: int) -> None:
    if os.environ.get("STANDIN_CRASH"):
        os.kill(os.getpid(), signal.SIGKILL)
    monitor = getattr(config, "progress_monitor", None) if major >= 10 else None
    if monitor is not None:
        if not getattr(monitor, "_is_made", False):
            raise TypeError("the monitor's base class was not initialised")
        monitor.phase_start("Building Engine", None, 2)
        for step in range(2):
            monitor.step_complete("Building Engine", step)
        monitor.phase_finish("Building Engine")
    time.sleep(float(os.environ.get("STANDIN_BUILD_S", "0")))


def _build_fault(network: Network, config: Any, version: str, typed: bool) -> str | None:  # noqa: PLR0911
    """Why this cannot be built."""
    flags = {flag.name for flag in config._flags}
    if not network.model:
        return "the network has no outputs"
    proto = onnx.load_from_string(network.model)
    has_half = any(one.data_type == TensorProto.FLOAT16 for one in proto.graph.initializer)
    is_quantised = any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
    if not typed and has_half and "FP16" not in flags:
        return "Network has half tensors, but FP16 is not enabled"
    if not typed and is_quantised and "INT8" not in flags:
        return "Network has Q/DQ layers, but INT8 is not enabled"
    if typed and flags & {"FP16", "INT8"}:
        return "precision flags are not supported on a strongly typed network"
    calibrator = getattr(config, "int8_calibrator", None)
    if "INT8" in flags and not is_quantised and (calibrator is None or not calibrator.read_calibration_cache()):
        return "Calibration failure occurred with no scaling factors detected"
    if any(one.dim_param for one in proto.graph.input[0].type.tensor_type.shape.dim) and not config._profiles:
        return "Network has dynamic or shape inputs, but no optimization profile has been defined"
    if version.startswith("8.2") and getattr(config, "max_workspace_size", 0) <= 0:
        return "no workspace"
    if not version.startswith("8.2") and config._workspace is None:
        return "no workspace"
    return None


def _engine_bytes(model: bytes, config: Any, version: str) -> bytes:
    header = {"version": version, "profiles": [one.shapes for one in config._profiles]}
    fault = os.environ.get("STANDIN_FAULT")
    return MAGIC + json.dumps(header).encode() + b"\n" + (spoil(model, fault) if fault else model)
