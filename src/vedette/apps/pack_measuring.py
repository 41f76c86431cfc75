"""What `vedette pack` measures of the model and of each variant: accuracy, what is found in pictures, time on one core.

Times are processor time, so that neighbours on the machine do not matter: of a whole picture (resizing, network,
decoding, suppression), and of the network alone. Medians, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.apps.pack_evidence import Labelled, Shown
    from vedette.contracts.bundle import BundleManifest
    from vedette.contracts.detections import Detections
    from vedette.contracts.ports import Progress
    from vedette.contracts.receipt import Accuracy
    from vedette.edge.engines.detector import HeadEngine, PackedDetector
    from vedette.learn.training.evaluate import Evaluation

    Picture = NDArray[np.uint8]  # (height, width, 3) BGR

WARM_UP, FEWEST_RUNS = 3, 21
LONGEST_S = 6.0  # of processor time for each of the two; a large network is timed less often


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one engine makes of the pictures; `found` has what lies above the bundle's threshold, a picture each."""

    evaluation: Evaluation | None
    found: tuple[Detections, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Median processor milliseconds of a picture on one thread."""

    ms_per_picture: float
    network_ms: float


@dataclass(frozen=True, slots=True)
class _Recorder:
    """A detector that remembers what it found, and reports all that it found to the evaluation."""

    detector: PackedDetector
    score: float
    found: list[Detections] = field(default_factory=list)

    def __call__(self, picture: Picture) -> Detections:
        detections = self.detector(picture)
        self.found.append(detections.select(detections.scores > self.score))
        return detections


def judge_engine(engine: HeadEngine, manifest: BundleManifest, shown: Shown, progress: Progress) -> Judgement:
    """Evaluate on the labelled data; without any, only look at the pictures that are shown.

    Raises:
        InputError: the labelled data cannot be used.
    """
    from vedette.edge.engines.detector import PackedDetector
    from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed, evaluate_pictures
    from vedette.vision.postprocess import DetectionRules

    classes = manifest.classes
    rules = DetectionRules.of(manifest, score=SCORE_FLOOR, max_detections=detections_needed(len(classes)))
    recorder = _Recorder(PackedDetector(manifest, engine, rules), manifest.thresholds.score)
    labelled = shown.labelled
    if labelled is None:
        for picture in shown.pictures:
            recorder(picture)
        return Judgement(None, tuple(recorder.found))
    result = evaluate_pictures(recorder, labelled.data, classes, class_map=labelled.class_map, progress=progress)
    return Judgement(result, tuple(recorder.found))


def accuracy_of(judgement: Judgement, labelled: Labelled | None) -> Accuracy | None:
    """The figures as a receipt has them."""
    from vedette.contracts.receipt import Accuracy

    result = judgement.evaluation
    if labelled is None or result is None:
        return None
    return Accuracy(
        data_digest=labelled.data.digest(),
        split=labelled.split,
        pictures=result.pictures,
        map50=result.map50,
        map50_95=result.map50_95,
    )


def for_one_picture(manifest: BundleManifest) -> BundleManifest:
    """The manifest as `vedette run` opens engines on many processors: for one picture at a time.

    OpenVINO compiles INT8 for a known batch 6 to 8 % faster than for any batch (yolov3-tiny, 2026.4).
    """
    return manifest.model_copy(update={"input": manifest.input.model_copy(update={"batch": manifest.input.batch or 1})})


def time_engine(engine: HeadEngine, manifest: BundleManifest, pictures: Sequence[Picture]) -> Speed:
    """How long an engine takes that was opened with one thread and, where it can be, for one picture."""
    from vedette.edge.engines.detector import PackedDetector
    from vedette.vision.postprocess import DetectionRules
    from vedette.vision.resize import prepare

    detector = PackedDetector(manifest, engine, DetectionRules.of(manifest))
    prepared = [prepare(picture, manifest.input)[0] for picture in pictures]
    return Speed(_median_ms(detector, pictures), _median_ms(engine.infer, prepared))


def _median_ms(call: Callable[[Any], object], given: Sequence[Any]) -> float:
    for number in range(WARM_UP):
        call(given[number % len(given)])
    times_ms: list[float] = []
    began = time.process_time()
    while len(times_ms) < FEWEST_RUNS:
        started = time.process_time()
        call(given[len(times_ms) % len(given)])
        ended = time.process_time()
        times_ms.append((ended - started) * 1000)
        if ended - began > LONGEST_S:
            break
    return median(times_ms)


def describe_host() -> str:
    """What machine the figures are from, without its name."""
    import platform

    from vedette.edge.engines.opening import available_processors

    return f"{platform.system()} {platform.machine()}, {_processor()}, {available_processors()} processors"


def _processor() -> str:
    """What Linux says of the first processor; elsewhere what Python says."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return named[0] if named else platform.processor() or "unknown processor"
