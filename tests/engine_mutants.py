"""Ways in which an engine can be wrong, as a builder, a driver or a mistake of ours would make it; and honest ones.

A mutant is a way to spoil what goes in, what comes out, or the model that is built. Mutants that change nothing which a
detector computes are none; each here changes every net that has the part it changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.contracts.frame import Pixels
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine

Floats = NDArray[np.float32]
Heads = list[Floats]


class Spoilt:
    """ONNX Runtime with something wrong before it (pixels, float32 0..255 NHWC) or after it (heads)."""

    name, version, description = "spoilt", "0", "spoilt 0"

    def __init__(
        self,
        manifest: BundleManifest,
        model: bytes,
        before: Callable[[Floats], Floats] = lambda pixels: pixels,
        after: Callable[[Heads], Heads] = lambda heads: heads,
    ) -> None:
        self._engine = OnnxRuntimeEngine(manifest, model, Precision.FP32, 1)
        self._before, self._after = before, after

    def infer(self, pixels_nhwc_rgb: Pixels) -> Heads:
        wrong = np.ascontiguousarray(self._before(pixels_nhwc_rgb.astype(np.float32)), np.float32)
        return [np.array(head, np.float32) for head in self._after(self._engine.infer(wrong))]


@dataclass(frozen=True)
class Mutant:
    name: str
    before: Callable[[Floats], Floats] | None = None
    after: Callable[[Heads, BundleManifest], Heads] | None = None
    model: Callable[[bytes], bytes | None] | None = None  # None where the net has no such part
    stateful: Callable[[], Callable[[Heads], Heads]] | None = None

    def engine(self, manifest: BundleManifest, model: bytes) -> Spoilt | None:
        wrong = model if self.model is None else self.model(model)
        if wrong is None:
            return None
        after = self.after
        spoil = (lambda heads: after(heads, manifest)) if after is not None else lambda heads: heads
        if self.stateful is not None:
            spoil = self.stateful()
        return Spoilt(manifest, wrong, self.before or (lambda pixels: pixels), spoil)


# -- what goes in ------------------------------------------------------------------------------------------------------


def as_if_planes(pixels: Floats) -> Floats:
    """(height, width, channel) memory taken for (channel, height, width)."""
    count, height, width, channels = pixels.shape
    return pixels.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


def coarse(pixels: Floats) -> Floats:
    sides = pixels.shape[2], pixels.shape[1]
    small = [cv2.resize(one, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA) for one in pixels]
    return np.stack([cv2.resize(one, sides, interpolation=cv2.INTER_LINEAR) for one in small])


IMAGENET_MEAN, IMAGENET_STD = np.float32([123.7, 116.3, 103.5]), np.float32([0.229, 0.224, 0.225])
INPUT = {
    "channel order BGR": lambda x: x[..., ::-1],
    "channel order RBG": lambda x: x[..., [0, 2, 1]],
    "channel order GBR": lambda x: x[..., [1, 2, 0]],
    "grey": lambda x: x.mean(axis=3, keepdims=True).repeat(3, axis=3),
    "not scaled: 0..255": lambda x: x * 255,
    "scaled to -1..1": lambda x: x * 2 - 255,
    "scaled twice": lambda x: x / 255,
    "ImageNet mean and deviation": lambda x: (x - IMAGENET_MEAN) / IMAGENET_STD,
    "mean taken away": lambda x: x - IMAGENET_MEAN,
    "inverted": lambda x: 255 - x,
    "half as bright": lambda x: x / 2,
    "dark half lost": lambda x: np.maximum(x, 128),
    "gamma": lambda x: 255 * (np.clip(x, 0, 255) / 255) ** 2.2,
    "mirrored": lambda x: x[:, :, ::-1],
    "upside down": lambda x: x[:, ::-1],
    "transposed picture": lambda x: x.transpose(0, 2, 1, 3) if x.shape[1] == x.shape[2] else x[:, ::-1, ::-1],
    "interleaved for planes": as_if_planes,
    "moved by 11 pixels": lambda x: np.roll(x, 11, axis=2),
    "an eighth of the resolution": coarse,
    "nothing but zeros": np.zeros_like,
    "lower half missing": lambda x: np.concatenate([x[:, : x.shape[1] // 2], 0 * x[:, x.shape[1] // 2 :]], axis=1),
    "one channel zero": lambda x: x * np.float32([1, 1, 0]),
    "red for all": lambda x: x[..., :1].repeat(3, axis=3),
}

# -- what comes out ----------------------------------------------------------------------------------------------------


def by_anchor(change: Callable[[Floats], Floats]) -> Callable[[Heads, BundleManifest], Heads]:
    """A change of (n, anchors, 5 + classes, gh, gw)."""

    def spoil(heads: Heads, manifest: BundleManifest) -> Heads:
        values = 5 + len(manifest.classes)
        split = [head.reshape(len(head), -1, values, *head.shape[2:]) for head in heads]
        return [change(one).reshape(head.shape) for one, head in zip(split, heads, strict=True)]

    return spoil


def each(change: Callable[[Floats], Floats]) -> Callable[[Heads, BundleManifest], Heads]:
    return lambda heads, manifest: [change(head) for head in heads]


def one_head(number: int, change: Callable[[Floats], Floats]) -> Callable[[Heads, BundleManifest], Heads]:
    return lambda heads, manifest: [
        change(head) if place == number % len(heads) else head for place, head in enumerate(heads)
    ]


def with_values(head: Floats, place: tuple[object, ...], value: float) -> Floats:
    wrong = head.copy()
    wrong[place] = value
    return wrong


def swapped(heads: Heads, manifest: BundleManifest) -> Heads:
    """The outputs' memory in another order, cut or filled to the shapes expected."""
    memory = [np.resize(head.ravel(), heads[place - 1].shape) for place, head in enumerate(heads)]
    return memory[1:] + memory[:1] if len(heads) > 1 else [head[:, ::-1] for head in heads]


