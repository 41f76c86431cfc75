"""Temporary folders that are gone in the end, also those of a simulator that was killed: the next one removes them.

A folder holds a marker that its process keeps locked as long as it lives; nothing else is ever taken away.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.simulator.s3_places import remove_tree

MARKER = ".vedette-simulator"
_NAMES = "vedette-*"


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A folder with a short path below the system's for temporary files.

    Raises:
        SimulatorError: it cannot be made.
    """
    try:
        _remove_abandoned(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        handle = _mark(folder)
    except OSError as error:
        raise SimulatorError(f"no temporary folder can be made: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(handle)


def _mark(folder: Path) -> int:
    """The marker appears locked: nobody can take it for a dead one's."""
    unmarked = folder / f"{MARKER}.new"
    handle = os.open(unmarked, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    unmarked.rename(folder / MARKER)
    return handle


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(_NAMES):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / MARKER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # it is none of ours, or has just gone
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            remove_tree(folder)
        finally:
            os.close(handle)
