"""Opens the page for `vedette train --show` and lets the training draw itself on it.

Which page is open stands in a context variable: between the flag and the training lie one process or several, folds or
none, a folder here or in S3, and none of these has to do with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.apps.console import warn

if TYPE_CHECKING:
    from vedette.apps.training_page.page import TrainingPage
    from vedette.contracts.ports import Progress

_OPEN: ContextVar[TrainingPage | None] = ContextVar("training_page", default=None)


@contextmanager
def showing(address: str | None, run: Path | None = None) -> Iterator[None]:
    """Serve the page while the block runs, in the first of several processes; nothing without an address.

    Of a `run` that is gone on with the history is there at once, while the training still gets ready. When the block
    ends well, who looks is left with the report.

    Raises:
        UsageError: it is no address.
        InputError: it is in use, or not this machine's.
    """
    if address is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    from vedette.apps.training_page.page import TrainingPage, parse_address

    with TrainingPage(*parse_address(address)) as page:
        if run is not None and run.is_dir():
            page.state.follow(run)
        warn(f"watch it: {page.url}")
        if not page.is_loopback:
            warn("the address with its long name is the key to the page; it is not encrypted on its way")
        token = _OPEN.set(page)
        try:
            yield
        finally:
            _OPEN.reset(token)
        page.finish()


def shown_too(progress: Progress, folder: Path) -> Progress:
    """The progress of a run in a folder, drawn on the open page too; as it is where there is none."""
    page = _OPEN.get()
    if page is None:
        return progress
    page.state.follow(folder)
    return page.beside(progress)
