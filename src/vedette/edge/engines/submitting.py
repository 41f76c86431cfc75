"""`contracts.ports.AsyncDetector` over any engine: batches are begun by one thread, and their results taken by another.

OpenVINO with several streams works on the pictures of all batches under way; any other engine gets a thread of its own,
which takes one batch after the other. Decoding of boxes and suppression happen in the thread that takes.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vedette.bundle_folder import OpenBundle
from vedette.contracts.bundle import BundleManifest, Precision
from vedette.contracts.detections import Detections
from vedette.contracts.frame import Pixels, Placement
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.opening import available_processors, choose_for, open_built_engine, open_engine
from vedette.edge.engines.tensorrt.settings import TensorRtSettings
from vedette.vision.postprocess import DetectionRules, detections_from_pictures
from vedette.vision.resize import network_pixels


class Started(Protocol):
    """Heads to come: of one picture, or of a batch."""

    def wait(self) -> list[NDArray[np.float32]]: ...

    def release(self) -> None: ...


class StreamedEngine(HeadEngine, Protocol):
    """An engine that works on several pictures at once."""

    @property
    def streams(self) -> int: ...

    def start(self, pixels_nhwc_rgb: Pixels) -> Started: ...


class StreamedDetector(PackedDetector):
    """An `AsyncDetector` on an engine with streams of its own: each picture goes its own way."""

    def __init__(self, manifest: BundleManifest, engine: StreamedEngine, rules: DetectionRules) -> None:
        super().__init__(manifest, engine, rules)
        self._streams = engine
        self._under_way: deque[list[tuple[Started, Placement]]] = deque()

    @property
    def in_flight(self) -> int:
        """One more than there are streams: it waits while the others are worked on."""
        return self._streams.streams + 1

    def start(self, pixels_nhwc_rgb: Pixels) -> Started:
        """The bare engine: begin one picture, (1, height, width, 3); its heads come undecoded."""
        return self._streams.start(pixels_nhwc_rgb)

    def submit(self, pixels_hwc_rgb: Sequence[Pixels], placements: Sequence[Placement]) -> None:
        """Begin a batch; returns at once."""
        batch = []
        for pixels, placement in zip(pixels_hwc_rgb, placements, strict=True):
            single = pixels[None]  # (1, height, width, 3)
            self._require_input_size(single)
            exact = network_pixels(single, [placement], self.manifest.input.pad_value)
            batch.append((self._streams.start(exact), placement))
        self._under_way.append(batch)

    def take(self) -> list[Detections]:
        """The results of the oldest batch under way; blocks."""
        batch = self._under_way.popleft()
        pictures = [[head[0] for head in started.wait()] for started, _ in batch]
        found = detections_from_pictures(pictures, self.rules, [placement for _, placement in batch])
        for started, _ in batch:
            started.release()
        return found


class ThreadedDetector(PackedDetector):
    """An `AsyncDetector` on an engine that blocks."""

    in_flight = 2

    def __init__(self, manifest: BundleManifest, engine: HeadEngine, rules: DetectionRules) -> None:
        super().__init__(manifest, engine, rules)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vedette-engine")
        self._under_way: deque[tuple[Future[list[NDArray[np.float32]]], Sequence[Placement]]] = deque()

    def submit(self, pixels_hwc_rgb: Sequence[Pixels], placements: Sequence[Placement]) -> None:
        """Begin a batch; returns at once."""
        batch = np.stack(pixels_hwc_rgb)  # (n, height, width, 3)
        self._require_input_size(batch)
        exact = network_pixels(batch, placements, self.manifest.input.pad_value)
        self._under_way.append((self._thread.submit(self._engine.infer, exact), placements))

    def take(self) -> list[Detections]:
        """The results of the oldest batch under way; blocks."""
        future, placements = self._under_way.popleft()
        return self._detections(future.result(), placements)


def open_async_detector(
    bundle: OpenBundle,
    engine: EngineChoice = EngineChoice.AUTO,
    precision: Precision = Precision.FP32,
    *,
    score: float | None = None,
    nms_iou: float | None = None,
    max_detections: int | None = None,
    threads: int | None = None,
    tensorrt: TensorRtSettings | None = None,
) -> StreamedDetector | ThreadedDetector:
    """As `opening.open_detector`, for many pictures a second.

    On OpenVINO each processor works on a picture of its own, which takes one picture longer and all of them less time.

    Raises:
        EngineError: when the engine is not installed, lacks the precision, or refuses the model.
        BundleError: when the model file changed since the bundle was opened.
    """
    manifest = bundle.manifest
    chosen, variant = choose_for(manifest, engine, precision, tensorrt)
    rules = DetectionRules.of(manifest, score, nms_iou, max_detections)
    if chosen is EngineChoice.TENSORRT:
        built = open_built_engine(bundle, variant, precision, tensorrt, for_video=True)
        return ThreadedDetector(manifest, built, rules)
    model, *rest = (bundle.read(name) for name in variant.files)
    count = threads if threads is not None else available_processors()
    ir_weights = rest[0] if rest else None
    if chosen is EngineChoice.OPENVINO and count > 1 and manifest.input.batch in (None, 1):
        from vedette.edge.engines.openvino import OpenVinoEngine

        streamed = OpenVinoEngine(manifest, model, precision, count, ir_weights=ir_weights, streams=count)
        return StreamedDetector(manifest, streamed, rules)
    blocking = open_engine(manifest, model, chosen, precision, threads=count, ir_weights=ir_weights)
    return ThreadedDetector(manifest, blocking, rules)
