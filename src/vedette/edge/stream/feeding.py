"""Between the batcher and whoever takes results: keeps a detector busy, and the order.

With a `contracts.ports.AsyncDetector` a thread takes batches from the batcher and submits them, at most `in_flight` at
a time, while the caller takes results; so the processors never wait for the caller. Any other detector is called in the
caller's thread, one batch after the other, without looking ahead.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from vedette.contracts.detections import Detections
from vedette.contracts.errors import VedetteError
from vedette.contracts.ports import AsyncDetector, Detector
from vedette.edge.stream.batcher import Batch, Batcher

END_S = 5.0  # for the feeding thread, once the run is closed: an inference that is being begun


class Feeder:
    """Call `close` when the run is over, after its arrivals were closed: the thread waits in the batcher."""

    def __init__(self, batcher: Batcher, detector: Detector, limit: int) -> None:
        self._batcher = batcher
        self._detector = detector
        self._limit = limit
        self._changed = threading.Condition()
        self._submitted: deque[Batch | BaseException | None] = deque()
        self._under_way = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def results(self) -> Iterator[tuple[Batch, Sequence[Detections]]]:
        """Every batch with its detections, in order, until all cameras are over or the run is closed.

        Raises what the detector raises.
        """
        if isinstance(self._detector, AsyncDetector):
            return self._taken(self._detector)
        return self._detected()

    def close(self) -> None:
        """End the thread; what is still under way is waited for and dropped, so that the detector is free."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is None or not isinstance(self._detector, AsyncDetector):
            return
        self._thread.join(END_S)
        while self._submitted:
            batch = self._submitted.popleft()
            if isinstance(batch, Batch) and batch.slots:
                with contextlib.suppress(VedetteError):  # the run is over; whoever ended it says why
                    self._detector.take()

    def _detected(self) -> Iterator[tuple[Batch, Sequence[Detections]]]:
        while (batch := self._batcher.next_batch(self._limit)) is not None:
            found: Sequence[Detections] = ()
            if batch.slots:
                pixels = np.stack([slot.frame.pixels_hwc_rgb for slot in batch.slots])  # (n, height, width, 3)
                found = self._detector.detect_fitted(pixels, [slot.frame.placement for slot in batch.slots])
            yield batch, found

    def _taken(self, detector: AsyncDetector) -> Iterator[tuple[Batch, Sequence[Detections]]]:
        self._thread = threading.Thread(target=self._feed, args=(detector,), name="vedette-feeder", daemon=True)
        self._thread.start()
        while (batch := self._next_submitted()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            found = detector.take() if batch.slots else ()
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()
            yield batch, found

    def _next_submitted(self) -> Batch | BaseException | None:
        with self._changed:
            self._changed.wait_for(lambda: self._submitted)
            return self._submitted.popleft()

    def _feed(self, detector: AsyncDetector) -> None:
        last: BaseException | None = None
        try:
            while self._may_go_on(detector) and (batch := self._batcher.next_batch(self._limit)) is not None:
                if batch.slots:
                    frames = [slot.frame for slot in batch.slots]
                    detector.submit([frame.pixels_hwc_rgb for frame in frames], [frame.placement for frame in frames])
                self._add(batch)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that takes
            last = error
        with self._changed:
            self._submitted.append(last)
            self._changed.notify_all()

    def _may_go_on(self, detector: AsyncDetector) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < detector.in_flight or self._closed)
            return not self._closed

    def _add(self, batch: Batch) -> None:
        with self._changed:
            self._under_way += 1
            self._submitted.append(batch)
            self._changed.notify_all()
