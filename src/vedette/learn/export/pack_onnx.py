"""The draft of a bundle from an ONNX detector: its manifest, and the model as it will travel.

The decode is chosen from the shapes that the outputs really have, which the caller finds out by running the model once.
Two drafts are made of a file with a fixed batch: one for any batch, which the caller keeps only if the engines then
still compute the same, and one as the file is.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import onnx

from vedette.contracts.bundle import (
    BundleManifest,
    Decode,
    InputSpec,
    NmsKind,
    Precision,
    Provenance,
    Thresholds,
    Variant,
)
from vedette.contracts.receipt import Receipt
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.export.decode_choice import DecodeWish, Shapes, choose_boxes, choose_heads
from vedette.learn.export.errors import OnnxError, PackError
from vedette.learn.export.onnx_detector import OnnxDetector, adapt_batch
from vedette.learn.export.pack import CFG_NAME, MODEL_NAME, Draft
from vedette.version import __version__


@dataclass(frozen=True, slots=True)
class OnnxPackRequest:
    """What to pack and what to write on it. With a plan the outputs are raw Darknet heads, else boxes."""

    detector: OnnxDetector
    class_names: tuple[str, ...]
    name: str
    wish: DecodeWish
    plan: NetworkPlan | None = None
    cfg_bytes: bytes | None = None
    cfg_sha256: str | None = None
    licence: str | None = None
    nms_kind: NmsKind = NmsKind.IOU


def choose_decode(request: OnnxPackRequest, shapes: Shapes) -> Decode:
    """The decode of the outputs that have these shapes.

    Raises:
        PackError: the names do not fit the cfg.
        OnnxError: no decode fits, or more than one.
    """
    source, plan = request.detector.source, request.plan
    if plan is None:
        return choose_boxes(shapes, len(request.class_names), request.wish, source)
    if len(request.class_names) != plan.class_count:
        raise PackError(
            f"{plan.source} detects {plan.class_count} classes, the names list has {len(request.class_names)}; "
            "give the names file that belongs to it"
        )
    return choose_heads(shapes, plan, request.wish.outputs, source)


def draft_onnx(request: OnnxPackRequest, model: Any, spec: InputSpec, decode: Decode) -> Draft:
    """The manifest without receipts and files, and the bytes of `model`, checked once more as it was adapted.

    Outputs that are not decoded are dropped: they would be computed and copied for every picture.

    Raises:
        OnnxError: onnx.checker refuses the model as adapted.
    """
    decoded = [output for output in model.graph.output if output.name in decode.outputs]
    del model.graph.output[:]
    model.graph.output.extend(decoded)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise OnnxError(f"{request.detector.source}: cannot be adapted: {reason}") from error
    manifest = BundleManifest(
        name=request.name,
        licence=request.licence,
        classes=request.class_names,
        input=spec,
        decode=decode,
        thresholds=Thresholds(nms_kind=request.nms_kind),
        provenance=Provenance(
            code_version=__version__,
            created_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source="onnx",
            weights_sha256=request.detector.sha256,
            cfg_sha256=request.cfg_sha256,
        ),
        variants=(Variant(name="fp32", file=MODEL_NAME, precision=Precision.FP32, receipt=Receipt()),),
        files={},
    )
    origin = {} if request.cfg_bytes is None else {CFG_NAME: request.cfg_bytes}
    return Draft(manifest, model.SerializeToString(deterministic=True), origin)


def for_any_batch(drafted: Draft) -> Draft:
    """The same draft with a model that says to take any batch."""
    if drafted.manifest.input.batch is None:
        return drafted
    model, spec = adapt_batch(onnx.load_from_string(drafted.model), drafted.manifest.input)
    manifest = drafted.manifest.model_copy(update={"input": spec})
    return replace(drafted, manifest=manifest, model=model.SerializeToString(deterministic=True))


def for_fixed_batch(drafted: Draft) -> Draft:
    """The same draft for the file's own batch; for single pictures where the file promises any batch in vain."""
    spec = drafted.manifest.input
    return replace(
        drafted,
        manifest=drafted.manifest.model_copy(update={"input": spec.model_copy(update={"batch": spec.batch or 1})}),
    )
