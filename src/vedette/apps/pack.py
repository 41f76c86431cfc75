"""`vedette pack`: Darknet weights become a bundle whose engines agree with torch, or nothing is written.

This module wires `learn.export` (the bundle), `learn.training.evaluate` (its accuracy) and `edge.engines` (what is
judged); `pack_model` is the same for other programs of `apps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import BundleManifest
    from vedette.contracts.ports import Progress
    from vedette.edge.engines.detector import HeadEngine
    from vedette.learn.data.samples import DataSet
    from vedette.learn.export.pack import Draft, Measured, PackRequest

    Picture = NDArray[np.uint8]  # (height, width, 3) BGR

RUN_CFG, RUN_WEIGHTS, RUN_NAMES, RUN_SPLIT = "model.cfg", "best.weights", "names.txt", "split.json"
MOST_FILE_BYTES = 2 << 30  # Darknet's largest published weights have 250 MB
SYNTHETIC_SCENES = 8


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
    nms_kind: Literal["iou", "diou", "agnostic"] = "iou"
    name: str | None = None
    licence: str | None = None
    class_map: Path | None = None


def pack(  # noqa: PLR0913 - the flags of a command
    *,
    out: Path,
    run: Path | None = None,
    cfg: Path | None = None,
    weights: Path | None = None,
    names: Path | None = None,
    data: Path | None = None,
    pictures: Path | None = None,
    split: str | None = None,
    resize: Literal["stretch", "letterbox", "darknet"] | None = None,
    nms_kind: Literal["iou", "diou", "agnostic"] = "iou",
    name: str | None = None,
    licence: str | None = None,
    class_map: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Pack weights as a bundle: model, receipts, golden pictures; every byte accounted for.

    ONNX Runtime and OpenVINO (where installed) must compute what torch computes, on real pictures when --data or
    --pictures gives some: scores within 0.001, boxes within 0.5 pixels; else no bundle is written.

    Parameters
    ----------
    out
        The folder of the new bundle; must not exist, or be empty.
    run
        A folder that `vedette train` wrote; in place of --cfg, --weights and --names.
    cfg
        Darknet's .cfg file.
    weights
        Darknet's .weights file.
    names
        A file with one class name a line.
    data
        Labelled pictures (VOC, Darknet, YOLO, COCO) for the comparison, the golden pictures and mAP.
    pictures
        A folder of pictures without labels, for the comparison and the golden pictures.
    split
        Which split of --data to measure on; test, else val, else all of it when left out.
    resize
        How pictures become the network's input; as the cfg's letter_box says, else stretch, when left out. darknet is a
        stretch with Darknet's own resize.
    nms_kind
        iou, diou for what Darknet's `nms_kind=greedynms` does, or agnostic: IoU between boxes of any classes.
    name
        The bundle's name; the run folder's or the weights file's when left out.
    licence
        The licence of the weights, for example Apache-2.0.
    class_map
        JSON or YAML file for --data: data class -> model class, or null to leave a data class out.
    json
        Print what was packed and measured as JSON.
    """
    from vedette.apps.console import ConsoleProgress, print_json

    if data is not None and pictures is not None:
        raise UsageError("--data and --pictures exclude each other: give one of them")
    if data is None and (split is not None or class_map is not None):
        raise UsageError("--split and --class-map say something about --data SOURCE, which is not given")
    model = _model_files(run, cfg, weights, names)
    options = PackOptions(
        out,
        *model,
        run=run,
        data=data,
        split=split,
        pictures=pictures,
        resize=resize,
        nms_kind=nms_kind,
        name=name,
        licence=licence,
        class_map=class_map,
    )
    with ConsoleProgress() as progress:
        bundle = pack_model(options, progress)
    description = describe_bundle(bundle)
    if json:
        print_json(description)
    else:
        _print_report(description)
    return 0


def pack_model(options: PackOptions, progress: Progress) -> OpenBundle:
    """Pack as asked.

    Raises:
        InputError: something given cannot be used, or --out is occupied; nothing is written.
        DisagreementError: an engine does not compute what torch computes; nothing is written.
    """
    from vedette.bundle_folder import refuse_occupied, write_bundle
    from vedette.edge.engines.opening import installed_engines, open_engine
    from vedette.learn.export.golden import make_golden, require_golden
    from vedette.learn.export.pack import assemble, draft, judge
    from vedette.learn.export.receipt import TorchReference

    refuse_occupied(options.out)
    request = _request(options, progress)
    drafted = draft(request)
    labelled = None if options.data is None else _labelled(options.data, options, progress)
    examples, synthetic = _examples(options, labelled, drafted.manifest, progress)
    reference = TorchReference(request.plan, request.weights)
    engines = [open_engine(drafted.manifest, drafted.model, choice) for choice in installed_engines()]
    agreement = judge(drafted, reference, engines, examples, progress)
    measured = _measure(drafted, agreement, examples, labelled, progress)
    golden = make_golden(examples, reference, drafted.manifest, synthetic)
    manifest, contents = assemble(request, drafted, measured, golden)
    detecting = require_golden(manifest, golden, engines)
    if not detecting:
        progress.say("no golden picture holds a detection: they only prove that an engine finds nothing in them")
    bundle = write_bundle(options.out, manifest, contents)
    progress.say(f"packed {options.out}: {len(bundle.manifest.files)} files, digest {bundle.digest}")
    return bundle


