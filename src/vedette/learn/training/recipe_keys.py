"""Every hyper-parameter that a recipe has: its kind, its range, and what it means, for files, messages and pages.

Names of the Darknet recipe are Darknet's. A key of Vedette's own recipe without a row here is a number without limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

LARGEST = 1e300  # of any number; what is no number is not within it either

FLOAT_MAX = 3.4028234663852886e38
MANY = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """One hyper-parameter; `choices` for words, `low` and `high` for numbers and the items of lists."""

    meaning: str
    kind: type = float
    low: float = 0.0
    high: float = FLOAT_MAX
    choices: tuple[str, ...] = ()
    whole: bool = False  # of a list's items

    @property
    def allowed(self) -> str:
        """In words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is bool:
            return "true or false"
        number = "whole numbers" if self.kind is tuple and self.whole else "numbers"
        number = number if self.kind is tuple else ("a whole number" if self.kind is int else "a number")
        if self.high >= MANY:
            return f"{number} of at least {self.low:g}" if self.low > -MANY else number
        return f"{number} between {self.low:g} and {self.high:g}"


def check_value(key: Key, value: Any) -> tuple[str | None, Any]:
    """What is wrong with a value, or None; and the value as the key's kind."""
    wrong = f"is not {key.allowed}"
    if key.kind is str:
        return (None if value in key.choices else wrong), value
    if key.kind is bool:
        is_switch = isinstance(value, bool) or value in (0, 1)
        return (None, bool(value)) if is_switch else (wrong, value)
    if key.kind is tuple:
        if not isinstance(value, list | tuple):
            value = [value]
        items = [check_value(Key("", int if key.whole else float, key.low, key.high), item) for item in value]
        bad = any(problem for problem, _ in items)
        return (f"is not a list of {key.allowed}" if bad else None), value if bad else tuple(item for _, item in items)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return wrong, value
    if (key.kind is int and not float(value).is_integer()) or not key.low <= value <= key.high:
        return wrong, value
    return None, (int(value) if key.kind is int else float(value))


_POLICIES = ("constant", "step", "steps", "exp", "poly", "sig", "random", "sgdr")
_OVERLAPS = ("mse", "iou", "giou", "diou", "ciou")

NET_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "batch": Key("pictures in a step", int, 1, 65_536),
        "subdivisions": Key("parts that a step's pictures are computed in, one after another", int, 1, 65_536),
        "max_batches": Key(
            "steps in the run; 0: the run's length is given with --epochs or --time-budget", int, 0, MANY
        ),
        "learning_rate": Key("of the sum over a batch's pictures divided by their number", float, 0, 1000),
        "momentum": Key("share of the last step that is taken again", float, 0, 0.9999),
        "decay": Key("of kernels, for each unit of learning rate", float, 0, 1),
        "burn_in": Key("steps until the learning rate is reached", int, 0, MANY),
        "power": Key("of the way through burn_in, and of policy poly and random", float, -100, 100),
        "policy": Key("how the learning rate goes on after burn_in", str, choices=_POLICIES),
        "steps": Key("policy steps: where the rate changes", tuple, -1, MANY, whole=True),
        "scales": Key("policy steps: what it is multiplied with there", tuple, 0, 1e6),
        "step": Key("policy step and sig: every so many steps; the middle", int, 1, MANY),
        "scale": Key("policy step: what the rate is multiplied with", float, 0, 1e6),
        "gamma": Key("policy exp and sig: per step", float, -1000, 1000),
        "learning_rate_min": Key("policy sgdr: the lowest rate", float, 0, 1000),
        "sgdr_cycle": Key("policy sgdr: steps in the first cycle; 0: max_batches", int, 0, MANY),
        "sgdr_mult": Key("policy sgdr: each cycle is so many times as long", int, 1, 1000),
        "saturation": Key("times up to this, or divided by it", float, 0.01, 100),
        "exposure": Key("times up to this, or divided by it", float, 0.01, 100),
        "hue": Key("turned by up to this share of a full turn", float, 0, 1),
        "flip": Key("left and right exchanged in half of the pictures", bool),
        "blur": Key(
            "0: none; 1: the background, else this kernel for all, in a third of the pictures each", int, 0, 1000
        ),
        "gaussian_noise": Key("deviation of noise added to half of the pictures, of 255", int, 0, 127),
        "mosaic": Key("four pictures in one, in half of the pictures", bool),
        "mosaic_bound": Key("boxes of a mosaic end at its seams", bool),
        "jitter": Key("of the last [yolo]: each border is moved by up to this share of the side", float, 0, 0.49),
        "resize": Key("of the last [yolo]: zoom by up to this factor, either way; below 1 only out", float, 0.1, 10),
        "random": Key(
            "of the last [yolo]: 0: one input size; 1: within 1.4 times, other: within that factor", float, 0, 10
        ),
        "resize_step": Key("pixels that those sizes are multiples of", int, 32, 4096),
    }
)
YOLO_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "ignore_thresh": Key("a cell that overlaps an object better is not told 'nothing here'", float, -1, 10),
        "truth_thresh": Key("a cell that overlaps an object better answers for it; 1: none", float, -1, 10),
        "iou_thresh": Key("an anchor more alike an object's shape answers too; 1: the best alone", float, -1, 10),
        "iou_thresh_kind": Key("how alike shapes are measured for that", str, choices=_OVERLAPS),
        "iou_loss": Key("what boxes are pulled along", str, choices=_OVERLAPS),
        "iou_normalizer": Key("weight of boxes", float, 0, 1000),
        "obj_normalizer": Key("weight of objectness", float, 0, 1000),
        "cls_normalizer": Key("weight of an object's own class; counts with counters_per_class only", float, 0, 1000),
        "max_delta": Key("the hardest pull on a box's number, and the largest weight of a class", float, 0, FLOAT_MAX),
        "objectness_smooth": Key("objectness is taught the overlap", bool),
        "label_smooth_eps": Key("how far class targets stay off 0 and 1", float, 0, 1),
        "focal_loss": Key("sure answers pull less on classes", bool),
        "counters_per_class": Key("objects of each class, to weigh them by", tuple, 0, MANY, whole=True),
    }
)
REGION_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "thresh": Key("a cell that overlaps an object better is not told 'nothing here'", float, -1, 10),
        "coord_scale": Key("weight of boxes", float, 0, 1000),
        "object_scale": Key("weight of objectness where an object is", float, 0, 1000),
        "noobject_scale": Key("weight of objectness where none is", float, 0, 1000),
        "class_scale": Key("weight of classes", float, 0, 1000),
        "rescore": Key("objectness is taught the overlap", bool),
        "bias_match": Key("the anchor most like an object's shape answers, not the box at present", bool),
        "focal_loss": Key("sure answers pull less on classes", bool),
    }
)

