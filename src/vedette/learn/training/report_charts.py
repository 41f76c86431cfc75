"""Line charts as plain numbers for an inline SVG: sharp at any width, light or dark, and cheap to redraw each epoch.

Only geometry and texts are made here; strokes and colours stand in the style sheet of report.html.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 480, 270  # units of the SVG's view box
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 26


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series: a path and dots through its finite values (not every epoch is validated), and the latest of them."""

    label: str
    path: str
    dots: tuple[Dot, ...]
    latest: str


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    lines: tuple[ChartLine, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one run; a `y` that is not finite is no point."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def line_chart(
    title: str,
    epochs: NDArray[np.float64],
    series: Mapping[str, NDArray[np.float64]],
    last_epoch: int,
    top: float | None = None,
) -> Chart:
    """Lay out series over epochs 1..last_epoch, values from 0 to `top` (else a round number above the largest)."""
    curves = [Curve(label, epochs, values) for label, values in series.items()]

    def x_of(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(last_epoch - 1, 1)

    lines, y_ticks = _lines(curves, "epoch", x_of, top)
    return Chart(title, lines, _epoch_ticks(last_epoch, x_of), y_ticks)


def curves_chart(title: str, curves: Sequence[Curve], x_name: str, top: float | None = None) -> Chart:
    """Lay out curves with an `x` each, from 0 to the last of all."""
    ends = [float(np.nanmax(curve.x)) for curve in curves if len(curve.x)]
    last = max([end for end in ends if math.isfinite(end) and end > 0], default=1.0)

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / last

    lines, y_ticks = _lines(curves, x_name, x_of, top)
    step = round_step(last / 6)
    ticks = tuple(Tick(round(x_of(step * n), 2), f"{step * n:.4g}") for n in range(math.floor(last / step + 1e-9) + 1))
    return Chart(title, lines, ticks, y_ticks)


def _lines(
    curves: Sequence[Curve], x_name: str, x_of: Callable[[float], float], top: float | None
) -> tuple[tuple[ChartLine, ...], tuple[Tick, ...]]:
    largest = max((float(c.y[np.isfinite(c.y)].max()) for c in curves if np.isfinite(c.y).any()), default=1.0)
    step = round_step((top or largest or 1.0) / 5)
    highest = top or step * math.ceil(round(max(largest, step) / step, 9))

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value, 0.0), highest) / highest

    lines = []
    for curve in curves:
        known = np.isfinite(curve.y) & np.isfinite(curve.x)
        dots = tuple(
            Dot(round(x_of(x), 2), round(y_of(y), 2), f"{x_name} {x:.4g}: {curve.label} {y:.4g}")
            for x, y in zip(curve.x[known].tolist(), curve.y[known].tolist(), strict=True)
        )
        path = " ".join(f"{'L' if place else 'M'}{dot.x:g} {dot.y:g}" for place, dot in enumerate(dots))
        latest = f"{curve.y[known][-1]:.3g}" if dots else "–"
        lines.append(ChartLine(curve.label, path, dots, latest))
    count = round(highest / step)
    return tuple(lines), tuple(Tick(round(y_of(step * n), 2), f"{step * n:.4g}") for n in range(count + 1))


def _epoch_ticks(last_epoch: int, x_of: Callable[[float], float]) -> tuple[Tick, ...]:
    step = max(1, round(round_step(last_epoch / 6)))
    epochs = [1, *range(step if step > 1 else 2, last_epoch + 1, step)]
    return tuple(Tick(round(x_of(epoch), 2), str(epoch)) for epoch in epochs)


def round_step(value: float) -> float:
    """The 1, 2 or 5 times a power of ten that is at or next above `value` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))