def describe_bundle(bundle: OpenBundle) -> dict[str, Any]:
    """What `vedette pack --json` prints."""
    from vedette.contracts.bundle import GoldenFile

    manifest = bundle.manifest
    receipt = manifest.variants[0].receipt
    golden = None if manifest.golden is None else GoldenFile.model_validate_json(bundle.read(manifest.golden))
    return {
        "bundle": str(bundle.path),
        "name": manifest.name,
        "digest": bundle.digest,
        "classes": len(manifest.classes),
        "input": {
            "width": manifest.input.width,
            "height": manifest.input.height,
            "resize": manifest.input.resize.value,
        },
        "agreement": [entry.model_dump(mode="json") for entry in receipt.agreement],
        "accuracy": None if receipt.accuracy is None else receipt.accuracy.model_dump(mode="json"),
        "ms_per_picture": receipt.ms_per_picture,
        "engine": receipt.engine,
        "golden": None
        if golden is None
        else {
            "pictures": len(golden.pictures),
            "detections": sum(len(picture.detections) for picture in golden.pictures),
            "synthetic": golden.synthetic,
        },
        "files": {name: entry.size_bytes for name, entry in manifest.files.items()},
    }


def _print_report(description: dict[str, Any]) -> None:
    from vedette.apps.console import print_line, print_table

    rows = [
        [
            f"{entry['engine']} {entry['engine_version']}",
            str(entry["pictures"]),
            str(entry["boxes_compared"]),
            f"{entry['max_score_difference']:.1e}",
            f"{entry['max_box_difference_px']:.4f}",
        ]
        for entry in description["agreement"]
    ]
    print_table("Largest differences from torch", ["engine", "pictures", "boxes", "score", "box px"], rows)
    accuracy = description["accuracy"]
    if accuracy is not None:
        part = f"split {accuracy['split']}" if accuracy["split"] else "all"
        figures = f"mAP50 {accuracy['map50']:.4f}, mAP50-95 {accuracy['map50_95']:.4f}"
        print_line(f"{figures} on {accuracy['pictures']} pictures ({part})")
    print_line(f"{description['ms_per_picture']:.1f} ms a picture on {description['engine']}")
    print_line(f"{description['name']}: {description['bundle']}")
    print_line(f"digest {description['digest']}")


def _model_files(
    run: Path | None, cfg: Path | None, weights: Path | None, names: Path | None
) -> tuple[Path, Path, Path]:
    """cfg, weights and names, from a run or one by one."""
    given = [cfg, weights, names]
    if run is not None:
        if any(path is not None for path in given):
            raise UsageError("--run brings its own --cfg, --weights and --names: give the run, or the three files")
        if not run.is_dir():
            raise InputError(f"{run}: is no folder; --run takes what `vedette train --out` wrote")
        return run / RUN_CFG, run / RUN_WEIGHTS, run / RUN_NAMES
    if cfg is None or weights is None or names is None:
        raise UsageError("give --run RUN, or all of --cfg, --weights and --names")
    return cfg, weights, names


