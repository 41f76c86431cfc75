"""NVIDIA's `trtexec` where TensorRT has no module for this Python (JetPack 4: 3.6): it builds engines, and proves them.

Which flags a version has, its `--help` says: `--workspace` became `--memPoolSize` (8.4), `--buildOnly` became
`--skipInference` (8.6), `--fp16` and `--int8` gave way to `--stronglyTyped` (10) and went (11). Running a picture is a
process that loads the engine: seconds, good for golden pictures and `vedette detect`, not for video. Since 11 trtexec
measures with CUDA graphs and without transfers unless told otherwise; it is, so that figures compare. Source:
sampleOptions.cpp and sampleReporting.cpp of 8.2 to 11.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import Precision
from vedette.contracts.frame import Pixels
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.tensorrt.building import watch
from vedette.edge.engines.tensorrt.cuda import CudaGpu
from vedette.edge.engines.tensorrt.order import Order, gpu_key
from vedette.edge.engines.tensorrt.recipe import Shapes, workspace_for
from vedette.edge.engines.tensorrt.session import EngineRefusedError
from vedette.vision.resize import network_tensor

USUAL_PLACE = Path("/usr/src/tensorrt/bin/trtexec")  # JetPack's and Debian's packages
HELP_LIMIT_S = 60
RUN_LIMIT_S = 300
MEASURED_S = 3
LAST_WORDS = 3
AS_BEFORE_11 = ("--noCudaGraph", "--noSpinWait", "--includeDataTransfers")
VERSION = re.compile(r"\[TensorRT v(\d+)\]")
ERROR_LINE = re.compile(r"\[E\] (.*)")
THROUGHPUT = re.compile(r"Throughput: ([\d.]+) qps")
LATENCY = re.compile(
    r"(Latency|GPU Compute Time): min = ([\d.]+) ms, max = ([\d.]+) ms, mean = ([\d.]+) ms, median = ([\d.]+) ms"
)


@dataclass(frozen=True, slots=True)
class Performance:
    """What trtexec measured; None where its output did not say."""

    throughput_qps: float | None
    median_latency_ms: float | None
    median_gpu_ms: float | None


@dataclass(frozen=True, slots=True)
class Trtexec:
    """The program, its version and the flags that its help names."""

    path: str
    version: str
    flags: frozenset[str]

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def build_command(self, model: Path, engine: Path, order: Order, files: "BuildFiles") -> list[str]:
        """The command that builds.

        Raises:
            EngineError: this version cannot build what is asked for.
        """
        command = [self.path, f"--onnx={model}", f"--saveEngine={engine}", *self._precision(order)]
        if order.shapes.profile is not None:
            command += _shape_flags(order.shapes)
        if files.workspace_bytes:
            megabytes = files.workspace_bytes >> 20
            is_new = "--memPoolSize" in self.flags
            command.append(f"--memPoolSize=workspace:{megabytes}" if is_new else f"--workspace={megabytes}")
        command.append("--skipInference" if "--skipInference" in self.flags else "--buildOnly")
        if "--noTF32" in self.flags and order.precision is Precision.FP32:
            command.append("--noTF32")
        command.append(f"--timingCacheFile={files.timing}")
        if files.calibration is not None:
            command.append(f"--calib={files.calibration}")
        return command

    def run_command(self, engine: Path, shapes: Shapes, count: int, given: Path, output: Path) -> list[str]:
        """The command that runs one batch and writes what came out."""
        command = [self.path, f"--loadEngine={engine}", f"--loadInputs={shapes.tensor}:{given}"]
        if shapes.profile is not None:
            command.append(f"--shapes={_shape(shapes.tensor, (count, *shapes.profile[0][1:]))}")
        return [*command, "--iterations=1", "--warmUp=0", "--duration=0", f"--exportOutput={output}"]

    def measure_command(self, engine: Path, shapes: Shapes) -> list[str]:
        """The command that measures one picture at a time."""
        command = [self.path, f"--loadEngine={engine}", f"--duration={MEASURED_S}"]
        if shapes.profile is not None:
            command.append(f"--shapes={_shape(shapes.tensor, shapes.profile[0])}")
        return command + [flag for flag in AS_BEFORE_11 if flag in self.flags]

    def _precision(self, order: Order) -> list[str]:
        calibrated = order.calibration is not None
        if calibrated and "--calib" not in self.flags:
            raise EngineError(
                f"TensorRT {self.version} has no calibrators; pack the model in 8 bits instead: vedette pack ... "
                "--variants fp32,int8_qdq_symmetric --calibration DATA"
            )
        if order.precision is Precision.FP32 or (self.major >= 11 and not calibrated):
            return []
        if self.major >= 10 and not calibrated:
            return ["--stronglyTyped"]
        return [f"--{order.precision.value}"]


@dataclass(frozen=True, slots=True)
class BuildFiles:
    """What goes with a build."""

    workspace_bytes: int
    timing: Path
    calibration: Path | None


class TrtexecBuilder:
    """Builds and runs by the program."""

    def __init__(self, path: str) -> None:
        """Raises:
        EngineError: it is no trtexec, or there is no GPU.
        """
        self._program = examine(path)
        self._gpu = CudaGpu()
        self.key = {"builder": "trtexec", "tensorrt": self._program.version, **gpu_key(self._gpu)}

    def build(self, order: Order, timing_cache: bytes | None) -> tuple[bytes, bytes | None]:
        with tempfile.TemporaryDirectory(prefix="vedette-engine-") as text:
            folder = Path(text)
            model, engine, timing = folder / "model.onnx", folder / "engine", folder / "timing"
            model.write_bytes(order.model)
            if timing_cache is not None:
                timing.write_bytes(timing_cache)
            calibration = None
            if order.calibration is not None:
                calibration = folder / "ranges"
                calibration.write_bytes(order.calibration)
            files = BuildFiles(workspace_for(self._gpu.free_bytes()), timing, calibration)
            command = self._program.build_command(model, engine, order, files)
            errors: list[str] = []
            try:
                watch(command, order.settings.time_limit_s, order.settings.progress, lambda line: _keep(line, errors))
            except EngineError as error:
                raise EngineError(f"{error}{'. trtexec said: ' + '; '.join(errors) if errors else ''}") from error
            if not engine.is_file():
                raise EngineError(
                    f"trtexec {self._program.version} wrote no engine: {'; '.join(errors) or 'no reason'}"
                )
            return engine.read_bytes(), timing.read_bytes() if timing.is_file() else None

    def measure(self, order: Order, engine: bytes) -> str | None:
        """What the program measures, in a sentence."""
        with tempfile.TemporaryDirectory(prefix="vedette-run-") as text:
            place = Path(text) / "engine"
            place.write_bytes(engine)
            found = parse_performance(_run(self._program.measure_command(place, order.shapes), RUN_LIMIT_S))
        if found.throughput_qps is None:
            return None
        latency = "" if found.median_latency_ms is None else f", {found.median_latency_ms:g} ms (median) each"
        return f"trtexec measures {found.throughput_qps:g} runs a second{latency}, the network alone"

    def open(self, order: Order, engine: bytes) -> "TrtexecEngine":
        return TrtexecEngine(self._program, order, engine, self._gpu.name)


class TrtexecEngine:
    """A `HeadEngine` that runs the program for each batch: seconds a call."""

    name = "tensorrt"

    def __init__(self, program: Trtexec, order: Order, engine: bytes, gpu: str) -> None:
        self._program, self._engine, self._shapes = program, engine, order.shapes
        self._outputs, self._scale = list(order.manifest.decode.outputs), order.manifest.input.scale
        self._most = order.manifest.input.batch or order.settings.most_pictures
        self.version = program.version
        self.description = f"tensorrt {program.version} {order.precision.value} by trtexec, {gpu}"

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        tensor = network_tensor(pixels_nhwc_rgb, self._scale)
        portions = [self._run(tensor[start : start + self._most]) for start in range(0, len(tensor), self._most)]
        return [np.concatenate(heads) for heads in zip(*portions, strict=True)]

    def _run(self, tensor_nchw: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with tempfile.TemporaryDirectory(prefix="vedette-run-") as text:
            engine, given, output = (Path(text) / name for name in ("engine", "input", "output.json"))
            engine.write_bytes(self._engine)
            tensor_nchw.tofile(given)
            command = self._program.run_command(engine, self._shapes, len(tensor_nchw), given, output)
            said = _run(command, RUN_LIMIT_S)
            if not output.is_file():
                reason = "; ".join(ERROR_LINE.findall(said)[-LAST_WORDS:]) or "it does not say why"
                raise EngineRefusedError(f"trtexec {self.version} does not run the engine: {reason}")
            return parse_outputs(output.read_text("utf-8"), self._outputs, len(tensor_nchw))


def find_trtexec() -> str | None:
    """The program, in the search path or where NVIDIA's packages put it."""
    return shutil.which("trtexec") or (str(USUAL_PLACE) if USUAL_PLACE.is_file() else None)


