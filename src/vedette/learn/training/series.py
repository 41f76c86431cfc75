"""Where a run stands among several that are trained one after another, such as the folds of a cross-validation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """This run is number `number` (from 1) of `count`. `again` is the command that goes on with all of them."""

    number: int
    count: int
    again: str
    mean_s: float | None = None  # what those before it took; None: there is none

    def left_s(self, elapsed_s: float, left_s: float) -> float:
        """Seconds to the end of the last one, when this one has `left_s` to go."""
        each_s = elapsed_s + left_s if self.mean_s is None else self.mean_s
        return left_s + (self.count - self.number) * each_s
