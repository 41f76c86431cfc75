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


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the place and rename: a reader sees the old file or the new one, never half of it.

    Raises:
        InputError: the file cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
