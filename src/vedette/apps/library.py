"""What a Python program uses: `vedette.load` and `vedette.watch`. The same wiring as the commands, as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vedette.contracts.bundle import Precision
    from vedette.contracts.event import Event
    from vedette.contracts.pipeline import EngineChoice, Pipeline
    from vedette.contracts.ports import Progress
    from vedette.edge.engines.detector import PackedDetector


def load(
    path: str | Path,
    engine: EngineChoice | str = "auto",
    precision: Precision | str = "fp32",
    *,
    score: float | None = None,
    nms_iou: float | None = None,
    max_detections: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PackedDetector:
    """Open a bundle after verifying every file in it; the result is a callable: BGR picture in, Detections out.

    The bundle is a folder, or s3://BUCKET/PREFIX. Thresholds left out are the bundle's own. `threads` is how many
    processors one inference may use (all by default). TensorRT builds an engine, which takes minutes the first time and
    is told to `progress`.
    A detector belongs to one thread at a time.

    Raises:
        BundleError: the folder is not the bundle that was packed; names the file.
        EngineError: the engine is not installed, lacks the precision, or refuses the model.
        UsageError: an option has a value that it cannot have.
    """
    from vedette.apps.object_storage import local_bundle, tensorrt_settings
    from vedette.bundle_folder import open_bundle
    from vedette.contracts.bundle import Precision as PrecisionEnum
    from vedette.contracts.errors import UsageError
    from vedette.contracts.pipeline import EngineChoice as EngineEnum
    from vedette.edge.engines.opening import open_detector

    for name, value in (("score", score), ("nms_iou", nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{name} must lie between 0 and 1; got {value}")
    for name, number in (("max_detections", max_detections), ("threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1; got {number}")
    try:
        chosen, arithmetic = EngineEnum(engine), PrecisionEnum(precision)
    except ValueError as error:
        engines, precisions = ", ".join(e.value for e in EngineEnum), ", ".join(p.value for p in PrecisionEnum)
        raise UsageError(f"{error}; engines: {engines}; precisions: {precisions}") from error
    return open_detector(
        open_bundle(local_bundle(path)),
        chosen,
        arithmetic,
        score=score,
        nms_iou=nms_iou,
        max_detections=max_detections,
        threads=threads,
        tensorrt=tensorrt_settings(progress),
    )


def watch(pipeline: str | Path | Pipeline) -> Iterator[Event]:
    """Run a pipeline (a file's path or a value) and give its events as they happen; ends when the cameras have ended.

    Leaving the loop, or closing the iterator, stops the cameras.

    Raises:
        VedetteError: the pipeline, its bundle or all its cameras cannot be used.
    """
    from vedette.apps.event_iterator import watch_pipeline

    return watch_pipeline(pipeline)
