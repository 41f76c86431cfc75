"""A planned Darknet network on torch, for training and as the reference that engines are compared with.

`forward` takes RGB in 0..1 and gives the raw tensor of every head, in cfg order; decoding is `vision.yolo`'s matter,
the loss `loss`'s. Any input size runs that the network's strides divide, whatever the plan's size was. Weights go in
and out as Darknet's. Source: AlexeyAB/darknet forward_* of each layer.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.layers import (
    NETWORK_INPUT,
    Activation,
    AvgpoolLayer,
    ConvolutionalLayer,
    DropoutLayer,
    HeadLayer,
    Layer,
    MaxpoolLayer,
    RegionLayer,
    ReorgLayer,
    RouteLayer,
    ScaleChannelsLayer,
    ShortcutLayer,
    UpsampleLayer,
    YoloLayer,
)
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import BATCH_NORM_EPSILON, BatchNorm, ConvolutionalWeights, DarknetWeights

# Share of the newest batch in the running mean and variance. Darknet has 0.1 on CPU and 0.01 on GPU; 0.03 averages
# over some 33 batches: steady enough for batches of 4 to 16 pictures, quick enough for runs of a few hundred batches.
BATCH_NORM_MOMENTUM = 0.03
LEAKY_SLOPE = 0.1
WRITTEN_VERSION = (0, 2, 5)  # what AlexeyAB's Darknet writes


class DarknetNetwork(nn.Module):
    """The network of a plan, with weights drawn as Darknet draws them until others are loaded."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.layers = nn.ModuleList(_MODULES[type(layer)](layer) for layer in plan.layers)
        self._last_reader = _last_readers(plan)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw heads of a batch.

        Args:
            images: (batch, channels, height, width) float32, RGB in 0..1.

        Returns:
            for each head (batch, anchors * (5 + classes), grid height, grid width).
        """
        outputs: dict[int, Tensor] = {NETWORK_INPUT: images}
        heads: list[Tensor] = []
        for layer, module in zip(self.plan.layers, self.layers, strict=True):
            inputs = [outputs[index] for index in layer.inputs]
            for index in layer.inputs:
                if self._last_reader[index] == layer.index:
                    outputs.pop(index, None)  # nobody reads it any more: free it
            if isinstance(layer, HeadLayer):
                heads.append(inputs[0])
            else:
                outputs[layer.index] = module(*inputs)
        return heads

    def head_convolutions(self) -> list[nn.Conv2d]:
        """The convolution that makes each head's raw tensor: its bias is where a class or object prior goes."""
        found = []
        for head in self.plan.heads:
            module = self.layers[head.source_index]
            if not isinstance(module, Convolutional):
                raise WeightsError(f"{self.plan.source}: head at layer {head.layer_index} has no convolution before it")
            found.append(module.convolution)
        return found

    def load_darknet(self, weights: DarknetWeights) -> int:
        """Take over Darknet weights, all that are there; gives how many layers of the cfg they fill.

        Raises:
            WeightsError: they belong to another network; nothing is changed then.
        """
        if len(weights.layers) != len(self.layers):
            raise WeightsError(
                f"these weights have {len(weights.layers)} layers, {self.plan.source} has {len(self.layers)}"
            )
        pairs = [
            (module, given)
            for module, given in zip(self.layers, weights.layers, strict=True)
            if given is not None and isinstance(module, Convolutional)
        ]
        for module, given in pairs:
            module.check(given)
        for module, given in pairs:
            module.load(given)
        return weights.layers_loaded

    def to_darknet(self, seen: int) -> DarknetWeights:
        """The present weights as Darknet's; `seen` is the number of pictures trained on."""
        layers = tuple(module.to_darknet() if isinstance(module, Convolutional) else None for module in self.layers)
        return DarknetWeights(*WRITTEN_VERSION, seen, layers, len(layers))