def _request(options: PackOptions, progress: Progress) -> PackRequest:
    """Read the model's files; sizes are checked before anything large is allocated."""
    from vedette.contracts.bundle import NmsKind, ResizeMode
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.layers import DarknetNms
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import read_weights
    from vedette.learn.data.label_text import read_bytes, read_names
    from vedette.learn.export.pack import PackRequest

    cfg = read_cfg(options.cfg)
    for warning in cfg.warnings:
        progress.say(f"{options.cfg}: {warning}")
    plan = plan_network(cfg)
    names = read_names(options.names)
    if options.nms_kind == "iou" and any(head.nms_kind is not DarknetNms.DEFAULT for head in plan.heads):
        wanted = ", ".join(sorted({head.nms_kind.value for head in plan.heads}))
        progress.say(f"the cfg asks for nms_kind={wanted}; packed with plain IoU (--nms-kind diou for greedynms)")
    return PackRequest(
        plan=plan,
        weights=read_weights(options.weights, plan),
        cfg_bytes=read_bytes(options.cfg),
        weights_bytes=read_bytes(options.weights, MOST_FILE_BYTES),
        class_names=names,
        name=options.name or (options.run.resolve().name if options.run else options.weights.stem),
        licence=options.licence,
        resize=None if options.resize is None else ResizeMode(options.resize),
        nms_kind=NmsKind(options.nms_kind),
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


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The pictures to measure on, the name of their split, and what `--class-map` says."""

    data: DataSet
    split: str | None
    class_map: dict[str, str | None]


def _labelled(source: Path, options: PackOptions, progress: Progress) -> _Labelled:
    from vedette.apps.evaluate import read_class_map
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.training.evaluate import choose_split

    class_map = {} if options.class_map is None else read_class_map(options.class_map)
    data, run, split = read_data_set(source), options.run, options.split
    if not data.splits and run is not None and (run / RUN_SPLIT).is_file():
        data = read_data_set(source, split_file=run / RUN_SPLIT)
    if split is None:
        split = next((name for name in ("test", "val") if data.splits.get(name)), None)
    chosen = choose_split(data, split)
    if not chosen.samples:
        raise InputError(f"{source}: split '{split}' holds no picture")
    progress.say(f"measuring on {len(chosen.samples)} pictures of {source} ({split or 'all of it'})")
    return _Labelled(chosen, split, class_map)


def _examples(
    options: PackOptions, labelled: _Labelled | None, manifest: BundleManifest, progress: Progress
) -> tuple[list[Picture], bool]:
    """At most 16 pictures, evenly taken, and whether they are drawings for want of any."""
    from vedette.apps.detect import find_pictures
    from vedette.learn.data.pictures import read_picture
    from vedette.learn.export.golden import draw_scenes
    from vedette.learn.export.pack import MOST_PICTURES

    if labelled is not None:
        paths = [sample.picture for sample in labelled.data.samples]
    elif options.pictures is not None:
        if not options.pictures.is_dir():
            raise InputError(f"{options.pictures}: is no folder; --pictures takes a folder of pictures")
        paths = list(find_pictures((str(options.pictures),)))
    else:
        progress.say(
            "no --data and no --pictures: engines are compared on drawings only, golden pictures are synthetic"
        )
        return draw_scenes(SYNTHETIC_SCENES, manifest.input.width, manifest.input.height), True
    count = min(MOST_PICTURES, len(paths))
    return [read_picture(paths[number * len(paths) // count]) for number in range(count)], False


def _measure(
    drafted: Draft,
    agreement: tuple[Any, ...],
    examples: list[Picture],
    labelled: _Labelled | None,
    progress: Progress,
) -> Measured:
    """Accuracy and speed on the engine that `auto` picks here."""
    from vedette.contracts.bundle import Accuracy
    from vedette.edge.engines.detector import PackedDetector
    from vedette.edge.engines.opening import open_engine
    from vedette.learn.export.pack import Measured
    from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed, evaluate_pictures
    from vedette.vision.postprocess import DetectionRules

    engine = open_engine(drafted.manifest, drafted.model)
    accuracy = None
    ms_per_picture: float | None
    if labelled is None:
        ms_per_picture = _time_ms(engine, drafted.manifest, examples)
    else:
        classes = drafted.manifest.classes
        rules = DetectionRules.of(drafted.manifest, score=SCORE_FLOOR, max_detections=detections_needed(len(classes)))
        detector = PackedDetector(drafted.manifest, engine, rules)
        result = evaluate_pictures(detector, labelled.data, classes, class_map=labelled.class_map, progress=progress)
        ms_per_picture = result.ms_per_picture
        accuracy = Accuracy(
            data_digest=labelled.data.digest(),
            split=labelled.split,
            pictures=result.pictures,
            map50=result.map50,
            map50_95=result.map50_95,
        )
    return Measured(agreement, accuracy, ms_per_picture, engine.description, engine.version, _host())


def _time_ms(engine: HeadEngine, manifest: BundleManifest, pictures: list[Picture]) -> float:
    """The median time of one picture, resizing and decoding included."""
    import time
    from statistics import median

    from vedette.edge.engines.detector import PackedDetector
    from vedette.vision.postprocess import DetectionRules

    detector = PackedDetector(manifest, engine, DetectionRules.of(manifest))
    times_ms = []
    for picture in pictures:
        began = time.monotonic()
        detector(picture)
        times_ms.append((time.monotonic() - began) * 1000)
    return median(times_ms)


def _host() -> str:
    """What machine the figures are from, without its name."""
    import platform

    from vedette.edge.engines.opening import available_processors

    return f"{platform.system()} {platform.machine()}, {available_processors()} processors"
