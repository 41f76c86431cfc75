"""What a bundle is proved with: pictures for the engines and the golden ones, labelled data for mAP; and the proof.

Shared by `pack_darknet` and `pack_onnx`, which bring the draft, the reference and the engines. `finish` measures, lets
every engine reproduce the golden pictures, and only then writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.apps.pack_data import read_calibration, read_labelled
from vedette.apps.pack_variants import VariantWish
from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.apps.pack_measuring import Judgement
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import BundleManifest
    from vedette.contracts.ports import Progress
    from vedette.contracts.receipt import Agreement
    from vedette.edge.engines.detector import HeadEngine
    from vedette.learn.data.samples import DataSet
    from vedette.learn.export.calibration import CalibrationPictures
    from vedette.learn.export.pack import Draft, Measured
    from vedette.learn.export.receipt import HeadSource

    Picture = NDArray[np.uint8]  # (height, width, 3) BGR

SYNTHETIC_SCENES = 8
FP32_ONLY = VariantWish()


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
    """At most 16 pictures, whether they are drawings for want of any, the labelled data to measure on, and INT8's."""

    pictures: list[Picture]
    synthetic: bool
    labelled: Labelled | None
    calibration: CalibrationPictures | None = None


def gather(evidence: Evidence, manifest: BundleManifest, progress: Progress, wish: VariantWish = FP32_ONLY) -> Shown:
    """Read what the evidence and the wish name, so that nothing of it fails once measuring has begun.

    Raises:
        InputError: it cannot be read, or holds nothing.
    """
    labelled = None if evidence.data is None else read_labelled(evidence.data, evidence, manifest, progress)
    pictures, synthetic = _examples(evidence, labelled, manifest, progress)
    calibration = None if wish.calibration is None else read_calibration(wish, manifest, labelled, progress)
    return Shown(pictures, synthetic, labelled, calibration)


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft whose engines agree with the reference."""

    drafted: Draft
    reference: HeadSource
    engines: Sequence[HeadEngine]
    agreement: tuple[Agreement, ...]


def finish(judged: Judged, shown: Shown, out: Path, progress: Progress, wish: VariantWish = FP32_ONLY) -> OpenBundle:
    """Measure accuracy and speed, prove the golden pictures, make the variants that are wished for, write.

    Raises:
        DisagreementError: an engine does not reproduce a golden picture; nothing is written.
        VariantError: a variant loses too much, or cannot be made; nothing is written.
    """
    from vedette.apps.pack_variants import Baseline, pack_variants, write_page
    from vedette.bundle_folder import write_bundle
    from vedette.learn.export.golden import make_golden, require_golden
    from vedette.learn.export.pack import assemble

    drafted = judged.drafted
    measured, judgement = _measure(drafted, judged.agreement, shown, progress)
    golden = make_golden(shown.pictures, judged.reference, drafted.manifest, shown.synthetic)
    manifest, contents = assemble(drafted, measured, golden)
    detecting = require_golden(manifest, golden, judged.engines)
    if not detecting:
        progress.say("no golden picture holds a detection: they only prove that an engine finds nothing in them")
    packed = pack_variants(wish, Baseline(judged, shown, judgement, golden), progress) if wish.has_more else ()
    manifest = manifest.model_copy(update={"variants": (*manifest.variants, *(one.variant for one in packed))})
    for one in packed:
        contents |= one.contents
    bundle = write_bundle(out, manifest, contents)
    progress.say(f"packed {out}: {len(bundle.manifest.files)} files, digest {bundle.digest}")
    if packed:
        write_page(wish, bundle.manifest, (judgement, *(one.judgement for one in packed)), shown)
        progress.say(f"the variants side by side: {wish.report}")
    return bundle


@dataclass(frozen=True, slots=True)
class Labelled:
    """The pictures to measure on, the name of their split, and what `--class-map` says."""

    data: DataSet
    split: str | None
    class_map: dict[str, str | None]


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


def _measure(
    drafted: Draft, agreement: tuple[Agreement, ...], shown: Shown, progress: Progress
) -> tuple[Measured, Judgement]:
    """Accuracy on the engine that `auto` picks here, with all processors; speed on one of them."""
    from vedette.apps.pack_measuring import accuracy_of, describe_host, for_one_picture, judge_engine, time_engine
    from vedette.contracts.receipt import Evidence, Source
    from vedette.edge.engines.opening import open_engine
    from vedette.learn.export.pack import Measured

    judgement = judge_engine(open_engine(drafted.manifest, drafted.model), drafted.manifest, shown, progress)
    engine = open_engine(for_one_picture(drafted.manifest), drafted.model, threads=1)
    speed = time_engine(engine, drafted.manifest, shown.pictures)
    measured = Measured(
        agreement,
        accuracy_of(judgement, shown.labelled),
        Evidence(
            accuracy=Source.UNMEASURED if judgement.evaluation is None else Source.MEASURED, speed=Source.MEASURED
        ),
        ms_per_picture=speed.ms_per_picture,
        network_ms=speed.network_ms,
        engine=engine.description,
        engine_version=engine.version,
        host=describe_host(),
    )
    return measured, judgement
