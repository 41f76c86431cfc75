"""A picture for who chooses among bundles and precisions: mAP, as their receipts say, against cameras on this box."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vedette.apps.capacity_errors import CapacityError
from vedette.apps.capacity_report import Row, nth_frame
from vedette.contracts.errors import UnavailableError

MARKERS = {"fp32": "o", "bf16": "s", "fp16": "^", "int8": "D"}


def check_plotting() -> None:
    """Before minutes of measuring.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("--plot needs Matplotlib, which is not installed; pip install 'vedette[learn]'")


def plot_capacity(rows: Sequence[Row], path: Path, every: int) -> None:
    """Write a PNG: a panel for each clip, a point for each model; further right is more cameras, further up is better.

    Raises:
        CapacityError: the file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    from vedette.learn.training.chart_style import LINE_COLOURS, dress, legend, new_figure, save

    points = [
        (row.clip.label, row.model, row.answer.full, 100 * row.model.map50)
        for row in rows
        if row.model is not None and row.model.map50 is not None
    ]
    clips = list(dict.fromkeys(clip for clip, *_ in points))
    names = list(dict.fromkeys(model.name for _, model, *_ in points))
    figure = new_figure(2.4 + 4.0 * len(clips), 4.4)
    panels = figure.subplots(1, len(clips), sharex=True, sharey=True, squeeze=False)[0]
    handles = {}
    for axes, clip in zip(panels, clips, strict=True):
        for label, model, cameras, percent in points:
            if label == clip:
                colour = LINE_COLOURS[names.index(model.name) % len(LINE_COLOURS)]
                handles[model.label] = axes.scatter(
                    [cameras], [percent], color=colour, marker=MARKERS[model.precision], s=56, zorder=3
                )
        dress(
            axes, clip, f"cameras at full load, detecting on {nth_frame(every)}", "mAP50, %" if clip == clips[0] else ""
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_xlim(0, 1.1 * max(cameras for _, _, cameras, _ in points))
    panels[0].margins(y=0.15)
    legend(panels[-1], list(handles.values()), list(handles), loc="center left", bbox_to_anchor=(1.02, 0.5))
    try:
        save(figure, path)
    except OSError as error:
        raise CapacityError(f"{path}: cannot be written: {error.strerror or error}") from error
