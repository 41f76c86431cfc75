"""Stands in for the program `trtexec`: the flags of each generation and no other, its lines, its files.

    python -m simulators.trtexec_standin VERSION FLAGS...

Builds and runs with `tensorrt_standin`'s rules. STANDIN_TRTEXEC_SILENT lets it fail without writing anything.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from simulators.tensorrt_standin import MAGIC, _build_fault, _engine_bytes, flags_of, open_session, surface

COMMON = """onnx saveEngine loadEngine minShapes optShapes maxShapes shapes loadInputs exportOutput iterations duration
warmUp avgRuns timingCacheFile noTF32 verbose percentile help"""
OLD = COMMON + " workspace batch maxBatch explicitBatch buildOnly fp16 int8 calib best"
MIDDLE = COMMON + " workspace memPoolSize buildOnly skipInference fp16 int8 calib best stronglyTyped explicitBatch"
TEN = COMMON + " memPoolSize skipInference fp16 int8 calib best stronglyTyped"
ELEVEN = COMMON + " memPoolSize skipInference noCudaGraph noSpinWait includeDataTransfers"
FLAGS = {"8.2": OLD, "8.6": MIDDLE, "10": TEN, "11": ELEVEN}


def main(arguments: list[str]) -> int:
    version, flags = arguments[0], arguments[1:]
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    number = major * (10000 if major >= 10 else 1000) + minor * 100 + patch
    say(f"&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] # trtexec {' '.join(flags)}")
    known = FLAGS["8.2" if (major, minor) < (8, 4) else "8.6" if major == 8 else str(major)].split()
    given = {}
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if name not in known or not flag.startswith("--"):
            return fail(f"Unknown option: {flag}")
        given[name] = value
    if "help" in given:
        say("=== Model Options ===")
        for name in known:
            say(f"  --{name}=<value>          as the manual says (default = none)")
        return 0
    code = build(given, version) if "onnx" in given else run(given, version)
    if code == 0:
        say(f"&&&& PASSED TensorRT.trtexec [TensorRT v{number}]")
    return code


def build(given: dict[str, str], version: str) -> int:
    if os.environ.get("STANDIN_TRTEXEC_SILENT"):
        return 0
    time.sleep(float(os.environ.get("STANDIN_BUILD_S", "0")))
    names = surface(version)
    module: Any = type("Module", (), names)
    major = int(version.split(".", 1)[0])
    network_flags, builder_flags = flags_of(major)
    builder = module.Builder(module.Logger())
    bits = 1 << int(network_flags.EXPLICIT_BATCH) if major == 8 else 0
    if "stronglyTyped" in given:
        bits = 1 << int(network_flags.STRONGLY_TYPED)
    network, config = builder.create_network(bits), builder.create_builder_config()
    network.model = Path(given["onnx"]).read_bytes()
    workspace = given.get("workspace") or given.get("memPoolSize", "").removeprefix("workspace:")
    if not workspace.isdecimal():
        return fail("no workspace")
    if version.startswith("8.2"):
        config.max_workspace_size = int(workspace) << 20
    else:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, int(workspace) << 20)
    for flag in ("fp16", "int8"):
        if flag in given:
            config.set_flag(builder_flags[flag.upper()])
    if "calib" in given:
        config.int8_calibrator = Ranges(Path(given["calib"]).read_bytes())
    if "minShapes" in given:
        profile = builder.create_optimization_profile()
        shapes = [given[f"{kind}Shapes"].split(":") for kind in ("min", "opt", "max")]
        profile.set_shape(shapes[0][0], *(tuple(int(side) for side in shape.split("x")) for _, shape in shapes))
        config.add_optimization_profile(profile)
    fault = _build_fault(network, config, version, "stronglyTyped" in given or major == 11)
    if fault is not None:
        return fail(fault)
    Path(given["saveEngine"]).write_bytes(_engine_bytes(network.model, config, version))
    timing = Path(given["timingCacheFile"])
    timing.write_bytes((timing.read_bytes() if timing.is_file() else b"") + b"timed;")
    return 0


class Ranges:
    def __init__(self, cache: bytes) -> None:
        self.read_calibration_cache = lambda: cache


def run(given: dict[str, str], version: str) -> int:
    content = Path(given["loadEngine"]).read_bytes()
    header, _, model = content.removeprefix(MAGIC).partition(b"\n")
    if not content.startswith(MAGIC) or json.loads(header)["version"] != version:
        return fail("Engine could not be created from the file")
    graph = onnx.load_from_string(model).graph
    name, path = given["loadInputs"].split(":") if "loadInputs" in given else (graph.input[0].name, "")
    sides = [one.dim_value for one in graph.input[0].type.tensor_type.shape.dim]
    if "shapes" in given:
        sides = [int(side) for side in given["shapes"].split(":")[1].split("x")]
        least, _, most = json.loads(header)["profiles"][0][name]
        if any(not lo <= side <= hi for lo, side, hi in zip(least, sides, most, strict=True)):
            return fail("the shape does not satisfy the profile")
    tensor = np.fromfile(path, np.float32) if path else np.zeros(int(np.prod(sides)), np.float32)
    if tensor.size != np.prod(sides):
        return fail(f"the file of {name} has another size than {sides}")
    session = open_session(model)
    outputs = [
        {
            "name": one.name,
            "dimensions": "x".join(map(str, values.shape)),
            "values": [float(value) for value in values.ravel()],
        }
        for one, values in zip(session.get_outputs(), session.run(None, {name: tensor.reshape(sides)}), strict=True)
    ]
    if "exportOutput" in given:
        Path(given["exportOutput"]).write_text(json.dumps(outputs))
    say("[11/22/2026-10:00:00] [I] Throughput: 25.5 qps")
    say("[11/22/2026-10:00:00] [I] Latency: min = 38.1 ms, max = 45.2 ms, mean = 39.0 ms, median = 38.9 ms, "
        "percentile(99%) = 45 ms")  # fmt: skip
    return 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def fail(reason: str) -> int:
    say(f"[11/22/2026-10:00:00] [E] {reason}")
    say("&&&& FAILED TensorRT.trtexec")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
