"""Microseconds per frame of the C++ box parser for DeepStream, beside Vedette's own decoding of the same outputs.

Outputs are noise far below the score but for a few candidates (20) or many (1,000, of at most as many cells), 80
classes, one picture, FP32; both sides give the same number of boxes, suppression is in neither. The library is built as
build_parser.sh builds it, for this machine, against the structures of DeepStream 9, and is called as nvinfer calls it,
by the harness of the tests. One thread; medians of many calls.
"""

import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.box_parser_outputs import CLASSES, NETWORKS, SCORE, Network, Outputs
from vedette.contracts.bundle import DecodedBoxes
from vedette.edge.deepstream.render_nvinfer import decode_text
from vedette.edge.deepstream.rendering import parser_sources
from vedette.vision.decoded_boxes import decode_boxes
from vedette.vision.yolo import decode_heads

HARNESS = Path(__file__).parent.parent / "tests" / "edge" / "deepstream"
FLAGS = ("-std=c++14", "-O3")
CANDIDATES = {"few": 20, "many": 1000}
CALLS, PYTHON_CALLS = 1001, 101
LIBRARY = "libnvds_infer_vedette.so"


def measure() -> dict[str, Any]:
    """Medians by network and number of candidates; fails where the two sides find different numbers of boxes."""
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = _build(folder)
        for network in NETWORKS:
            figures[network.name] = {"cells": network.cells, "input": [network.width_px, network.height_px]}
            for size, count in CANDIDATES.items():
                rng = np.random.default_rng(0)
                figures[network.name][size] = _measure(folder, network, network.make(min(count, network.cells), rng))
    return {"networks": figures, "compiler": compiler, "flags": list(FLAGS), "score": SCORE, "calls": CALLS}


def _build(folder: Path) -> str:
    """The library and the harness into `folder`; gives the compiler's name."""
    for name, text in parser_sources().items():
        (folder / Path(name).name).write_bytes(text)
    include = ["-isystem", str(HARNESS / "headers" / "9")]
    library = ["-fPIC", "-shared", *include, "decode_spec.cpp", "nvdsinfer_vedette.cpp", "-o", LIBRARY]
    harness = [*include, str(HARNESS / "parser_harness.cpp"), "-ldl", "-o", "harness"]
    for what in (library, harness):
        subprocess.run(["g++", *FLAGS, *what], cwd=folder, check=True)
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    return version.splitlines()[0]


def _measure(folder: Path, network: Network, outputs: Outputs) -> dict[str, Any]:
    found, python_us = _python(network, outputs)
    (folder / "vedette_decode.txt").write_bytes(
        decode_text(network.decode, CLASSES, (network.width_px, network.height_px))
    )
    (folder / "tensors.bin").write_bytes(_packed((network.width_px, network.height_px), outputs))
    done = subprocess.run(
        ["./harness", f"./{LIBRARY}", "tensors.bin", str(CALLS)], cwd=folder, capture_output=True, text=True, check=True
    )
    boxes = len(done.stdout.splitlines())
    if boxes != found:
        raise RuntimeError(f"{network.name}: the parser finds {boxes} boxes, Vedette {found}")
    words = done.stderr.split()
    parser_us = float(words[1])
    return {
        "boxes": boxes,
        "parser_us": round(parser_us, 1),
        "python_us": round(python_us, 1),
        "times_faster": round(python_us / parser_us, 1),
        "allocations": int(words[3]),
    }


def _python(network: Network, outputs: Outputs) -> tuple[int, float]:
    """Boxes and the median microseconds of Vedette's decoding."""
    values, size = list(outputs.values()), (network.width_px, network.height_px)
    decode: Callable[[], Any]
    if isinstance(network.decode, DecodedBoxes):
        decode = lambda spec=network.decode: decode_boxes(values, spec, *size, SCORE)  # noqa: E731
    else:
        decode = lambda spec=network.decode: decode_heads(values, spec, *size, SCORE)  # noqa: E731
    times_us = []
    for _ in range(PYTHON_CALLS):
        began = time.perf_counter()
        found = decode()
        times_us.append((time.perf_counter() - began) * 1e6)
    return len(found), statistics.median(times_us)


def _packed(size_px: tuple[int, int], outputs: Mapping[str, NDArray[np.float32]]) -> bytes:
    """What the harness reads: sizes, thresholds, and each output with its name, type (0: FP32) and shape."""
    content = struct.pack("<3I", *size_px, CLASSES) + np.full(CLASSES, SCORE, "<f4").tobytes()
    content += struct.pack("<I", len(outputs))
    for name, values in outputs.items():
        data = np.ascontiguousarray(values).tobytes()
        content += struct.pack("<I", len(name)) + name.encode()
        content += struct.pack(f"<{2 + values.ndim}I", 0, values.ndim, *values.shape) + struct.pack("<I", len(data))
        content += data
    return content
