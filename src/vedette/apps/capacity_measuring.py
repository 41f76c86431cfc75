"""What a second of a camera costs on this box, in processor time of this process and its decoders.

Cameras are measured as runs have them, by `StreamPipeline` with a detector that does nothing: without slots that is
decoding (demuxing, pace and reports within), and what every frame more costs when each is a slot is resizing and
handing over. The detector is kept busy as in a run. Each is measured alone, then with every processor at work: many
cameras at once, which push each other's pictures out of the caches, and the detector beside them. Measured so, costs
add up to what a run takes within a few per cent; measured one by one they promise a tenth too much.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.apps.beside import working_beside
from vedette.apps.capacity_clips import CapacityClip
from vedette.apps.capacity_errors import CapacityError
from vedette.apps.watching import WEAK_SHARE
from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import BundleManifest, DarknetHeads, InputSpec, Precision, Provenance, Variant, YoloHead
from vedette.contracts.detections import Detections
from vedette.contracts.frame import FittedFrame, Pixels, Placement
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import AsyncDetector, FullPicture, Progress
from vedette.contracts.receipt import Receipt
from vedette.edge.analytics.track import ByteTracker
from vedette.edge.engines.opening import available_processors, open_detector
from vedette.edge.engines.submitting import open_async_detector
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.capacity import UnitCost
from vedette.edge.stream.fitting import FrameFitter
from vedette.edge.stream.pipeline import StreamPipeline
from vedette.edge.stream.source import open_source
from vedette.edge.stream.spawner import Spawner
from vedette.edge.stream.statistics import CameraStatistics
from vedette.vision.postprocess import DetectionRules, detections_from_pictures

NO_SLOTS = 1_000_000  # every so-manieth frame: the first alone
BATCH = 4  # the default of a run
PICTURES = 24  # different ones that a detector is measured with
TRACKED = 20  # objects, on the busy side of a camera
WARM_UP = 2 * BATCH
CAMERAS_PER_PROCESSOR, MOST_CAMERAS = 6, 48
MIN_PICTURES = 48
LONGER = 10  # times as many frames, where the first measurement drowned in noise
MIN_FRAMES = 150  # of one camera, twice that of many, for a figure; a busy machine takes longer
LONGEST_S = 30.0  # or four times what was asked for, where that is more
END_S = 5.0  # for decoders to end


@dataclass(frozen=True, slots=True)
class DetectorCost:
    """Of a picture: the network, then boxes from its outputs; and what runs it."""

    engine: str
    inference: UnitCost
    boxes: UnitCost


class Measuring:
    """Measurements of `seconds` each; `progress` advances by one with each of them."""

    def __init__(self, spawner: Spawner | None, seconds: float, progress: Progress) -> None:
        self._spawner = spawner
        self._seconds = seconds
        self._progress = progress
        self.processors = available_processors()
        # As many as share the caches in a run: their reference frames push each other out
        self._many = max(self.processors, min(CAMERAS_PER_PROCESSOR * self.processors, MOST_CAMERAS))

    def decoding(self, clip: CapacityClip) -> UnitCost:
        """Of a frame, with all that comes before and behind it where it is not detected on."""
        self._run(clip, 1, 1, NoDetector(), only_start=True)  # starts the spawner and reads the file into memory
        return self._frame_cost(clip, NO_SLOTS, NoDetector())

    def resizing(self, clip: CapacityClip, network_input: InputSpec, decoding: UnitCost) -> UnitCost:
        """Of a frame that is detected on: fitting it to the network and handing it over, beside its decoding."""
        whole = self._frame_cost(clip, 1, NoDetector(network_input))
        return UnitCost(max(whole.alone_ms - decoding.alone_ms, 0.0), max(whole.loaded_ms - decoding.loaded_ms, 0.0))

    def _frame_cost(self, clip: CapacityClip, every: int, detector: "NoDetector") -> UnitCost:
        """Alone, then many cameras; what opening them costs is measured by itself and taken away."""
        costs_ms = []
        for cameras in (1, self._many):
            start = self._run(clip, cameras, 1, detector, only_start=True)  # a batch of every frame comes soonest
            run = self._run(clip, cameras, every, detector)
            if (
                run.cpu_s <= start.cpu_s
            ):  # on a busy machine opening them may cost more than a short run over small frames
                run = self._run(clip, cameras, every, detector, least_frames=LONGER * MIN_FRAMES)
            frames = run.frames - start.frames
            if frames <= 0:
                raise CapacityError(
                    f"{clip.path}: hardly a frame was decoded in {LONGEST_S:g} s; give another clip, or more --seconds"
                )
            costs_ms.append(1000 * max(run.cpu_s - start.cpu_s, 0.0) / frames)
            self._progress.advance()
        return UnitCost(*costs_ms)

    def _run(
        self,
        clip: CapacityClip,
        cameras: int,
        every: int,
        detector: "NoDetector",
        *,
        only_start: bool = False,
        least_frames: int = MIN_FRAMES,
    ) -> "RunCost":
        """So many cameras on one clip, as fast as possible, to the first result or for a while."""
        specs = [CameraSpec(f"camera-{number}", clip.path, loop=True, decode_all=True) for number in range(cameras)]
        handler = Unwatched()
        pipeline = StreamPipeline(specs, detector, handler, every, BATCH, spawner=self._spawner, pictures=False)
        if only_start:
            handler.on_first = pipeline.stop
        return run_for(pipeline, self._seconds, self._spawner, least_frames * min(cameras, 2))

    def detector(
        self, bundle: OpenBundle, engine: EngineChoice, precision: Precision, clip: CapacityClip
    ) -> DetectorCost:
        """The detector on pictures of the clip.

        Raises:
            EngineError: the engine or precision is not to be had.
        """
        score = WEAK_SHARE * bundle.manifest.thresholds.score
        frames = list(itertools.islice(fitted_frames(clip, bundle.manifest.input), PICTURES))
        single = open_detector(bundle, engine, precision, score=score, threads=1)
        boxes_ms = _boxes_ms(single.infer, frames, single.rules)
        alone = open_async_detector(bundle, engine, precision, score=score, threads=1)
        alone_ms = self._picture_ms(alone, frames)
        self._progress.advance()
        detector = open_async_detector(bundle, engine, precision, score=score, threads=self.processors)
        with self._cameras_beside(clip):
            loaded_ms = self._picture_ms(detector, frames)
        self._progress.advance()
        inference = UnitCost(max(alone_ms - boxes_ms, 0.0), max(loaded_ms - boxes_ms, 0.0))
        return DetectorCost(detector.engine_description, inference, UnitCost(boxes_ms, boxes_ms))

    def tracking(self, class_names: tuple[str, ...]) -> UnitCost:
        """One update of a tracker with many objects. One thread does that in any run."""
        tracker, step_s = ByteTracker(), 1 / 6
        everything = [_drifting(number, class_names) for number in range(60)]
        for number, detections in enumerate(everything[:10]):
            tracker.update(detections, number * step_s)
        began_s = time.thread_time()
        for number, detections in enumerate(everything[10:], start=10):
            tracker.update(detections, number * step_s)
        cost_ms = 1000 * (time.thread_time() - began_s) / len(everything[10:])
        self._progress.advance()
        return UnitCost(cost_ms, cost_ms)

    @contextmanager
    def _cameras_beside(self, clip: CapacityClip) -> Iterator[None]:
        """Many cameras are decoded meanwhile, in their processes: memory and caches are shared with them in a run.

        Where cameras are threads, their time could not be told from the detector's; then nothing runs beside it.
        """
        if self._spawner is None:
            yield
            return
        specs = [CameraSpec(f"camera-{number}", clip.path, loop=True, decode_all=True) for number in range(self._many)]
        pipeline = StreamPipeline(
            specs, NoDetector(), Unwatched(), NO_SLOTS, BATCH, spawner=self._spawner, pictures=False
        )
        thread = threading.Thread(target=pipeline.run, name="vedette-beside", daemon=True)
        thread.start()
        try:
            yield
        finally:
            pipeline.stop()
            thread.join()
            _wait_for_decoders(self._spawner)

    def _picture_ms(self, detector: AsyncDetector, frames: Sequence[FittedFrame]) -> float:
        """Processor milliseconds of a picture, with as many batches under way as in a run."""
        pictures = itertools.cycle(frames)
        under_way, done = 0, 0
        began_s, cpu_s, counted = time.monotonic(), 0.0, 0
        while time.monotonic() - began_s < self._seconds or counted < MIN_PICTURES:
            while under_way < detector.in_flight:
                batch = list(itertools.islice(pictures, BATCH))
                detector.submit([frame.pixels_hwc_rgb for frame in batch], [frame.placement for frame in batch])
                under_way += 1
            detector.take()
            under_way -= 1
            done += BATCH
            if done <= WARM_UP:  # its first pictures make the engine ready
                began_s, cpu_s = time.monotonic(), time.process_time()
            else:
                counted += BATCH
        spent_s = time.process_time() - cpu_s
        for _ in range(under_way):
            detector.take()
        return 1000 * spent_s / counted


class NoDetector:
    """A `contracts.ports.AsyncDetector` that finds nothing, at once. Without a network, cameras are only decoded."""

    engine_name = "none"
    engine_description = "no detector"
    in_flight = 2

    def __init__(self, network_input: InputSpec | None = None) -> None:
        self.manifest = _empty_manifest(network_input or InputSpec(width=64, height=64))
        self._waiting: deque[int] = deque()

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        return Detections.empty(self.manifest.classes)

    def detect_fitted(self, pixels_nhwc_rgb: Pixels, placements: Sequence[Placement]) -> list[Detections]:
        return [Detections.empty(self.manifest.classes) for _ in placements]

    def submit(self, pixels_hwc_rgb: Sequence[Pixels], placements: Sequence[Placement]) -> None:
        self._waiting.append(len(placements))

    def take(self) -> list[Detections]:
        return [Detections.empty(self.manifest.classes) for _ in range(self._waiting.popleft())]


class Unwatched:
    """A `contracts.ports.ResultHandler` that only says when the first result comes."""

    on_first: Callable[[], None] | None = None

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None:
        if self.on_first is not None:
            self.on_first()
            self.on_first = None

    def on_camera_end(self, camera: str, error: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run did and took: processor seconds of this process and its decoders, wall seconds, statistics."""

    cpu_s: float
    wall_s: float
    cameras: Sequence[CameraStatistics]

    @property
    def frames(self) -> int:
        """Decoded, of all cameras."""
        return sum(camera.frames for camera in self.cameras)


