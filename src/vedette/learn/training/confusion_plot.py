"""confusion_matrix.png: what is taken for what, as shares of each true class; readable with three classes and with 80.

Rows are normalised: of all objects of this class, how many were found as which class, the last column being those not
found (grey: the class has no object here). The last row is the share of each class in the false alarms. Where classes
are few, every cell says share and count.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from vedette.learn.training import chart_style as style
from vedette.learn.training.confusion import CONFUSION_IOU, CONFUSION_SCORE
from vedette.learn.training.evaluate import Evaluation

CELLS_WITH_COUNTS = 12
CELLS_WITH_SHARES = 26
NOTHING = "#eef0f3"  # the row of a class without objects
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe3f1", "#6aaed6", "#0072b2", "#0b3d66"])


def write_confusion_plot(evaluation: Evaluation, path: Path) -> None:
    """Draw the normalised matrix; the figure grows with the number of classes."""
    counts = evaluation.confusion
    size = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)  # (c + 1, c + 1) float64
    letters = float(np.clip(9.5 - size / 16, 6.4, 9.0))
    side_in = float(np.clip(3.2 + 0.62 * size, 5.6, 9)) if size <= CELLS_WITH_SHARES else 4.0 + 0.14 * size
    figure = style.new_figure(side_in + 1.4, side_in)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=BLUES, vmin=0, vmax=1, aspect="auto")
    names = [style.drawable(c.name) for c in evaluation.classes]
    axes.set_xticks(range(size), [*names, "(not found)"], rotation=90 if size > 5 else 0, parse_math=False)
    axes.set_yticks(range(size), [*names, "(false alarm)"], parse_math=False)
    title = f"Found as … (score ≥ {CONFUSION_SCORE:g}, IoU ≥ {CONFUSION_IOU:g})"
    style.dress(axes, title, "found class", "true class")
    axes.tick_params(labelsize=letters, labelcolor=style.INK)
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)
    _separate(axes, size)
    for row in np.flatnonzero(totals[:-1, 0] == 0):
        axes.axhspan(row - 0.5, row + 0.5, color=NOTHING)
    if size <= CELLS_WITH_SHARES:
        _write_cells(axes, counts, shares, letters)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, shrink=0.6, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=style.QUIET, length=0)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.set_label("share of the row", color=style.QUIET, fontsize=9)
    style.save(figure, path)


def _separate(axes: Axes, size: int) -> None:
    """Thin lines between cells, a stronger one before background."""
    edges = np.arange(size - 1) + 0.5
    axes.hlines(edges, -0.5, size - 0.5, color=style.GRID, linewidth=0.5)
    axes.vlines(edges, -0.5, size - 0.5, color=style.GRID, linewidth=0.5)
    axes.axhline(size - 1.5, color=style.QUIET, linewidth=1.2)
    axes.axvline(size - 1.5, color=style.QUIET, linewidth=1.2)


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64], letters: float) -> None:
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        text = f"{share * 100:.0f} %"
        if len(counts) <= CELLS_WITH_COUNTS:
            text += f"\n{counts[row, column]:,}"
        elif share < 0.005:
            continue
        colour = style.GROUND if share > 0.55 else style.INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=letters)
