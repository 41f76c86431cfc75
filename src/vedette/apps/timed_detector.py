"""A detector that knows how long its batches took and how much of the time it was busy; it detects as before."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.frame import Pixels, Placement
from vedette.contracts.ports import AsyncDetector, Detector


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """When a batch was begun and when its detections were there, by the wall clock."""

    began_unix_s: float
    done_unix_s: float


class TimedDetector:
    """Around any `Detector`. `last` is of the batch that was handed out last, for the thread that it was handed to."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.last: BatchTimes | None = None
        self.busy_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def __call__(self, image_hwc_bgr_u8: NDArray[Any]) -> Detections:
        return self._detector(image_hwc_bgr_u8)

    def detect_fitted(self, pixels_nhwc_rgb: Pixels, placements: Sequence[Placement]) -> list[Detections]:
        began_unix_s, began_s = time.time(), time.monotonic()
        found = self._detector.detect_fitted(pixels_nhwc_rgb, placements)
        self.busy_s += time.monotonic() - began_s
        self.last = BatchTimes(began_unix_s, time.time())
        return found


class TimedAsyncDetector(TimedDetector):
    """Around an `AsyncDetector`: it is busy while at least one batch is under way."""

    def __init__(self, detector: AsyncDetector) -> None:
        super().__init__(detector)
        self._async = detector
        self._lock = threading.Lock()
        self._began: deque[float] = deque()
        self._busy_since_s = 0.0

    @property
    def in_flight(self) -> int:
        return self._async.in_flight

    def submit(self, pixels_hwc_rgb: Sequence[Pixels], placements: Sequence[Placement]) -> None:
        with self._lock:
            if not self._began:
                self._busy_since_s = time.monotonic()
            self._began.append(time.time())
        self._async.submit(pixels_hwc_rgb, placements)

    def take(self) -> list[Detections]:
        found = self._async.take()
        with self._lock:
            began_unix_s = self._began.popleft()
            now_s = time.monotonic()
            self.busy_s += now_s - self._busy_since_s
            self._busy_since_s = now_s
        self.last = BatchTimes(began_unix_s, time.time())
        return found


def timed(detector: Detector) -> TimedDetector:
    """The same detector, timed."""
    return TimedAsyncDetector(detector) if isinstance(detector, AsyncDetector) else TimedDetector(detector)
