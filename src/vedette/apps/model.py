"""`vedette model new` and `vedette model info`: write a cfg of a family, and say what a cfg (with weights) is.

Reads arguments and files, prints; what a network is stands in `vedette.learn.darknet`.
"""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.apps.whole_files import refuse_overwriting, write_whole
from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.learn.darknet.plan import NetworkPlan

MAX_NAMES_BYTES = 1 << 20
ANCHOR_SEED = 0


def new(
    family: Annotated[str, Parameter(help="yolov3-tiny or yolov3.")],
    *,
    classes: Annotated[str, Parameter(help="How many, or a file with one class name a line.")],
    out: Annotated[Path, Parameter(help="The .cfg to write.")],
    size: Annotated[str, Parameter(help="WIDTHxHEIGHT of the network's input, or one side: multiples of 32.")] = "416",
    anchors: Annotated[
        Literal["family", "auto"], Parameter(help="The family's, scaled; or fitted to --data.")
    ] = "family",
    data: Annotated[Path | None, Parameter(help="Labelled pictures to fit the anchors to.")] = None,
    json: Annotated[bool, Parameter(help="Print what was written as JSON.", negative="")] = False,
) -> None:
    """Write a Darknet cfg of a family (yolov3-tiny, yolov3) for your classes and input size.

    The file is one that Darknet, OpenCV and Vedette read. With `--anchors auto --data SOURCE` the anchors are k-means
    clusters (by IoU) of the boxes in SOURCE, taken as a picture stretched to the network's input shows them.
    """
    from vedette.apps.console import print_json, print_line
    from vedette.learn.darknet.cfg import parse_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.zoo import make_cfg

    if (anchors == "auto") != (data is not None):
        raise UsageError("--anchors auto and --data SOURCE go together: give both, or neither")
    refuse_overwriting(out, Path(classes), data)
    width, height = parse_size(size)
    count = count_classes(classes)
    make_cfg(family, count, width, height)  # refuses family, classes and size before the data is read
    fitted, fit = (None, None) if data is None else _fit_anchors(data, family, width, height)
    text = make_cfg(family, count, width, height, fitted)
    plan = plan_network(parse_cfg(text, str(out)))
    write_whole(out, text.encode())
    description = {"out": str(out), "family": family, **describe_plan(plan)}
    if fit is not None:
        description["anchor_fit"] = round(fit, 4)
    if json:
        print_json(description)
        return
    print_line(
        f"wrote {out}: {family}, {count} {'class' if count == 1 else 'classes'}, input {width}x{height}, "
        f"{plan.params} parameters, {plan.bflops:.3f} BFLOPs"
    )
    if fit is not None:
        print_line(f"anchors fitted to {data}: a box overlaps its best anchor by {fit:.3f} (IoU) in the mean")


def info(
    cfg: Annotated[Path, Parameter(help="A .cfg file.")],
    *,
    weights: Annotated[Path | None, Parameter(help="A .weights file: checked against the cfg, and described.")] = None,
    partial: Annotated[bool, Parameter(help="The weights may be those of the first layers only.", negative="")] = False,
    strict: Annotated[bool, Parameter(help="Refuse what the hank-ai fork of Darknet refuses.", negative="")] = False,
    json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False,
) -> None:
    """Say what a Darknet cfg is: layers, parameters, BFLOPs, heads; with weights, whether they fit, and fit FP16.

    BFLOPs are 10^9 additions and multiplications of the convolutions for one picture, as Darknet counts them. The
    shape of a head is (channels, grid height, grid width). With --strict a key that stands twice in a section, an
    unknown key or section, and a word where a number belongs are errors, each with its line.
    """
    from vedette.apps.console import print_json, print_line, print_table, warn
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import read_weights
    from vedette.learn.export.half_precision import half_precision_warnings

    if partial and weights is None:
        raise UsageError("--partial speaks about weights: give --weights too")
    parsed = read_cfg(cfg, strict)
    plan = plan_network(parsed)
    description = describe_plan(plan)
    warnings = list(parsed.warnings)
    if weights is not None:
        loaded = read_weights(weights, plan, partial)
        description["fp16"] = list(half_precision_warnings(plan, loaded))
        warnings += description["fp16"]
        description["weights"] = {
            "file": str(weights),
            "bytes": weights.stat().st_size,
            "version": f"{loaded.major}.{loaded.minor}.{loaded.revision}",
            "seen": loaded.seen,
            "layers_loaded": loaded.layers_loaded,
        }
    for warning in warnings:
        warn(f"vedette: {warning}")
    if json:
        print_json(description)
        return
    print_table(cfg.name, ["layer", "kind", "reads", "output", "parameters"], _layer_rows(plan))
    print_line(
        f"{len(plan.layers)} layers, {plan.params} parameters, {plan.bflops:.3f} BFLOPs, input "
        f"{plan.input_width}x{plan.input_height}x{plan.input_channels}, classes {plan.class_count}"
    )
    for head in description["heads"]:
        shown = ", ".join(f"{w:g}x{h:g}" for w, h in head["anchors"])
        print_line(f"head: stride {head['stride']}, shape {tuple(head['shape'])}, anchors {shown}")
    if weights is not None:
        found = description["weights"]
        print_line(
            f"weights: {weights}, version {found['version']}, {found['seen']} pictures seen, "
            f"{found['layers_loaded']} of {len(plan.layers)} layers loaded"
        )


