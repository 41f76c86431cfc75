"""Charts of a training run: what people look at before they read.

Every file is written atomically, so that a page that shows it while training never finds half a picture. The figures'
look stands in `chart_style`, grids of pictures in `picture_grids`, the confusion matrix in `confusion_plot`.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from vedette.learn.data.samples import DataSet
from vedette.learn.training import chart_style as style
from vedette.learn.training.average_precision import RECALL_LEVELS
from vedette.learn.training.confusion_plot import write_confusion_plot
from vedette.learn.training.evaluate import SCORE_LEVELS, Evaluation
from vedette.learn.training.standing import best_row

CLASSES_IN_COLOUR = len(style.LINE_COLOURS)
BARS_AT_MOST = 30
HEAT = LinearSegmentedColormap.from_list("heat", ["#ffffff", "#cfe3f1", "#6aaed6", style.BLUE, "#0b2f4f"])


def write_evaluation_plots(evaluation: Evaluation, folder: Path) -> None:
    """PR_curve.png, F1_curve.png and confusion_matrix.png in `folder`."""
    write_pr_plot(evaluation, folder / "PR_curve.png")
    write_f1_plot(evaluation, folder / "F1_curve.png")
    write_confusion_plot(evaluation, folder / "confusion_matrix.png")


def write_results_plot(results_csv: Path, path: Path) -> None:
    """results.png: losses, mAP, precision and recall, learning rate over epochs, from results.csv (RESULTS_COLUMNS)."""
    columns = read_results(results_csv)
    figure = style.new_figure(11, 6.6)
    losses, mean_ap, rates, learning = figure.subplots(2, 2).ravel()
    _lines(
        losses, columns, {"box": "train_box_loss", "objectness": "train_objectness_loss", "class": "train_class_loss"}
    )
    style.dress(losses, "Training loss", "epoch")
    losses.set_ylim(bottom=0)
    _lines(mean_ap, columns, {"mAP50": "val_map50", "mAP50-95": "val_map50_95"})
    style.dress(mean_ap, "Validation mAP" + _best(columns, "val_map50"), "epoch")
    _lines(rates, columns, {"precision": "val_precision", "recall": "val_recall"})
    style.dress(rates, "Validation precision and recall", "epoch")
    for axes in (mean_ap, rates):
        axes.set_ylim(0, 1)
    _lines(learning, columns, {"learning rate": "learning_rate"})
    style.dress(learning, "Learning rate", "epoch")
    learning.set_ylim(bottom=0)
    learning.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in (losses, mean_ap, rates, learning):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    style.save(figure, path)


def read_results(results_csv: Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a results.csv; a cell that is empty or no number is NaN. An absent file has no columns."""
    if not results_csv.is_file():
        return {}
    with results_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = rows[0].keys() if rows else ()
    return {name: np.array([_number(row[name]) for row in rows], np.float64) for name in names}


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")


def _lines(axes: Axes, columns: dict[str, NDArray[np.float64]], series: dict[str, str]) -> None:
    """One line for each column through its finite values, with a legend where there are several lines."""
    epochs = columns.get("epoch", np.zeros(0))
    handles = []
    for column, colour in zip(series.values(), style.LINE_COLOURS, strict=False):
        values = columns.get(column, np.full(len(epochs), np.nan))
        known = np.isfinite(values)  # not every epoch is validated
        marker = "o" if known.sum() < 30 else None
        handles += axes.plot(epochs[known], values[known], color=colour, linewidth=2, marker=marker, markersize=3.5)
    if len(handles) > 1:
        style.legend(axes, handles, list(series), loc="best")
    if not len(epochs):
        style.note(axes, "no epoch finished yet")


def _best(columns: dict[str, NDArray[np.float64]], name: str) -> str:
    row = best_row(columns)
    return "" if row is None else f" – best: mAP50 {columns[name][row]:.3f} in epoch {columns['epoch'][row]:.0f}"


def write_labels_plot(data: DataSet, path: Path) -> None:
    """labels.png: objects by class, where box centres lie, widths against heights; per cent of the picture.

    Samples whose labels claim no size count in the first chart only.
    """
    counts = dict.fromkeys(data.classes, 0)
    shares: list[tuple[float, float, float, float]] = []
    for sample in data.samples:
        for labelled in sample.objects:
            counts[labelled.class_name] = counts.get(labelled.class_name, 0) + 1
            x1, y1, x2, y2 = labelled.box_xyxy_px
            if sample.width_px > 0 and sample.height_px > 0 and x2 > x1 and y2 > y1:
                shares.append(
                    (x1 / sample.width_px, y1 / sample.height_px, x2 / sample.width_px, y2 / sample.height_px)
                )
    boxes = np.array(shares, np.float64).reshape(-1, 4) * 100  # (n, 4) corners in per cent of the picture
    figure = style.new_figure(14, 4.8)
    bars, centres, sizes = figure.subplots(1, 3)
    _class_bars(bars, counts, list(data.classes))
    _centre_heat(centres, boxes)
    _size_scatter(sizes, boxes)
    style.save(figure, path)


