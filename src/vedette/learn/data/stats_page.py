"""One self-contained HTML page about a data set: no script, no request, pictures inside as data URLs.

Class names and file names come from strangers: Jinja2 escapes everything, charts carry no text from the data.
"""

import base64
import io
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vedette.learn.data.errors import DestinationError, PictureError
from vedette.learn.data.pictures import read_picture
from vedette.learn.data.samples import Layout
from vedette.learn.data.stats import DataSetStats, Measured, choose_examples
from vedette.version import __version__
from vedette.vision.annotate import class_colour, draw_boxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXAMPLES = 12
EXAMPLE_SIDE_PX = 560
MAX_POINTS = 20_000  # more dots are a blot, and slow
SMALL_PX, MEDIUM_PX = 32, 96  # COCO's small, medium and large
BLUE, GREY = "#0072b2", "#5b6470"  # Okabe and Ito; a grey of contrast 5:1 on white
LAYOUT_NAMES = {
    Layout.VOC: "VOC",
    Layout.DARKNET: "Darknet",
    Layout.YOLO: "YOLO",
    Layout.COCO: "COCO",
    Layout.MANIFEST: "Ground Truth",
}


def write_stats_page(stats: DataSetStats, page: Path) -> None:
    """Write the page atomically.

    Raises:
        DestinationError: the place cannot be written.
    """
    text = render_stats_page(stats)
    temporary = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DestinationError(f"{page} cannot be written: {error.strerror or error}") from error


def render_stats_page(stats: DataSetStats) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("vedette.learn.data").joinpath("templates/stats.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        name=stats.data.root.name,
        layout=LAYOUT_NAMES[stats.data.layout],
        version=__version__,
        stats=stats,
        splits=[(split, len(names)) for split, names in stats.data.splits.items()],
        most=max((entry.objects for entry in stats.classes), default=1) or 1,
        colours={entry.name: _css(class_colour(number)) for number, entry in enumerate(stats.classes)},
        tiles=_tiles(stats),
        charts=_charts(stats) if len(stats.class_ids) else [],
        examples=_examples(stats),
    )


def _css(bgr: tuple[int, int, int]) -> str:
    return f"#{bgr[2]:02x}{bgr[1]:02x}{bgr[0]:02x}"


def _tiles(stats: DataSetStats) -> list[tuple[str, str]]:
    pictures, objects = len(stats.measured), len(stats.class_ids)
    empty = int((stats.objects_by_picture == 0).sum())
    small = int((np.sqrt(stats.sizes_wh_px.prod(axis=1)) < SMALL_PX).sum())
    width, height, count = stats.picture_sizes[0]
    tiles = [
        (f"{pictures:,}", "pictures"),
        (f"{objects:,}", "objects"),
        (f"{objects / pictures:.1f}", "objects per picture"),
        (f"{empty:,}", "pictures without objects"),
        (f"{100 * small / max(1, objects):.0f} %", f"objects below {SMALL_PX}x{SMALL_PX} px"),
        (f"{width}x{height}", f"commonest size ({100 * count / pictures:.0f} % of pictures)"),
    ]
    if stats.unusable:
        tiles.append((f"{stats.unusable:,}", "unusable objects, not counted"))
    if stats.unreadable:
        tiles.append((f"{stats.unreadable:,}", "unreadable pictures, not counted"))
    return tiles


def _charts(stats: DataSetStats) -> list[tuple[str, str, str]]:
    """(title, explanation, data URL of a PNG) of each chart."""
    drawings: list[tuple[str, str, Callable[[Axes, DataSetStats], None]]] = [
        (
            "Box sizes",
            "Each dot is an object: its share of the picture's width and height, coloured by class.",
            _draw_sizes,
        ),
        (
            "Box sizes in pixels",
            "Square root of the area. COCO calls below 32 small and from 96 on large.",
            _draw_areas,
        ),
        ("Where objects are", "Share of all objects that cover each place, all pictures scaled to one.", _draw_places),
        ("Shapes", "Width over height: right of 1 is wider than high.", _draw_shapes),
        ("Objects per picture", "How many pictures hold how many objects.", _draw_crowding),
    ]
    return [(title, text, _chart(draw, stats)) for title, text, draw in drawings]


