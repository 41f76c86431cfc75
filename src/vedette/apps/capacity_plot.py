"""A picture for who chooses among bundles and precisions: mAP, as their receipts say, against cameras on this box."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vedette.apps.capacity_errors import CapacityError
from vedette.apps.capacity_report import Row, nth_frame
from vedette.contracts.errors import UnavailableError

MARKERS = "os^Dv"


def check_plotting() -> None:
    """Before minutes of measuring.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("--plot needs Matplotlib, which is not installed; pip install 'vedette[learn]'")


def plot_capacity(rows: Sequence[Row], path: Path, every: int) -> None:
    """Write a PNG: one point for each model and codec, further right is more cameras, further up is more accurate.

    Raises:
        CapacityError: the file cannot be written.
    """
    from vedette.learn.training.chart_style import INK, LINE_COLOURS, dress, legend, new_figure, save

    figure = new_figure(8.0, 5.0)
    axes = figure.add_subplot()
    measured = [row for row in rows if row.model is not None and row.model.map50 is not None]
    clips = list(dict.fromkeys(row.clip.label for row in measured))
    handles = []
    for number, clip in enumerate(clips):
        points = sorted(
            (row.answer.full, 100 * row.model.map50, row.model.label)
            for row in measured
            if row.clip.label == clip and row.model is not None and row.model.map50 is not None
        )
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        handles.append(
            axes.scatter(
                [x for x, _, _ in points], [y for _, y, _ in points], color=colour, s=42, zorder=3,
                marker=MARKERS[number % len(MARKERS)],
            )
        )  # fmt: skip
        for x, y, label in points:
            axes.annotate(label, (x, y), (6, 5), textcoords="offset points", fontsize=8, color=INK, parse_math=False)
    dress(axes, f"Accuracy against cameras, detecting on {nth_frame(every)}", "cameras at full load", "mAP50, %")
    right = max(row.answer.full for row in measured)
    axes.set_xlim(0, right * 1.3)
    axes.margins(y=0.25)
    legend(axes, handles, clips, loc="lower left")
    try:
        save(figure, path)
    except OSError as error:
        raise CapacityError(f"{path}: cannot be written: {error.strerror or error}") from error
