"""Weights drawn at random for any plan, as a trained net might have them: batch-norm variances are far from zero, and
the raw heads have a spread of about a half, so that decoded boxes and scores are of everyday size."""

import numpy as np
import torch

from vedette.learn.darknet.layers import ConvolutionalLayer
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import BatchNorm, ConvolutionalWeights, DarknetWeights

HEAD_SPREAD = 0.5


def random_weights(plan: NetworkPlan, seed: int = 0) -> DarknetWeights:
    """Weights for every layer of a plan; version 0.2.5, 12 345 pictures seen."""
    random = np.random.default_rng(seed)
    layers = [_layer(layer, random) if isinstance(layer, ConvolutionalLayer) else None for layer in plan.layers]
    weights = DarknetWeights(0, 2, 5, 12_345, tuple(layers), len(layers))
    for head, spread in zip(plan.heads, _head_spreads(plan, weights, random_input(plan, 1, seed)), strict=True):
        kernel = layers[head.source_index].kernel
        kernel *= np.float32(HEAD_SPREAD / max(spread, 1e-6))
    return weights


def random_input(plan: NetworkPlan, batch: int, seed: int = 0) -> np.ndarray:
    """(batch, channels, height, width) float32 in 0..1."""
    shape = (batch, plan.input_channels, plan.input_height, plan.input_width)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def _layer(layer: ConvolutionalLayer, random: np.random.Generator) -> ConvolutionalWeights:
    filters = layer.filters
    norm = None
    if layer.batch_normalize:
        variances = random.uniform(1000, 2000, filters)
        norm = BatchNorm(
            (np.sqrt(variances) * random.uniform(0.8, 1.2, filters)).astype(np.float32),
            random.normal(0, 0.3, filters).astype(np.float32),
            variances.astype(np.float32),
        )
    spread = np.sqrt(1.5 * layer.filters / layer.kernel_elements)  # keeps the size of values from layer to layer
    kernel = (random.normal(0, spread, layer.kernel_shape)).astype(np.float32)
    return ConvolutionalWeights(random.normal(0, 0.1, filters).astype(np.float32), norm, kernel)


def _head_spreads(plan: NetworkPlan, weights: DarknetWeights, images: np.ndarray) -> list[float]:
    """Of what each head's convolution gives before its activation: a logistic one would hide that it is saturated."""
    network = DarknetNetwork(plan).eval()
    network.load_darknet(weights)
    spreads: dict[int, float] = {}
    for number, convolution in enumerate(network.head_convolutions()):
        convolution.register_forward_hook(lambda _, __, out, n=number: spreads.update({n: float(out.std())}))
    with torch.no_grad():
        network(torch.from_numpy(images))
    return [spreads[number] for number in range(len(plan.heads))]