def _class_bars(axes: Axes, counts: dict[str, int], classes: Sequence[str]) -> None:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown, rest = ranked[:BARS_AT_MOST], ranked[BARS_AT_MOST:]
    labels = [style.drawable(name) for name, _ in shown]
    values = [count for _, count in shown]
    colours = [style.BLUE] * len(shown)
    if rest:
        labels.append(f"{len(rest)} more")
        values.append(sum(count for _, count in rest))
        colours.append(style.GRID)
    places = np.arange(len(values))
    axes.barh(places, values, height=0.72, color=colours)
    letters = 8.5 if len(values) <= 20 else 6.5
    axes.set_yticks(places, labels, parse_math=False)
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:,}",
            (value, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            color=style.INK,
            fontsize=letters,
        )
    axes.margins(x=0.16)
    style.dress(axes, f"{sum(counts.values()):,} objects of {len(classes)} classes", "objects")
    axes.tick_params(axis="y", labelsize=letters, labelcolor=style.INK)
    axes.grid(False, axis="y")


def _centre_heat(axes: Axes, boxes_percent: NDArray[np.float64]) -> None:
    x = boxes_percent[:, [0, 2]].mean(axis=1)
    y = boxes_percent[:, [1, 3]].mean(axis=1)
    heat, _, _ = np.histogram2d(y, x, bins=40, range=[[0, 100], [0, 100]])  # (40, 40) rows are y
    axes.imshow(heat, extent=(0, 100, 100, 0), cmap=HEAT, interpolation="nearest", aspect="auto")
    style.dress(axes, "Where box centres lie", "% of the width", "% of the height")
    axes.grid(False)


def _size_scatter(axes: Axes, boxes_percent: NDArray[np.float64]) -> None:
    widths = boxes_percent[:, 2] - boxes_percent[:, 0]
    heights = boxes_percent[:, 3] - boxes_percent[:, 1]
    alpha = float(np.clip(40 / max(len(widths), 1) ** 0.6, 0.06, 0.7))
    axes.scatter(widths, heights, s=9, color=style.BLUE, alpha=alpha, linewidths=0, rasterized=True)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low = max(0.1, float(min(widths.min(initial=100), heights.min(initial=100))) * 0.8)
    for axis, limits in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        limits(min(low, 50), 110)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_major_locator(_PercentTicks())
        axis.set_minor_locator(MaxNLocator(1))
    style.dress(axes, "Box sizes", "width, % of the picture", "height, % of the picture")
    axes.minorticks_off()


class _PercentTicks(MaxNLocator):
    """1, 2, 5, 10, 20, 50, 100 on a logarithmic axis."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return [step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if vmin <= step <= vmax]


def write_pr_plot(evaluation: Evaluation, path: Path) -> None:
    """Precision against recall at IoU 0.5, interpolated as for AP; each class and their mean."""
    curves = evaluation.curves.precision_by_recall
    labels = [f"{style.drawable(c.name)}  {c.ap50:.3f}" if c.ap50 is not None else "" for c in evaluation.classes]
    figure = style.new_figure(8.4, 5.6)
    axes = figure.subplots()
    _class_curves(axes, RECALL_LEVELS, curves, labels, f"mean of classes  {evaluation.map50:.3f}")
    style.dress(axes, f"Precision and recall at IoU 0.5 – mAP50 {evaluation.map50:.3f}", "recall", "precision")
    style.save(figure, path)


def write_f1_plot(evaluation: Evaluation, path: Path) -> None:
    """F1 at IoU 0.5 against the score threshold; the best threshold of the mean is marked."""
    best = evaluation.best_score
    row = int(np.argmin(np.abs(SCORE_LEVELS - best)))
    curves = evaluation.curves.f1
    mean = float(np.nanmean(curves[:, row]))
    labels = [
        f"{style.drawable(c.name)}  {curve[row]:.3f}" if c.objects else ""
        for c, curve in zip(evaluation.classes, curves, strict=True)
    ]
    figure = style.new_figure(8.4, 5.6)
    axes = figure.subplots()
    _class_curves(axes, SCORE_LEVELS, curves, labels, f"mean of classes  {mean:.3f}")
    axes.axvline(best, color=style.QUIET, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot([best], [mean], "o", color=style.INK, markersize=6)
    style.dress(axes, f"F1 at IoU 0.5 – greatest mean {mean:.3f} at score {best:.3f}", "score threshold", "F1")
    style.save(figure, path)


def _class_curves(
    axes: Axes, x: NDArray[np.float64], curves: NDArray[np.float64], labels: Sequence[str], mean_label: str
) -> None:
    """Each class thin (coloured and named where they are few), their mean thick; both axes 0..1."""
    rows = [row for row in range(len(curves)) if np.isfinite(curves[row]).all()]
    few = len(rows) <= CLASSES_IN_COLOUR
    handles, names = [], []
    for place, row in enumerate(rows):
        colour = style.LINE_COLOURS[place] if few else "#9fb6c9"
        (line,) = axes.plot(x, curves[row], color=colour, linewidth=1.5 if few else 0.7, alpha=1 if few else 0.6)
        if few:
            handles.append(line)
            names.append(labels[row])
    if not few:
        handles.append(line)
        names.append(f"each of {len(rows)} classes")
    (mean,) = axes.plot(x, np.nanmean(curves[rows], axis=0), color=style.INK, linewidth=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    style.legend(axes, [mean, *handles], [mean_label, *names], loc="upper left", bbox_to_anchor=(1.01, 1))
