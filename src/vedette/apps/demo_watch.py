"""The last step of a demo: watch the clips in real time and compare what was counted with what is true."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vedette.apps.demo_stages import DemoInput, encode_jpeg
from vedette.apps.run import build_watch, open_pipeline_detector
from vedette.apps.run_report import RunSummary
from vedette.apps.video import opened_video
from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import Precision
from vedette.contracts.detections import Tracks
from vedette.contracts.errors import UnavailableError
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Camera, Detect, Line, Pipeline, Show
from vedette.contracts.ports import Detector, FullPicture, Progress
from vedette.contracts.status import Status
from vedette.edge.live.overlay import draw_counts, draw_rules, draw_tracks
from vedette.edge.live.page import LivePage
from vedette.edge.stream.statistics import CameraStatistics

EVERY = 5
PICTURE_WIDTH_PX = 640
PICTURE_AT_S = 20.0  # media time of the pictures in the report

ClassCounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WatchOutcome:
    """What was counted, and what is true where the clips were drawn; pictures are annotated JPEGs by camera."""

    summary: RunSummary
    counted_by_class: ClassCounts
    true_by_class: ClassCounts | None
    slots: int
    missed_slots: int
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    counted_unpaced: bool = False  # the machine did not keep up: counts are those of a second watch, frame by frame

    @property
    def has_truth(self) -> bool:
        return self.true_by_class is not None

    @property
    def counted(self) -> int:
        return sum(self.counted_by_class.values())

    @property
    def true(self) -> int:
        return sum((self.true_by_class or {}).values())

    @property
    def error(self) -> float:
        """Difference of the sums as a share of the truth."""
        return abs(self.counted - self.true) / self.true if self.true else 0.0

    @property
    def worst_class_error(self) -> float:
        """The largest error of one class, as a share of its truth."""
        true = self.true_by_class or {}
        return max((abs(self.counted_by_class.get(n, 0) - t) / t for n, t in true.items() if t), default=0.0)

    @property
    def missed(self) -> float:
        """Detection slots missed, as a share of those that were due."""
        return self.missed_slots / self.slots if self.slots else 0.0

    @property
    def frames_per_s(self) -> float:
        return sum(camera.frames for camera in self.summary.cameras) / max(self.summary.seconds, 1e-9)

    def is_good(self, tolerance: float, missed_limit: float) -> bool:
        """Every camera watched to its end, counts within the tolerance, of frames of which few were missed if any."""
        within = max(self.error, self.worst_class_error) <= tolerance
        return not self.summary.errors and (self.counted_unpaced or self.missed < missed_limit) and within

    def class_columns(self) -> list[str]:
        return ["class", "true", "counted", "error"] if self.has_truth else ["class", "counted"]

    def class_rows(self) -> list[list[str]]:
        """One row a class, then one for all."""
        if self.true_by_class is None:
            rows = [[name, str(count)] for name, count in sorted(self.counted_by_class.items())]
            return [*rows, ["all", str(self.counted)]]
        names = sorted({*self.true_by_class, *self.counted_by_class})
        return [
            *(_row(name, self.true_by_class.get(name, 0), self.counted_by_class.get(name, 0)) for name in names),
            _row("all", self.true, self.counted),
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "counted": dict(self.counted_by_class),
            "true": None if self.true_by_class is None else dict(self.true_by_class),
            "error": round(self.error, 5) if self.has_truth else None,
            "worst_class_error": round(self.worst_class_error, 5) if self.has_truth else None,
            "slots": self.slots,
            "missed_slots": self.missed_slots,
            "missed": round(self.missed, 5),
            "counted_unpaced": self.counted_unpaced,
            "run": self.summary.to_json(),
        }


def watch_demo(made: DemoInput, bundle: Path, page: LivePage, console: Progress, missed_limit: float) -> WatchOutcome:
    """Watch every clip once in real time; the page shows it.

    Drawn clips of which a busy or small machine missed more than `missed_limit` of the slots are watched again without
    their clock: what is counted then is what the detector is worth, and the missed slots say what the machine is.
    """
    cameras = _cameras(made)
    page.set_stage("Watching", lines=[f"{len(cameras)} streams, detection on every {EVERY}th frame"])
    keeper = _PictureKeeper()
    with _Ticker(console, "watching", max(_seconds(camera.url) for camera in cameras)):
        summary, statistics = _watch(cameras, bundle, page, keeper)
    slots = sum(one.slots + one.skipped // EVERY for one in statistics)
    missed = sum(one.drops + one.skipped // EVERY for one in statistics)
    true = Counter(crossing.class_name for clip in made.clips for crossing in clip.crossings) if made.clips else None
    counted, unpaced = _by_class(summary.counts), bool(made.clips) and missed >= missed_limit * slots
    if unpaced:
        console.say(
            f"this machine missed {missed} of {slots} detections: it is too small or too busy for {len(cameras)} "
            "streams in real time (`vedette capacity` says how many it takes); counting once more, without the clock"
        )
        page.set_stage("Watching", lines=["once more, without the clock: this machine is too slow or too busy for it"])
        again = [camera.model_copy(update={"realtime": False}) for camera in cameras]
        with _Ticker(console, "counting", max(_seconds(camera.url) for camera in cameras)):
            counted = _by_class(_watch(tuple(again), bundle, page)[0].counts)
    page.set_stage("Watching", progress=1.0)
    page.finish_stages()
    return WatchOutcome(summary, counted, true, slots, missed, keeper.pictures(), unpaced)


def _watch(
    cameras: tuple[Camera, ...], bundle: Path, page: LivePage, keeper: _PictureKeeper | None = None
) -> tuple[RunSummary, Sequence[CameraStatistics]]:
    pipeline, opened, detector = _open(cameras, bundle)
    with opened_video(pipeline.model_copy(update={"show": Show()})) as video, ExitStack() as serving:
        watch = build_watch(pipeline, opened, detector, page, views=[keeper] if keeper else [], video=video)
        if video is not None and all(camera.realtime for camera in cameras):
            serving.enter_context(page.serving(video.routes))
        if keeper:
            keeper.ask_status = watch.status
        return watch.run(), watch.statistics()


def _cameras(made: DemoInput) -> tuple[Camera, ...]:
    """One real-time camera a clip, its line where the clip has it; down the middle of the user's own videos."""
    cameras = []
    for clip in made.clips:
        x1, y1, x2, y2 = clip.line_xyxy_px
        line = Line(name="count", start=(x1, y1), end=(x2, y2))
        cameras.append(Camera(name=clip.name, url=str(clip.video), realtime=True, lines=(line,)))
    for number, video in enumerate(made.videos):
        line = Line(name="count", start=("50%", "0%"), end=("50%", "100%"))
        cameras.append(Camera(name=f"camera-{number + 1}", url=str(video), realtime=True, lines=(line,)))
    return tuple(cameras)


