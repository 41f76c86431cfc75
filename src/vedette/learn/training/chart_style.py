"""One look for every chart: light ground, Okabe and Ito's colour-blind-safe colours, no frame, quiet grid.

Figures are made directly, never through pyplot, so that no global state is touched and threads do not meet. Class names
come from users: they are never read as mathematics, and letters that the font lacks become a box instead of a warning.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vedette.learn.training.atomic import write_atomically
from vedette.vision.annotate import class_colour

INK, QUIET, GRID, GROUND = "#1d2530", "#5d6876", "#e3e7ec", "#ffffff"
BLUE, VERMILION, GREEN, ORANGE, PURPLE = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7"
# A line needs more contrast with the white ground than a filled box: without Okabe and Ito's yellow and sky blue.
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, "#332288", "#7a5b00", "#008b9a", "#882255", "#6b7280")
DOTS_PER_INCH = 110
LONGEST_NAME = 28
FONT = "DejaVu Sans"  # comes with matplotlib


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure with its own Agg canvas."""
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.03)  # inches, inches, shares
    figure = Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH, facecolor=GROUND, layout=margins)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, atomically; nothing in it depends on the time."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": None}))


def dress(axes: Axes, title: str, x_label: str = "", y_label: str = "") -> None:
    """Title at the left, labels, quiet grid, no frame."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, family=FONT, parse_math=False)
    axes.set_xlabel(x_label, color=QUIET, fontsize=9, family=FONT)
    axes.set_ylabel(y_label, color=QUIET, fontsize=9, family=FONT)
    axes.tick_params(colors=QUIET, labelsize=8.5, length=0)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str], **where: Any) -> None:
    """A legend whose labels may hold anything a class name may hold."""
    box = axes.legend(handles, ["-"] * len(labels), frameon=False, fontsize=8.5, labelcolor=INK, **where)
    for text, label in zip(box.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def note(axes: Axes, text: str) -> None:
    """One quiet line in the middle of axes that have nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=10)


def rgb_of_class(class_id: int) -> tuple[float, float, float]:
    """The colour that the class has in every picture, as matplotlib takes it."""
    blue, green, red = class_colour(class_id)
    return red / 255, green / 255, blue / 255


def drawable(name: str) -> str:
    """A class name cut to LONGEST_NAME letters, all of them in the font."""
    known = _letters()
    shown = "".join(letter if ord(letter) in known else "\N{WHITE SQUARE}" for letter in name)
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())
