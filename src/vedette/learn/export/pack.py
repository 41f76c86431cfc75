"""Assembles a bundle: the manifest, the model, the golden pictures and the receipts, in one order that cannot be left.

Nothing here opens an engine or evaluates: `apps` does, and hands in what was opened and measured. The order is: `draft`
(ONNX and manifest; `pack_onnx.draft_onnx` for an ONNX detector) -> engines opened on the draft -> `judge` (agreement
with the reference, or refusal) -> accuracy -> `assemble` (golden pictures, receipts, all contents) ->
`bundle_folder.write_bundle`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, InputSpec, NmsKind, Precision, Provenance, Thresholds, Variant
from vedette.contracts.frame import ResizeMode
from vedette.contracts.ports import Progress
from vedette.contracts.receipt import Accuracy, Agreement, Evidence, Receipt
from vedette.learn.darknet.plan import NetworkPlan, decode_spec
from vedette.learn.darknet.weights import DarknetWeights
from vedette.learn.export.comparison import Heads
from vedette.learn.export.errors import PackError
from vedette.learn.export.golden import GOLDEN_NAME
from vedette.learn.export.onnx import export_onnx
from vedette.learn.export.receipt import HeadSource, ReferenceName, measure_agreement, require_agreement
from vedette.version import __version__
from vedette.vision.resize import prepare

MODEL_NAME, CFG_NAME, WEIGHTS_NAME, LABELS_NAME = "model.onnx", "model.cfg", "model.weights", "labels.txt"
MOST_PICTURES = 16  # for the comparison of engines

Picture = NDArray[np.uint8]  # (height, width, 3) BGR


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What to pack and what to write on it."""

    plan: NetworkPlan
    weights: DarknetWeights
    cfg_bytes: bytes
    weights_bytes: bytes
    class_names: tuple[str, ...]
    name: str
    version: str = "1"
    licence: str | None = None
    resize: ResizeMode | None = None  # None: as the cfg says
    nms_kind: NmsKind = NmsKind.IOU
    training_run: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest without files, the model it speaks of, and the files that it was made from, as the bundle has them."""

    manifest: BundleManifest
    model: bytes
    origin: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out between the draft and the bundle."""

    agreement: tuple[Agreement, ...]
    accuracy: Accuracy | None = None
    evidence: Evidence | None = None
    ms_per_picture: float | None = None
    network_ms: float | None = None
    engine: str | None = None
    engine_version: str | None = None
    host: str | None = None


def draft(request: PackRequest) -> Draft:
    """Export the model and write the manifest, still without files and receipts.

    Raises:
        PackError: the names do not fit the cfg.
    """
    plan = request.plan
    if len(request.class_names) != plan.class_count:
        raise PackError(
            f"{plan.source} detects {plan.class_count} classes, the names list has {len(request.class_names)}; "
            "give the names file that belongs to it"
        )
    model = export_onnx(plan, request.weights)
    resize = request.resize or (ResizeMode.LETTERBOX if plan.letter_box else ResizeMode.STRETCH)
    manifest = BundleManifest(
        name=request.name,
        version=request.version,
        licence=request.licence,
        classes=request.class_names,
        input=InputSpec(width=plan.input_width, height=plan.input_height, resize=resize),
        decode=decode_spec(plan),
        thresholds=Thresholds(nms_kind=request.nms_kind),
        provenance=Provenance(
            code_version=__version__,
            created_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source="darknet",
            weights_sha256=hashlib.sha256(request.weights_bytes).hexdigest(),
            cfg_sha256=hashlib.sha256(request.cfg_bytes).hexdigest(),
            seen_pictures=request.weights.seen,
            training_run=request.training_run,
            dataset_digest=request.dataset_digest,
        ),
        variants=(Variant(name="fp32", file=MODEL_NAME, precision=Precision.FP32, receipt=Receipt()),),
        files={},
    )
    return Draft(manifest, model, {CFG_NAME: request.cfg_bytes, WEIGHTS_NAME: request.weights_bytes})


def judge(
    drafted: Draft,
    reference: HeadSource,
    engines: Sequence[HeadSource],
    pictures: Sequence[Picture],
    progress: Progress,
    *,
    reference_name: ReferenceName = "torch",
) -> tuple[Agreement, ...]:
    """Compare engines with the reference on pictures of any size.

    Raises:
        DisagreementError: one of them computes something else; nothing may be written then.
    """
    spec = drafted.manifest.input
    fitted = [prepare(picture, spec)[0][0] for picture in pictures[:MOST_PICTURES]]
    progress.start(f"comparing engines with {reference_name}", len(fitted) + len(engines), "steps")
    expected: list[Heads] = []
    for picture in fitted:
        expected.append(reference.infer(picture[None]))
        progress.advance()
    agreements = []
    for engine in engines:
        agreement = measure_agreement(
            engine, expected, fitted, drafted.manifest.decode, spec, reference_name=reference_name
        )
        require_agreement(agreement)
        agreements.append(agreement)
        progress.advance()
    return tuple(agreements)


def assemble(
    drafted: Draft, measured: Measured, golden: Mapping[str, bytes]
) -> tuple[BundleManifest, dict[str, bytes]]:
    """The manifest with its receipts, and every file of the bundle."""
    receipt = Receipt(
        agreement=measured.agreement,
        accuracy=measured.accuracy,
        evidence=measured.evidence,
        ms_per_picture=measured.ms_per_picture,
        network_ms=measured.network_ms,
        engine=measured.engine,
        engine_version=measured.engine_version,
        host=measured.host,
    )
    variant = drafted.manifest.variants[0].model_copy(update={"receipt": receipt})
    manifest = drafted.manifest.model_copy(update={"variants": (variant,), "golden": GOLDEN_NAME})
    contents = {
        MODEL_NAME: drafted.model,
        **drafted.origin,
        LABELS_NAME: "".join(f"{name}\n" for name in manifest.classes).encode(),
        **golden,
    }
    return manifest, contents
