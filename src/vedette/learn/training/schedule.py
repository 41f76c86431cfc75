"""How far a run is, and what that means for learning rate, averaging and mosaic. Pure: the time is passed in.

A run is measured in steps, or, with a time budget, in seconds of wall time: then cosine and mosaic follow the clock,
and the schedule ends when the time does, however fast the machine is. Cosine: Loshchilov and Hutter 2016,
arXiv:1608.03983.
"""

import math
from dataclasses import dataclass

LAST_RATE = 0.02  # share of the learning rate that is left at the end
AVERAGE_LAG = 20  # the weight average looks back over about a twentieth of the steps done so far
LARGEST_DECAY = 0.9998


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan of a run. `budget_s`, when given, rules instead of `total_steps`."""

    total_steps: int
    warm_up_steps: int
    mosaic_until: float  # fraction of the run after which whole pictures are shown
    budget_s: float | None = None

    def fraction(self, step: int, elapsed_s: float) -> float:
        """How much of the run is done, 0..1, before step `step` (from 0)."""
        if self.budget_s is None:
            return min(step / max(self.total_steps, 1), 1.0)
        return min(elapsed_s / self.budget_s, 1.0) if self.budget_s > 0 else 1.0

    def rate(self, step: int, fraction: float) -> float:
        """The factor on the learning rate: linear warm-up times cosine decay."""
        warm = min((step + 1) / max(self.warm_up_steps, 1), 1.0)
        return warm * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))))

    def mosaic(self, fraction: float) -> bool:
        """Whether pictures are still put together from four."""
        return fraction < self.mosaic_until


def average_decay(step: int) -> float:
    """Decay of the weight average after step `step` (from 0): a ramp that suits runs of any length."""
    return min((1 + step) / (AVERAGE_LAG + step), LARGEST_DECAY)
