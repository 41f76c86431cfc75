"""How many cameras a box can watch: arithmetic on measured processor time, no measuring.

A second of a camera costs its frames times decoding plus its detections times everything that a detected frame costs
(facts of the field: streams = processors x 1000 ms / that). Costs are processor milliseconds; those taken with every
processor at work count, since clocks and caches are shared then. Nothing is spared by gates here: every scene is busy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DECODE = "decoding"
# Of the processors' time to plan with: predictions are up to 8 % too high, and the slots of many cameras fall together
RESERVE = 0.85
SKIPS = (1, 2, 3, 5, 10, 15, 30)  # detection on every Nth frame, for a table


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Processor milliseconds of one unit of work: with the machine to itself, and with every processor at it."""

    alone_ms: float
    loaded_ms: float


@dataclass(frozen=True, slots=True)
class CameraWork:
    """What one camera asks for. `per_slot` is what a frame that is detected on costs, by stage."""

    frames_per_s: float
    per_frame: UnitCost  # decoding
    per_slot: Mapping[str, UnitCost]

    @property
    def slot_ms(self) -> float:
        """All of a detected frame but its decoding."""
        return sum(cost.loaded_ms for cost in self.per_slot.values())


@dataclass(frozen=True, slots=True)
class Answer:
    """How many cameras at a rate of detection, and what most of the time goes to.

    `full` is where the processors have nothing left, `planned` leaves the reserve. Shares add up to 1.
    """

    detections_per_s: float  # of each camera
    full: float
    planned: int
    shares: Mapping[str, float]

    @property
    def bottleneck(self) -> str:
        """The stage that takes the most."""
        return max(self.shares, key=lambda stage: self.shares[stage])


def answer(work: CameraWork, detections_per_s: float, processors: int) -> Answer:
    """What `processors` can watch when each camera has this rate of detection, at most every frame."""
    rate = min(detections_per_s, work.frames_per_s)
    spent_ms = {DECODE: work.frames_per_s * work.per_frame.loaded_ms}
    spent_ms |= {stage: rate * cost.loaded_ms for stage, cost in work.per_slot.items()}
    all_ms = sum(spent_ms.values())
    full = 1000.0 * processors / all_ms
    return Answer(rate, full, int(RESERVE * full + 1e-9), {stage: ms / all_ms for stage, ms in spent_ms.items()})


def answers_by_rate(work: CameraWork, processors: int, skips: Sequence[int] = SKIPS) -> dict[int, Answer]:
    """For detection on every frame, every second, ..."""
    return {every: answer(work, work.frames_per_s / every, processors) for every in skips}


def rate_for(work: CameraWork, cameras: int, processors: int) -> float:
    """Detections a second of each camera that so many cameras leave time for; 0 when decoding alone is too much."""
    left_ms = RESERVE * 1000.0 * processors / cameras - work.frames_per_s * work.per_frame.loaded_ms
    if left_ms <= 0 or work.slot_ms <= 0:
        return 0.0
    return min(left_ms / work.slot_ms, work.frames_per_s)
