"""The variants that `vedette pack --variants` asks for: made, opened on their engines, measured, settled, shown.

What is asked for is checked before any work; every variant is measured on the pictures that FP32 was measured on, and
one that loses too much ends the packing before anything is written. Making and settling is `learn.export.variants`'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vedette.apps.pack_evidence import Judged, Shown
    from vedette.apps.pack_measuring import Judgement
    from vedette.contracts.bundle import BundleManifest, Variant
    from vedette.contracts.ports import Progress
    from vedette.contracts.receipt import AccuracyChange, Receipt
    from vedette.edge.engines.detector import HeadEngine
    from vedette.learn.export.calibration import CalibrationPictures
    from vedette.learn.export.quantize_errors import LayerError
    from vedette.learn.export.variants import VariantKind, VariantModel
    from vedette.learn.training.evaluate import Evaluation

    Picture = NDArray[np.uint8]  # (height, width, 3) BGR


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class VariantFlags:
    """The flags that ask for more than FP32."""

    variants: Annotated[
        str,
        Parameter(
            help="What to pack, separated by commas: fp32, bf16, fp16, int8 (for OpenVINO, ONNX Runtime and TensorRT), "
            "or one of these alone: int8_openvino, int8_qdq (ONNX Runtime), int8_qdq_symmetric (TensorRT)."
        ),
    ] = "fp32"
    calibration: Annotated[
        Path | None,
        Parameter(
            help="Pictures from which INT8 learns its ranges: labelled data, of which the train split is taken, or a "
            "folder of pictures. Without --data and --pictures it proves the bundle too."
        ),
    ] = None
    max_drop: Annotated[
        float, Parameter(help="How many points of mAP50 a variant may lose; more, and nothing is packed.")
    ] = 1.0
    report: Annotated[
        Path | None,
        Parameter(help="The page that shows the variants side by side; OUT-variants.html when left out (here for S3)."),
    ] = None


@dataclass(frozen=True, slots=True)
class VariantWish:
    """The same, checked. `names` has FP32 first."""

    names: tuple[str, ...] = ("fp32",)
    calibration: Path | None = None
    max_drop: float = 0.01  # of mAP50 in 0..1
    report: Path | None = None
    split_file: Path | None = None  # for calibration data that has no splits of its own

    @property
    def has_more(self) -> bool:
        """Whether anything but FP32 is wanted."""
        return len(self.names) > 1


def check_variant_flags(flags: VariantFlags, out: Path) -> VariantWish:
    """Refuse what cannot be, before any work.

    Raises:
        UsageError: a variant is unknown, or flags contradict each other.
    """
    from vedette.learn.export.variants import parse_variants

    names = parse_variants(flags.variants)
    quantised = any(name.startswith("int8") for name in names)
    if quantised and flags.calibration is None:
        raise UsageError(f"--variants {flags.variants} needs --calibration DATA: real pictures, best the training's")
    if flags.calibration is not None and not quantised:
        raise UsageError("--calibration says something about int8, which is not among --variants")
    if not (math.isfinite(flags.max_drop) and 0 <= flags.max_drop <= 100):
        raise UsageError(f"--max-drop must lie between 0 and 100 points; got {flags.max_drop}")
    report = flags.report
    if report is None:
        report = _page_beside(out)
    elif len(names) == 1:
        raise UsageError("--report shows variants, and --variants asks for none but fp32")
    elif not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: its folder does not exist")
    if len(names) > 1 and report.is_dir():
        raise UsageError(f"--report {report}: is a folder; give the file to write")
    return VariantWish(names, flags.calibration, flags.max_drop / 100, report)


def _page_beside(out: Path) -> Path:
    """OUT-variants.html; in the working folder for a bundle that is uploaded, whose files are packed elsewhere."""
    from vedette.apps.object_storage import place_of

    place = place_of(out)
    if place != str(out):
        return Path.cwd() / f"{place.rstrip('/').rpartition('/')[2]}-variants.html"
    return out.absolute().with_name(f"{out.absolute().name}-variants.html")


@dataclass(frozen=True, slots=True)
class Packed:
    """A variant as the bundle has it, its files, and what it found in the pictures."""

    variant: Variant
    contents: dict[str, bytes]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Baseline:
    """The FP32 model: what the variants are made of and measured by."""

    judged: Judged
    shown: Shown
    judgement: Judgement
    golden: dict[str, bytes]

    @property
    def manifest(self) -> BundleManifest:
        return self.judged.drafted.manifest


def pack_variants(wish: VariantWish, baseline: Baseline, progress: Progress) -> tuple[Packed, ...]:
    """Every variant that is wished for beside FP32.

    Raises:
        VariantError: one cannot be made, or loses too much accuracy.
        EngineError: its engine is not there, or lacks its precision.
    """
    from vedette.learn.export.variants import KINDS

    if baseline.judgement.evaluation is None:
        progress.say(
            f"no labelled data: what {', '.join(wish.names[1:])} do to mAP is not measured, and --max-drop cannot be "
            "held; receipts have the agreement with FP32 on the golden pictures only"
        )
    kinds = [KINDS[name] for name in wish.names if name in KINDS]
    return tuple(_Maker(kind, wish, baseline, progress).pack() for kind in kinds)


def write_page(wish: VariantWish, manifest: BundleManifest, judgements: Sequence[Judgement], shown: Shown) -> None:
    """Write the page that shows a bundle's variants; judgements in their order, FP32's first.

    Raises:
        InputError: it cannot be written.
    """
    from vedette.apps.whole_files import write_whole
    from vedette.learn.data.pictures import read_picture
    from vedette.learn.export.variants_page import Shown as Looked
    from vedette.learn.export.variants_page import render_variants_page

    labelled = shown.labelled

    def read(number: int) -> Picture:
        return shown.pictures[number] if labelled is None else read_picture(labelled.data.samples[number].picture)

    looked = [
        Looked(variant, judgement.found) for variant, judgement in zip(manifest.variants, judgements, strict=True)
    ]
    if labelled is None:
        name = None if shown.synthetic else "a folder without labels"
    else:
        name = labelled.data.root.name + (f" ({labelled.split})" if labelled.split else "")
    assert wish.report is not None
    write_whole(wish.report, render_variants_page(manifest, looked, read, name).encode())


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one variant."""

    kind: VariantKind
    wish: VariantWish
    baseline: Baseline
    progress: Progress

    @property
    def pictures(self) -> CalibrationPictures | None:
        """What INT8 is calibrated with."""
        return self.baseline.shown.calibration

    def pack(self) -> Packed:
        from vedette.contracts.bundle import Variant
        from vedette.learn.export.pack import MODEL_NAME
        from vedette.learn.export.variants import Limit, make_variant, settle

        kind, fp32 = self.kind, self.baseline.judged.drafted.model
        before = self.baseline.judgement.evaluation
        judgements: list[Judgement] = []

        def make(kept: tuple[str, ...]) -> VariantModel:
            self.progress.say(f"making {kind.name}")
            return make_variant(kind, fp32, self.pictures, kept)

        def judge(made: VariantModel) -> float:
            from vedette.apps.pack_measuring import judge_engine

            engine = self._open(made, None)
            judgements.append(judge_engine(engine, self.baseline.manifest, self.baseline.shown, self.progress))
            result = judgements[-1].evaluation
            return math.inf if result is None else result.map50

        limit = Limit(0.0 if before is None else before.map50, self.wish.max_drop)
        made = settle(make, judge, self._layer_errors, limit, self.progress)
        receipt = self._receipt(made, judgements[-1])
        variant = Variant(
            name=kind.name,
            file=kind.file or MODEL_NAME,
            weights_file=kind.weights_file,
            precision=kind.precision,
            engines=kind.engines,
            receipt=receipt,
        )
        return Packed(variant, made.contents, judgements[-1])

    def _open(self, made: VariantModel, threads: int | None) -> HeadEngine:
        """On the engine that it is for, or on ONNX Runtime where that cannot be; one thread is for timing."""
        from vedette.apps.pack_measuring import for_one_picture
        from vedette.contracts.bundle import Precision
        from vedette.contracts.pipeline import EngineChoice
        from vedette.edge.engines.opening import open_engine

        kind = self.kind
        choice = EngineChoice.ONNXRUNTIME if kind.simulated else EngineChoice(kind.engines[0].value)
        # ONNX Runtime has no FP16 on processors: it computes in FP32 between roundings to FP16
        precision = Precision.FP32 if kind.precision is Precision.FP16 else kind.precision
        manifest = self.baseline.manifest if threads is None else for_one_picture(self.baseline.manifest)
        return open_engine(manifest, made.model, choice, precision, threads=threads, ir_weights=made.ir_weights)

    def _layer_errors(self) -> tuple[LayerError, ...]:
        from vedette.edge.engines.probe import run_once
        from vedette.learn.export.calibration import fit_pictures
        from vedette.learn.export.quantize_errors import measure_layer_errors

        drafted = self.baseline.judged.drafted
        pictures = self.pictures or fit_pictures(self.baseline.shown.pictures, drafted.manifest.input)
        return measure_layer_errors(
            drafted.model, self.kind.precision, pictures, drafted.manifest.decode, run_once=run_once,
            progress=self.progress,
        )  # fmt: skip

    def _receipt(self, made: VariantModel, judgement: Judgement) -> Receipt:
        from vedette.apps.pack_measuring import accuracy_of, describe_host, time_engine
        from vedette.contracts.bundle import Precision
        from vedette.contracts.receipt import Evidence, Receipt, Source
        from vedette.learn.export.golden_agreement import measure_golden

        manifest, shown = self.baseline.manifest, self.baseline.shown
        engine = self._open(made, 1)
        speed = None if self.kind.simulated else time_engine(engine, manifest, shown.pictures)
        before, after = self.baseline.judgement.evaluation, judgement.evaluation
        measured = Source.SIMULATED if self.kind.simulated else Source.MEASURED
        receipt = Receipt(
            accuracy=accuracy_of(judgement, shown.labelled),
            change=None if before is None or after is None else change_of(before, after),
            golden=measure_golden(self.baseline.golden, engine, manifest),
            evidence=Evidence(
                accuracy=Source.UNMEASURED if after is None else measured,
                speed=Source.UNMEASURED if speed is None else Source.MEASURED,
            ),
            calibration=self.pictures.record()
            if self.pictures is not None and self.kind.precision is Precision.INT8
            else None,
            kept_layers=made.kept,
            ms_per_picture=None if speed is None else speed.ms_per_picture,
            network_ms=None if speed is None else speed.network_ms,
            engine=engine.description,
            engine_version=engine.version,
            host=describe_host(),
        )
        self.progress.say(describe_receipt(self.kind.name, receipt))
        return receipt


