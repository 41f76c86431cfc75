"""How two networks differ: layer by layer in kind, shape and options, array by array in weights; and cutting weights.

Layers are compared at their place in the cfg: the first of one with the first of the other. Line numbers do not
count. Reading the files is the matter of `cfg`, `plan` and `weights`. Source of the cut: AlexeyAB/darknet darknet.c,
partial(), which writes version 0.2.5 and sets `seen` to 0.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.layers import Layer
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import ConvolutionalWeights, DarknetWeights

_NOT_COMPARED = frozenset({"index", "line", "layer_index"})


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """One place of two networks; `None` for a kind where one of them has no layer."""

    index: int
    kind_a: str | None
    kind_b: str | None
    options: dict[str, tuple[str, str]]  # what differs: in A, in B; empty where the kinds differ
    largest: dict[str, float]  # by array (biases, scales, means, variances, kernel): the largest |A - B|
    other_shape: tuple[str, ...]  # arrays that both have, in different shapes
    only_a: tuple[str, ...]  # arrays that one alone has
    only_b: tuple[str, ...]

    @property
    def same_structure(self) -> bool:
        return self.kind_a == self.kind_b and not self.options

    @property
    def same_weights(self) -> bool:
        return not (self.other_shape or self.only_a or self.only_b or any(self.largest.values()))


def compare_networks(
    a: NetworkPlan,
    b: NetworkPlan,
    weights_a: DarknetWeights | None = None,
    weights_b: DarknetWeights | None = None,
) -> tuple[LayerDifference, ...]:
    """One entry for every place that one of the networks has, also where nothing differs."""
    rows = zip_longest(
        a.layers,
        b.layers,
        () if weights_a is None else weights_a.layers,
        () if weights_b is None else weights_b.layers,
    )
    return tuple(_compare(index, *row) for index, row in enumerate(rows))


def cut_weights(plan: NetworkPlan, weights: DarknetWeights, layer_count: int) -> DarknetWeights:
    """The weights of the first layers only, as `darknet partial` writes them: version 0.2.5, no picture seen.

    Raises:
        WeightsError: none of these layers has weights, or the weights end before.
    """
    kept = weights.layers[:layer_count]
    missing = [layer.index for layer in plan.convolutions if weights.layers[layer.index] is None]
    if missing and missing[0] < layer_count:
        raise WeightsError(
            f"the weights are those of the first {weights.layers_loaded} layers only; {layer_count} are asked for"
        )
    if all(layer is None for layer in kept):
        raise WeightsError(f"none of the first {layer_count} layers of {plan.source} has weights; nothing to keep")
    rest = (None,) * (len(plan.layers) - len(kept))
    return replace(weights, major=0, minor=2, revision=5, seen=0, layers=kept + rest, layers_loaded=len(kept))


def _compare(
    index: int,
    layer_a: Layer | None,
    layer_b: Layer | None,
    weights_a: ConvolutionalWeights | None,
    weights_b: ConvolutionalWeights | None,
) -> LayerDifference:
    arrays_a, arrays_b = _named_arrays(weights_a), _named_arrays(weights_b)
    both = [name for name in arrays_a if name in arrays_b]
    alike = [name for name in both if arrays_a[name].shape == arrays_b[name].shape]
    return LayerDifference(
        index,
        None if layer_a is None else layer_a.kind,
        None if layer_b is None else layer_b.kind,
        {} if layer_a is None or layer_b is None or layer_a.kind != layer_b.kind else _options(layer_a, layer_b),
        {
            name: float(np.abs(arrays_a[name].astype(np.float64) - arrays_b[name].astype(np.float64)).max())
            for name in alike
        },
        tuple(name for name in both if name not in alike),
        tuple(name for name in arrays_a if name not in arrays_b),
        tuple(name for name in arrays_b if name not in arrays_a),
    )


def _named_arrays(weights: ConvolutionalWeights | None) -> dict[str, NDArray[np.float32]]:
    if weights is None:
        return {}
    norm = weights.batch_norm
    middle = {} if norm is None else {"scales": norm.scales, "means": norm.means, "variances": norm.variances}
    return {"biases": weights.biases, **middle, "kernel": weights.kernel}


def _options(a: object, b: object) -> dict[str, tuple[str, str]]:
    """The fields of two records of one kind that differ; those of a record inside (a head) stand among them."""
    found: dict[str, tuple[str, str]] = {}
    for field in fields(a):  # type: ignore[arg-type]
        value_a, value_b = getattr(a, field.name), getattr(b, field.name)
        if field.name in _NOT_COMPARED or value_a == value_b:
            continue
        if field.name != "shape" and is_dataclass(value_a) and type(value_a) is type(value_b):
            found |= _options(value_a, value_b)
        else:
            found[field.name] = (_shown(value_a), _shown(value_b))
    return found


def _shown(value: object) -> str:
    return str(getattr(value, "value", value))
