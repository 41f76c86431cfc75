"""Checkpoints of a job, from where it has kept them in S3 into its RUN: what `vedette train --resume` goes on from.

As a local run has them at its end: the latest and the one before it. A machine that was lost at once may have left the
newest in part; then the one before it is the latest. Only the names that the trainer writes are looked at, sizes are
bounded, and the latest is read as the trainer reads it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError
from vedette.contracts.ports import Progress

if TYPE_CHECKING:
    from vedette.storage.store import Store, StoredObject

KEPT = 2
MOST_TENSOR_BYTES = 8 << 30
MOST_DOCUMENT_BYTES = 64 << 20  # the history of a run, a few hundred bytes an epoch


def bring_checkpoints(address: str, run: Path, progress: Progress) -> int:
    """Bring the newest whole checkpoints from below the job's `address` into `run`; how many. None is no failure.

    Raises:
        StorageError: S3 does not give them.
        InputError: the latest is damaged, too large, or the folder cannot be written.
    """
    from vedette.apps.object_storage import open_place
    from vedette.learn.sagemaker.container.checkpoints import CHECKPOINTS, RUN_NAME, point_to_whole
    from vedette.learn.training.checkpoint import has_checkpoint, load_checkpoint

    store = open_place(f"{address.rstrip('/')}/{RUN_NAME}/{CHECKPOINTS}")
    found = _newest(store)
    folder = run / CHECKPOINTS
    if not found:
        progress.say(f"no checkpoint is left at {store.address}: the run cannot be resumed")
        return 0
    progress.start("fetching checkpoints", sum(one.size_bytes for one in found), "bytes")
    try:
        for one in found:
            _bring(store, one, folder / one.name, progress)
        point_to_whole(run, lambda line: None)
        for name in {one.name.partition("/")[0] for one in found}:
            if not has_checkpoint(run) or name > (folder / "latest").read_text("utf-8").strip():
                shutil.rmtree(folder / name)
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error
    if not has_checkpoint(run):
        folder.rmdir()
        progress.say(f"no whole checkpoint is at {store.address}: the run cannot be resumed")
        return 0
    load_checkpoint(run)
    return sum(path.is_dir() for path in folder.iterdir())


def _newest(store: Store) -> list[StoredObject]:
    """The files of the two newest checkpoints that have both, the older one first."""
    from vedette.learn.sagemaker.container.checkpoints import DOCUMENT, TENSORS

    files = rf"([0-9]{{1,20}})/({re.escape(TENSORS)}|{re.escape(DOCUMENT)})"
    parts: dict[str, list[StoredObject]] = {}
    for one in store.list():
        if named := re.fullmatch(files, one.name):
            parts.setdefault(named[1], []).append(one)
    whole = sorted((name for name, objects in parts.items() if len(objects) == 2), key=lambda name: (int(name), name))
    return [one for name in whole[-KEPT:] for one in parts[name]]


def _bring(store: Store, one: StoredObject, place: Path, progress: Progress) -> None:
    from vedette.learn.sagemaker.container.checkpoints import TENSORS

    most = MOST_TENSOR_BYTES if place.name == TENSORS else MOST_DOCUMENT_BYTES
    if one.size_bytes > most:
        raise InputError(f"{store.address}/{one.name} has {one.size_bytes} bytes; no checkpoint is so large")
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        for block in store.blocks(one.name, most):
            progress.advance(file.write(block))
