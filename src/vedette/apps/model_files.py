"""`vedette model convert`, `diff` and `cut`: what can be done with the files of a network, cfg, weights and ONNX.

Reads arguments and files, prints; the work is done in `vedette.learn.darknet` and `vedette.learn.export`. Every file
is written whole or not at all.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vedette.apps.whole_files import refuse_overwriting, write_whole
from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.learn.darknet.differences import LayerDifference
    from vedette.learn.darknet.plan import NetworkPlan
    from vedette.learn.darknet.weights import DarknetWeights

Json = Annotated[bool, Parameter(help="Print JSON.", negative="")]


def convert(
    source: Annotated[Path, Parameter(help="A .weights file, or an ONNX file.")],
    *,
    out: Annotated[Path, Parameter(help="What to write: FILE.onnx or FILE.weights.")],
    cfg: Annotated[Path | None, Parameter(help="The .cfg; may be left out when the ONNX file carries it.")] = None,
    names: Annotated[Path | None, Parameter(help="To ONNX: class names, one a line, to write into the file.")] = None,
    cfg_out: Annotated[Path | None, Parameter(help="From ONNX: write the cfg that the file carries.")] = None,
    json: Json = False,
) -> None:
    """Convert Darknet weights to ONNX, or back: `--out` says which.

    The ONNX file holds the raw heads (head_0, ...), batch norm folded, and as metadata the cfg, the decode parameters
    and the names. The way back takes such a file, or any whose graph is the one written for --cfg, up to names: the
    network gives the same outputs, but the bytes of the weights are not the original's, since the batch norm is gone.
    """
    from vedette.apps.console import print_json, print_line

    if out.suffix not in {".onnx", ".weights"}:
        raise UsageError(f"--out {out}: must end in .onnx (Darknet to ONNX) or .weights (ONNX to Darknet)")
    refuse_overwriting(out, source, cfg, names, cfg_out)
    if out.suffix == ".onnx":
        if cfg is None or cfg_out is not None:
            raise UsageError("Darknet weights to ONNX need --cfg, and there is no --cfg-out then")
        document = _to_onnx(source, cfg, names, out)
    else:
        if names is not None or (cfg is not None and cfg_out is not None):
            raise UsageError("ONNX to Darknet weights takes no --names, and one of --cfg and --cfg-out")
        if cfg_out is not None:
            refuse_overwriting(cfg_out, source)
        document = _to_weights(source, cfg, cfg_out, out)
    if json:
        print_json(document)
    else:
        print_line(f"wrote {out}: {document['convolutions']} convolutions, {document['bytes']} bytes")


def diff(
    a: Annotated[Path, Parameter(help="The .cfg of network A.")],
    b: Annotated[Path, Parameter(help="The .cfg of network B; may be the same file.")],
    *,
    a_weights: Annotated[Path | None, Parameter(help="A's .weights; --b-weights goes with it.")] = None,
    b_weights: Annotated[Path | None, Parameter(help="B's .weights.")] = None,
    partial: Annotated[bool, Parameter(help="Either may hold the first layers only.", negative="")] = False,
    json: Json = False,
) -> None:
    """Say how two networks differ: layers by kind, shape and options; weights by the largest difference of each array.

    Layers are compared at their place in the cfg. A difference is no error: the exit code is 0.
    """
    from vedette.apps.console import print_json
    from vedette.learn.darknet.differences import compare_networks

    if (a_weights is None) != (b_weights is None):
        raise UsageError("--a-weights and --b-weights go together: give both, or neither")
    if partial and a_weights is None:
        raise UsageError("--partial speaks about weights: give --a-weights and --b-weights too")
    (plan_a, weights_a), (plan_b, weights_b) = _read(a, a_weights, partial), _read(b, b_weights, partial)
    found = compare_networks(plan_a, plan_b, weights_a, weights_b)
    document = {
        "a": _described(a, a_weights, plan_a),
        "b": _described(b, b_weights, plan_b),
        "same_layers": all(place.same_structure for place in found),
        "same_weights": None if weights_a is None else all(place.same_weights for place in found),
        "layers": [_layer_document(place) for place in found if not place.same_structure],
        "weights": [_weights_document(place) for place in found if not place.same_weights],
    }
    if json:
        print_json(document)
    else:
        _print_differences(document, found)


def cut(
    cfg: Annotated[Path, Parameter(help="The .cfg that the weights belong to.")],
    weights: Annotated[Path, Parameter(help="A .weights file.")],
    *,
    layers: Annotated[int, Parameter(help="How many layers of the cfg to keep, counted from the first.")],
    out: Annotated[Path, Parameter(help="The file to write, such as yolov3-tiny.conv.15.")],
    json: Json = False,
) -> None:
    """Keep the weights of the first layers only: a backbone to train from, as `darknet partial` writes it.

    `--layers 15` keeps layers 0 to 14. The file says version 0.2.5 and no picture seen, as Darknet's does; take it with
    `vedette train --weights`. WEIGHTS may itself be such a file, of more layers.
    """
    from vedette.apps.console import print_json, print_line
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.differences import cut_weights
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import read_weights, write_weights

    refuse_overwriting(out, cfg, weights)
    plan = plan_network(read_cfg(cfg))
    if not 1 <= layers <= len(plan.layers):
        raise UsageError(f"--layers {layers}: {cfg} has {len(plan.layers)} layers; give 1 to {len(plan.layers)}")
    kept = cut_weights(plan, read_weights(weights, plan, partial=True), layers)
    write_weights(out, plan, kept)
    convolutions = sum(layer is not None for layer in kept.layers)
    if json:
        print_json({"out": str(out), "layers": layers, "convolutions": convolutions, "bytes": out.stat().st_size})
        return
    print_line(f"wrote {out}: the first {layers} of {len(plan.layers)} layers, {convolutions} with weights")


def _to_onnx(source: Path, cfg: Path, names: Path | None, out: Path) -> dict[str, Any]:
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import read_weights
    from vedette.learn.data.label_text import read_names
    from vedette.learn.export.onnx import export_onnx
    from vedette.learn.export.onnx_files import describe_model

    plan = plan_network(read_cfg(cfg))
    class_names = None if names is None else read_names(names)
    weights = read_weights(source, plan)
    text = cfg.read_bytes().decode("utf-8-sig", errors="replace")  # as `read_cfg` takes it
    model = describe_model(export_onnx(plan, weights), plan, text, class_names, weights.seen)
    write_whole(out, model)
    return _written(out, plan)


def _to_weights(source: Path, cfg: Path | None, cfg_out: Path | None, out: Path) -> dict[str, Any]:
    from vedette.learn.darknet.cfg import parse_cfg, read_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import write_weights
    from vedette.learn.export.onnx_files import CFG_KEY, metadata_of, read_model, weights_from_model

    model = read_model(source)
    text = metadata_of(model).get(CFG_KEY)
    if cfg is None and text is None:
        raise InputError(f"{source}: carries no cfg (it was not written by `vedette model convert`); give --cfg")
    plan = plan_network(parse_cfg(text or "", f"the cfg in {source}") if cfg is None else read_cfg(cfg))
    weights = weights_from_model(model, plan, str(source))
    if cfg_out is not None:
        write_whole(cfg_out, (text or "").encode())
    write_weights(out, plan, weights)
    return _written(out, plan)


def _written(out: Path, plan: "NetworkPlan") -> dict[str, Any]:
    return {
        "out": str(out),
        "layers": len(plan.layers),
        "convolutions": len(plan.convolutions),
        "params": plan.params,
        "bytes": out.stat().st_size,
    }


def _read(cfg: Path, weights: Path | None, partial: bool) -> "tuple[NetworkPlan, DarknetWeights | None]":
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import read_weights

    plan = plan_network(read_cfg(cfg))
    return plan, None if weights is None else read_weights(weights, plan, partial)


def _described(cfg: Path, weights: Path | None, plan: "NetworkPlan") -> dict[str, Any]:
    return {
        "cfg": str(cfg),
        "weights": None if weights is None else str(weights),
        "layers": len(plan.layers),
        "params": plan.params,
        "input": {"width": plan.input_width, "height": plan.input_height, "channels": plan.input_channels},
    }


def _layer_document(place: "LayerDifference") -> dict[str, Any]:
    options = {name: {"a": a, "b": b} for name, (a, b) in place.options.items()}
    return {"layer": place.index, "a": place.kind_a, "b": place.kind_b, "options": options}


def _weights_document(place: "LayerDifference") -> dict[str, Any]:
    return {
        "layer": place.index,
        "largest_difference": place.largest,
        "other_shape": list(place.other_shape),
        "only_a": list(place.only_a),
        "only_b": list(place.only_b),
    }


def _print_differences(document: dict[str, Any], found: "tuple[LayerDifference, ...]") -> None:
    from vedette.apps.console import print_line, print_table

    for side in ("a", "b"):
        one, size = document[side], document[side]["input"]
        print_line(
            f"{side.upper()}: {one['cfg']}, {one['layers']} layers, {one['params']} parameters, "
            f"input {size['width']}x{size['height']}x{size['channels']}"
        )
    rows = [
        [str(row["layer"]), row["a"] or "no layer", row["b"] or "no layer", _options_text(row["options"])]
        for row in document["layers"]
    ]
    if rows:
        print_table("layers that differ", ["layer", "A", "B", "options (A | B)"], rows)
    else:
        print_line("the layers are the same")
    if document["same_weights"] is None:
        return
    rows = [[str(row["layer"]), _largest_text(row), _rest_text(row)] for row in document["weights"]]
    if not rows:
        print_line("the weights are the same")
        return
    print_table("weights that differ", ["layer", "largest difference", "cannot be compared"], rows)
    compared = [(value, place.index, name) for place in found for name, value in place.largest.items()]
    if compared:
        value, index, name = max(compared)
        print_line(f"largest difference: {value:.6g}, in the {name} of layer {index}")


def _options_text(options: dict[str, dict[str, str]]) -> str:
    return "; ".join(f"{name}: {pair['a']} | {pair['b']}" for name, pair in options.items())


def _largest_text(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in row["largest_difference"].items())


def _rest_text(row: dict[str, Any]) -> str:
    says = {"other_shape": "other shape", "only_a": "only in A", "only_b": "only in B"}
    return "; ".join(f"{text}: {', '.join(row[key])}" for key, text in says.items() if row[key])
