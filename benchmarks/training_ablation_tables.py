"""The tables of docs/adr/0012-the-default-recipe.md, from what `benchmarks.training_ablations` recorded. Pure text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from benchmarks.rivals.training import in_points
from benchmarks.seeds import paired, pooled_scatter, seeds_to_see, visible

DEFAULT = "default"
MATTERS = 0.01  # a point of mAP: less would not be a reason to keep or to drop a choice


@dataclass(frozen=True, slots=True)
class Column:
    """One figure: of which data, under which keys it lies in what was recorded of a run."""

    title: str
    data: str
    keys: tuple[str | int, ...]


def _columns(data: str, title: str, *under: str) -> tuple[Column, Column]:
    return Column(f"{title} mAP50", data, (*under, "map50")), Column(f"{title} mAP50-95", data, (*under, "map50_95"))


RAREST = Column("mask mascarilla_mal_puesta", "mask", ("classes", "mascarilla_mal_puesta", 0))
SHORT = (
    *_columns("bccd", "bccd"),
    Column("bccd Platelets", "bccd", ("classes", "Platelets", 0)),
    *_columns("mask", "mask"),
    RAREST,
)
FULL = (*_columns("bccd", "bccd test"), *_columns("bccd", "bccd val", "val"), *_columns("mask", "mask"), RAREST)

Runs = Mapping[str, Mapping[str, Mapping[str, Any]]]  # variant, seed, what was recorded


def short_runs(document: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """A row for each variant: mean of its seeds, and in points how far it is from the default with the same seeds."""
    return (
        f"{_where(document)} Mean over the seeds run, and in brackets the difference in points from the default with "
        f"the same seeds; the last column of each data set is AP50 of its rarest class.\n\n"
        f"{_rows(document['figures'], SHORT, about)}"
    )


def full_runs(document: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """The same for runs of full length, with what the seeds do to them."""
    figures = document["figures"]["full"]
    return (
        f"{_where(document)} Mean over the seeds run, and in brackets the difference in points from the default with "
        "the same seeds, with its standard error where there are several; bold is what the seeds alone would hardly "
        "ever do (one case out of twenty).\n\n"
        f"{_rows(figures, FULL, about)}\n\n"
        "What the seeds do: the standard deviation of runs around the mean of their setting, all settings together; "
        "the difference of two means that is probably not theirs (95 %, of one, two and three runs a side); how many "
        f"seeds a side would find a difference of one point.\n\n{_scatter(figures)}"
    )


def _where(document: Mapping[str, Any]) -> str:
    return f"{document['measured_utc'][:10]}, {document['host']['processor']}, one thread, BF16."


def _rows(figures: Mapping[str, Runs], columns: Sequence[Column], about: Mapping[str, str]) -> str:
    head = ["what", *(column.title for column in columns), "runs"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in about:
        runs = [len(figures.get(data, {}).get(name, {})) for data in dict.fromkeys(one.data for one in columns)]
        if any(runs):
            cells = [_cell(figures.get(column.data, {}), name, column) for column in columns]
            lines.append(f"| {about[name]} | {' | '.join(cells)} | {' + '.join(map(str, runs))} |")
    return "\n".join(lines)


def _cell(runs: Runs, name: str, column: Column) -> str:
    own, default = _by_seed(runs, name, column), _by_seed(runs, DEFAULT, column)
    difference = paired(own, default)
    if difference is None:
        return ""
    shared = mean(value for seed, value in own.items() if seed in default)
    if name == DEFAULT:
        return f"{shared:.3f}"
    noise = pooled_scatter([list(_by_seed(runs, one, column).values()) for one in runs])
    is_seen = noise is not None and abs(difference.mean) > visible(*noise, difference.count)
    told = in_points(difference)
    return f"{shared:.3f} (**{told}**)" if is_seen else f"{shared:.3f} ({told})"


def _scatter(figures: Mapping[str, Runs]) -> str:
    lines = ["| figure | scatter, points | visible from, points | seeds for one point |", "|---|---|---|---|"]
    for column in FULL:
        runs = figures.get(column.data, {})
        known = pooled_scatter([list(_by_seed(runs, name, column).values()) for name in runs])
        if known is None:
            lines.append(f"| {column.title} | one run of each: not known | | |")
            continue
        scatter, degrees = known
        seen = ", ".join(f"{100 * visible(scatter, degrees, count):.1f}" for count in (1, 2, 3))
        told = f"{100 * scatter:.1f} ({degrees} degrees of freedom) | {seen} | {seeds_to_see(scatter, MATTERS)}"
        lines.append(f"| {column.title} | {told} |")
    return "\n".join(lines)


def _by_seed(runs: Runs, name: str, column: Column) -> dict[str, float]:
    return {seed: _value(row, column.keys) for seed, row in runs.get(name, {}).items()}


def _value(row: Any, keys: Sequence[str | int]) -> float:
    for key in keys:
        row = row[key]
    return float(row or 0.0)