def noisy(share: float) -> Callable[[Floats], Floats]:
    return lambda head: head + np.random.default_rng(3).normal(0, share * head.std() + 1e-6, head.shape)


OUTPUT = {
    "outputs swapped": swapped,
    "first output zero": one_head(0, np.zeros_like),
    "last output zero": one_head(-1, np.zeros_like),
    "outputs not numbers": each(lambda head: head * np.nan),
    "one value not a number": one_head(0, lambda head: with_values(head, (0, 4, 0, 0), np.nan)),
    "one value infinite": one_head(-1, lambda head: with_values(head, (0, 0, 0, 0), np.inf)),
    "classes moved by one": by_anchor(lambda x: np.concatenate([x[:, :, :5], np.roll(x[:, :, 5:], 1, axis=2)], axis=2)),
    "classes backwards": by_anchor(lambda x: np.concatenate([x[:, :, :5], x[:, :, 5:][:, :, ::-1]], axis=2)),
    "objectness moved": by_anchor(lambda x: np.roll(x, 1, axis=2)),
    "more objects": by_anchor(lambda x: x + np.float32([0, 0, 0, 0, 3] + [0] * (x.shape[2] - 5))[:, None, None]),
    "no objects": by_anchor(lambda x: x - np.float32([0, 0, 0, 0, 30] + [0] * (x.shape[2] - 5))[:, None, None]),
    "anchors' memory transposed": by_anchor(
        lambda x: x.swapaxes(1, 2).reshape(x.shape) if x.shape[1] > 1 else np.roll(x, 2, axis=2)
    ),
    "grid transposed": each(lambda head: head.swapaxes(2, 3).reshape(head.shape)),
    "grid mirrored": each(lambda head: head[..., ::-1]),
    "grid upside down": each(lambda head: head[:, :, ::-1]),
    "sigmoid done already": each(lambda head: 1 / (1 + np.exp(-np.clip(head, -80, 80)))),
    "seven tenths": each(lambda head: 0.7 * head),
    "clipped": each(lambda head: np.clip(head, -1, 1)),
    "noise": each(noisy(0.5)),
    "negative": each(np.negative),
    "last column of the grid missing": each(lambda head: with_values(head, (..., -1), 0)),
    "last channel zero": one_head(0, lambda head: with_values(head, (slice(None), -1), 0)),
    "NHWC memory": each(lambda head: head.transpose(0, 2, 3, 1).reshape(head.shape)),
}

# -- from one run to the next ------------------------------------------------------------------------------------------


def late() -> Callable[[Heads], Heads]:
    """Each run gives what the run before it should have."""
    kept: list[Heads] = []

    def spoil(heads: Heads) -> Heads:
        kept.append(heads)
        before = kept[max(0, len(kept) - 2)]
        return [np.resize(old, head.shape) for old, head in zip(before, heads, strict=True)]

    return spoil


def stuck() -> Callable[[Heads], Heads]:
    kept: list[Heads] = []

    def spoil(heads: Heads) -> Heads:
        kept.append(heads)
        return [np.resize(old, head.shape) for old, head in zip(kept[0], heads, strict=True)]

    return spoil


def drifting() -> Callable[[Heads], Heads]:
    """Sums are not cleared between runs."""
    runs = [0]

    def spoil(heads: Heads) -> Heads:
        runs[0] += 1
        return [head * (1 + 0.2 * (runs[0] - 1)) for head in heads]

    return spoil


STATE: dict[str, Callable[[], Callable[[Heads], Heads]]] = {
    "a run late": late,
    "stuck at the first run": stuck,
    "drifting": drifting,
    "only the first of a batch": lambda: lambda heads: [head[:1].repeat(len(head), axis=0) for head in heads],
    "batch backwards": lambda: lambda heads: [head[::-1] for head in heads],
    "rest of a batch zero": lambda: lambda heads: [with_values(head, (slice(1, None),), 0) for head in heads],
}

