"""A box with a GPU and TensorRT of one generation, as far as this process and those it starts can tell."""

import ctypes
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

VERSIONS = {"8.2": "8.2.1.8", "8.6": "8.6.2.3", "10": "10.3.0.30", "11": "11.4.0.106"}
TESTS = Path(__file__).resolve().parent.parent


@cache
def libcuda_folder() -> Path:
    """The stand-in for the driver, compiled once and loaded, so that `libcuda.so.1` is it from now on."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of libcuda")
    folder = Path(mkdtemp(prefix="libcuda-"))
    library = folder / "libcuda.so.1"
    source = Path(__file__).with_name("libcuda_standin.c")
    command = [compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
               "-Wl,-soname,libcuda.so.1", str(source), "-o", str(library)]  # fmt: skip
    subprocess.run(command, check=True)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    return folder


def become_box(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT `version` is installed from here on, for this process and its children."""
    place = folder / f"site-{version}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "tensorrt.py").write_text(
        "from simulators.tensorrt_standin import surface\n"
        f"globals().update(surface({version!r}))\n"
        "def __getattr__(name):\n"
        f"    raise AttributeError(f'tensorrt {version} has no {{name}}')\n"
    )
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # what is there now comes back afterwards
    del sys.modules["tensorrt"]
    monkeypatch.setenv("PYTHONPATH", f"{place}:{TESTS}")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libcuda_folder()))


def become_box_without_bindings(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only the program trtexec of that version is installed."""
    place = folder / f"bin-{version}"
    place.mkdir(parents=True, exist_ok=True)
    program = place / "trtexec"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{TESTS}" exec "{sys.executable}" -m simulators.trtexec_standin {version} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libcuda_folder()))
    return program
