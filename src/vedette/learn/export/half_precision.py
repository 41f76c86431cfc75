"""What FP16 does to weights, by arithmetic alone: which layers overflow or lose precision, with and without folding.

Engines get batch norm folded into the kernels in float64 (`onnx.fold_batch_norm`), so it is the folded values that are
cast; the values of the file as they are matter to programs that cast before they fold. Activations are not judged:
only running the engine can, and `vedette pack` does. Source: IEEE 754 binary16, largest 65504, smallest normal 2^-14.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import BATCH_NORM_EPSILON, ConvolutionalWeights, DarknetWeights

LARGEST_HALF = 65504.0
SMALLEST_NORMAL_HALF = 2.0**-14
_MOST_NAMED = 5
_NAMES = ("biases", "scales", "means", "variances")


@dataclass(frozen=True, slots=True)
class LayerInHalf:
    """What FP16 does to one convolution; only layers to which it does something have one."""

    index: int
    line: int  # of its section in the cfg
    folded_largest: float  # |value| of the folded kernel and biases
    stored_largest: float  # |value| of the arrays as the file has them
    stored_array: str  # which of them holds it
    filters: int
    faint_filters: int  # whose folded weights are all below FP16's normal range, but not all zero

    @property
    def overflows(self) -> bool:
        """Whether folding leaves values that FP16 has no number for."""
        return not self.folded_largest <= LARGEST_HALF

    @property
    def overflows_unfolded(self) -> bool:
        """Whether the file holds values that FP16 has no number for."""
        return self.stored_largest > LARGEST_HALF


def judge_half_precision(plan: NetworkPlan, weights: DarknetWeights) -> tuple[LayerInHalf, ...]:
    """The layers that FP16 changes by more than rounding, in the order of the cfg."""
    return tuple(found for found in _layers(plan, weights) if _is_told(found))


def half_precision_warnings(plan: NetworkPlan, weights: DarknetWeights) -> tuple[str, ...]:
    """What a person should know before these weights run in FP16, one sentence each; none when nothing will happen."""
    found = judge_half_precision(plan, weights)
    overflowing = [layer for layer in found if layer.overflows]
    unfolded = [layer for layer in found if layer.overflows_unfolded and not layer.overflows]
    faint = [layer for layer in found if layer.faint_filters]
    warnings = []
    if overflowing:
        named = _named(
            [f"layer {layer.index} (line {layer.line}): {layer.folded_largest:.3g}" for layer in overflowing]
        )
        warnings.append(
            f"FP16 will overflow: with batch norm folded in, weights exceed {LARGEST_HALF:.0f} in {named}; such values "
            "become infinite and detections NaN or nothing: keep this network in FP32"
        )
    if unfolded:
        named = _named(
            [
                f"layer {layer.index} (line {layer.line}): {layer.stored_array} up to {layer.stored_largest:.3g}"
                for layer in unfolded
            ]
        )
        warnings.append(
            f"FP16: the file holds values beyond {LARGEST_HALF:.0f} in {named}. Vedette folds batch norm before it "
            f"casts, which brings them to at most {max(layer.folded_largest for layer in unfolded):.3g}; a program "
            "that casts the file as it is to FP16 gets infinities there, and other detections"
        )
    if faint:
        named = _named(
            [f"layer {layer.index} (line {layer.line}): {layer.faint_filters} of {layer.filters}" for layer in faint]
        )
        warnings.append(
            f"FP16: all weights of some filters lie below {SMALLEST_NORMAL_HALF:.2g}, where FP16 loses precision and "
            f"ends in zero: {named}"
        )
    return tuple(warnings)


def _layers(plan: NetworkPlan, weights: DarknetWeights) -> Iterator[LayerInHalf]:
    for layer, given in zip(plan.layers, weights.layers, strict=True):
        if given is None:
            continue
        arrays = given.arrays()
        names = (*_NAMES[: len(arrays) - 1], "kernel")
        stored, name = max((_largest(array), name) for array, name in zip(arrays, names, strict=True))
        kernel, biases = _fold(given)
        strengths = np.abs(kernel).reshape(len(kernel), -1).max(axis=1)  # (filters,) float64
        yield LayerInHalf(
            layer.index,
            layer.line,
            folded_largest=max(float(strengths.max()), _largest(biases)),
            stored_largest=stored,
            stored_array=name,
            filters=len(kernel),
            faint_filters=int(np.count_nonzero((strengths > 0) & (strengths < SMALLEST_NORMAL_HALF))),
        )


def _is_told(layer: LayerInHalf) -> bool:
    return layer.overflows or layer.overflows_unfolded or layer.faint_filters > 0


def _fold(given: ConvolutionalWeights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `onnx.fold_batch_norm`, but kept in float64, where nothing overflows."""
    kernel, biases = given.kernel.astype(np.float64), given.biases.astype(np.float64)
    if given.batch_norm is None:
        return kernel, biases
    norm = given.batch_norm
    factors = norm.scales.astype(np.float64) / np.sqrt(norm.variances.astype(np.float64) + BATCH_NORM_EPSILON)
    return kernel * factors[:, None, None, None], biases - norm.means.astype(np.float64) * factors


def _largest(array: NDArray[np.float32] | NDArray[np.float64]) -> float:
    return float(np.abs(array).max())


def _named(parts: list[str]) -> str:
    rest = len(parts) - _MOST_NAMED
    return ", ".join(parts[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
