"""One record for each kind of Darknet layer: what it computes, from which layers, and the shape of what comes out.

The records are what `weights`, `network` and `learn.export.onnx` are written over: a new kind of layer is a record
here, its reading in `plan`, and one case in each of the two that build it. Shapes are (channels, height, width) at the
planned input size. Output sizes: AlexeyAB/darknet convolutional_layer.c, maxpool_layer.c.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

NETWORK_INPUT = -1  # the "layer" whose output is the picture


class Activation(str, Enum):
    """What a layer applies to each of its values; leaky has slope 0.1, mish is x * tanh(softplus(x))."""

    LINEAR = "linear"
    LEAKY = "leaky"
    RELU = "relu"
    RELU6 = "relu6"
    LOGISTIC = "logistic"
    MISH = "mish"
    SWISH = "swish"


class DarknetNms(str, Enum):
    """`nms_kind` of a [yolo]: greedy by IoU (default), greedy by DIoU (greedynms), IoU - (d/c)^beta (diounms)."""

    DEFAULT = "default"
    GREEDY_DIOU = "greedynms"
    DIOU_BETA = "diounms"


class IouLoss(str, Enum):
    """`iou_loss` of a [yolo]: which error of a box is trained on."""

    MSE = "mse"
    IOU = "iou"
    GIOU = "giou"
    DIOU = "diou"
    CIOU = "ciou"


@dataclass(frozen=True, slots=True)
class Shape:
    """Of one picture's values: batch comes before."""

    channels: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.width} x {self.height} x {self.channels}"  # Darknet prints it in this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What every layer has: its place, the layers it reads (NETWORK_INPUT or an earlier index), its output's shape."""

    kind: ClassVar[str] = ""

    index: int
    line: int
    inputs: tuple[int, ...]
    shape: Shape

    @property
    def params(self) -> int:
        """How many float32 it has in a .weights file."""
        return 0

    @property
    def operations(self) -> int:
        """Additions and multiplications at the planned size, as Darknet counts them: of convolutions only."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionalLayer(Layer):
    """Convolution (square kernel, equal padding on all sides), then batch norm or bias, then the activation."""

    kind: ClassVar[str] = "convolutional"

    in_channels: int
    size: int
    stride: int
    padding: int
    groups: int
    batch_normalize: bool
    activation: Activation

    @property
    def filters(self) -> int:
        return self.shape.channels

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """(filters, channels / groups, size, size), as it lies in the file."""
        return (self.filters, self.in_channels // self.groups, self.size, self.size)

    @property
    def kernel_elements(self) -> int:
        return self.filters * (self.in_channels // self.groups) * self.size * self.size

    @property
    def params(self) -> int:
        return self.kernel_elements + self.filters * (4 if self.batch_normalize else 1)

    @property
    def operations(self) -> int:
        return 2 * self.kernel_elements * self.shape.height * self.shape.width


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxpoolLayer(Layer):
    """Maximum of size x size windows, the first `padding // 2` left of and above the picture; outside is -infinity."""

    kind: ClassVar[str] = "maxpool"

    size: int
    stride: int
    padding: int  # in total, not on each side

    def padding_before_after(self, length: int) -> tuple[int, int]:
        """How many values of -infinity stand before and after `length` values so that every window is whole.

        For size 2, stride 1 (yolov3-tiny) that is (0, 1): right and bottom only.
        """
        before = self.padding // 2
        windows = pooled_length(length, self.size, self.stride, self.padding)
        return before, max(0, (windows - 1) * self.stride + self.size - before - length)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLayer(Layer):
    """The channels of its inputs one after another; with `groups`, only slice `group_id` of each input."""

    kind: ClassVar[str] = "route"

    groups: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutLayer(Layer):
    """The sum of its inputs, cut or filled with zeros to the channels of the first, then the activation."""

    kind: ClassVar[str] = "shortcut"

    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsampleLayer(Layer):
    """Every value repeated stride x stride times, times `scale`."""

    kind: ClassVar[str] = "upsample"

    stride: int
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DropoutLayer(Layer):
    """Nothing at inference; while training each value is dropped with this probability and the rest scaled up."""

    kind: ClassVar[str] = "dropout"

    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgpoolLayer(Layer):
    """The mean of each channel: 1 x 1 x channels."""

    kind: ClassVar[str] = "avgpool"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleChannelsLayer(Layer):
    """Its second input, each channel times the one value that its first input (1 x 1 x channels) has for it."""

    kind: ClassVar[str] = "scale_channels"

    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class ReorgLayer(Layer):
    """Darknet's `[reorg]`: stride x stride times the channels at 1/stride the size, in its own order of values."""

    kind: ClassVar[str] = "reorg"

    stride: int


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """One `[yolo]` or `[region]`: where its raw tensor comes from, how to decode it, and what its loss asks for.

    The raw tensor is (batch, anchors * (5 + classes), grid height, grid width), the output of layer `source_index`.
    `anchors` are those of the mask, in network-input pixels; `all_anchors` are the `num` that objects compete for. With
    `softmax` it is a `[region]`; what only a [yolo]'s loss would ask for has its defaults there.
    """

    layer_index: int
    source_index: int
    stride: int
    grid_width: int
    grid_height: int
    anchors: tuple[tuple[float, float], ...]
    all_anchors: tuple[tuple[float, float], ...]
    mask: tuple[int, ...]
    classes: int
    scale_x_y: float
    new_coords: bool
    ignore_thresh: float
    truth_thresh: float
    iou_thresh: float
    iou_loss: IouLoss
    iou_normalizer: float
    obj_normalizer: float
    cls_normalizer: float
    max_delta: float
    nms_kind: DarknetNms
    beta_nms: float
    softmax: bool = False

    @property
    def channels(self) -> int:
        return len(self.anchors) * (5 + self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLayer(Layer):
    """A detection head; its one input is the raw tensor, and no layer may read its output."""

    head: HeadPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloLayer(HeadLayer):
    """Independent probabilities for the classes of a box."""

    kind: ClassVar[str] = "yolo"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLayer(HeadLayer):
    """YOLOv2's head: a softmax over the classes of a box."""

    kind: ClassVar[str] = "region"


def convolved_length(length: int, size: int, stride: int, padding: int) -> int:
    """Output positions of a convolution over `length` values with `padding` on each side."""
    return (length + 2 * padding - size) // stride + 1


def pooled_length(length: int, size: int, stride: int, padding: int) -> int:
    """Output positions of a maxpool over `length` values; `padding` is the total of both sides."""
    return (length + padding - size) // stride + 1
