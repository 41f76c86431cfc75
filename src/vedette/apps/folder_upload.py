"""A folder of plain files to S3: every file is read back and held against its SHA-256 before it counts as sent.

Hidden files stay here. Nothing is deleted, and nothing overwritten but by those who say that it is theirs.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.errors import InputError, UsageError
from vedette.contracts.ports import Progress
from vedette.storage.errors import WrongContentError
from vedette.storage.parallel import in_parallel
from vedette.storage.store import PART_BYTES, Store

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What is stored now."""

    files: int
    size_bytes: int


def refuse_taken(store: Store) -> None:
    """See that nothing is stored there.

    Raises:
        UsageError: something is.
        StorageError: the store does not say.
    """
    taken = next((one.name for one in store.list()), None)
    if taken is not None:
        raise UsageError(f"{store.address}: something is stored there already ({taken}); give another prefix")


def upload_folder(
    store: Store, folder: Path, progress: Progress, *, last: str | None = None, replace: bool = False
) -> Uploaded:
    """Send every file; that named `last` when the others are there. With `replace`, over what has the same names.

    Raises:
        UsageError: other files are stored there; nothing was sent.
        WrongContentError: what is stored is not what was sent.
        StorageError: the store does not take them; the same call sends what is missing.
        InputError: a file cannot be read.
    """
    try:
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        }
        there = set() if replace else _those_there(store, sizes)
        progress.start("sending", sum(sizes.values()), "bytes")
        for names in ([name for name in sizes if name != last], [name for name in sizes if name == last]):
            for name in in_parallel(lambda name: _send(store, folder, name, name in there), names):
                progress.advance(sizes[name])
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error
    return Uploaded(len(sizes), sum(sizes.values()))


@contextmanager
def written_folder(dest: Path) -> Iterator[Path]:
    """Where to write a new folder: `dest` itself, or one that is sent to s3://BUCKET/PREFIX when all went well.

    Raises:
        As `upload_folder`.
    """
    from vedette.apps.console import ConsoleProgress
    from vedette.apps.object_storage import open_place
    from vedette.storage.address import is_s3_address

    if not is_s3_address(dest):
        yield dest
        return
    store = open_place(dest)
    next(store.list(), None)  # whether it can be reached at all
    with tempfile.TemporaryDirectory(prefix="vedette-") as scratch:
        folder = Path(scratch) / "folder"
        yield folder
        with ConsoleProgress() as progress:
            upload_folder(store, folder, progress)


def _those_there(store: Store, sizes: dict[str, int]) -> set[str]:
    """Which files an upload that was broken off has left, by name and size."""
    there = {one.name: one.size_bytes for one in store.list()}
    strange = next((name for name, size in there.items() if sizes.get(name) != size), None)
    if strange is not None:
        raise UsageError(f"{store.address}: something else is stored there already ({strange}); give another prefix")
    return set(there)


def _send(store: Store, folder: Path, name: str, is_there: bool) -> str:
    path, digest = folder / name, hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                yield block

    size = path.stat().st_size
    if is_there:
        for _ in blocks():
            pass
    elif size <= PART_BYTES:
        store.write(name, b"".join(blocks()))
    else:
        store.upload(name, blocks())
    stored = hashlib.sha256()
    for block in store.blocks(name, size):
        stored.update(block)
    if stored.digest() != digest.digest():
        if is_there:
            raise UsageError(f"{store.address}: something else is stored there already ({name}); give another prefix")
        raise WrongContentError(f"{store.address}/{name} is not what was sent; the same command sends it again")
    return name
