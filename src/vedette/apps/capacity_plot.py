"""A picture for who chooses among bundles and precisions: mAP, as their receipts say, against cameras on this box."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vedette.apps.capacity_errors import CapacityError
from vedette.apps.capacity_report import Row, nth_frame
from vedette.contracts.errors import UnavailableError, UsageError

MARKERS = {"fp32": "o", "bf16": "s", "fp16": "^", "int8": "D"}


# what each format would say of the program and the time is left out, so that equal charts are equal files
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def check_plotting(path: Path) -> None:
    """Before minutes of measuring.

    Raises:
        UsageError: no chart can be written there.
        UnavailableError: Matplotlib is not installed.
    """
    if path.suffix.lower() not in METADATA:
        raise UsageError(f"--plot {path}: its name must end in {', '.join(METADATA)}, which says what to write")
    if path.is_dir():
        raise UsageError(f"--plot {path}: is a folder; give the file to write")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("--plot needs Matplotlib, which is not installed; pip install 'vedette[learn]'")


def plot_capacity(rows: Sequence[Row], path: Path, every: int) -> None:
    """Write a chart in the format of its name: a panel for each clip, a point for each model; right and up is better.

    Raises:
        CapacityError: the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    from vedette.learn.training.atomic import write_atomically
    from vedette.learn.training.chart_style import LINE_COLOURS, dress, legend, new_figure

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
        ending = path.suffix.lower()
        with rc_context({"svg.hashsalt": "vedette", "svg.fonttype": "path"}):
            write_atomically(
                path, lambda temporary: figure.savefig(temporary, format=ending[1:], metadata=METADATA[ending])
            )
    except OSError as error:
        raise CapacityError(f"{path}: cannot be written: {error.strerror or error}") from error