def run_for(pipeline: StreamPipeline, seconds: float, spawner: Spawner | None, least_frames: int = 0) -> RunCost:
    """Run a pipeline, stop it after so long; `LONGEST_S` later where too few frames were decoded by then."""
    stops_s = [float("inf")]

    def stop_in_time(over: threading.Event) -> None:
        ended = over.wait(seconds)
        last_s = time.monotonic() + max(3 * seconds, LONGEST_S)
        while not ended and time.monotonic() < last_s:
            if sum(camera.frames for camera in pipeline.snapshot()) >= least_frames:
                break
            ended = over.wait(0.05)
        stops_s.append(time.monotonic())
        pipeline.stop()

    cpu_s, began_s = cpu_seconds(spawner), time.monotonic()
    with working_beside(stop_in_time, "vedette-stop"):
        pipeline.run()
        stops_s.append(time.monotonic())
    _wait_for_decoders(spawner)
    return RunCost(cpu_seconds(spawner) - cpu_s, min(stops_s) - began_s, pipeline.snapshot())


def _wait_for_decoders(spawner: Spawner | None) -> None:
    """Their time is counted when they have ended; one that is slow to end was killed by the run."""
    if spawner is None or spawner.pid is None:
        return
    import psutil

    psutil.wait_procs(psutil.Process(spawner.pid).children(), timeout=END_S)


