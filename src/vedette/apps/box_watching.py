"""Watches the box during a run: its sensors, and tegrastats where this is a Jetson that has it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vedette.contracts.box_health import BoxHealth

TEGRASTATS = ("tegrastats", "--interval", "1000")


@contextmanager
def box_health() -> Iterator[Callable[[], BoxHealth | None]]:
    """What to ask how the box fares; from any thread."""
    from vedette.edge.jetson.box_files import BoxFiles
    from vedette.edge.jetson.telemetry import TegraStatsReader, Telemetry

    with ExitStack() as closing:
        program = shutil.which(TEGRASTATS[0])
        if program is None:
            yield Telemetry(BoxFiles()).health
            return
        reader = closing.enter_context(TegraStatsReader([program, *TEGRASTATS[1:]]))
        yield Telemetry(BoxFiles(), reader.newest).health
