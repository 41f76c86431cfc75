"""A folder that appears whole or not at all: written beside its place under another name, then renamed.

A killed process leaves only the hidden sibling `.NAME.partial`, which the next attempt removes; two attempts at once
are refused.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vedette.learn.data.errors import DestinationError
from vedette.learn.data.locating import plain_path


@contextmanager
def published_folder(destination: Path) -> Iterator[Path]:
    """Gives an empty folder to write into; it becomes `destination` when the block ends well, and vanishes when not.

    Raises:
        DestinationError: the destination is there and not an empty folder, or cannot be written.
    """
    place = plain_path(destination)
    _refuse_taken(place)
    partial = place.with_name(f".{place.name}.partial")
    with locked_folder(partial, destination):
        _empty(partial)
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, partial, ignore_errors=True)
            try:
                yield partial
                _refuse_taken(place)
                partial.replace(place)  # an empty folder gives way
            except OSError as error:
                raise DestinationError(f"{destination} cannot be written: {error.strerror or error}") from error
            undo.pop_all()  # its name is free again, maybe for another process already


@contextmanager
def locked_folder(folder: Path, named: Path) -> Iterator[None]:
    """Make the folder if need be and keep other processes that lock it from it; errors speak of `named`.

    Raises:
        DestinationError: it cannot be written, or another process has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DestinationError(f"{named} cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DestinationError(f"another process is writing {named} right now") from error
        yield
    finally:
        os.close(handle)


def _refuse_taken(place: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise DestinationError(f"{place} is there already and is no folder; choose another place")
    if place.is_dir() and any(place.iterdir()):
        raise DestinationError(f"{place} is there already and not empty; choose another place, or empty it")


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