def cpu_seconds(spawner: Spawner | None) -> float:
    """Processor seconds of this process, of the spawner, and of all its decoders that have ended."""
    spent_s = time.process_time()
    if spawner is not None and spawner.pid is not None:
        import psutil

        times = psutil.Process(spawner.pid).cpu_times()
        spent_s += times.user + times.system + times.children_user + times.children_system
    return spent_s


def live_cpu_seconds(spawner: Spawner | None) -> float:
    """As `cpu_seconds`, with the decoders that run."""
    if spawner is None or spawner.pid is None:
        return cpu_seconds(spawner)
    import psutil

    decoders = [process.cpu_times() for process in psutil.Process(spawner.pid).children()]
    return cpu_seconds(spawner) + sum(times.user + times.system for times in decoders)


def fitted_frames(clip: CapacityClip, network_input: InputSpec) -> Iterator[FittedFrame]:
    """Every fifth frame of a clip, fitted; the clip is begun again at its end."""
    from vedette.contracts.frame import FrameStamp

    fitter, index = FrameFitter(network_input), 0
    while True:
        source = open_source(CameraSpec("clip", clip.path))
        try:
            for frame in source.frames():
                if frame is not None and index % 5 == 0:
                    pixels, placement = fitter.fit(frame)
                    stamp = FrameStamp("clip", index, 0.0, 0.0, frame.width, frame.height)
                    yield FittedFrame(stamp, placement, pixels)
                index += 1
        finally:
            source.close()


