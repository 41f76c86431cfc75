"""Reads one section of a .cfg into the record of its layer: options with Darknet's defaults, inputs, shape.

Options that would change a layer's result in a way that is not built are refused with their line, never ignored;
options that only concern training are left to training. Nothing is allocated: all is arithmetic on Python's unbounded
integers, and `plan` judges the sizes. Source: AlexeyAB/darknet parser.c, for every default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypedDict, TypeVar

from vedette.learn.darknet.cfg import Section
from vedette.learn.darknet.layers import (
    NETWORK_INPUT,
    Activation,
    AvgpoolLayer,
    ConvolutionalLayer,
    DarknetNms,
    DropoutLayer,
    HeadLayer,
    HeadPlan,
    IouLoss,
    Layer,
    MaxpoolLayer,
    RegionLayer,
    ReorgLayer,
    RouteLayer,
    ScaleChannelsLayer,
    Shape,
    ShortcutLayer,
    UpsampleLayer,
    YoloLayer,
    convolved_length,
    pooled_length,
)

MAX_INPUT_SIDE = 16_384
MAX_CLASSES = 100_000
FLOAT_MAX = 3.4028234663852886e38  # Darknet's FLT_MAX, the default of options that are off

# Options that change what a layer computes, and are not built: option -> the only value that is accepted.
_CONVOLUTIONAL_NOT_BUILT = {
    "dilation": 1, "xnor": 0, "binary": 0, "bin_output": 0, "antialiasing": 0, "assisted_excitation": 0, "sway": 0,
    "rotate": 0, "stretch": 0, "stretch_sway": 0, "deform": 0, "flipped": 0, "dontload": 0, "dontloadscales": 0,
    "share_index": None, "stride_x": None, "stride_y": None,
}  # fmt: skip
_MAXPOOL_NOT_BUILT = {"maxpool_depth": 0, "antialiasing": 0, "stride_x": None, "stride_y": None}

_Choice = TypeVar("_Choice", bound=Enum)


class _Place(TypedDict):
    index: int
    line: int


@dataclass(slots=True)
class Growing:
    """The network while it is read: what came before the section at hand."""

    input: Shape
    layers: list[Layer] = field(default_factory=list)

    def place(self, section: Section) -> _Place:
        return {"index": len(self.layers), "line": section.line}

    def previous(self, section: Section) -> tuple[int, Shape]:
        """The layer just before, or the picture."""
        index = len(self.layers) - 1
        return (NETWORK_INPUT, self.input) if index < 0 else (index, self._readable(section, index, None))

    def earlier(self, section: Section, key: str) -> tuple[tuple[int, ...], tuple[Shape, ...]]:
        """The layers that an option lists: negative numbers count back from here, others are absolute."""
        listed = section.integers(key)
        if not listed:
            raise section.error(f"{key}= is missing: it lists the layers to read", key)
        here = len(self.layers)
        indices = tuple(here + number if number < 0 else number for number in listed)
        for number, index in zip(listed, indices, strict=True):
            if not 0 <= index < here:
                raise section.error(
                    f"{key} names layer {number}, but only the layers before this one (layer {here}) can be read", key
                )
        return indices, tuple(self._readable(section, index, key) for index in indices)

    def _readable(self, section: Section, index: int, key: str | None) -> Shape:
        layer = self.layers[index]
        if isinstance(layer, HeadLayer):
            raise section.error(f"it reads layer {index}, a [{layer.kind}] layer; that is not supported", key)
        return layer.shape


def _choice(section: Section, key: str, default: _Choice) -> _Choice:
    text = section.text(key, str(default.value))
    for member in type(default):
        if member.value == text:
            return member
    allowed = ", ".join(str(member.value) for member in type(default))
    raise section.error(f"{key}={text[:40]} is not supported; supported are {allowed}", key)


def _refuse_not_built(section: Section, options: Mapping[str, int | None]) -> None:
    for key, neutral in options.items():
        if section.find(key) is not None and (neutral is None or section.integer(key, neutral) != neutral):
            raise section.error(f"{key}={section.text(key, '')[:40]} is not supported", key)


def _convolutional(section: Section, growing: Growing) -> ConvolutionalLayer:
    _refuse_not_built(section, _CONVOLUTIONAL_NOT_BUILT)
    source, given = growing.previous(section)
    filters = section.integer("filters", 1, minimum=1)
    size = section.integer("size", 1, minimum=1)
    stride = section.integer("stride", 1, minimum=1, maximum=MAX_INPUT_SIDE)
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0)
    groups = section.integer("groups", 1, minimum=1)
    if given.channels % groups or filters % groups:
        raise section.error(
            f"groups={groups} divides not both the {given.channels} channels that come in and filters={filters}",
            "groups",
        )
    height = convolved_length(given.height, size, stride, padding)
    width = convolved_length(given.width, size, stride, padding)
    return ConvolutionalLayer(
        **growing.place(section),
        inputs=(source,),
        shape=Shape(filters, height, width),
        in_channels=given.channels,
        size=size,
        stride=stride,
        padding=padding,
        groups=groups,
        batch_normalize=section.integer("batch_normalize", 0) != 0,
        activation=_choice(section, "activation", Activation.LOGISTIC),
    )


def _maxpool(section: Section, growing: Growing) -> MaxpoolLayer:
    _refuse_not_built(section, _MAXPOOL_NOT_BUILT)
    source, given = growing.previous(section)
    stride = section.integer("stride", 1, minimum=1, maximum=MAX_INPUT_SIDE)
    size = section.integer("size", stride, minimum=1, maximum=MAX_INPUT_SIDE)
    padding = section.integer("padding", size - 1, maximum=2 * (size - 1))  # more: windows with no value
    height, width = (pooled_length(length, size, stride, padding) for length in (given.height, given.width))
    shape = Shape(given.channels, height, width)
    return MaxpoolLayer(
        **growing.place(section), inputs=(source,), shape=shape, size=size, stride=stride, padding=padding
    )


def _route(section: Section, growing: Growing) -> RouteLayer:
    indices, shapes = growing.earlier(section, "layers")
    groups = section.integer("groups", 1, minimum=1)
    group_id = section.integer("group_id", 0, maximum=groups - 1)
    first = shapes[0]
    for index, shape in zip(indices, shapes, strict=True):
        if (shape.height, shape.width) != (first.height, first.width):
            raise section.error(
                f"layers {indices[0]} ({first}) and {index} ({shape}) differ in width or height; an input size that "
                "is a multiple of the network's largest stride avoids it",
                "layers",
            )
        if shape.channels % groups:
            raise section.error(
                f"groups={groups} does not divide the {shape.channels} channels of layer {index}", "groups"
            )
    channels = sum(shape.channels // groups for shape in shapes)
    shape = Shape(channels, first.height, first.width)
    return RouteLayer(**growing.place(section), inputs=indices, shape=shape, groups=groups, group_id=group_id)


def _shortcut(section: Section, growing: Growing) -> ShortcutLayer:
    if section.text("weights_type", "none") != "none":
        raise section.error("weighted shortcuts are not supported", "weights_type")
    source, given = growing.previous(section)
    indices, shapes = growing.earlier(section, "from")
    for index, shape in zip(indices, shapes, strict=True):
        if (shape.height, shape.width) != (given.height, given.width):
            raise section.error(
                f"layer {index} ({shape}) differs in width or height from what comes in ({given})", "from"
            )
    return ShortcutLayer(
        **growing.place(section),
        inputs=(source, *indices),
        shape=given,
        activation=_choice(section, "activation", Activation.LINEAR),
    )


def _upsample(section: Section, growing: Growing) -> UpsampleLayer:
    source, given = growing.previous(section)
    stride = section.integer("stride", 2, minimum=1, maximum=MAX_INPUT_SIDE)
    shape = Shape(given.channels, given.height * stride, given.width * stride)
    scale = section.number("scale", 1.0)
    return UpsampleLayer(**growing.place(section), inputs=(source,), shape=shape, stride=stride, scale=scale)


def _dropout(section: Section, growing: Growing) -> DropoutLayer:
    source, given = growing.previous(section)
    probability = section.number("probability", 0.2)
    if not 0 <= probability < 1:
        raise section.error(f"probability={probability} must lie in 0..1", "probability")
    return DropoutLayer(**growing.place(section), inputs=(source,), shape=given, probability=probability)


def _avgpool(section: Section, growing: Growing) -> AvgpoolLayer:
    source, given = growing.previous(section)
    return AvgpoolLayer(**growing.place(section), inputs=(source,), shape=Shape(given.channels, 1, 1))


def _scale_channels(section: Section, growing: Growing) -> ScaleChannelsLayer:
    _refuse_not_built(section, {"scale_wh": 0})
    source, given = growing.previous(section)
    indices, shapes = growing.earlier(section, "from")
    if len(indices) != 1 or given != Shape(shapes[0].channels, 1, 1):
        raise section.error(f"what comes in ({given}) must be one value for each channel of one layer", "from")
    activation = _choice(section, "activation", Activation.LINEAR)
    inputs = (source, *indices)
    return ScaleChannelsLayer(**growing.place(section), inputs=inputs, shape=shapes[0], activation=activation)


def _reorg(section: Section, growing: Growing) -> ReorgLayer:
    _refuse_not_built(section, {"reverse": 0, "flatten": 0, "extra": 0})
    source, given = growing.previous(section)
    stride = section.integer("stride", 1, minimum=1, maximum=MAX_INPUT_SIDE)
    if given.channels % stride**2 or given.height % stride or given.width % stride:
        raise section.error(f"stride={stride} does not divide what comes in ({given})", "stride")
    shape = Shape(given.channels * stride**2, given.height // stride, given.width // stride)
    return ReorgLayer(**growing.place(section), inputs=(source,), shape=shape, stride=stride)


def _yolo(section: Section, growing: Growing) -> YoloLayer:
    source, given = growing.previous(section)
    all_anchors, mask = _anchors(section)
    classes = section.integer("classes", 20, minimum=1, maximum=MAX_CLASSES)
    head = HeadPlan(
        layer_index=len(growing.layers),
        source_index=source,
        stride=max(1, round(growing.input.width / given.width)),
        grid_width=given.width,
        grid_height=given.height,
        anchors=tuple(all_anchors[number] for number in mask),
        all_anchors=all_anchors,
        mask=mask,
        classes=classes,
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=section.integer("new_coords", 0) != 0,
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1.0),
        iou_thresh=section.number("iou_thresh", 1.0),
        iou_loss=_choice(section, "iou_loss", IouLoss.MSE),
        iou_normalizer=section.number("iou_normalizer", 0.75),
        obj_normalizer=section.number("obj_normalizer", 1.0),
        cls_normalizer=section.number("cls_normalizer", 1.0),
        max_delta=section.number("max_delta", FLOAT_MAX),
        nms_kind=_choice(section, "nms_kind", DarknetNms.DEFAULT),
        beta_nms=section.number("beta_nms", 0.6),
    )
    _check_channels(section, given, head)
    return YoloLayer(**growing.place(section), inputs=(source,), shape=given, head=head)


def _region(section: Section, growing: Growing) -> RegionLayer:
    _refuse_not_built(section, {"coords": 4, "background": 0, "tree": None, "map": None})
    if section.integer("softmax", 0) != 1:
        raise section.error("only [region] with softmax=1 is supported (Darknet's forks differ in what 0 means)")
    source, given = growing.previous(section)
    cells, mask = _anchors(section)
    cell_px = (growing.input.width / given.width, growing.input.height / given.height)
    anchors = tuple((width * cell_px[0], height * cell_px[1]) for width, height in cells)
    head = HeadPlan(
        layer_index=len(growing.layers),
        source_index=source,
        stride=max(1, round(cell_px[0])),
        grid_width=given.width,
        grid_height=given.height,
        anchors=anchors,
        all_anchors=anchors,
        mask=mask,
        classes=section.integer("classes", 20, minimum=1, maximum=MAX_CLASSES),
        scale_x_y=1.0,
        new_coords=False,
        ignore_thresh=0.5,
        truth_thresh=1.0,
        iou_thresh=1.0,
        iou_loss=IouLoss.MSE,
        iou_normalizer=0.75,
        obj_normalizer=1.0,
        cls_normalizer=1.0,
        max_delta=FLOAT_MAX,
        nms_kind=DarknetNms.DEFAULT,
        beta_nms=0.6,
        softmax=True,
    )
    _check_channels(section, given, head)
    return RegionLayer(**growing.place(section), inputs=(source,), shape=given, head=head)


def _check_channels(section: Section, given: Shape, head: HeadPlan) -> None:
    if given.channels != head.channels:
        raise section.error(
            f"{given.channels} channels come in, but {len(head.anchors)} anchors and {head.classes} classes need "
            f"{head.channels}: set filters={head.channels} in the [convolutional] before"
        )


def _anchors(section: Section) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """All `num` anchors as they stand in the cfg, and which of them this head uses."""
    count = section.integer("num", 1, minimum=1, maximum=1000)
    mask = (section.name == "yolo" and section.integers("mask")) or tuple(range(count))
    values = section.numbers("anchors") or ()
    if len(values) < 2 * count:
        raise section.error(f"num={count} anchors need {2 * count} numbers; anchors= has {len(values)}", "anchors")
    anchors = tuple(zip(values[0 : 2 * count : 2], values[1 : 2 * count : 2], strict=True))
    if any(width <= 0 or height <= 0 for width, height in anchors):
        raise section.error("every anchor must be larger than 0", "anchors")
    if any(not 0 <= number < count for number in mask) or len(mask) > count:
        raise section.error(
            f"mask={section.text('mask', '')[:40]} names anchors that are not among the {count}", "mask"
        )
    return anchors, mask


READERS: dict[str, Callable[[Section, Growing], Layer]] = {
    "convolutional": _convolutional,
    "conv": _convolutional,
    "maxpool": _maxpool,
    "max": _maxpool,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "dropout": _dropout,
    "avgpool": _avgpool,
    "avg": _avgpool,
    "scale_channels": _scale_channels,
    "reorg": _reorg,
    "yolo": _yolo,
    "region": _region,
}
