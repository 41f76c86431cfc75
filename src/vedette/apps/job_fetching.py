"""Brings the RUN that a job has left: model.tar.gz and checkpoints from S3 into a folder, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError
from vedette.contracts.ports import Progress

if TYPE_CHECKING:
    from vedette.learn.sagemaker.artefact import Unpacked
    from vedette.learn.sagemaker.job_service import JobState

MOST_ARCHIVE_BYTES = 8 << 30


def artefact_of(state: JobState) -> str:
    """Where the archive is.

    Raises:
        InputError: there is none, and why.
    """
    if not state.has_ended:
        raise InputError(
            f"{state.name} is {state.status} ({state.secondary_status}); its model comes when it has ended: "
            f"vedette jobs follow {state.name}"
        )
    if state.status == "Failed":
        raise InputError(f"{state.name} has failed and left no model: {state.failure_reason or 'no reason is known'}")
    if state.artefact is None:
        raise InputError(f"{state.name} is {state.status} and left no model: it ended before training began")
    if not state.artefact.endswith(".tar.gz"):
        raise InputError(f"{state.artefact} is no archive; only output of compression type GZIP is read")
    return state.artefact


def fetch_run(state: JobState, run: Path, progress: Progress, *, checkpoints: bool = True) -> Unpacked:
    """Unpack what the job has left into `run`: a new or empty folder, or one in which the job was followed.

    Hidden files that a person has put into that stay there. Without `checkpoints` it cannot be resumed.

    Raises:
        VedetteError: there is nothing, it is damaged or hostile, or the folder is taken; the folder is as before.
    """
    from vedette.apps.followed_run import job_of

    address = artefact_of(state)
    complete = partial(_complete, state, progress) if checkpoints else None
    if job_of(run) != state.name:
        return _bring(address, run, progress, complete)
    place = run.absolute()
    fetched, followed = (place.with_name(f".{place.name}.{word}") for word in ("fetched", "followed"))
    try:
        for leftover in (fetched, followed):
            if leftover.exists():
                shutil.rmtree(leftover)
        unpacked = _bring(address, fetched, progress, complete)
        _keep_hidden(place, fetched)
        place.rename(followed)
        try:
            fetched.rename(place)
        except OSError:
            followed.rename(place)
            raise
        shutil.rmtree(followed)
    except OSError as error:
        raise InputError(f"{run} cannot be replaced: {error.strerror or error}") from error
    return unpacked


def _keep_hidden(followed: Path, fetched: Path) -> None:
    """Copy what is not following's own: its temporary files end as `followed_run` writes them."""
    for path in followed.iterdir():
        if not path.name.startswith(".") or ".partial" in path.suffixes or path.suffix == ".part":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, fetched / path.name, symlinks=True)
        else:
            shutil.copy2(path, fetched / path.name, follow_symlinks=False)


def warn_of_left_out(unpacked: Unpacked) -> None:
    """Name the hidden files that an archive held."""
    from vedette.apps.console import warn

    if unpacked.left_out:
        warn(f"left out {len(unpacked.left_out)} hidden files of the archive: {', '.join(unpacked.left_out[:5])}")


def _complete(state: JobState, progress: Progress, run: Path) -> None:
    """The checkpoints, as far as the job has kept any."""
    from vedette.apps.job_checkpoints import bring_checkpoints
    from vedette.storage.errors import StorageError

    if state.checkpoints is None:
        progress.say(f"{state.name} has kept no checkpoints (no CheckpointConfig): its run cannot be resumed")
        return
    if (run / "checkpoints").exists():  # an archive of somebody's own making
        return
    try:
        bring_checkpoints(state.checkpoints, run, progress)
    except (StorageError, InputError) as error:
        raise type(error)(
            f"checkpoints: {error}; without them: vedette jobs fetch {state.name} --no-checkpoints"
        ) from error


def _bring(address: str, run: Path, progress: Progress, complete: Callable[[Path], None] | None = None) -> Unpacked:
    from vedette.apps.object_storage import open_place
    from vedette.learn.sagemaker.artefact import unpack_run
    from vedette.storage.address import parse_address
    from vedette.storage.errors import ObjectNotFoundError

    folder, name = parse_address(address).parted()
    store = open_place(str(folder))
    found = store.stat(name)
    if found is None:
        raise ObjectNotFoundError(f"{address}: there is no such object; was it deleted, or the job stopped too early?")
    return unpack_run(store.blocks(name, MOST_ARCHIVE_BYTES), found.size_bytes, run, progress, complete)
