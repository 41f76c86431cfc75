"""Counts that go on after a restart: which file, what it held before, and the thread that writes it.

Live cameras are counted into a file unless it is switched off: who watches a gate for a month expects one sum. Films
are not, unless a file is named: the same film watched twice has not doubled what passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.contracts.event import Event
    from vedette.contracts.pipeline import Pipeline
    from vedette.edge.analytics.counts import Counts
    from vedette.edge.counting.keeper import CountsKeeper
    from vedette.edge.counting.store import CountsStore

FILE_NAME = "counts.sqlite"


def counts_file(settings: Pipeline) -> Path | None:
    """The file that this pipeline's counts are kept in, if any."""
    from vedette.apps.state_folder import state_folder

    if settings.counts:
        return Path(settings.counts)
    if settings.counts is False or not any(camera.is_live for camera in settings.cameras):
        return None
    return state_folder() / FILE_NAME


@contextmanager
def kept_counts(settings: Pipeline) -> Iterator[CountsKeeper]:
    """Opened, and told to the person at the terminal; in memory where no file is asked for.

    Raises:
        CountsFileError: a file was named and cannot be used. One that nobody named is done without, and that is told.
    """
    from vedette.edge.counting.keeper import CountsKeeper

    with _open(settings) as store:
        keeper = CountsKeeper(store)
        try:
            yield keeper
        finally:
            keeper.close()


def _open(settings: Pipeline) -> CountsStore:
    from vedette.apps.console import warn
    from vedette.edge.counting.errors import CountsFileError
    from vedette.edge.counting.store import CountsStore

    path = counts_file(settings)
    try:
        store = CountsStore(path)
    except CountsFileError as error:
        if settings.counts:
            raise
        warn(f"{error}. Counts of this run end with it (`counts: FILE`, or off, in the pipeline file)")
        return CountsStore(None)
    if store.set_aside is not None:
        warn(store.set_aside)
    if path is not None:
        warn(f"counts: {path}")
    return store


def begin_totals(totals: Counts, before: Mapping[str, Any] | None) -> Counts:
    """The sums of a camera, begun with what was counted before this run."""
    if before is not None:
        totals.go_on_from(before)
    return totals


def add_to_totals(totals: Counts, event: Event) -> None:
    """Count an event into a camera's sums, as its rules did into those of this run."""
    from vedette.contracts.event import Direction, EventType

    data = event.data
    if event.type is EventType.LINE_CROSSED:
        totals.cross(data.line or "", data.class_, data.direction or Direction.A_TO_B)
    elif event.type is EventType.ZONE_ENTERED:
        totals.enter(data.zone or "")
    elif event.type is EventType.ZONE_EXITED:
        totals.leave(data.zone or "")
    else:
        totals.dwell(data.zone or "")