def change_of(before: Evaluation, after: Evaluation) -> AccuracyChange:
    """A variant's figures less FP32's."""
    from vedette.contracts.receipt import AccuracyChange, ClassChange

    return AccuracyChange(
        map50=after.map50 - before.map50,
        map50_95=after.map50_95 - before.map50_95,
        classes=tuple(
            ClassChange(
                name=b.name,
                ap50=b.ap50,
                ap50_95=b.ap50_95,
                change_ap50=b.ap50 - a.ap50,
                change_ap50_95=b.ap50_95 - a.ap50_95,
            )
            for a, b in zip(before.classes, after.classes, strict=True)
            if a.ap50 is not None and a.ap50_95 is not None and b.ap50 is not None and b.ap50_95 is not None
        ),
    )


def describe_receipt(name: str, receipt: Receipt) -> str:
    """One line about a variant."""
    parts = []
    if receipt.accuracy is not None and receipt.change is not None:
        change = f"{receipt.change.map50 * 100:+.2f} points"
        parts.append(f"mAP50 {receipt.accuracy.map50:.4f} ({change}), mAP50-95 {receipt.accuracy.map50_95:.4f}")
    if receipt.golden is not None:
        parts.append(f"agreement with FP32 on golden pictures {receipt.golden.agreement * 100:.0f} %")
    if receipt.ms_per_picture is not None:
        parts.append(f"{receipt.ms_per_picture:.1f} ms a picture on one core")
    if receipt.evidence is not None:
        parts.append(f"accuracy: {receipt.evidence.accuracy.value}, speed: {receipt.evidence.speed.value}")
    return f"{name}: {'; '.join(parts)}"
