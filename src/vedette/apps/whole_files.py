"""Files that commands write for people: whole or not at all, one message when it cannot be done."""

import os
from pathlib import Path

from vedette.contracts.errors import InputError, UsageError


def refuse_overwriting(out: Path, *sources: Path | None) -> None:
    """Keep a command from replacing what it was given by what it makes.

    Raises:
        UsageError: `out` is one of the files that are read.
    """
    for source in sources:
        if source is not None and (out == source or (out.exists() and source.exists() and out.samefile(source))):
            raise UsageError(f"{out} is to be written and is one of the files to read; give another name")


def write_whole(path: Path, content: bytes, *, like: Path | None = None) -> None:
    """Write beside the place and rename: a reader sees the old file or the new one, never half of it.

    With `like` the file gets the mode of that one, and is on the disk when this returns.

    Raises:
        InputError: the file cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(content)
                if like is not None:
                    os.fchmod(file.fileno(), like.stat().st_mode & 0o7777)
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
