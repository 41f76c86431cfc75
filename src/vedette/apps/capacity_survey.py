"""Measures every clip and every detector once, and answers for each pair of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vedette.apps.capacity_clips import CapacityClip
from vedette.apps.capacity_errors import CapacityError
from vedette.apps.capacity_measuring import DetectorCost, Measuring
from vedette.apps.capacity_proof import Prover
from vedette.apps.capacity_report import (
    BOXES,
    INFERENCE,
    RESIZE,
    TRACKING,
    CapacityReport,
    MeasuredModel,
    Proof,
    Row,
)
from vedette.apps.watching import WEAK_SHARE
from vedette.bundle_folder import OpenBundle, open_bundle
from vedette.contracts.bundle import Precision
from vedette.contracts.errors import UsageError
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import Progress
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import choose_variant, open_detector
from vedette.edge.engines.submitting import open_async_detector
from vedette.edge.stream.capacity import Answer, CameraWork, UnitCost, answer
from vedette.edge.stream.spawner import Spawner

Choice = TypeVar("Choice", EngineChoice, Precision)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle in a precision that runs here. `map50` is its receipt's."""

    bundle: OpenBundle
    engine: EngineChoice
    precision: Precision
    map50: float | None


def find_candidates(
    bundles: Sequence[Path], precisions: Sequence[str] | None, engine: str | None, *, need_map: bool
) -> tuple[list[Candidate], list[str]]:
    """What to measure, each opened once so that nothing fails later, and notes on what was left out.

    Raises:
        UsageError: no such precision or engine.
        EngineError: a precision that was asked for does not run here.
        CapacityError: there is no mAP to plot.
        BundleError: a folder is no good bundle.
    """
    chosen_engine = _one_of(EngineChoice, engine or "auto", "--engine")
    asked = [_one_of(Precision, text, "--precision") for text in dict.fromkeys(precisions or ())]
    candidates, notes = [], []
    for path in dict.fromkeys(bundles):
        bundle = open_bundle(path)
        held = list(dict.fromkeys(variant.precision for variant in bundle.manifest.variants))
        for precision in asked or held:
            try:
                _, variant = choose_variant(bundle.manifest, chosen_engine, precision)
                open_detector(bundle, chosen_engine, precision, threads=1)
            except EngineError as error:
                if asked:
                    raise
                notes.append(f"{bundle.manifest.name} {precision.value} was left out: {error}")
                continue
            accuracy = variant.receipt.accuracy
            candidates.append(Candidate(bundle, chosen_engine, precision, None if accuracy is None else accuracy.map50))
    if bundles and not candidates:
        raise CapacityError("; ".join(notes))
    if need_map and not any(candidate.map50 is not None for candidate in candidates):
        raise CapacityError(
            "--plot: no receipt of these bundles says an mAP; pack them with --data and labelled pictures"
        )
    return candidates, notes


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """Detection on every Nth frame, seconds of each measurement, and of each run that proves, where that is wanted."""

    every: int
    seconds: float
    prove_s: float | None = None


def survey(
    clips: Sequence[CapacityClip],
    candidates: Sequence[Candidate],
    plan: SurveyPlan,
    spawner: Spawner | None,
    progress: Progress,
) -> CapacityReport:
    """Measure, answer, prove."""
    measuring = Measuring(spawner, plan.seconds, progress)
    inputs = {_input_key(candidate): candidate.bundle.manifest.input for candidate in candidates}
    runs = len(clips) * 2 * (1 + len(inputs)) if candidates else len(clips) * 2
    progress.start("measuring", runs + 3 * len(candidates), "measurements")
    decoding: dict[str, UnitCost] = {}
    resizing: dict[tuple[str, str], UnitCost] = {}
    for clip in clips:
        decoding[clip.path] = measuring.decoding(clip)
        for key, network_input in inputs.items():
            resizing[clip.path, key] = measuring.resizing(clip, network_input, decoding[clip.path])
    models = [_measure(measuring, candidate, clips[0]) for candidate in candidates]
    prover = None if plan.prove_s is None else Prover(spawner, plan.prove_s, progress)
    rows = []
    for clip in clips:
        decode = decoding[clip.path]
        if not candidates:
            work = CameraWork(clip.frames_per_s, decode, {})
            rows.append(Row(clip, None, work, answer(work, 0.0, measuring.processors)))
        for candidate, model in zip(candidates, models, strict=True):
            stages: Mapping[str, UnitCost] = {
                RESIZE: resizing[clip.path, _input_key(candidate)],
                INFERENCE: model.inference, BOXES: model.boxes, TRACKING: model.tracking,
            }  # fmt: skip
            work = CameraWork(clip.frames_per_s, decode, stages)
            found = answer(work, clip.frames_per_s / plan.every, measuring.processors)
            proof = None if prover is None else _prove(prover, candidate, clip, plan.every, found)
            rows.append(Row(clip, model, work, found, proof))
    return CapacityReport(measuring.processors, plan.every, rows)


def _measure(measuring: Measuring, candidate: Candidate, clip: CapacityClip) -> MeasuredModel:
    bundle = candidate.bundle
    cost: DetectorCost = measuring.detector(bundle, candidate.engine, candidate.precision, clip)
    tracking = measuring.tracking(bundle.manifest.classes)
    return MeasuredModel(
        bundle.manifest.name,
        candidate.precision.value,
        cost.engine,
        candidate.map50,
        cost.inference,
        cost.boxes,
        tracking,
    )


def _prove(prover: Prover, candidate: Candidate, clip: CapacityClip, every: int, found: Answer) -> Proof:
    score = WEAK_SHARE * candidate.bundle.manifest.thresholds.score
    detector = open_async_detector(candidate.bundle, candidate.engine, candidate.precision, score=score)
    return prover.prove(clip, detector, every, found)


def _input_key(candidate: Candidate) -> str:
    spec = candidate.bundle.manifest.input
    return f"{spec.width}x{spec.height} {spec.resize.value}"


def _one_of(choices: type[Choice], text: str, flag: str) -> Choice:
    try:
        return choices(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text}: must be {', '.join(one.value for one in choices)}") from error
