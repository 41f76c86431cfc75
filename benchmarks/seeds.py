"""What runs that differ in their seed say of two settings: the difference, how sure it is, and what it would take.

Runs of one setting scatter; `pooled_scatter` takes that scatter from all settings of a table together, each around its
own mean, since single settings have too few runs for one of their own. `visible` is the smallest difference of two
means that such a scatter makes by chance in one table row out of twenty (two-sided, Student's t); `seeds_to_see` is how
many seeds a side a difference of a given size needs to be found in four tables out of five.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist, mean, stdev

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)  # 97.5 %, from 1
STUDENT_BEYOND = 2.12  # for 16 degrees of freedom and more
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two settings, over the seeds that both have. One pair has no error."""

    mean: float
    error: float | None  # standard error of the mean
    count: int


def paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Difference | None:
    """Ours minus theirs, seed by seed; None where no seed is in both."""
    gaps = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not gaps:
        return None
    return Difference(mean(gaps), stdev(gaps) / sqrt(len(gaps)) if len(gaps) > 1 else None, len(gaps))


def pooled_scatter(settings: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Standard deviation of runs around the mean of their setting, and its degrees of freedom; None: no two runs."""
    squares, degrees = 0.0, 0
    for values in settings:
        if len(values) > 1:
            squares += stdev(values) ** 2 * (len(values) - 1)
            degrees += len(values) - 1
    return (sqrt(squares / degrees), degrees) if degrees else None


def visible(scatter: float, degrees: int, runs: int) -> float:
    """The difference of two means of `runs` runs each beyond which it is probably not the seeds'."""
    student = STUDENT[degrees - 1] if degrees <= len(STUDENT) else STUDENT_BEYOND
    return student * scatter * sqrt(2 / runs)


def seeds_to_see(scatter: float, difference: float) -> int:
    """Runs a side that find a difference of this size in four cases out of five; at least two."""
    quantiles = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)
    return max(2, ceil(2 * (quantiles * scatter / difference) ** 2))
