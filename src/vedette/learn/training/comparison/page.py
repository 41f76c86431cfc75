"""The comparison as one page, a single file that opens without a network: tables, curves over each other, pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.comparison.comparing import Comparison, times
from vedette.learn.training.comparison.side_by_side import draw_sides
from vedette.learn.training.diagnosis.error_kinds import TOLD
from vedette.learn.training.report import VIEW, page_environment
from vedette.learn.training.report_charts import Chart, Curve, curves_chart
from vedette.version import __version__

CONFUSION_CLASSES = 12  # with more, only the cells that differ most are listed
CONFUSIONS_LISTED = 15


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all; pictures that are not there any more are left out."""
    ground = comparison.ground
    pictures = []
    if ground is not None:
        for number in ground.pictures:
            costs = [d.judgements[number].cost for d in ground.diagnoses]
            drawn = draw_sides(ground.sides, ground.diagnoses, comparison.labels, number)
            pictures.append({"name": ground.sides[0].names[number], "costs": costs, "address": drawn})
    page = (
        page_environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            ground=ground,
            labels=comparison.labels,
            settings={key: [_plain(v) for v in values] for key, values in comparison.settings.items()},
            times=[times(side) for side in comparison.compared],
            charts=_charts(comparison),
            view=VIEW,
            kinds=[kind.value for kind in TOLD],
            confusion=_confusion(comparison),
            pictures=pictures,
            version=__version__,
        )
    )
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8", errors="surrogateescape"))


def _plain(value: Any) -> str:
    return "–" if value is None else str(value)


def _charts(comparison: Comparison) -> list[Chart]:
    """mAP50 and mAP50-95 and loss, by epoch and by minutes."""
    charts = []
    for column, title, top in (("val_map50", "mAP50", 1.0), ("val_map50_95", "mAP50-95", 1.0), ("loss", "Loss", None)):
        for axis, name, unit in (("epoch", "epoch", 1.0), ("time_s", "minutes", 60.0)):
            curves = [
                Curve(side.label, side.curves[axis] / unit, _column(side.curves, column))
                for side in comparison.compared
                if axis in side.curves
            ]
            if any(np.isfinite(curve.y).any() for curve in curves):
                charts.append(curves_chart(f"{title} by {name}", curves, name, top))
    return charts


def _column(curves: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """A column of results.csv, or the sum of the losses."""
    nothing = np.full(len(curves["epoch"]), np.nan)
    if name != "loss":
        return curves.get(name, nothing)
    parts = [curves.get(f"train_{part}_loss", nothing) for part in ("box", "objectness", "class")]
    return np.sum(parts, axis=0)  # type: ignore[no-any-return]


def _confusion(comparison: Comparison) -> dict[str, Any] | None:
    ground = comparison.ground
    if ground is None:
        return None
    names = [*ground.sides[0].class_names, "(background)"]
    counts = [e.confusion for e in ground.evaluations]
    if len(names) - 1 <= CONFUSION_CLASSES:
        return {"names": names, "matrices": [_shares(c) for c in counts], "listed": None}
    return {"names": names, "matrices": None, "listed": _listed(names, counts)}


def _shares(counts: NDArray[np.int64]) -> list[list[tuple[int, float]]]:
    """Each cell's count and share of its row."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    return [
        [(int(c), float(s)) for c, s in zip(row, share, strict=True)] for row, share in zip(counts, shares, strict=True)
    ]


def _listed(names: Sequence[str], counts: Sequence[NDArray[np.int64]]) -> list[tuple[str, str, list[int]]]:
    """The confusions (true class, found class, counts of all sides) that differ most."""
    stack = np.stack(counts)  # (sides, classes + 1, classes + 1)
    spread = stack.max(axis=0) - stack.min(axis=0)
    np.fill_diagonal(spread, 0)
    order = np.argsort(-spread, axis=None, kind="stable")[:CONFUSIONS_LISTED]
    cells = [divmod(int(place), len(names)) for place in order if spread.flat[place] > 0]
    return [(names[row], names[column], [int(c[row, column]) for c in counts]) for row, column in cells]
