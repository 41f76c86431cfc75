"""Darknet weights become a bundle whose engines agree with torch, or nothing is written.

This module wires `learn.export` (the bundle), `learn.training.evaluate` (its accuracy, in `pack_evidence`) and
`edge.engines` (what is judged); other programs of `apps` call `pack_model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vedette.apps.pack_evidence import FP32_ONLY, Evidence, Judged, finish, gather
from vedette.apps.pack_variants import VariantWish
from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.ports import Progress
    from vedette.learn.export.pack import PackRequest

RUN_CFG, RUN_WEIGHTS, RUN_NAMES, RUN_SPLIT = "model.cfg", "best.weights", "names.txt", "split.json"
RUN_CLASS_MAP = "class-map.json"  # of a run whose data have other classes: `vedette train --single-class`
MOST_FILE_BYTES = 2 << 30  # Darknet's largest published weights have 250 MB


@dataclass(frozen=True, slots=True)
class PackOptions:
    """What `vedette pack` was asked for. `data` or `pictures` or neither."""

    out: Path
    cfg: Path
    weights: Path
    names: Path
    run: Path | None = None
    data: Path | None = None
    split: str | None = None
    pictures: Path | None = None
    resize: Literal["stretch", "letterbox", "darknet"] | None = None
    nms_kind: Literal["iou", "diou", "agnostic"] | None = None
    name: str | None = None
    licence: str | None = None
    class_map: Path | None = None
    wish: VariantWish = FP32_ONLY

    @property
    def evidence(self) -> Evidence:
        """What the bundle is proved with."""
        split_file = None if self.run is None else self.run / RUN_SPLIT
        class_map = self.class_map
        if class_map is None and self.run is not None and self.data is not None:
            own = self.run / RUN_CLASS_MAP
            class_map = own if own.is_file() else None
        return Evidence(self.data, self.split, class_map, self.pictures, split_file)


def pack_model(options: PackOptions, progress: Progress) -> OpenBundle:
    """Pack as asked.

    Raises:
        InputError: something given cannot be used, or --out is occupied; nothing is written.
        DisagreementError: an engine does not compute what torch computes; nothing is written.
    """
    from vedette.bundle_folder import refuse_occupied
    from vedette.edge.engines.opening import installed_engines, open_engine
    from vedette.learn.export.pack import draft, judge
    from vedette.learn.export.receipt import TorchReference

    refuse_occupied(options.out)
    request = _request(options, progress)
    drafted = draft(request)
    shown = gather(options.evidence, drafted.manifest, progress, options.wish)
    reference = TorchReference(request.plan, request.weights)
    engines = [open_engine(drafted.manifest, drafted.model, choice) for choice in installed_engines()]
    agreement = judge(drafted, reference, engines, shown.pictures, progress)
    return finish(Judged(drafted, reference, engines, agreement), shown, options.out, progress, options.wish)


def _request(options: PackOptions, progress: Progress) -> PackRequest:
    """Read the model's files; sizes are checked before anything large is allocated."""
    from vedette.contracts.bundle import NmsKind
    from vedette.contracts.frame import ResizeMode
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.plan import nms_kind_of, plan_network
    from vedette.learn.darknet.weights import read_weights
    from vedette.learn.data.label_text import read_bytes, read_names
    from vedette.learn.export.half_precision import half_precision_warnings
    from vedette.learn.export.pack import PackRequest

    cfg = read_cfg(options.cfg)
    for warning in cfg.warnings:
        progress.say(f"{options.cfg}: {warning}")
    plan = plan_network(cfg)
    names = read_names(options.names)
    asked = nms_kind_of(plan)
    nms_kind = asked if options.nms_kind is None else NmsKind(options.nms_kind)
    if nms_kind is not asked:
        wanted = plan.heads[0].nms_kind.value
        progress.say(f"the cfg's nms_kind={wanted} is {asked.value} suppression; packed with {nms_kind.value} as told")
    weights = read_weights(options.weights, plan)
    for warning in half_precision_warnings(plan, weights):
        progress.say(f"{options.weights}: {warning}")
    return PackRequest(
        plan=plan,
        weights=weights,
        cfg_bytes=read_bytes(options.cfg),
        weights_bytes=read_bytes(options.weights, MOST_FILE_BYTES),
        class_names=names,
        name=options.name or (options.run.resolve().name if options.run else options.weights.stem),
        licence=options.licence,
        resize=None if options.resize is None else ResizeMode(options.resize),
        nms_kind=nms_kind,
        training_run=None if options.run is None else options.run.resolve().name,
        dataset_digest=None if options.run is None else _recorded_digest(options.run),
    )


def _recorded_digest(run: Path) -> str | None:
    """The data digest that training wrote into the run's settings, if it did."""
    from json import loads

    path = run / "settings.json"
    if not path.is_file():
        return None
    try:
        settings = loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    digest = settings.get("data_digest") if isinstance(settings, dict) else None
    return digest if isinstance(digest, str) else None
