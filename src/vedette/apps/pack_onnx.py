"""An ONNX detector of another program becomes a bundle: what it gives on ONNX Runtime, every engine must give.

There is no torch network to compare with, so the reference is the file as it was given, one picture at a time, and
`learn.export.plausible` judges whether its outputs can be what they are packed as. A model for one picture at a time is
packed for batches where the engines then still agree, and otherwise as it is: engines run it picture by picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from vedette.apps.pack_evidence import FP32_ONLY, Evidence, Judged, Shown, finish, gather
from vedette.apps.pack_variants import VariantWish
from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import BundleManifest, InputSpec
    from vedette.contracts.ports import Progress
    from vedette.edge.engines.detector import HeadEngine
    from vedette.learn.darknet.cfg import Cfg
    from vedette.learn.darknet.plan import NetworkPlan
    from vedette.learn.export.decode_choice import DecodeWish
    from vedette.learn.export.onnx_detector import OnnxDetector
    from vedette.learn.export.pack import Draft
    from vedette.learn.export.pack_onnx import OnnxPackRequest

HEAD_KINDS = ("darknet_yolo_heads", "darknet_region_head")
SIZE = re.compile(r"^([1-9]\d{0,4})x([1-9]\d{0,4})$")
GREY = 128  # what the model is run on once, to see the shapes of its outputs
DecodeKind: TypeAlias = Literal[
    "auto",
    "darknet_yolo_heads",
    "darknet_region_head",
    "boxes_scores",
    "boxes_objectness_scores",
    "boxes_score_class",
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class OnnxFlags:
    """The flags that say something about --onnx only."""

    decode: Annotated[
        DecodeKind,
        Parameter(
            help="What the outputs of --onnx are; auto finds out from their shapes, or lists what they could be."
        ),
    ] = "auto"
    output_name: Annotated[
        tuple[str, ...],
        Parameter(help="An output of --onnx to decode; twice for boxes and scores apart, boxes first.", negative=""),
    ] = ()
    size: Annotated[
        str | None, Parameter(help="WIDTHxHEIGHT of the input, for an --onnx file that leaves it open.")
    ] = None
    box_layout: Annotated[
        Literal["rows", "columns"] | None,
        Parameter(help="rows: (batch, boxes, values); columns: (batch, values, boxes). Seen in the shapes otherwise."),
    ] = None
    box_form: Annotated[
        Literal["cxcywh", "xyxy"] | None,
        Parameter(help="A box is centre and size, or two corners; as is custom for the layout when left out."),
    ] = None
    box_units: Annotated[
        Literal["pixels", "normalised"] | None,
        Parameter(help="Boxes count input pixels, or fractions of its sides; as is custom when left out."),
    ] = None
    score_form: Annotated[
        Literal["probabilities", "logits"], Parameter(help="logits: a sigmoid is still to be taken of scores.")
    ] = "probabilities"
    nms: Annotated[
        Literal["needed", "done"] | None,
        Parameter(help="Whether overlapping boxes are still to be suppressed; done for boxes_score_class otherwise."),
    ] = None
    colour: Annotated[Literal["rgb", "bgr"], Parameter(help="The order of channels that --onnx was made for.")] = "rgb"
    input_range: Annotated[
        Literal["0-1", "0-255"], Parameter(help="The range of pixel values that --onnx was made for.")
    ] = "0-1"


@dataclass(frozen=True, slots=True)
class OnnxPackOptions:
    """What `vedette pack --onnx` was asked for."""

    out: Path
    onnx: Path
    names: Path | None
    evidence: Evidence
    flags: OnnxFlags = OnnxFlags()
    cfg: Path | None = None
    resize: Literal["stretch", "letterbox", "darknet"] | None = None
    nms_kind: Literal["iou", "diou", "agnostic"] | None = None
    name: str | None = None
    licence: str | None = None
    wish: VariantWish = FP32_ONLY


def pack_onnx_model(options: OnnxPackOptions, progress: Progress) -> OpenBundle:
    """Pack as asked.

    Raises:
        InputError: something given cannot be used, or --out is occupied; nothing is written.
        EngineError: an engine does not take the model; nothing is written.
        DisagreementError: an engine does not compute what ONNX Runtime does with the file; nothing is written.
    """
    from vedette.bundle_folder import refuse_occupied
    from vedette.contracts.pipeline import EngineChoice
    from vedette.edge.engines.opening import open_engine

    refuse_occupied(options.out)
    drafted = _draft(options, progress)
    shown = gather(options.evidence, drafted.manifest, progress, options.wish)
    reference = open_engine(drafted.manifest, drafted.model, EngineChoice.ONNXRUNTIME)
    _require_plausible(reference, drafted.manifest, shown, str(options.onnx))
    return finish(_judge(drafted, reference, shown, progress), shown, options.out, progress, options.wish)


def _draft(options: OnnxPackOptions, progress: Progress) -> Draft:
    """Everything that can be refused before a picture is looked at."""
    from vedette.contracts.frame import ResizeMode
    from vedette.learn.export.onnx_detector import adapt_input, input_spec, read_detector
    from vedette.learn.export.pack_onnx import choose_decode, draft_onnx

    detector = read_detector(options.onnx)
    size = _size(options.flags.size)
    cfg = _cfg(options, detector)
    plan = None if cfg is None else _plan(cfg[0], detector, size)
    if options.resize is not None:
        resize = ResizeMode(options.resize)
    else:
        resize = ResizeMode.LETTERBOX if plan is not None and plan.letter_box else ResizeMode.STRETCH
        progress.say(f"--resize is not given: pictures are resized by {resize.value}; use what the model was made with")
    if plan is not None and size is None:
        size = (plan.input_width, plan.input_height)
    scale = 1 / 255 if options.flags.input_range == "0-1" else 1.0
    spec = input_spec(detector, size, resize, scale)
    model, spec = adapt_input(detector.model, spec, bgr=options.flags.colour == "bgr")
    request = _request(options, detector, plan, None if cfg is None else cfg[1])
    decode = choose_decode(request, _output_shapes(model, spec))
    if plan is not None:
        _refuse_box_flags(options.flags, decode.kind)
    progress.say(f"{options.onnx}: decoded as {decode.kind} from {', '.join(decode.outputs)}")
    return draft_onnx(request, model, spec, decode)


def _request(
    options: OnnxPackOptions, detector: OnnxDetector, plan: NetworkPlan | None, cfg_bytes: bytes | None
) -> OnnxPackRequest:
    from hashlib import sha256

    from vedette.contracts.bundle import NmsKind
    from vedette.learn.darknet.plan import nms_kind_of
    from vedette.learn.export.pack_onnx import OnnxPackRequest

    own = NmsKind.IOU if plan is None else nms_kind_of(plan)
    return OnnxPackRequest(
        detector=detector,
        class_names=_names(options, detector),
        name=options.name or options.onnx.stem,
        wish=_wish(options.flags),
        plan=plan,
        cfg_bytes=cfg_bytes,
        cfg_sha256=None if cfg_bytes is None else sha256(cfg_bytes).hexdigest(),
        licence=options.licence,
        nms_kind=own if options.nms_kind is None else NmsKind(options.nms_kind),
    )


def _wish(flags: OnnxFlags) -> DecodeWish:
    from vedette.contracts.bundle import BoxForm, BoxLayout, BoxUnits, ScoreForm
    from vedette.learn.export.decode_choice import BOX_KINDS, DecodeWish

    return DecodeWish(
        kind=next((kind for kind in BOX_KINDS if kind == flags.decode), None),
        outputs=flags.output_name,
        layout=None if flags.box_layout is None else BoxLayout(flags.box_layout),
        box_form=None if flags.box_form is None else BoxForm(flags.box_form),
        box_units=None if flags.box_units is None else BoxUnits(flags.box_units),
        score_form=ScoreForm(flags.score_form),
        needs_nms=None if flags.nms is None else flags.nms == "needed",
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = SIZE.match(text)
    if match is None:
        raise UsageError(f"--size {text}: give WIDTHxHEIGHT, 640x640 say")
    return int(match[1]), int(match[2])


def _cfg(options: OnnxPackOptions, detector: OnnxDetector) -> tuple[Cfg, bytes] | None:
    """The cfg of raw Darknet heads: the one given, else the one that `vedette model convert` wrote into the file."""
    from vedette.learn.darknet.cfg import parse_cfg, read_cfg
    from vedette.learn.data.label_text import read_bytes
    from vedette.learn.export.onnx_files import CFG_KEY, metadata_of

    kind = options.flags.decode
    if options.cfg is not None:
        if kind != "auto" and kind not in HEAD_KINDS:
            raise UsageError(
                f"--cfg describes raw Darknet heads, --decode {kind} asks for boxes: leave out one of them"
            )
        return read_cfg(options.cfg), read_bytes(options.cfg)
    text = metadata_of(detector.model).get(CFG_KEY)
    if kind in HEAD_KINDS and text is None:
        raise UsageError(f"--decode {kind} needs --cfg FILE, the Darknet cfg with the anchors of its heads")
    if text is None or kind not in {"auto", *HEAD_KINDS}:
        return None
    return parse_cfg(text, f"{detector.source} (its vedette.cfg)"), text.encode()


def _refuse_box_flags(flags: OnnxFlags, kind: str) -> None:
    """Raw heads leave nothing to say about boxes and scores."""
    if flags.decode not in {"auto", kind}:
        raise UsageError(f"--decode {flags.decode}: the cfg describes {kind}")
    given = {
        "--box-layout": flags.box_layout,
        "--box-form": flags.box_form,
        "--box-units": flags.box_units,
        "--score-form": None if flags.score_form == "probabilities" else flags.score_form,
        "--nms": flags.nms,
    }
    wrong = [flag for flag, value in given.items() if value is not None]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: only for boxes that are decoded already; the outputs are {kind}")


def _plan(cfg: Cfg, detector: OnnxDetector, size: tuple[int, int] | None) -> NetworkPlan:
    """The plan at the size of the file, else of --size, else of the cfg."""
    from vedette.learn.darknet.plan import plan_network

    width, height = size or (None, None)
    return plan_network(cfg, detector.width or width, detector.height or height)


def _names(options: OnnxPackOptions, detector: OnnxDetector) -> tuple[str, ...]:
    from vedette.learn.data.label_text import read_names
    from vedette.learn.export.onnx_files import names_of

    if options.names is not None:
        return read_names(options.names)
    names = names_of(detector.model, detector.source)
    if names is None:
        raise UsageError("--onnx needs --names FILE: a file with one class name a line, in the model's order")
    return names


def _output_shapes(model: Any, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    """What the outputs are like when the model runs; a file may leave that open."""
    import numpy as np

    from vedette.edge.engines.probe import run_once

    shape = (spec.batch or 1, spec.channels, spec.height, spec.width)
    grey = np.full(shape, GREY * spec.scale, np.float32)  # (batch, 3, height, width)
    results = run_once(model.SerializeToString(), spec.tensor, grey)
    return {name: tuple(result.shape) for name, result in results.items()}


def _require_plausible(reference: HeadEngine, manifest: BundleManifest, shown: Shown, source: str) -> None:
    from vedette.learn.export.plausible import require_plausible
    from vedette.vision.resize import prepare

    given = [reference.infer(prepare(picture, manifest.input)[0]) for picture in shown.pictures]
    require_plausible(given, manifest.decode, manifest.input, source)


def _judge(drafted: Draft, reference: HeadEngine, shown: Shown, progress: Progress) -> Judged:
    """The draft for any batch, if every engine then still gives what the file gives, else the draft for its own."""
    from vedette.edge.engines.errors import EngineError
    from vedette.learn.export.errors import DisagreementError
    from vedette.learn.export.pack_onnx import for_any_batch, for_fixed_batch

    try:
        return _agreeing(for_any_batch(drafted), reference, shown, progress)
    except (EngineError, DisagreementError) as error:
        fixed = for_fixed_batch(drafted)
        reason = str(error).removesuffix("; no bundle is written")
        progress.say(f"batches do not work ({reason}); engines will run {fixed.manifest.input.batch} at a time")
    return _agreeing(fixed, reference, shown, progress)


def _agreeing(drafted: Draft, reference: HeadEngine, shown: Shown, progress: Progress) -> Judged:
    from vedette.edge.engines.opening import installed_engines, open_engine
    from vedette.learn.export.pack import judge

    engines: Sequence[HeadEngine] = [
        open_engine(drafted.manifest, drafted.model, choice) for choice in installed_engines()
    ]
    pictures = shown.pictures
    if len(pictures) == 1:  # a batch is to be proved too
        pictures = [pictures[0], pictures[0][:, ::-1]]
    agreement = judge(drafted, reference, engines, pictures, progress, reference_name="onnxruntime")
    return Judged(drafted, reference, engines, agreement)