def _boxes_ms(
    infer: Callable[[Pixels], list[NDArray[np.float32]]], frames: Sequence[FittedFrame], rules: DetectionRules
) -> float:
    """Of a picture, in batches as in a run: the pictures of a batch are decoded and suppressed together."""
    heads = [[head[0] for head in infer(frame.pixels_hwc_rgb[None])] for frame in frames]  # of (1, height, width, 3)
    spent_s = 0.0
    for start in (0, *range(0, len(frames), BATCH)):  # the first twice: what is worked out once is no cost of a picture
        placements = [frame.placement for frame in frames[start : start + BATCH]]
        began_s = time.thread_time()
        detections_from_pictures(heads[start : start + BATCH], rules, placements)
        spent_s = 0.0 if start == 0 else spent_s
        spent_s += time.thread_time() - began_s
    return 1000 * spent_s / len(frames)


def _drifting(number: int, class_names: tuple[str, ...]) -> Detections:
    """Objects in rows that move a little from frame to frame."""
    columns, rows = np.arange(TRACKED) % 5, np.arange(TRACKED) // 5
    left, top = columns * 350.0 + 7 * number, rows * 250.0 + 3 * number
    boxes = np.stack([left, top, left + 120, top + 200], axis=1).astype(np.float32)  # (20, 4) float32
    scores = np.full(TRACKED, 0.9, np.float32)
    return Detections(boxes, scores, np.zeros(TRACKED, np.int32), class_names)


def _empty_manifest(network_input: InputSpec) -> BundleManifest:
    zeros = "0" * 64
    head = YoloHead(output="none", grid_width=1, grid_height=1, anchors=((1.0, 1.0),))
    provenance = Provenance(
        code_version="0", created_utc="2026-01-01T00:00:00Z", source="darknet", weights_sha256=zeros, cfg_sha256=zeros
    )
    return BundleManifest(
        name="none",
        classes=("none",),
        input=network_input,
        decode=DarknetHeads(heads=(head,)),
        provenance=provenance,
        variants=(Variant(name="fp32", file="none", precision=Precision.FP32, receipt=Receipt()),),
        files={},
    )