def describe_plan(plan: "NetworkPlan") -> dict[str, Any]:
    """What `--json` prints of a network."""
    heads = [
        {
            "stride": head.stride,
            "anchors": [list(anchor) for anchor in head.anchors],
            "shape": [head.channels, head.grid_height, head.grid_width],
        }
        for head in plan.heads
    ]
    return {
        "layers": len(plan.layers),
        "params": plan.params,
        "bflops": round(plan.bflops, 3),
        "heads": heads,
        "classes": plan.class_count,
        "input": {"width": plan.input_width, "height": plan.input_height, "channels": plan.input_channels},
    }


def parse_size(text: str) -> tuple[int, int]:
    """`416` or `WIDTHxHEIGHT`.

    Raises:
        UsageError: neither.
    """
    match = re.fullmatch(r"([0-9]{1,6})(?:[xX]([0-9]{1,6}))?", text.strip())
    if match is None:
        raise UsageError(f"--size {text}: expected WIDTHxHEIGHT such as 416x416, or one side such as 416")
    width = int(match.group(1))
    return width, int(match.group(2) or width)


def count_classes(text: str) -> int:
    """A number of classes, or the number of names in a file.

    Raises:
        InputError: the file cannot be read, holds no name, or holds one twice.
    """
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    path = Path(text)
    try:
        if path.is_file() and path.stat().st_size > MAX_NAMES_BYTES:
            raise InputError(f"{path}: larger than {MAX_NAMES_BYTES >> 20} MiB; expected one class name a line")
        names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(
            f"--classes {text}: neither a number nor a readable file of class names ({error.strerror or error})"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; expected one class name a line") from error
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{path}: these class names stand there twice: {', '.join(twice[:5])}")
    if not names:
        raise InputError(f"{path}: no class name in it; expected one a line")
    return len(names)


def _fit_anchors(data: Path, family: str, width: int, height: int) -> "tuple[list[tuple[float, float]], float]":
    from vedette.learn.darknet.anchors import fit_anchors, mean_best_iou
    from vedette.learn.darknet.zoo import FAMILIES

    sizes = _box_sizes_px(data, width, height)
    anchors = fit_anchors(sizes, len(FAMILIES[family].anchors), ANCHOR_SEED)
    return [(float(w), float(h)) for w, h in anchors], mean_best_iou(sizes, anchors)


def _box_sizes_px(data: Path, width: int, height: int) -> "NDArray[np.float64]":
    """Widths and heights, (n, 2), of all usable boxes when their pictures are stretched to width x height."""
    import numpy as np

    from vedette.learn.data.pictures import read_picture
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.data.usable import usable_objects

    data_set = read_data_set(data)
    sizes = []
    for sample in data_set.samples:
        wide, high = sample.width_px, sample.height_px
        if sample.objects and (wide < 1 or high < 1):  # labels that do not say how large the picture is
            high, wide = read_picture(sample.picture).shape[:2]
        for labelled in usable_objects(sample, wide, high):
            x1, y1, x2, y2 = labelled.box_xyxy_px
            sizes.append(((x2 - x1) * width / wide, (y2 - y1) * height / high))
    if not sizes:
        raise InputError(f"{data}: no usable box in it to fit anchors to")
    return np.array(sizes, np.float64)


def _layer_rows(plan: "NetworkPlan") -> list[list[str]]:
    return [
        [
            str(layer.index),
            layer.kind,
            ", ".join("picture" if index < 0 else str(index) for index in layer.inputs),
            str(layer.shape),
            str(layer.params) if layer.params else "",
        ]
        for layer in plan.layers
    ]
