"""What a .cfg means: its layers with absolute inputs and shapes, its heads, its size in parameters and operations.

A cfg that asks for absurd amounts is refused here, by arithmetic, with its line, before anybody allocates a byte.
How one section becomes one layer is the matter of `sections`; building the layers that of `network` (torch) and of
`learn.export.onnx`.
"""

from dataclasses import dataclass

from vedette.contracts.bundle import DarknetDecode, DarknetHeads, DarknetRegionHead, NmsKind, RegionHead, YoloHead
from vedette.learn.darknet.cfg import Cfg, Section
from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.layers import ConvolutionalLayer, DarknetNms, HeadLayer, HeadPlan, Layer, Shape
from vedette.learn.darknet.sections import MAX_INPUT_SIDE, READERS, Growing

MAX_PARAMS = 500_000_000  # 2 GB of float32, protobuf's and so ONNX's limit; the largest published net has 127 million
MAX_LAYER_ELEMENTS = 1 << 28  # of one picture's output: 1 GiB of float32; the largest published net has 52 million
MAX_ELEMENTS = 1 << 31  # of all outputs together, which Darknet allocates: 8 GiB; the largest published net has 0.9e9


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network at one input size: everything about it but its weights."""

    source: str
    input_width: int
    input_height: int
    input_channels: int
    layers: tuple[Layer, ...]
    letter_box: bool

    @property
    def heads(self) -> tuple[HeadPlan, ...]:
        """The [yolo] or [region] layers in the order of the cfg: outputs head_0, head_1, ..."""
        return tuple(layer.head for layer in self.layers if isinstance(layer, HeadLayer))

    @property
    def convolutions(self) -> tuple[ConvolutionalLayer, ...]:
        """The layers that have weights, in the order of the file."""
        return tuple(layer for layer in self.layers if isinstance(layer, ConvolutionalLayer))

    @property
    def params(self) -> int:
        """float32 values in a .weights file."""
        return sum(layer.params for layer in self.layers)

    @property
    def bflops(self) -> float:
        """10^9 additions and multiplications for one picture, of convolutions only, as Darknet's authors quote it."""
        return sum(layer.operations for layer in self.layers) / 1e9

    @property
    def class_count(self) -> int:
        return self.heads[0].classes


def plan_network(cfg: Cfg, width: int | None = None, height: int | None = None) -> NetworkPlan:
    """Work out every layer of a cfg, at its own input size or at another.

    Raises:
        CfgError: a layer or option is not supported, refers to a layer that is not there or not yet there, does not
            fit its inputs, or exceeds what a network may hold; file and line are named.
    """
    net = cfg.net
    for key in ("width", "height", "channels"):
        net.integer(key, 0, minimum=1, maximum=MAX_INPUT_SIDE)
    growing = Growing(
        Shape(net.integer("channels", 0), _side(net, "height", height), _side(net, "width", width)),
    )
    params = elements = 0
    for section in cfg.layers:
        reader = READERS.get(section.name)
        if reader is None:
            known = ", ".join(f"[{name}]" for name in sorted(READERS))
            raise section.error(f"this kind of layer is not supported; supported are {known}")
        layer = reader(section, growing)
        params += layer.params
        elements += layer.shape.elements
        _check_size(section, layer, params, elements)
        growing.layers.append(layer)
    shape = growing.input
    plan = NetworkPlan(
        cfg.source, shape.width, shape.height, shape.channels, tuple(growing.layers), net.integer("letter_box", 0) != 0
    )
    _check_heads(cfg, plan)
    return plan


def nms_kind_of(plan: NetworkPlan) -> NmsKind:
    """The suppression that the cfg asks for: DIoU for `greedynms` and `diounms`, which differ only in `beta_nms`.

    Source: facts of AlexeyAB/darknet box.c, `diounms_sort`; `beta_nms` is 0.6 in every published cfg, and here.
    """
    return NmsKind.IOU if plan.heads[0].nms_kind is DarknetNms.DEFAULT else NmsKind.DIOU


def decode_spec(plan: NetworkPlan) -> DarknetDecode:
    """How to decode the heads, as a bundle's manifest holds it; outputs are named head_0, head_1, ... in cfg order."""
    if plan.heads[0].softmax:
        (head,) = plan.heads
        return DarknetRegionHead(
            heads=(
                RegionHead(
                    output="head_0", grid_width=head.grid_width, grid_height=head.grid_height, anchors=head.anchors
                ),
            )
        )
    return DarknetHeads(
        heads=tuple(
            YoloHead(
                output=f"head_{number}",
                grid_width=head.grid_width,
                grid_height=head.grid_height,
                anchors=head.anchors,
                scale_x_y=head.scale_x_y,
                new_coords=head.new_coords,
            )
            for number, head in enumerate(plan.heads)
        )
    )


def _side(net: Section, key: str, wanted: int | None) -> int:
    side = net.integer(key, 0) if wanted is None else wanted
    if not 1 <= side <= MAX_INPUT_SIDE:
        raise CfgError(f"{net.source}: an input {key} of {side} must lie between 1 and {MAX_INPUT_SIDE}")
    return side


def _check_size(section: Section, layer: Layer, params: int, elements: int) -> None:
    if layer.shape.height < 1 or layer.shape.width < 1:
        raise section.error(f"nothing is left of the picture here ({layer.shape}); the input is too small for this net")
    if layer.shape.elements > MAX_LAYER_ELEMENTS:
        raise section.error(f"its output {layer.shape} has {layer.shape.elements} values; at most {MAX_LAYER_ELEMENTS}")
    if elements > MAX_ELEMENTS:
        raise section.error(
            f"the layers' outputs have {elements} values up to here; at most {MAX_ELEMENTS} are supported"
        )
    if params > MAX_PARAMS:
        raise section.error(f"the network has {params} parameters up to here; at most {MAX_PARAMS} are supported")


def _check_heads(cfg: Cfg, plan: NetworkPlan) -> None:
    heads = [section for section in cfg.layers if section.name in {"yolo", "region"}]
    if not heads:
        raise CfgError(
            f"{cfg.source}: there is no [yolo] or [region] layer; this cfg is no detector that can be used here"
        )
    if len(heads) > 1 and any(head.softmax for head in plan.heads):
        raise heads[1].error("a [region] must be the only head of its cfg")
    for section, head in zip(heads, plan.heads, strict=True):
        if head.classes != plan.class_count:
            raise section.error(f"classes={head.classes}, but the first head has {plan.class_count}", "classes")
