"""How long a frame takes from stage to stage, and which stage the run has no more of.

Decoding happens elsewhere, so it is told as processor time for each decoded frame. The others are clock times of each
frame detected on: `waiting` from decoded to begun, `inference`, `tracking` (with lines and zones), `events` (handing
them to sinks). A stage is busy by the share of the time that it works: decoding of all cores, the detector, and the one
thread that tracks and sends.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KEPT = 512  # frames of which the newest times are told
WINDOW_S = 2.0  # least time over which a share is told
FULL = 0.85
STAGES = ("waiting", "inference", "tracking", "events")
NAMES = {"decoding": "Decoding", "inference": "Inference", "results": "Tracking and sending events"}


@dataclass(slots=True)
class _Stage:
    sum_s: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    newest_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, seconds: float) -> None:
        self.sum_s += seconds
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.newest_s.append(seconds)


class StageTimes:
    """`add` is called by the thread of results; the rest by whoever asks."""

    def __init__(self, decoding_s_and_frames: Callable[[], tuple[float, int]], cores: int) -> None:
        self._decoding = decoding_s_and_frames
        self._cores = max(cores, 1)
        self._stages = {name: _Stage() for name in STAGES}
        self._asking = threading.Lock()
        self.detector_busy_s: Callable[[], float] = float
        self._before: tuple[float, float, float, float, int] | None = None
        self._shares: dict[str, float] = {}
        self._decode_s: float | None = None

    def add(self, *seconds: float) -> None:
        """One frame: how long it took in each of STAGES."""
        for stage, spent_s in zip(self._stages.values(), seconds, strict=True):
            stage.add(max(spent_s, 0.0))

    def to_json(self) -> dict[str, Any]:
        """`stages` with mean and 95th percentile in ms of the newest frames, `busy` shares, `bottleneck` in words."""
        shares, decode_s = self._measure()
        stages = [{"name": "decoding", "mean_ms": _ms(decode_s), "p95_ms": None}]
        for name, stage in self._stages.items():
            newest = sorted(stage.newest_s)
            mean_s = sum(newest) / len(newest) if newest else None
            p95_s = newest[int(0.95 * (len(newest) - 1))] if newest else None
            stages.append({"name": name, "mean_ms": _ms(mean_s), "p95_ms": _ms(p95_s)})
        return {
            "stages": stages,
            "busy": {name: round(share, 3) for name, share in shares.items()},
            "bottleneck": bottleneck(shares),
        }

    def histograms(self) -> dict[str, tuple[Sequence[int], float]]:
        """By stage: how many frames fell into each of BUCKETS_S and beyond, and the sum of their seconds."""
        return {name: (tuple(stage.counts), stage.sum_s) for name, stage in self._stages.items()}

    def _measure(self) -> tuple[dict[str, float], float | None]:
        with self._asking:
            now_s = time.monotonic()
            if self._before is None or now_s - self._before[0] >= WINDOW_S:
                results_s = self._stages["tracking"].sum_s + self._stages["events"].sum_s
                now = (now_s, self.detector_busy_s(), results_s, *self._decoding())
                if self._before is not None:
                    spent_s, detector_s, results_s, decoding_s, frames = (
                        after - before for after, before in zip(now, self._before, strict=True)
                    )
                    self._shares = {
                        "decoding": min(max(decoding_s, 0.0) / spent_s / self._cores, 1.0),
                        "inference": min(detector_s / spent_s, 1.0),
                        "results": min(results_s / spent_s, 1.0),
                    }
                    self._decode_s = decoding_s / frames if frames > 0 and decoding_s >= 0 else None
                self._before = now
            return dict(self._shares), self._decode_s


def bottleneck(shares: dict[str, float]) -> str:
    """A sentence about what the run has no more of."""
    if not shares:
        return ""
    name = max(shares, key=lambda one: shares[one])
    if shares[name] < FULL:
        return "Nothing holds the run back."
    return f"{NAMES[name]} is the bottleneck: busy {round(100 * shares[name])} % of the time."


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)