def _open(cameras: tuple[Camera, ...], bundle: Path) -> tuple[Pipeline, OpenBundle, Detector]:
    """BF16 where the processor multiplies it, else FP32; which one it is stands on the page and in the report."""
    wanted = Pipeline(bundle=str(bundle), cameras=cameras, detect=Detect(every=EVERY, precision=Precision.BF16))
    try:
        return (wanted, *open_pipeline_detector(wanted))
    except UnavailableError:
        plain = wanted.model_copy(update={"detect": Detect(every=EVERY)})
        return (plain, *open_pipeline_detector(plain))


def _by_class(counts: Mapping[str, Any]) -> Counter[str]:
    """Crossings of all cameras and lines, both directions, by class."""
    total: Counter[str] = Counter()
    for camera in counts.values():
        for classes in camera["lines"].values():
            for name, directions in classes.items():
                total[name] += sum(directions.values())
    return total


def _row(name: str, true: int, counted: int) -> list[str]:
    error = f"{abs(counted - true) / true:.1%}" if true else "–"
    return [name, str(true), str(counted), error]


def _seconds(url: str) -> float:
    video = cv2.VideoCapture(url)
    frames, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    video.release()
    return float(frames / rate) if rate > 0 else 0.0


class _Ticker:
    """A bar of seconds while the cameras run."""

    def __init__(self, console: Progress, doing: str, seconds: float) -> None:
        self._console, self._doing, self._seconds = console, doing, max(round(seconds), 1)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="vedette-demo-ticker", daemon=True)

    def __enter__(self) -> None:
        self._console.start(self._doing, self._seconds, "seconds")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _tick(self) -> None:
        for _ in range(self._seconds):
            if self._done.wait(1.0):
                return
            self._console.advance(1)


class _PictureKeeper:
    """`contracts.ports.View`: keeps one frame of every camera, to be drawn for the report when all is over."""

    def __init__(self) -> None:
        self.ask_status: Callable[[], Status] = Status
        self._kept: dict[str, tuple[float, FullPicture, Tracks, Mapping[str, int]]] = {}

    def show(self, stamp: FrameStamp, picture: FullPicture, tracks: Tracks, counts: Mapping[str, int]) -> None:
        """Keep the first frame from `PICTURE_AT_S` on; of a shorter video, the latest before."""
        kept = self._kept.get(stamp.camera)
        if kept is None or kept[0] < PICTURE_AT_S:
            self._kept[stamp.camera] = (stamp.media_time_s, picture, tracks, dict(counts))

    def close(self) -> None:
        """Nothing to finish."""

    def pictures(self) -> dict[str, bytes]:
        """Annotated JPEGs by camera."""
        return {name: self._draw(name) for name in sorted(self._kept)}

    def _draw(self, name: str) -> bytes:
        _, picture, tracks, counts = self._kept[name]
        image = np.ascontiguousarray(picture.to_bgr(PICTURE_WIDTH_PX))  # (h, w, 3) uint8
        camera = self.ask_status().camera(name)
        if camera is not None and camera.width_px:
            scale = image.shape[1] / camera.width_px
            draw_rules(image, camera.lines, camera.zones, scale)
            draw_tracks(image, tracks, scale)
        draw_counts(image, counts)
        return encode_jpeg(image)