def build_activation(activation: Activation, inplace: bool) -> nn.Module:
    """The module of an activation; `inplace` where nobody else reads what it is given."""
    match activation:
        case Activation.LINEAR:
            return nn.Identity()
        case Activation.LEAKY:
            return nn.LeakyReLU(LEAKY_SLOPE, inplace=inplace)
        case Activation.RELU:
            return nn.ReLU(inplace=inplace)
        case Activation.RELU6:
            return nn.ReLU6(inplace=inplace)
        case Activation.LOGISTIC:
            return nn.Sigmoid()
        case Activation.MISH:
            return nn.Mish(inplace=inplace)
        case Activation.SWISH:
            return nn.SiLU(inplace=inplace)


class Convolutional(nn.Module):
    """Convolution, batch norm (or bias), activation."""

    def __init__(self, layer: ConvolutionalLayer) -> None:
        super().__init__()
        self.layer = layer
        self.convolution = nn.Conv2d(
            layer.in_channels,
            layer.filters,
            layer.size,
            layer.stride,
            layer.padding,
            groups=layer.groups,
            bias=not layer.batch_normalize,
        )
        self.norm = (
            nn.BatchNorm2d(layer.filters, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
            if layer.batch_normalize
            else None
        )
        self.activation = build_activation(layer.activation, inplace=True)
        fan_in = layer.kernel_elements // layer.filters
        nn.init.normal_(self.convolution.weight, std=math.sqrt(2.0 / fan_in))  # pjreddie's; AlexeyAB draws uniformly
        if self.convolution.bias is not None:
            nn.init.zeros_(self.convolution.bias)

    def forward(self, images: Tensor) -> Tensor:
        convolved: Tensor = self.convolution(images)
        activated: Tensor = self.activation(convolved if self.norm is None else self.norm(convolved))
        return activated

    def check(self, given: ConvolutionalWeights) -> None:
        """Refuse weights of another layer.

        Raises:
            WeightsError: shapes or the presence of batch norm differ.
        """
        same = (given.batch_norm is not None) == self.layer.batch_normalize
        if not same or given.kernel.shape != self.layer.kernel_shape or given.biases.shape != (self.layer.filters,):
            raise WeightsError(f"the weights of layer {self.layer.index} are of another shape than the cfg's")

    @torch.no_grad()
    def load(self, given: ConvolutionalWeights) -> None:
        """Copy a file's values in."""
        self.convolution.weight.copy_(torch.from_numpy(given.kernel))
        if self.norm is None or given.batch_norm is None:
            bias = self.convolution.bias
            assert bias is not None  # there is one wherever there is no batch norm
            bias.copy_(torch.from_numpy(given.biases))
            return
        running = (self.norm.running_mean, self.norm.running_var)
        assert running[0] is not None and running[1] is not None  # BatchNorm2d tracks them unless told not to
        self.norm.bias.copy_(torch.from_numpy(given.biases))
        self.norm.weight.copy_(torch.from_numpy(given.batch_norm.scales))
        running[0].copy_(torch.from_numpy(given.batch_norm.means))
        running[1].copy_(torch.from_numpy(given.batch_norm.variances))

    def to_darknet(self) -> ConvolutionalWeights:
        """Copy the values out."""
        kernel = _to_numpy(self.convolution.weight)
        if self.norm is None:
            return ConvolutionalWeights(_to_numpy(self.convolution.bias), None, kernel)
        norm = BatchNorm(
            _to_numpy(self.norm.weight), _to_numpy(self.norm.running_mean), _to_numpy(self.norm.running_var)
        )
        return ConvolutionalWeights(_to_numpy(self.norm.bias), norm, kernel)


class Maxpool(nn.Module):
    """Darknet's maxpool: what lies outside the picture never wins."""

    def __init__(self, layer: MaxpoolLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        top, bottom = self.layer.padding_before_after(images.shape[2])
        left, right = self.layer.padding_before_after(images.shape[3])
        if top == bottom == left == right and 2 * top <= self.layer.size:  # what torch's own padding can do
            return functional.max_pool2d(images, self.layer.size, self.layer.stride, padding=top)
        padded = functional.pad(images, (left, right, top, bottom), value=-math.inf)
        return functional.max_pool2d(padded, self.layer.size, self.layer.stride)


class Route(nn.Module):
    """Concatenation, or one group of the channels of each input."""

    def __init__(self, layer: RouteLayer) -> None:
        super().__init__()
        self.groups, self.group_id = layer.groups, layer.group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        parts = [part if self.groups == 1 else part.chunk(self.groups, dim=1)[self.group_id] for part in inputs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class Shortcut(nn.Module):
    """Sum, then activation."""

    def __init__(self, layer: ShortcutLayer) -> None:
        super().__init__()
        self.activation = build_activation(layer.activation, inplace=True)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for other in others:
            total = total + _with_channels(other, first.shape[1])
        activated: Tensor = self.activation(total)
        return activated


class Upsample(nn.Module):
    """Nearest neighbour."""

    def __init__(self, layer: UpsampleLayer) -> None:
        super().__init__()
        self.stride, self.scale = layer.stride, layer.scale

    def forward(self, images: Tensor) -> Tensor:
        larger = functional.interpolate(images, scale_factor=float(self.stride), mode="nearest")
        return larger if self.scale == 1.0 else larger * self.scale


class ScaleChannels(nn.Module):
    """Squeeze-and-excitation's product, then activation."""

    def __init__(self, layer: ScaleChannelsLayer) -> None:
        super().__init__()
        self.activation = build_activation(layer.activation, inplace=True)

    def forward(self, factors: Tensor, images: Tensor) -> Tensor:
        activated: Tensor = self.activation(images * factors)
        return activated


class Reorg(nn.Module):
    """Darknet's `reorg_cpu` with forward=0: the input's memory read as (channels / s^2, height * s, width * s)."""

    def __init__(self, layer: ReorgLayer) -> None:
        super().__init__()
        self.stride = layer.stride

    def forward(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        s = self.stride
        cells = images.reshape(
            batch, channels // s**2, height, s, width, s
        )  # (b, c, row, row in s, column, column in s)
        return cells.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * s**2, height // s, width // s)


def _with_channels(images: Tensor, channels: int) -> Tensor:
    missing = channels - images.shape[1]
    if missing > 0:
        return functional.pad(images, (0, 0, 0, 0, 0, missing))
    return images[:, :channels] if missing < 0 else images


def _to_numpy(values: Tensor | None) -> NDArray[np.float32]:
    assert values is not None
    copied: NDArray[np.float32] = values.detach().to("cpu", torch.float32).contiguous().numpy().copy()
    return copied


def _last_readers(plan: NetworkPlan) -> dict[int, int]:
    """For each layer (and the picture) the last layer that reads it; itself where none does."""
    last = {NETWORK_INPUT: NETWORK_INPUT, **{layer.index: layer.index for layer in plan.layers}}
    for layer in plan.layers:
        last.update(dict.fromkeys(layer.inputs, layer.index))
    return last


# One module for each kind of layer; it takes the layer's inputs in order.
_MODULES: dict[type[Layer], Callable[[Any], nn.Module]] = {
    ConvolutionalLayer: Convolutional,
    MaxpoolLayer: Maxpool,
    RouteLayer: Route,
    ShortcutLayer: Shortcut,
    UpsampleLayer: Upsample,
    DropoutLayer: lambda layer: nn.Dropout(layer.probability),
    AvgpoolLayer: lambda _: nn.AdaptiveAvgPool2d(1),
    ScaleChannelsLayer: ScaleChannels,
    ReorgLayer: Reorg,
    YoloLayer: lambda _: nn.Identity(),
    RegionLayer: lambda _: nn.Identity(),
}
