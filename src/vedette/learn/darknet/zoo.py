"""Writes the .cfg of a published family for other classes, input sizes and anchors.

The text is one that Darknet, OpenCV and `cfg` read; at 80 classes and 416x416 its network is the published one, layer
by layer. Training options in [net] follow AlexeyAB's rules for custom data (max_batches = 2000 for each class, steps
at 80 and 90 per cent), so that the same file can be trained by Darknet. Source: AlexeyAB/darknet cfg/yolov3-tiny.cfg,
cfg/yolov3.cfg; Redmon and Farhadi, YOLOv3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from vedette.learn.darknet.errors import FamilyError
from vedette.learn.darknet.sections import MAX_CLASSES, MAX_INPUT_SIDE

STRIDE = 32  # the largest stride of both families: input sides are multiples of it
ANCHOR_SIDE = 416  # the input side that the published anchors were fitted at
BATCHES_PER_CLASS = 2000
LEAST_BATCHES = 6000

Anchors = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Family:
    """A published architecture: its anchors at 416, and how its layers are written."""

    name: str
    anchors: tuple[tuple[float, float], ...]
    layers: Callable[["_Heads"], list[str]]


def make_cfg(family: str, classes: int, width: int, height: int, anchors: Anchors | None = None) -> str:
    """The .cfg of a family.

    Args:
        width, height: of the network's input, multiples of 32; they may differ.
        anchors: (width, height) pairs in network-input pixels, smallest first, as many as the family has; without
            them the published ones, scaled from 416x416 to this input.

    Raises:
        FamilyError: an unknown family, or numbers that it cannot have.
    """
    known = FAMILIES.get(family)
    if known is None:
        raise FamilyError(f"no family '{family}' to write a cfg for; there are {', '.join(FAMILIES)}")
    if not 1 <= classes <= MAX_CLASSES:
        raise FamilyError(f"{classes} classes: a detector has between 1 and {MAX_CLASSES}")
    for name, side in (("width", width), ("height", height)):
        if side % STRIDE or not STRIDE <= side <= MAX_INPUT_SIDE:
            raise FamilyError(
                f"an input {name} of {side}: {family} needs a multiple of {STRIDE}, {STRIDE} to {MAX_INPUT_SIDE}"
            )
    if anchors is None:
        anchors = [(w * width / ANCHOR_SIDE, h * height / ANCHOR_SIDE) for w, h in known.anchors]
    if len(anchors) != len(known.anchors):
        raise FamilyError(f"{family} has {len(known.anchors)} anchors, not {len(anchors)}")
    if any(not 0 < side < float("inf") for anchor in anchors for side in anchor):
        raise FamilyError("an anchor's width and height must be positive numbers")
    blocks = [_net(classes, width, height), *known.layers(_Heads(classes, tuple(anchors)))]
    return "\n".join(blocks)


def _net(classes: int, width: int, height: int) -> str:
    batches = max(BATCHES_PER_CLASS * classes, LEAST_BATCHES)
    return _section(
        "net",
        batch=64,
        subdivisions=16,
        width=width,
        height=height,
        channels=3,
        momentum=0.9,
        decay=0.0005,
        angle=0,
        saturation=1.5,
        exposure=1.5,
        hue=0.1,
        learning_rate=0.001,
        burn_in=1000,
        max_batches=batches,
        policy="steps",
        steps=f"{batches * 8 // 10},{batches * 9 // 10}",
        scales="0.1,0.1",
    )


def _section(name: str, **options: object) -> str:
    return "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in options.items())])


def _convolution(filters: int, size: int, stride: int = 1) -> str:
    return _section(
        "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation="leaky"
    )


def _maxpool(stride: int = 2) -> str:
    return _section("maxpool", size=2, stride=stride)


def _residual(filters: int) -> list[str]:
    block = [_convolution(filters // 2, 1), _convolution(filters, 3)]
    return [*block, _section("shortcut", **{"from": -3, "activation": "linear"})]


@dataclass(frozen=True, slots=True)
class _Heads:
    """What all heads of one network share."""

    classes: int
    anchors: tuple[tuple[float, float], ...]

    def head(self, first_anchor: int) -> list[str]:
        """The last convolution and the [yolo] for three anchors."""
        convolution = _section(
            "convolutional", size=1, stride=1, pad=1, filters=3 * (5 + self.classes), activation="linear"
        )
        yolo = _section(
            "yolo",
            mask=",".join(str(first_anchor + number) for number in range(3)),
            anchors=", ".join(f"{_decimal(w)},{_decimal(h)}" for w, h in self.anchors),
            classes=self.classes,
            num=len(self.anchors),
            jitter=0.3,
            ignore_thresh=0.7,
            truth_thresh=1,
            random=1,
        )
        return [convolution, yolo]


def _decimal(value: float) -> str:
    """At most two decimals and no exponent: hank-ai's parser takes digits and dots only."""
    return f"{max(value, 0.01):.2f}".rstrip("0").rstrip(".")


def _yolov3_tiny(heads: _Heads) -> list[str]:
    blocks: list[str] = []
    for filters in (16, 32, 64, 128, 256):
        blocks += [_convolution(filters, 3), _maxpool()]
    blocks += [_convolution(512, 3), _maxpool(stride=1)]
    blocks += [_convolution(1024, 3), _convolution(256, 1), _convolution(512, 3), *heads.head(3)]
    blocks += [_section("route", layers=-4), _convolution(128, 1), _section("upsample", stride=2)]
    return [*blocks, _section("route", layers="-1,8"), _convolution(256, 3), *heads.head(0)]


def _yolov3(heads: _Heads) -> list[str]:
    blocks = [_convolution(32, 3)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):  # Darknet-53
        blocks += [_convolution(filters, 3, stride=2), *(_residual(filters) * repeats)]
    blocks += [*([_convolution(512, 1), _convolution(1024, 3)] * 3), *heads.head(6)]
    for filters, joined_layer, first_anchor in ((256, 61, 3), (128, 36, 0)):
        blocks += [_section("route", layers=-4), _convolution(filters, 1), _section("upsample", stride=2)]
        blocks.append(_section("route", layers=f"-1,{joined_layer}"))
        blocks += [*([_convolution(filters, 1), _convolution(2 * filters, 3)] * 3), *heads.head(first_anchor)]
    return blocks


_TINY_ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0), (81.0, 82.0), (135.0, 169.0), (344.0, 319.0))
_V3_ANCHORS = (
    *((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    *((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    *((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)

FAMILIES = MappingProxyType(
    {
        "yolov3-tiny": Family("yolov3-tiny", _TINY_ANCHORS, _yolov3_tiny),
        "yolov3": Family("yolov3", _V3_ANCHORS, _yolov3),
    }
)