def examine(path: str) -> Trtexec:
    """Ask the program for its version and flags.

    Raises:
        EngineError: it does not answer like trtexec.
    """
    said = _run([path, "--help"], HELP_LIMIT_S)
    found = VERSION.search(said)
    flags = frozenset(re.findall(r"(?m)(?:^|[\s,(])(--[A-Za-z][A-Za-z0-9]*)", said))
    if found is None or "--saveEngine" not in flags:
        raise EngineError(f"{path}: does not answer --help as trtexec does")
    return Trtexec(path, version_of(int(found[1])), flags)


def version_of(number: int) -> str:
    """8201 is 8.2.1; since 10 there are two digits more for the minor version: 100300 is 10.3.0."""
    major, rest = divmod(number, 10000 if number >= 100000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def parse_outputs(text: str, names: Sequence[str], count: int) -> list[NDArray[np.float32]]:
    """`--exportOutput`: `[{"name": ..., "dimensions": "1x18x13x13", "values": [...]}]`.

    Raises:
        EngineRefusedError: it is not that, or an output is missing.
    """
    try:
        found = {one["name"]: one for one in json.loads(text)}
        heads = []
        for name in names:
            shape = tuple(int(side) for side in found[name]["dimensions"].split("x"))
            values = [np.nan if value is None else value for value in found[name]["values"]]
            heads.append(np.array(values, np.float32).reshape(shape))  # (n, ...)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineRefusedError(f"trtexec exported something else than {', '.join(names)}: {error}") from error
    if any(len(head) != count for head in heads):
        raise EngineRefusedError(f"trtexec exported {[len(head) for head in heads]} results for {count} pictures")
    return heads


def parse_performance(said: str) -> Performance:
    """The summary that trtexec prints after a measurement."""
    throughput = THROUGHPUT.search(said)
    medians = {name: float(median) for name, _, _, _, median in LATENCY.findall(said)}
    return Performance(
        None if throughput is None else float(throughput[1]), medians.get("Latency"), medians.get("GPU Compute Time")
    )


def _run(command: list[str], limit_s: float) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{command[0]} did not end within {limit_s:.0f} s") from error
    except OSError as error:
        raise EngineError(f"{command[0]}: cannot be run: {error.strerror or error}") from error
    return done.stdout.decode("utf-8", "replace")


def _keep(line: str, errors: list[str]) -> None:
    found = ERROR_LINE.search(line)
    if found is not None:
        errors[:] = [*errors[-LAST_WORDS + 1 :], found[1].strip()]


def _shape(name: str, shape: Sequence[int]) -> str:
    return f"{name}:{'x'.join(map(str, shape))}"


def _shape_flags(shapes: Shapes) -> list[str]:
    assert shapes.profile is not None
    kinds = ("min", "opt", "max")
    return [f"--{kind}Shapes={_shape(shapes.tensor, one)}" for kind, one in zip(kinds, shapes.profile, strict=True)]
