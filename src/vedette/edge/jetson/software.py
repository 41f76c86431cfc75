"""What is installed on a box: CUDA, cuDNN, TensorRT, DeepStream, GStreamer, Python; from files and dpkg's records.

No program is started, so an SD card in a reader tells as much as the box that it came from.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.edge.jetson.boards import version_key
from vedette.edge.jetson.box_files import BoxFiles

LIBRARIES = ("/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
DEEPSTREAM = "/opt/nvidia/deepstream"
TRTEXEC = "/usr/src/tensorrt/bin/trtexec"


@dataclass(frozen=True, slots=True)
class Software:
    """Versions; None where it is not installed."""

    cuda: str | None
    cudnn: str | None
    tensorrt: str | None
    trtexec: bool
    deepstream: str | None
    gstreamer: str | None
    hardware_decoder: bool  # NVIDIA's GStreamer plugin for the Jetson's decoder
    libav: bool  # GStreamer's software decoders
    python: str | None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def read_packages(files: BoxFiles) -> dict[str, str]:
    """Name and version of every installed package that dpkg knows of."""
    found: dict[str, str] = {}
    for stanza in (files.text("/var/lib/dpkg/status") or "").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): *(.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").split()[-1:] == ["installed"] and {"Package", "Version"} <= fields.keys():
            found[fields["Package"]] = fields["Version"].strip()
    return found


def read_software(files: BoxFiles, packages: Mapping[str, str]) -> Software:
    """What is installed."""
    plugins = [f"{folder}/gstreamer-1.0" for folder in LIBRARIES]
    return Software(
        cuda=_cuda(files),
        cudnn=_package(packages, r"libcudnn\d+(-cuda-\d+)?"),
        tensorrt=_package(packages, r"libnvinfer\d+") or _library(files, "libnvinfer.so"),
        trtexec=files.exists(TRTEXEC),
        deepstream=_deepstream(files),
        gstreamer=_gstreamer(files, packages),
        hardware_decoder=any(files.exists(f"{folder}/libgstnvvideo4linux2.so") for folder in plugins),
        libav=any(files.exists(f"{folder}/libgstlibav.so") for folder in plugins),
        python=_python(files),
    )


def upstream(version: str) -> str:
    """A package's version without epoch and packaging: 1:8.2.1-1+cuda10.2 -> 8.2.1."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return version if found is None else found[1]


def _cuda(files: BoxFiles) -> str | None:
    try:
        document = json.loads(files.text("/usr/local/cuda/version.json") or "null")
        return str(document["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        pass  # CUDA 10 has a line of text instead
    found = re.search(r"CUDA Version ([\d.]+)", files.text("/usr/local/cuda/version.txt") or "")
    if found is not None:
        return found[1]
    folders = [path.rpartition("cuda-")[2] for path in files.names("/usr/local", "cuda-[0-9]*")]
    dotted = [one for one in folders if "." in one]
    return max(dotted, key=version_key, default=None)


def _deepstream(files: BoxFiles) -> str | None:
    found = [path.rpartition("deepstream-")[2] for path in files.names(DEEPSTREAM, "deepstream-[0-9]*")]
    return max(found, key=version_key, default=None)


def _gstreamer(files: BoxFiles, packages: Mapping[str, str]) -> str | None:
    """The library is called libgstreamer-1.0.so.0.1605.0 for 1.16.5, or 0.2003.0 for 1.20.3."""
    version = _package(packages, r"libgstreamer1\.0-0(t64)?")
    if version is not None:
        return version
    for folder in LIBRARIES:
        for path in files.names(folder, "libgstreamer-1.0.so.0.*"):
            found = re.search(r"\.so\.0\.(\d+)\.\d+$", path)
            if found is not None:
                return f"1.{int(found[1]) // 100}.{int(found[1]) % 100}"
    return None


def _library(files: BoxFiles, name: str) -> str | None:
    """The version in the longest name of a shared library: libnvinfer.so.8.2.1."""
    found = [
        path.partition(f"/{name}.")[2]
        for folder in LIBRARIES
        for path in files.names(folder, f"{name}.*")
        if re.fullmatch(r"[\d.]+", path.partition(f"/{name}.")[2])
    ]
    return max(found, key=version_key, default=None)


def _package(packages: Mapping[str, str], pattern: str) -> str | None:
    found = [upstream(version) for name, version in packages.items() if re.fullmatch(pattern, name)]
    return max(found, key=version_key, default=None)


def _python(files: BoxFiles) -> str | None:
    place = files.find("/usr/bin/python3")
    found = None if place is None else re.fullmatch(r"python(3\.\d+)", place.name)
    return None if found is None else found[1]
