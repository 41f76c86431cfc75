"""What a bundle is proved with: pictures for the engines and the golden ones, labelled data for mAP; and the proof.

Shared by `pack_darknet` and `pack_onnx`, which bring the draft, the reference and the engines. `finish` measures, lets
every engine reproduce the golden pictures, and only then writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import Agreement, BundleManifest
    from vedette.contracts.ports import Progress
    from vedette.edge.engines.detector import HeadEngine
    from vedette.learn.data.samples import DataSet
    from vedette.learn.export.pack import Draft, Measured
    from vedette.learn.export.receipt import HeadSource

    Picture = NDArray[np.uint8]  # (height, width, 3) BGR

SYNTHETIC_SCENES = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where pictures come from: `data` or `pictures` or neither. `split_file` counts for data without splits."""

    data: Path | None = None
    split: str | None = None
    class_map: Path | None = None
    pictures: Path | None = None
    split_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """At most 16 pictures, whether they are drawings for want of any, and the labelled data to measure on."""

    pictures: list[Picture]
    synthetic: bool
    labelled: Labelled | None


def gather(evidence: Evidence, manifest: BundleManifest, progress: Progress) -> Shown:
    """Read what the evidence names.

    Raises:
        InputError: it cannot be read, or holds nothing.
    """
    labelled = None if evidence.data is None else _labelled(evidence.data, evidence, progress)
    pictures, synthetic = _examples(evidence, labelled, manifest, progress)
    return Shown(pictures, synthetic, labelled)


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft whose engines agree with the reference."""

    drafted: Draft
    reference: HeadSource
    engines: Sequence[HeadEngine]
    agreement: tuple[Agreement, ...]


def finish(judged: Judged, shown: Shown, out: Path, progress: Progress) -> OpenBundle:
    """Measure accuracy and speed, prove the golden pictures, write.

    Raises:
        DisagreementError: an engine does not reproduce a golden picture; nothing is written.
    """
    from vedette.bundle_folder import write_bundle
    from vedette.learn.export.golden import make_golden, require_golden
    from vedette.learn.export.pack import assemble

    drafted = judged.drafted
    measured = _measure(drafted, judged.agreement, shown, progress)
    golden = make_golden(shown.pictures, judged.reference, drafted.manifest, shown.synthetic)
    manifest, contents = assemble(drafted, measured, golden)
    detecting = require_golden(manifest, golden, judged.engines)
    if not detecting:
        progress.say("no golden picture holds a detection: they only prove that an engine finds nothing in them")
    bundle = write_bundle(out, manifest, contents)
    progress.say(f"packed {out}: {len(bundle.manifest.files)} files, digest {bundle.digest}")
    return bundle


@dataclass(frozen=True, slots=True)
class Labelled:
    """The pictures to measure on, the name of their split, and what `--class-map` says."""

    data: DataSet
    split: str | None
    class_map: dict[str, str | None]


def _labelled(source: Path, evidence: Evidence, progress: Progress) -> Labelled:
    from vedette.apps.evaluate import read_class_map
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.training.evaluate import choose_split

    class_map = {} if evidence.class_map is None else read_class_map(evidence.class_map)
    data, split = read_data_set(source), evidence.split
    if not data.splits and evidence.split_file is not None and evidence.split_file.is_file():
        data = read_data_set(source, split_file=evidence.split_file)
    if split is None:
        split = next((name for name in ("test", "val") if data.splits.get(name)), None)
    chosen = choose_split(data, split)
    if not chosen.samples:
        raise InputError(f"{source}: split '{split}' holds no picture")
    progress.say(f"measuring on {len(chosen.samples)} pictures of {source} ({split or 'all of it'})")
    return Labelled(chosen, split, class_map)


def _examples(
    evidence: Evidence, labelled: Labelled | None, manifest: BundleManifest, progress: Progress
) -> tuple[list[Picture], bool]:
    """At most 16 pictures, evenly taken, and whether they are drawings for want of any."""
    from vedette.apps.detect import find_pictures
    from vedette.learn.data.pictures import read_picture
    from vedette.learn.export.golden import draw_scenes
    from vedette.learn.export.pack import MOST_PICTURES

    if labelled is not None:
        paths = [sample.picture for sample in labelled.data.samples]
    elif evidence.pictures is not None:
        if not evidence.pictures.is_dir():
            raise InputError(f"{evidence.pictures}: is no folder; --pictures takes a folder of pictures")
        paths = list(find_pictures((str(evidence.pictures),)))
    else:
        progress.say(
            "no --data and no --pictures: engines are compared on drawings only, golden pictures are synthetic"
        )
        return draw_scenes(SYNTHETIC_SCENES, manifest.input.width, manifest.input.height), True
    count = min(MOST_PICTURES, len(paths))
    return [read_picture(paths[number * len(paths) // count]) for number in range(count)], False


def _measure(drafted: Draft, agreement: tuple[Agreement, ...], shown: Shown, progress: Progress) -> Measured:
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
    labelled = shown.labelled
    if labelled is None:
        ms_per_picture = _time_ms(engine, drafted.manifest, shown.pictures)
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
