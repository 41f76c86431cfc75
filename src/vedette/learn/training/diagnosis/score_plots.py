"""score_histogram.png and score_calibration.png: what scores are worth, seen at a glance."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from vedette.learn.training import chart_style as style
from vedette.learn.training.diagnosis.scores import CALIBRATION_FLOOR, HISTOGRAM_EDGES, ScoreQuality

HISTOGRAM_FILE, CALIBRATION_FILE = "score_histogram.png", "score_calibration.png"


def write_score_plots(scores: ScoreQuality, best_score: float, folder: Path) -> None:
    """Both charts; `best_score` is marked in the first."""
    write_histogram(scores, best_score, folder / HISTOGRAM_FILE)
    write_calibration(scores, folder / CALIBRATION_FILE)


def write_histogram(scores: ScoreQuality, best_score: float, path: Path) -> None:
    """How many detections of each score are right (above) and wrong (below), each on a scale of its own."""
    figure = style.new_figure(8.4, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    widths = np.diff(HISTOGRAM_EDGES)
    parts = ((above, scores.right, style.BLUE, "Right"), (below, scores.wrong, style.VERMILION, "Wrong"))
    for axes, counts, colour, name in parts:
        axes.bar(HISTOGRAM_EDGES[:-1], counts, widths, align="edge", color=colour, edgecolor=style.GROUND)
        title = f"{name}: {sum(counts):,} detections scoring {HISTOGRAM_EDGES[0]:g} or more"
        hint = f"score (dashed: {best_score:.3f}, where the mean F1 is greatest)"
        style.dress(axes, title, hint if axes is below else "", "detections")
        axes.axvline(best_score, color=style.QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        if not sum(counts):
            axes.set_ylim(0, 1)
            style.note(axes, "none")
    below.invert_yaxis()
    style.save(figure, path)


def write_calibration(scores: ScoreQuality, path: Path) -> None:
    """The share that is right against the score, how many there are of each, and the expected calibration error."""
    figure = style.new_figure(6.6, 6.6)
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shown = [b for b in scores.bins if b.detections]
    bars = diagram.bar([b.low for b in shown] or [-1], [b.share_right or 0 for b in shown] or [0],
                       0.1, align="edge", color=style.BLUE, edgecolor=style.GROUND)  # fmt: skip
    means = diagram.hlines([b.mean_score or 0 for b in shown], [b.low + 0.008 for b in shown],
                           [b.high - 0.008 for b in shown], color=style.ORANGE, linewidth=4)  # fmt: skip
    (honest,) = diagram.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
    diagram.set_xlim(0, 1)
    diagram.set_ylim(0, 1.02)
    style.dress(diagram, _verdict(scores), "", "share that is right")
    diagram.set_title(diagram.get_title(loc="left"), loc="left", pad=26, fontsize=11, fontweight="bold")
    style.legend(diagram, [bars, means, honest], ["share that is right", "mean score", "honest scores"],
                 loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=3, columnspacing=1.4)  # fmt: skip
    numbers = [b.detections for b in scores.bins]
    counts.bar(
        [b.low for b in scores.bins], numbers, [b.high - b.low for b in scores.bins], align="edge", color="#9fb6c9",
        edgecolor=style.GROUND,
    )  # fmt: skip
    for b in scores.bins:
        if b.detections:
            counts.annotate(f"{b.detections:,}", ((b.low + b.high) / 2, b.detections), (0, 2), ha="center",
                            textcoords="offset points", fontsize=7.5, color=style.INK)  # fmt: skip
    counts.margins(y=0.22)
    counts.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    style.dress(counts, "", "score", "detections")
    style.save(figure, path)


def _verdict(scores: ScoreQuality) -> str:
    if scores.calibration_error is None or scores.share_right is None or scores.mean_score is None:
        return f"No detection scores {CALIBRATION_FLOOR:g} or more"
    lean = scores.mean_score - scores.share_right
    way = "too high" if lean > 0 else "too low"
    return f"Expected calibration error {scores.calibration_error:.3f}; scores {abs(lean):.3f} {way} on average"
