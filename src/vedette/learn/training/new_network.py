"""The network that a run trains: its cfg (written for a family, or the user's own), and the weights it starts from.

A family's cfg gets anchors fitted to the data and `scale_x_y`, which Darknet, OpenCV and Vedette honour when
decoding. Weights load as far as they go: whole, as a backbone, or, when they are the same network's with other
classes, up to the first head.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.learn.darknet.anchors import fit_anchors
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import CfgError, FamilyError, WeightsError
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import DarknetWeights, read_weights
from vedette.learn.darknet.zoo import FAMILIES, make_cfg
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.settings import TrainSettings

FAMILY_SIZE_PX = (416, 416)
HEADER_BYTES, FLOAT_BYTES = 20, 4


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of the network before the data has been read: its size, and its cfg if the user gave one."""

    size_px: tuple[int, int]
    letter_box: bool
    cfg_text: str | None


def draft_network(settings: TrainSettings, class_count: int) -> Draft:
    """Read the cfg, or know the family.

    Raises:
        InputError: no such family or cfg, or a cfg for another number of classes.
    """
    if settings.model in FAMILIES:
        return Draft(settings.size_px or FAMILY_SIZE_PX, False, None)
    path = Path(settings.model)
    if not path.is_file():
        raise SettingsError(f"--model {settings.model} is neither a cfg file nor one of {', '.join(FAMILIES)}")
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise CfgError(f"{path}: cannot be read: {error.strerror or error}") from error
    if settings.size_px is not None:
        text = _with_size(text, settings.size_px)
    plan = plan_network(parse_cfg(text, str(path)))
    if settings.size_px not in (None, (plan.input_width, plan.input_height)):
        raise CfgError(f"{path}: [net] has no width and height to set to {settings.size_px}")
    if plan.class_count != class_count:
        filters = len(plan.heads[0].anchors) * (5 + class_count)
        raise CfgError(
            f"{path} is for {plan.class_count} classes, the data has {class_count}; set classes={class_count} in its "
            f"heads and filters={filters} in the [convolutional] before each, or write another cfg with: "
            f"vedette model new yolov3-tiny --classes {class_count} --size {plan.input_width}x{plan.input_height} "
            "--out model.cfg"
        )
    return Draft((plan.input_width, plan.input_height), plan.letter_box, text)


def finish_cfg(
    draft: Draft, settings: TrainSettings, class_count: int, sizes_wh_px: NDArray[np.float32]
) -> tuple[str, str]:
    """The cfg's text, and a line for the person who waits."""
    if draft.cfg_text is not None:
        return draft.cfg_text, f"network {settings.model} at {draft.size_px[0]}x{draft.size_px[1]}"
    count = len(FAMILIES[settings.model].anchors)
    try:
        fitted = fit_anchors(sizes_wh_px, count)
        anchors: list[tuple[float, float]] | None = [(float(w), float(h)) for w, h in fitted]
        about = "anchors fitted to the data"
    except FamilyError as error:
        anchors, about = None, f"the family's own anchors ({error})"
    text = make_cfg(settings.model, class_count, *draft.size_px, anchors)
    scale = settings.recipe.scale_x_y
    text = text.replace("[yolo]\n", f"[yolo]\nscale_x_y={scale:g}\n") if scale != 1.0 else text
    return text, f"network {settings.model} at {draft.size_px[0]}x{draft.size_px[1]}, {about}"


def read_starting_weights(path: Path, plan: NetworkPlan) -> tuple[DarknetWeights, str]:
    """Weights as far as they go, and how far that is, in words.

    Raises:
        WeightsError: missing, damaged, or of a network that has nothing in common with this one.
    """
    total = len(plan.layers)
    try:
        weights = read_weights(path, plan, partial=True)
    except WeightsError as error:
        classes = _other_classes(path, plan)
        if classes is None:
            raise
        first_head = min(head.source_index for head in plan.heads)
        try:
            weights = _read_until(path, plan, first_head)
        except WeightsError:
            raise error from None
        why = f"they were trained for {classes} classes"
        return weights, f"{path.name}: loaded layers 0 to {first_head - 1} of {total}; {why}"
    if weights.layers_loaded == total:
        return weights, f"{path.name}: loaded all {total} layers"
    return weights, f"{path.name}: loaded layers 0 to {weights.layers_loaded - 1} of {total}; the rest starts at random"


def _other_classes(path: Path, plan: NetworkPlan) -> int | None:
    """The number of classes with which this network would need a file of just this size."""
    floats, rest = divmod(path.stat().st_size - HEADER_BYTES, FLOAT_BYTES) if path.is_file() else (0, 1)
    by_index = {layer.index: layer for layer in plan.convolutions}
    if rest or any(head.source_index not in by_index for head in plan.heads):
        return None
    per_class = 0
    for head in plan.heads:
        layer = by_index[head.source_index]
        per_class += layer.params // layer.filters * len(head.anchors)
    more, odd = divmod(floats - plan.params, per_class)
    classes = plan.class_count + more
    return classes if not odd and classes > 0 else None


def _read_until(path: Path, plan: NetworkPlan, layer_index: int) -> DarknetWeights:
    """The layers before `layer_index`, from a file that goes on with something else."""
    wanted = HEADER_BYTES + FLOAT_BYTES * sum(layer.params for layer in plan.layers[:layer_index])
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder, path.open("rb") as file:
        beginning = Path(folder) / path.name
        beginning.write_bytes(file.read(wanted))
        return read_weights(beginning, plan, partial=True)


def _with_size(text: str, size_px: tuple[int, int]) -> str:
    """The cfg with another input size in [net]; the first of equal keys counts."""
    for key, value in zip(("width", "height"), size_px, strict=True):
        text = re.sub(rf"(?m)^([ \t]*{key}[ \t]*=).*$", rf"\g<1>{value}", text, count=1)
    return text
