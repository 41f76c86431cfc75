"""The steps of a demo before watching: draw (or take) the input, check it, train, pack; each shown on the page."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.apps.pack_darknet import PackOptions, pack_model
from vedette.contracts.errors import ResultError
from vedette.contracts.ports import Progress
from vedette.edge.live.page import LivePage
from vedette.learn.data.check import check_data_set
from vedette.learn.data.problems import Severity
from vedette.learn.data.reading import inspect_data_set
from vedette.learn.data.scenes.factory import Factory
from vedette.learn.data.scenes.writing import Clip, ClipPlan, write_clips, write_stills
from vedette.learn.training.plots import read_results

STILLS, CLIPS, CLIP_FRAMES = 560, 8, 42 * 30
PREVIEW_EVERY_S = 1.5
_PREVIEW_WIDTH_PX = 480


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo was asked for. Without `data` and `videos` both are drawn from the seed."""

    data: Path | None
    videos: tuple[Path, ...]
    train_time_s: float
    size: str
    seed: int


@dataclass(frozen=True, slots=True)
class DemoInput:
    """Labelled pictures, and what to watch: drawn clips with their truth, or videos without."""

    data: Path
    clips: tuple[Clip, ...]
    videos: tuple[Path, ...]


class StageTee:
    """A `Progress` for the console and for one stage of the page; `on_tick` is called now and then."""

    def __init__(
        self, page: LivePage, title: str, console: Progress, on_tick: Callable[[], None] | None = None
    ) -> None:
        self._page_progress = page.stage_progress(title)
        self._both = (self._page_progress, console)
        self._on_tick = on_tick
        self._ticked = 0.0

    def start(self, stage: str, total: int, unit: str) -> None:
        for one in self._both:
            one.start(stage, total, unit)
        self._tick(force=True)

    def advance(self, count: int = 1, **figures: float) -> None:
        for one in self._both:
            one.advance(count, **figures)
        self._tick(force=False)

    def say(self, line: str) -> None:
        for one in self._both:
            one.say(line)
        self._tick(force=True)

    def plot(self, **figures: float) -> None:
        """One more point of a curve, on the page alone."""
        self._page_progress.advance(0, **figures)

    def _tick(self, force: bool) -> None:
        now = time.monotonic()
        if self._on_tick is not None and (force or now - self._ticked >= PREVIEW_EVERY_S):
            self._ticked = now
            self._on_tick()


def make_input(plan: DemoPlan, folder: Path, page: LivePage, console: Progress) -> DemoInput:
    """Draw stills and clips, or take the user's own; then check the pictures.

    Raises:
        InputError: the user's own data cannot be read.
        ResultError: the check finds errors in drawn data.
    """
    if plan.data is not None:
        page.set_stage("Drawing", lines=["not needed: your own pictures and videos"], progress=1.0)
        made = DemoInput(plan.data, (), plan.videos)
    else:
        previews = _Previews(page, plan.seed)
        progress = StageTee(page, "Drawing", console, previews.draw)
        workers = os.cpu_count() or 1
        write_stills(folder / "data", STILLS, plan.seed, progress, workers)
        clips = write_clips(folder / "clips", ClipPlan(CLIPS, CLIP_FRAMES, plan.seed), progress, workers)
        made = DemoInput(folder / "data", clips, ())
    _check(made.data, StageTee(page, "Checking", console))
    return made


def make_bundle(plan: DemoPlan, made: DemoInput, folder: Path, page: LivePage, console: Progress) -> Path:
    """Train for the planned time, then pack; the bundle's folder."""
    from vedette.learn.training.loop import train
    from vedette.learn.training.settings import TrainSettings, parse_size

    run = folder / "run"
    curves = _TrainingCurves(page, run, plan.train_time_s)
    settings = TrainSettings(
        data=made.data,
        model="yolov3-tiny",
        size_px=parse_size(plan.size),
        time_budget_s=plan.train_time_s,
        seed=plan.seed,
    )
    progress = StageTee(page, "Training", console, lambda: curves.draw(progress))
    result = train(settings, run, progress)
    console.say(
        f"trained {result.epochs} epochs; mAP50 {result.evaluation.map50:.3f} on pictures it did not learn from"
    )
    bundle = folder / "bundle"
    options = PackOptions(
        bundle,
        run / "model.cfg",
        run / "best.weights",
        run / "names.txt",
        run=run,
        data=made.data,
        split=None,
        name="demo",
    )
    pack_model(options, StageTee(page, "Packing", console))
    return bundle


def _check(data: Path, progress: Progress) -> None:
    result = check_data_set(inspect_data_set(data), progress)
    errors, warnings = result.count(Severity.ERROR), result.count(Severity.WARNING)
    progress.say(f"{len(result.data.samples)} pictures, classes {', '.join(result.data.classes)}")
    progress.say(f"{errors} errors, {warnings} warnings")
    for problem in result.problems[:5]:
        progress.say(f"{problem.severity.value}: {problem.message}")
    if errors:
        progress.say(f"see them all with: vedette data check {data}; training leaves out what cannot be used")


class _Previews:
    """Frames of three scenes, moving on each time, so that a person sees what is being drawn."""

    def __init__(self, page: LivePage, seed: int) -> None:
        self._page = page
        self._scenes = [Factory(1_000_000 + seed * 10_000 + n, 300, 640, 360) for n in range(3)]
        self._frame = 0

    def draw(self) -> None:
        pictures = {
            f"belt {n + 1}": encode_jpeg(scene.draw_noisy_bgr(self._frame)) for n, scene in enumerate(self._scenes)
        }
        self._page.set_stage("Drawing", pictures=pictures)
        self._frame = (self._frame + 20) % 300


class _TrainingCurves:
    """The stage's progress by time, the curve of validation, and the pictures that training leaves behind."""

    def __init__(self, page: LivePage, run: Path, budget_s: float) -> None:
        self._page, self._run, self._budget_s = page, run, budget_s
        self._began = time.monotonic()
        self._shown: tuple[int, ...] = ()
        self._epochs_plotted = 0

    def draw(self, progress: StageTee) -> None:
        """Bring the page up to date with the run's folder."""
        column = read_results(self._run / "results.csv").get("val_map50", ())
        for map50 in column[self._epochs_plotted :]:
            if math.isfinite(map50):  # epochs may go without validation
                progress.plot(mAP50=float(map50))
        self._epochs_plotted = len(column)
        files = [self._run / name for name in ("train_batch0.jpg", "val_batch0.jpg") if (self._run / name).is_file()]
        stamps = tuple(file.stat().st_mtime_ns for file in files)
        if stamps != self._shown:
            self._shown = stamps
            self._page.set_stage("Training", pictures={file.name: file.read_bytes() for file in files})
        spent = time.monotonic() - self._began
        self._page.set_stage("Training", progress=min(spent / self._budget_s, 1.0))


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A (height, width, 3) BGR picture as JPEG."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        raise ResultError("OpenCV could not encode a picture as JPEG")
    return bytes(data.tobytes())
