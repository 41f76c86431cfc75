"""Darknet's .weights files: read against a plan, checked by arithmetic before anything is allocated, and written back.

A file is a header (three int32 and `seen`, the pictures trained on: 8 bytes from version 0.2 on, 4 before) and then
float32 for each convolution in cfg order: biases, then batch-norm scales, means and variances, then the kernel.
Reading and writing back gives the same bytes. A file of the wrong size is refused with both sizes; with `partial`, a
backbone that ends exactly after a layer is taken. Values that are not finite are refused, naming the layer.
Source: AlexeyAB/darknet parser.c, load_weights_upto and save_weights_upto.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.layers import ConvolutionalLayer
from vedette.learn.darknet.plan import NetworkPlan

FLOAT_BYTES = 4
BATCH_NORM_EPSILON = 1e-5  # AlexeyAB; OpenCV's importer and pjreddie's CPU code use 1e-6
_REPLACEMENT = b"\xef\xbf\xbd"  # what a text editor or a careless download makes of bytes that are not UTF-8
_LARGEST_VERSION = 1000  # Darknet takes larger ones for a transposed file of before 2016


@dataclass(frozen=True, slots=True, eq=False)
class BatchNorm:
    """Batch-norm parameters, each (filters,) float32; out = (x - mean) / sqrt(variance + 1e-5) * scale + bias."""

    scales: NDArray[np.float32]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ConvolutionalWeights:
    """What a file holds for one convolution."""

    biases: NDArray[np.float32]  # (filters,)
    batch_norm: BatchNorm | None
    kernel: NDArray[np.float32]  # (filters, channels / groups, size, size)

    def arrays(self) -> tuple[NDArray[np.float32], ...]:
        """In the order of the file."""
        norm = self.batch_norm
        return (self.biases, *(() if norm is None else (norm.scales, norm.means, norm.variances)), self.kernel)


@dataclass(frozen=True, slots=True, eq=False)
class DarknetWeights:
    """A whole file: `layers` has one entry for each layer of the plan, None where there is nothing (to load)."""

    major: int
    minor: int
    revision: int
    seen: int  # pictures trained on
    layers: tuple[ConvolutionalWeights | None, ...]
    layers_loaded: int  # the first so many layers of the cfg have all their weights

    @property
    def wide_header(self) -> bool:
        """Whether `seen` takes 8 bytes."""
        return _is_wide(self.major, self.minor)


def read_weights(path: Path, plan: NetworkPlan, partial: bool = False) -> DarknetWeights:
    """Read a .weights file that belongs to the plan.

    Args:
        partial: take a file that ends after some layer (a backbone); `layers_loaded` says after how many.

    Raises:
        WeightsError: missing, not Darknet's, of the wrong size, or with values that are not finite.
    """
    try:
        if not path.is_file():
            raise WeightsError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
        with path.open("rb") as file:
            found_bytes = os.fstat(file.fileno()).st_size
            version, seen = _read_header(path, file, found_bytes)
            count = _layers_in(path, plan, file, found_bytes, partial)
            arrays = tuple(
                _read_layer(path, file, layer) if isinstance(layer, ConvolutionalLayer) else None
                for layer in plan.layers[:count]
            )
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    rest = (None,) * (len(plan.layers) - count)
    return DarknetWeights(*version, seen, arrays + rest, count)


def write_weights(path: Path, plan: NetworkPlan, weights: DarknetWeights) -> None:
    """Write a .weights file, atomically; of a backbone, the layers that it has.

    Raises:
        WeightsError: the arrays are not those of the plan, or the file cannot be written.
    """
    blocks = list(_blocks_to_write(plan, weights))
    version = struct.pack("<iii", weights.major, weights.minor, weights.revision)
    seen = struct.pack("<Q" if weights.wide_header else "<I", weights.seen)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(version + seen)
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype="<f4").data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _is_wide(major: int, minor: int) -> bool:
    return major * 10 + minor >= 2


def _read_header(path: Path, file: BinaryIO, found_bytes: int) -> tuple[tuple[int, int, int], int]:
    """Version and `seen`; leaves the file at the first float."""
    if found_bytes < 16:
        raise WeightsError(
            f"{path}: {found_bytes} bytes; a Darknet .weights file begins with a header of 16 or 20 bytes"
        )
    version: tuple[int, int, int] = struct.unpack("<iii", file.read(12))
    if not all(0 <= number <= _LARGEST_VERSION for number in version):
        raise WeightsError(
            f"{path}: not a Darknet .weights file: its header says version {version[0]}.{version[1]}.{version[2]}"
            + _text_hint(file)
        )
    wide = _is_wide(version[0], version[1])
    raw = file.read(8 if wide else 4)
    if len(raw) < (8 if wide else 4):
        raise WeightsError(f"{path}: {found_bytes} bytes; the header of version {version[0]}.{version[1]} has 20")
    return version, struct.unpack("<Q" if wide else "<I", raw)[0]


def _layers_in(path: Path, plan: NetworkPlan, file: BinaryIO, found_bytes: int, partial: bool) -> int:
    """How many layers of the plan the file fills, by its size alone.

    Raises:
        WeightsError: not all of them, and (unless `partial`) not a whole number of them either.
    """
    header_bytes = file.tell()
    expected_bytes = header_bytes + FLOAT_BYTES * plan.params
    if found_bytes == expected_bytes:
        return len(plan.layers)
    filled, end = 0, header_bytes  # up to the last layer whose weights are there: what names like `.conv.15` count
    for layer in plan.convolutions:
        if end + FLOAT_BYTES * layer.params > found_bytes:
            break
        filled, end = layer.index + 1, end + FLOAT_BYTES * layer.params
    if partial and end == found_bytes and end > header_bytes:
        return filled
    message = f"{path}: {plan.source} needs {expected_bytes} bytes of weights, the file has {found_bytes}"
    if found_bytes > expected_bytes:
        message += f" ({found_bytes - expected_bytes} too many: another network, or other classes)"
    elif end == found_bytes:
        message += f"; it fills exactly the first {filled} of {len(plan.layers)} layers, so it may be a backbone"
        message += " (load it as partial weights)" if end > header_bytes else ""
    else:
        message += (
            f"; it fills the first {filled} of {len(plan.layers)} layers and ends {found_bytes - end} bytes into the "
            "next: truncated, or another network, or other classes"
        )
    raise WeightsError(message + _damage_hint(file))


def _text_hint(file: BinaryIO) -> str:
    """What a file is that was taken for weights: the two that people have most."""
    file.seek(0)
    start = file.read(64).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "; it is a pointer of Git LFS to the weights: fetch them with `git lfs pull`"
    if start.startswith((b"<!doctype", b"<html")):
        return "; it is a web page: the download went to another address than the file's"
    return ""


def _damage_hint(file: BinaryIO) -> str:
    sample = file.read(1 << 16)
    if sample.count(_REPLACEMENT) * 32 < len(sample):
        return ""
    return ". It is full of the bytes EF BF BD: once saved as text, which destroyed it; download it again, as binary"


def _read_layer(path: Path, file: BinaryIO, layer: ConvolutionalLayer) -> ConvolutionalWeights:
    raw = file.read(FLOAT_BYTES * layer.params)
    if len(raw) != FLOAT_BYTES * layer.params:
        raise WeightsError(f"{path}: became shorter while it was read, in layer {layer.index}")
    values = np.frombuffer(raw, "<f4").astype(np.float32)  # (params of the layer,) float32, a copy that may be changed
    if not np.isfinite(values).all():
        wrong = int(np.count_nonzero(~np.isfinite(values)))
        raise WeightsError(
            f"{path}: layer {layer.index} [convolutional] holds {wrong} of {values.size} values that are not finite "
            "(NaN or infinite); the training that wrote it had diverged, or the file is damaged"
        )
    filters, norm = layer.filters, None
    if layer.batch_normalize:
        scales, means, variances = values[filters : 4 * filters].reshape(3, filters)
        if (variances + np.float32(BATCH_NORM_EPSILON) <= 0).any():
            raise WeightsError(
                f"{path}: layer {layer.index} [convolutional] holds negative variances; the file is damaged"
            )
        norm = BatchNorm(scales, means, variances)
    kernel = values[layer.params - layer.kernel_elements :].reshape(layer.kernel_shape)
    return ConvolutionalWeights(values[:filters], norm, kernel)


def _blocks_to_write(plan: NetworkPlan, weights: DarknetWeights) -> Iterator[NDArray[np.float32]]:
    if len(weights.layers) != len(plan.layers):
        raise WeightsError(f"these weights have {len(weights.layers)} layers, {plan.source} has {len(plan.layers)}")
    ended = False
    for layer, given in zip(plan.layers, weights.layers, strict=True):
        if not isinstance(layer, ConvolutionalLayer):
            continue
        if given is None:
            ended = True
            continue
        if ended:
            raise WeightsError(f"layer {layer.index} has weights, but one before it has none; a file cannot hold that")
        norm_fits = (given.batch_norm is not None) == layer.batch_normalize
        vectors_fit = all(array.shape == (layer.filters,) for array in given.arrays()[:-1])
        if not norm_fits or not vectors_fit or given.kernel.shape != layer.kernel_shape:
            raise WeightsError(f"the weights of layer {layer.index} are not those of {plan.source}, line {layer.line}")
        yield from given.arrays()
