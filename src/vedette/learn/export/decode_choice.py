"""Which decode kind an ONNX detector's outputs are: found from their shapes and the number of classes, or asked for.

Kinds are `contracts.bundle.Decode`; docs/reference/decode-kinds.md shows which program writes which. A choice is made
only where the shapes allow one; else the error lists every candidate with the flags that pick it. Form and units of a
box cannot be seen in a shape: they are the custom of each layout unless asked for, and `plausible` judges them by the
values. Pure: nothing is opened or run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, TypeAlias

from vedette.contracts.bundle import (
    BoxForm,
    BoxLayout,
    BoxUnits,
    DarknetDecode,
    DarknetHeads,
    DecodedBoxes,
    ScoreForm,
    YoloHead,
)
from vedette.learn.darknet.plan import NetworkPlan, decode_spec
from vedette.learn.export.errors import OnnxError

BoxKind: TypeAlias = Literal["boxes_scores", "boxes_objectness_scores", "boxes_score_class"]
BOX_KINDS: tuple[BoxKind, ...] = ("boxes_scores", "boxes_objectness_scores", "boxes_score_class")
CONTENT = {
    "boxes_scores": "4 + classes",
    "boxes_objectness_scores": "5 + classes",
    "boxes_score_class": "6",
}

Shapes = Mapping[str, tuple[int, ...]]  # every output as it came out, the batch included


@dataclass(frozen=True, slots=True)
class DecodeWish:
    """What was asked for; `None` (and no output) where it is left to the shapes and to custom."""

    kind: BoxKind | None = None
    outputs: tuple[str, ...] = ()
    layout: BoxLayout | None = None
    box_form: BoxForm | None = None
    box_units: BoxUnits | None = None
    score_form: ScoreForm = ScoreForm.PROBABILITIES
    needs_nms: bool | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    kind: BoxKind
    outputs: tuple[str, ...]
    layout: BoxLayout
    box_rank: int

    @property
    def flags(self) -> str:
        named = " ".join(f"--output-name {name}" for name in self.outputs)
        return f"--decode {self.kind} {named} --box-layout {self.layout.value}"


def choose_boxes(shapes: Shapes, classes: int, wish: DecodeWish, source: str) -> DecodedBoxes:
    """The one decode that the shapes and the wish allow.

    Raises:
        OnnxError: there is none or more than one, an output is not there, or nothing says what a box's numbers mean.
    """
    require_outputs(shapes, wish.outputs, source)
    found = [
        candidate
        for candidate in _candidates(shapes, classes, wish)
        if wish.kind in {None, candidate.kind} and wish.layout in {None, candidate.layout}
    ]
    if not found:
        raise OnnxError(f"{source}: {_why_none(shapes, classes, wish)}")
    if len(found) > 1:
        listed = "; or ".join(candidate.flags for candidate in found)
        raise OnnxError(f"{source}: its outputs ({describe(shapes)}) may be read in more than one way; give {listed}")
    (chosen,) = found
    form, units = _meaning(chosen, wish, source)
    return DecodedBoxes(
        kind=chosen.kind,
        outputs=chosen.outputs,
        classes=classes,
        layout=chosen.layout,
        box_form=form,
        box_units=units,
        score_form=wish.score_form,
        needs_nms=chosen.kind != "boxes_score_class" if wish.needs_nms is None else wish.needs_nms,
    )


def choose_heads(shapes: Shapes, plan: NetworkPlan, outputs: tuple[str, ...], source: str) -> DarknetDecode:
    """The decode of raw Darknet heads: each head of the cfg finds the output of its shape, in order.

    Raises:
        OnnxError: an output is not there, or a head has none.
    """
    require_outputs(shapes, outputs, source)
    left = {name: shapes[name] for name in outputs or shapes}
    names = []
    for head in plan.heads:
        wanted = (head.channels, head.grid_height, head.grid_width)
        name = next((name for name, shape in left.items() if shape[1:] == wanted), None)
        if name is None:
            raise OnnxError(
                f"{source}: no output is the raw head (batch, {', '.join(map(str, wanted))}) of {plan.source}; "
                f"it has {describe(shapes)}"
            )
        names.append(name)
        del left[name]
    spec = decode_spec(plan)
    if not isinstance(spec, DarknetHeads):
        return spec.model_copy(update={"heads": (spec.heads[0].model_copy(update={"output": names[0]}),)})
    heads: tuple[YoloHead, ...] = tuple(
        head.model_copy(update={"output": name}) for head, name in zip(spec.heads, names, strict=True)
    )
    return spec.model_copy(update={"heads": heads})


def describe(shapes: Shapes) -> str:
    """`output0 (1, 84, 8400), ...` for messages."""
    listed = [f"{name} {shape}" for name, shape in list(shapes.items())[:8]]
    return ", ".join(listed) + (f" and {len(shapes) - 8} more" if len(shapes) > 8 else "")


def require_outputs(shapes: Shapes, outputs: tuple[str, ...], source: str) -> None:
    """Refuse the name of an output that is not there.

    Raises:
        OnnxError: lists those that are.
    """
    absent = [name for name in outputs if name not in shapes]
    if absent:
        raise OnnxError(f"{source}: it has no output {', '.join(map(repr, absent))}; it has {describe(shapes)}")


def _candidates(shapes: Shapes, classes: int, wish: DecodeWish) -> list[_Candidate]:
    """Every reading that the shapes allow: one output with everything, or boxes and the rest in two."""
    named = wish.outputs or tuple(shapes)
    ones = [(name,) for name in named] if len(wish.outputs) != 2 else []
    twos = list(permutations(named, 2)) if not wish.outputs else [wish.outputs] if len(wish.outputs) == 2 else []
    found = []
    for kind in BOX_KINDS:
        values = {"boxes_scores": 4 + classes, "boxes_objectness_scores": 5 + classes, "boxes_score_class": 6}[kind]
        for layout in BoxLayout:
            found += [_Candidate(kind, (name,), layout, 3) for (name,) in ones if _holds(shapes[name], layout, values)]
            for boxes, rest in twos:
                count = _count(shapes[boxes], layout, 4)
                if kind != "boxes_score_class" and count and count == _count(shapes[rest], layout, values - 4):
                    found.append(_Candidate(kind, (boxes, rest), layout, len(shapes[boxes])))
    return found


def _holds(shape: tuple[int, ...], layout: BoxLayout, values: int) -> bool:
    return len(shape) == 3 and _count(shape, layout, values) is not None


def _count(shape: tuple[int, ...], layout: BoxLayout, values: int) -> int | None:
    """How many boxes of so many values an output holds; `None` when it holds something else."""
    if len(shape) == 4 and shape[2] == 1 and layout is BoxLayout.ROWS and values == 4:
        shape = (shape[0], shape[1], shape[3])
    if len(shape) != 3:
        return None
    width, count = (shape[2], shape[1]) if layout is BoxLayout.ROWS else (shape[1], shape[2])
    return count if width == values else None


def _meaning(chosen: _Candidate, wish: DecodeWish, source: str) -> tuple[BoxForm, BoxUnits]:
    """Form and units: as asked, else as is the custom of this layout."""
    if chosen.kind == "boxes_score_class":
        custom = (BoxForm.XYXY, BoxUnits.PIXELS)  # YOLOv10, and exports with suppression inside
    elif len(chosen.outputs) == 1:
        custom = (BoxForm.CXCYWH, BoxUnits.PIXELS)  # YOLOv5 and later
    elif chosen.box_rank == 4:
        custom = (BoxForm.XYXY, BoxUnits.NORMALISED)  # (batch, boxes, 1, 4): YOLOv4 from PyTorch
    elif wish.box_form is not None and wish.box_units is not None:
        custom = (wish.box_form, wish.box_units)
    else:
        raise OnnxError(
            f"{source}: outputs {' and '.join(chosen.outputs)} are boxes and scores, but no custom says how the boxes "
            "are written; give --box-form cxcywh|xyxy and --box-units pixels|normalised"
        )
    return wish.box_form or custom[0], wish.box_units or custom[1]


def _why_none(shapes: Shapes, classes: int, wish: DecodeWish) -> str:
    kinds = BOX_KINDS if wish.kind is None else (wish.kind,)
    wanted = "; ".join(f"{kind} has {CONTENT[kind]} values a box" for kind in kinds)
    considered = {name: shapes[name] for name in wish.outputs or shapes}
    hints = [
        f"{name} would be {' or '.join(ways)}" for name, shape in considered.items() if (ways := _other_counts(shape))
    ]
    if wish.kind is None and all(len(shape) == 4 and shape[1] % (5 + classes) == 0 for shape in considered.values()):
        hints.append("these look like raw Darknet heads: give the cfg they belong to with --cfg")
    asked = f"{wish.kind or 'any decode kind'}{'' if wish.layout is None else f' in {wish.layout.value}'}"
    return (
        f"with {classes} classes no output is of {asked}: it has {describe(considered)} ({wanted})"
        f"{'; ' if hints else ''}{'; '.join(hints)}"
    )


def _other_counts(shape: tuple[int, ...]) -> list[str]:
    """What an output could be with another number of classes; the shorter side is taken for the values of a box."""
    if len(shape) != 3 or min(shape[1:]) <= 5:
        return []
    values = min(shape[1:])
    return [f"boxes_scores with {values - 4} classes", f"boxes_objectness_scores with {values - 5}"]