# -- the model ---------------------------------------------------------------------------------------------------------


def weights_of(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Those of the convolutions, first to last."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return [one for one in proto.graph.initializer if len(one.dims) == 4 and one.data_type in floats]


def changed(place: float, change: Callable[[Floats], Floats]) -> Callable[[bytes], bytes | None]:
    """The weights of one layer, from 0 (first) to 1 (last); None where that leaves them as they are."""

    def spoil(model: bytes) -> bytes | None:
        proto = onnx.load_from_string(model)
        weights = weights_of(proto)
        weight = weights[round(place * (len(weights) - 1))]
        array = numpy_helper.to_array(weight)
        wrong = np.ascontiguousarray(change(array.astype(np.float32))).astype(array.dtype)
        if np.array_equal(wrong, array):
            return None
        weight.CopyFrom(numpy_helper.from_array(wrong, weight.name))
        return bytes(proto.SerializeToString())

    return spoil


def all_changed(change: Callable[[Floats], Floats]) -> Callable[[bytes], bytes | None]:
    def spoil(model: bytes) -> bytes | None:
        proto = onnx.load_from_string(model)
        for weight in weights_of(proto):
            array = numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(change(array.astype(np.float32)).astype(array.dtype), weight.name))
        return None if proto.SerializeToString() == model else bytes(proto.SerializeToString())

    return spoil


def biases_gone(model: bytes) -> bytes | None:
    proto = onnx.load_from_string(model)
    read = {node.input[2] for node in proto.graph.node if node.op_type == "Conv" and len(node.input) > 2}
    for one in proto.graph.initializer:
        if one.name in read:
            one.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(one)), one.name))
    return bytes(proto.SerializeToString()) if read else None


def slopes(value: float) -> Callable[[bytes], bytes | None]:
    def spoil(model: bytes) -> bytes | None:
        proto = onnx.load_from_string(model)
        leaky = [node for node in proto.graph.node if node.op_type == "LeakyRelu"]
        for node in leaky:
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("alpha", value))
        return bytes(proto.SerializeToString()) if leaky else None

    return spoil


def scale_doubled(model: bytes) -> bytes | None:
    """Quantisation gone wrong: in one layer, what was quantised comes back at twice its size."""
    proto = onnx.load_from_string(model)
    readers = [node for node in proto.graph.node if node.op_type == "DequantizeLinear"]
    if not readers:
        return None
    reader = readers[len(readers) // 2]
    scale = next(one for one in proto.graph.initializer if one.name == reader.input[1])
    proto.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(2), "twice"))
    reader.input[1] = "twice"
    return bytes(proto.SerializeToString())


def in_bits(bits: int) -> Callable[[Floats], Floats]:
    def change(array: Floats) -> Floats:
        step = float(np.abs(array).max()) / (2 ** (bits - 1) - 1) or 1.0
        return np.round(array / step) * step

    return change


def turned(array: Floats) -> Floats:
    return array[:, :, ::-1, ::-1]


MODEL: dict[str, Callable[[bytes], bytes | None]] = {
    "first layer zero": changed(0, np.zeros_like),
    "layer at a quarter zero": changed(0.25, np.zeros_like),
    "middle layer zero": changed(0.5, np.zeros_like),
    "layer at three quarters zero": changed(0.75, np.zeros_like),
    "last layer zero": changed(1, np.zeros_like),
    "filters of the first layer backwards": changed(0, lambda w: w[::-1]),
    "inputs of the middle layer backwards": changed(0.5, lambda w: w[:, ::-1]),
    "filters of the last layer moved": changed(1, lambda w: np.roll(w, 1, axis=0)),
    "kernels turned": all_changed(turned),
    "kernels transposed": all_changed(lambda w: w.swapaxes(2, 3)),
    "first layer half as large": changed(0, lambda w: w / 2),
    "last layer half as large": changed(1, lambda w: w / 2),
    "signs of the first layer": changed(0, np.negative),
    "weights in 2 bits": all_changed(in_bits(2)),
    "another training": all_changed(lambda w: w + np.random.default_rng(1).normal(0, 0.5 * w.std(), w.shape)),
    "another model": all_changed(lambda w: np.random.default_rng(2).normal(0, w.std() + 1e-3, w.shape)),
    "biases gone": biases_gone,
    "slope 0": slopes(0.0),
    "slope 1": slopes(1.0),
    "scale doubled": scale_doubled,
}


MUTANTS = (
    *(Mutant(f"input: {name}", before=change) for name, change in INPUT.items()),
    *(Mutant(f"output: {name}", after=change) for name, change in OUTPUT.items()),
    *(Mutant(f"run: {name}", stateful=make) for name, make in STATE.items()),
    *(Mutant(f"model: {name}", model=change) for name, change in MODEL.items()),
)