def _chart(draw: Callable[["Axes", DataSetStats], None], stats: DataSetStats) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.8), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b8bfc8")
    axes.tick_params(colors=GREY, labelsize=9)
    axes.xaxis.label.set_color(GREY)
    axes.yaxis.label.set_color(GREY)
    draw(axes, stats)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _draw_sizes(axes: "Axes", stats: DataSetStats) -> None:
    percent = 100 * stats.sizes_wh_norm
    step = max(1, -(-len(percent) // MAX_POINTS))
    order = np.random.default_rng(0).permutation(len(percent))[::step]  # no class is drawn over all others
    colours = [_css(class_colour(int(number))) for number in stats.class_ids[order]]
    size = float(np.clip(6000 / len(order), 1.5, 16))
    axes.scatter(percent[order, 0], percent[order, 1], s=size, c=colours, alpha=0.6, linewidths=0)
    axes.set(xlabel="width, % of the picture", ylabel="height, % of the picture", xlim=(0, None), ylim=(0, None))


def _draw_areas(axes: "Axes", stats: DataSetStats) -> None:
    sides = np.sqrt(stats.sizes_wh_px.prod(axis=1))
    bins = np.geomspace(max(0.5, sides.min() * 0.95), sides.max() * 1.05, 40)
    axes.hist(sides, bins=bins.tolist(), color=BLUE)
    axes.set_xscale("log")
    _plain_log_ticks(axes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096], float(bins[0]), float(bins[-1]))
    for limit in (SMALL_PX, MEDIUM_PX):
        if bins[0] < limit < bins[-1]:
            axes.axvline(limit, color=GREY, linewidth=1, linestyle=":")
    axes.set(xlabel="side of a square of the same area, px", ylabel="objects")


def _draw_places(axes: "Axes", stats: DataSetStats) -> None:
    width, height, _ = stats.picture_sizes[0]
    image = axes.imshow(100 * stats.coverage, cmap="viridis", extent=(0, 100, 100, 0), aspect=height / width, vmin=0)
    bar = axes.figure.colorbar(image, ax=axes, format="%g %%", shrink=0.85)
    bar.ax.tick_params(colors=GREY, labelsize=9)
    axes.set(xlabel="% of the width", ylabel="% of the height")


def _draw_shapes(axes: "Axes", stats: DataSetStats) -> None:
    ratios = stats.sizes_wh_px[:, 0] / stats.sizes_wh_px[:, 1]
    reach = float(max(2.0, np.quantile(ratios, 0.999), 1 / np.quantile(ratios, 0.001)))
    axes.hist(np.clip(ratios, 1 / reach, reach), bins=np.geomspace(1 / reach, reach, 41).tolist(), color=BLUE)
    axes.set_xscale("log")
    _plain_log_ticks(axes, [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16], 1 / reach, reach)
    axes.axvline(1, color=GREY, linewidth=1, linestyle=":")
    axes.set(xlabel="width : height", ylabel="objects")


def _plain_log_ticks(axes: "Axes", ticks: list[float], low: float, high: float) -> None:
    from matplotlib.ticker import NullLocator

    shown = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
    axes.set_xticks(shown, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_crowding(axes: "Axes", stats: DataSetStats) -> None:
    most = int(stats.objects_by_picture.max())
    width = max(1, -(-(most + 1) // 40))  # whole numbers of objects in each bar
    axes.hist(
        stats.objects_by_picture, bins=(np.arange(0, most + width + 1, width) - 0.5).tolist(), color=BLUE, rwidth=0.9
    )
    axes.set(xlabel="objects in the picture", ylabel="pictures")


def _examples(stats: DataSetStats) -> list[tuple[str, str]]:
    """(sample name, data URL of a JPEG with boxes) of each example."""
    numbers = {name: number for number, name in enumerate(stats.data.classes)}
    examples = []
    for item in choose_examples(stats, EXAMPLES):
        try:
            picture = read_picture(item.sample.picture)
        except PictureError:
            continue  # its header was right, its body is not: `check` tells; here another picture does as well
        examples.append((item.sample.name, _example(picture, item, numbers)))
    return examples


def _example(picture_hwc_bgr_u8: NDArray[np.uint8], item: Measured, numbers: dict[str, int]) -> str:
    import cv2

    scale = min(1.0, EXAMPLE_SIDE_PX / max(item.width_px, item.height_px))
    size = (max(1, round(item.width_px * scale)), max(1, round(item.height_px * scale)))
    shown = np.ascontiguousarray(cv2.resize(picture_hwc_bgr_u8, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    boxes = np.array([o.box_xyxy_px for o in item.objects], dtype=np.float64).reshape(-1, 4) * scale  # (objects, 4)
    labels = [o.class_name for o in item.objects]
    draw_boxes(shown, boxes, labels, np.array([numbers[name] for name in labels], dtype=np.int64))
    _, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 82])
    kind: Any = encoded.tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(kind).decode()