VEDETTE_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "learning_rate": Key("of AdamW, at its highest", float, 0, 10),
        "weight_decay": Key("of AdamW, on kernels: neither biases nor batch norm", float, 0, 10),
        "momentum": Key("of AdamW: its first beta", float, 0, 0.9999),
        "second_momentum": Key("of AdamW: its second beta", float, 0, 0.99999),
        "warm_up_steps": Key("steps until the learning rate is reached; at most a fifth of the run", int, 0, MANY),
        "largest_gradient": Key("norm that gradients are shortened to", float, 1e-6, FLOAT_MAX),
        "whole_pictures": Key("the last part of the run, without mosaic; a share", float, 0, 1),
        "scale_x_y": Key(
            "of the cfg that is written for a family: how far a box's centre may leave its cell", float, 1, 3
        ),
        "augment.mosaic": Key("chance of four pictures in one", float, 0, 1),
        "augment.zoom": Key("sizes between 1 - zoom and 1 + zoom", float, 0, 0.95),
        "augment.stretch": Key("width against height: times e^-stretch to e^stretch", float, 0, 2),
        "augment.shift": Key("either way, in parts of a side", float, 0, 1),
        "augment.flip": Key("chance of left and right exchanged", float, 0, 1),
        "augment.hue": Key("either way, in full turns", float, 0, 0.5),
        "augment.saturation": Key("times 1 - saturation to 1 + saturation", float, 0, 1),
        "augment.brightness": Key("times 1 - brightness to 1 + brightness", float, 0, 1),
        "augment.least_visible": Key("an object of which less is left is ignored, not learnt; a share", float, 0, 1),
        "augment.balance": Key("pictures with rare classes fill mosaics more often: rarity to this power", float, 0, 5),
        "augment.sizes": Key(
            "each batch at an input size between 1 - sizes and 1 + sizes times the run's", float, 0, 0.9
        ),
        "loss.box_weight": Key("of CIoU in the loss", float, 0, 1e6),
        "loss.objectness_weight": Key("of objectness in the loss", float, 0, 1e6),
        "loss.class_weight": Key("of classes in the loss", float, 0, 1e6),
        "loss.shape_ratio": Key(
            "an anchor answers for objects so many times larger or smaller, each way", float, 1, 1000
        ),
        "loss.ignore_iou": Key("a cell that overlaps an object better is not told 'nothing here'", float, 0, 1),
        "loss.largest_k": Key("cells for one object, at most", int, 1, 1000),
        "loss.least_k": Key("cells for one object, at least", int, 1, 1000),
        "loss.quality": Key("objectness is taught the overlap (1), plainly yes (0), or between", float, 0, 1),
        "loss.focus": Key("power of the error that objectness is weighted with; 0: plain cross entropy", float, 0, 5),
        "loss.label_smoothing": Key("how far class targets stay off 0 and 1", float, 0, 0.9),
    }
)
