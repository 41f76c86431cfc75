"""Line charts as plain numbers for an inline SVG: sharp at any width, light or dark, and cheap to redraw each epoch.

Only geometry and texts are made here; strokes and colours stand in the style sheet of report.html.
"""

import math
from collections.abc import Callable, Mapping
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
    """One series: its path (gaps where a value is not finite), a dot for each epoch, its latest value."""

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


def line_chart(
    title: str,
    epochs: NDArray[np.float64],
    series: Mapping[str, NDArray[np.float64]],
    last_epoch: int,
    top: float | None = None,
) -> Chart:
    """Lay out series over epochs 1..last_epoch, values from 0 to `top` (else a round number above the largest)."""
    largest = max((float(v[np.isfinite(v)].max()) for v in series.values() if np.isfinite(v).any()), default=1.0)
    step = round_step((top or largest or 1.0) / 5)
    highest = top or step * math.ceil(round(max(largest, step) / step, 9))

    def x_of(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(last_epoch - 1, 1)

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value, 0.0), highest) / highest

    lines = []
    for label, values in series.items():
        pairs = list(zip(epochs.tolist(), values.tolist(), strict=True))
        places = [(x_of(epoch), y_of(value)) if math.isfinite(value) else None for epoch, value in pairs]
        dots = tuple(
            Dot(round(place[0], 2), round(place[1], 2), f"epoch {epoch:.0f}: {label} {value:.4g}")
            for place, (epoch, value) in zip(places, pairs, strict=True)
            if place is not None
        )
        latest = f"{values[-1]:.3g}" if len(values) and math.isfinite(values[-1]) else "–"
        lines.append(ChartLine(label, _path(places), dots, latest))
    count = round(highest / step)
    y_ticks = tuple(Tick(round(y_of(step * n), 2), f"{step * n:.4g}") for n in range(count + 1))
    return Chart(title, tuple(lines), _epoch_ticks(last_epoch, x_of), y_ticks)


def _path(dots: list[tuple[float, float] | None]) -> str:
    """An SVG path through the places; a `None` interrupts it."""
    parts, pen_down = [], False
    for dot in dots:
        if dot is not None:
            parts.append(f"{'L' if pen_down else 'M'}{dot[0]:.2f} {dot[1]:.2f}")
        pen_down = dot is not None
    return " ".join(parts)


def _epoch_ticks(last_epoch: int, x_of: Callable[[float], float]) -> tuple[Tick, ...]:
    step = max(1, round(round_step(last_epoch / 6)))
    epochs = [1, *range(step if step > 1 else 2, last_epoch + 1, step)]
    return tuple(Tick(round(x_of(epoch), 2), str(epoch)) for epoch in epochs)


def round_step(value: float) -> float:
    """The 1, 2 or 5 times a power of ten that is at or next above `value` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))
