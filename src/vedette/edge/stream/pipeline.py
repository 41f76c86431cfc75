"""Many cameras, one detector: one thread per camera decodes, the caller's thread detects and hands results on.

Unpaced files are lossless: cameras wait for the detector, nothing is dropped, and when all cameras are such files two
runs give the same batches and results. Live and paced cameras never wait: the newest frame wins and what is lost is
counted. No queue is unbounded. A camera that fails is reported once and the others go on. Memory held per camera: at
most `room` slots (a decoded frame and a fitted picture each).

A read that blocks inside FFmpeg cannot be broken off; it ends by itself after the read timeout. `run` does not wait for
it longer than `JOIN_S`: such a thread is a daemon, holds nothing but its connection, and ends soon after.
"""

import threading
import time
from collections.abc import Sequence

import numpy as np

from vedette.contracts.ports import Detector, ResultHandler
from vedette.edge.stream.batcher import AsReady, Batch, Batcher, InTurn
from vedette.edge.stream.camera import CameraSettings, CameraWorker
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.mailbox import Arrivals, LosslessQueue, Mailbox, NewestWins
from vedette.edge.stream.source import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from vedette.edge.stream.statistics import CameraCounters, CameraState, CameraStatistics

JOIN_S = 1.0


class StreamPipeline:
    """Runs once. `stop` and `snapshot` may be called from any thread."""

    def __init__(
        self,
        cameras: Sequence[CameraSpec],
        detector: Detector,
        handler: ResultHandler,
        every: int = 5,
        batch: int = 4,
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        names = [camera.name for camera in cameras]
        if not names or len(set(names)) < len(names) or every < 1 or batch < 1:
            raise ValueError(
                f"need cameras with different names, every >= 1, batch >= 1; got {names}, {every}, {batch}"
            )
        self._detector = detector
        self._handler = handler
        self._batch = batch
        self._stop = threading.Event()
        self._arrivals = Arrivals()
        room = max(2, -(-2 * batch // len(cameras)))  # the next batch can be decoded while this one is detected on
        boxes: list[Mailbox] = [
            LosslessQueue(self._arrivals, room) if camera.is_lossless else NewestWins(self._arrivals)
            for camera in cameras
        ]
        lossless = all(camera.is_lossless for camera in cameras)
        self._batcher: Batcher = (InTurn if lossless else AsReady)(self._arrivals, boxes)
        settings = CameraSettings(detector.manifest.input, every, open_timeout_s, read_timeout_s, self._stop)
        self._workers = [
            CameraWorker(camera, settings, box, CameraCounters(camera.name))
            for camera, box in zip(cameras, boxes, strict=True)
        ]
        self._counters = {worker.spec.name: worker.counters for worker in self._workers}

    def run(self) -> tuple[CameraStatistics, ...]:
        """Watch until every camera is over or `stop` is called; the last statistics, in the order of the cameras.

        Every camera gets exactly one `on_camera_end` (at a stop without an error). When every camera failed, each
        result has the state `failed` (see `statistics.all_failed`). What the detector or the handler raises is raised
        here, after the cameras were stopped.
        """
        threads = [
            threading.Thread(target=worker.run, name=f"camera-{worker.spec.name}", daemon=True)
            for worker in self._workers
        ]
        waiting = dict(enumerate(self._workers))
        try:
            for thread in threads:
                thread.start()
            while (batch := self._batcher.next_batch(self._batch)) is not None:
                self._detect(batch)
                for number in batch.ended:
                    self._report_end(waiting.pop(number))
        finally:
            self.stop()
            self._join(threads)
        for worker in waiting.values():
            self._report_end(worker)
        return self.snapshot()

    def stop(self) -> None:
        """End the run soon: no further batch is begun."""
        self._stop.set()
        self._arrivals.close()

    def snapshot(self) -> tuple[CameraStatistics, ...]:
        """How every camera is doing now, in their order."""
        now = time.monotonic()
        return tuple(worker.counters.snapshot(now) for worker in self._workers)

    def _detect(self, batch: Batch) -> None:
        if not batch.slots:
            return
        pixels = np.stack([slot.frame.pixels_hwc_rgb for slot in batch.slots])  # (n, height, width, 3)
        found = self._detector.detect_fitted(pixels, [slot.frame.placement for slot in batch.slots])
        for slot, detections in zip(batch.slots, found, strict=True):
            counters = self._counters[slot.frame.stamp.camera]
            counters.detected += 1
            counters.objects += len(detections)
            self._handler.on_result(slot.frame, slot.picture, detections)

    def _report_end(self, worker: CameraWorker) -> None:
        if worker.crash is not None:
            raise worker.crash
        self._handler.on_camera_end(worker.spec.name, worker.counters.error)

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        deadline = time.monotonic() + JOIN_S
        for thread, worker in zip(threads, self._workers, strict=True):
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                worker.counters.finish(CameraState.STOPPED, None, time.monotonic())
