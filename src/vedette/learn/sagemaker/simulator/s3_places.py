"""What a job's addresses in S3 mean: prefixes to bring from, a place for results, checkpoints kept in step.

An S3Prefix is the beginning of a key, as SageMaker takes it: `s3://b/parts` brings what lies below `parts-old/` too.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vedette.learn.sagemaker.errors import SimulatorError
from vedette.storage.address import Address, S3Settings, is_safe_name
from vedette.storage.errors import StorageError
from vedette.storage.store import Store, open_store

MOST_OBJECT_BYTES = 80 << 30
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Prefix:
    """`s3://BUCKET/KEY...` as it was written, without judging it."""

    bucket: str
    key: str

    @staticmethod
    def of(address: str) -> "Prefix":
        bucket, _, key = address.removeprefix("s3://").partition("/")
        return Prefix(bucket, key)


def open_bucket(settings: S3Settings, bucket: str) -> Store:
    """A whole bucket, whose names are keys."""
    return open_store(Address(bucket, ""), settings)


def open_folder(settings: S3Settings, address: str) -> Store:
    """What lies below an address as a folder."""
    prefix = Prefix.of(address)
    return open_store(Address(prefix.bucket, prefix.key.strip("/")), settings)


def matching_keys(store: Store, prefix: Prefix) -> Iterator[tuple[str, str]]:
    """Each key that begins so, in order, and its name below the channel's folder."""
    folder = prefix.key.rpartition("/")[0]
    for key in sorted(one.name for one in store.list(folder)):
        if key.startswith(prefix.key) and not key.endswith("/"):
            yield key, key[len(prefix.key) :].lstrip("/") or key.rpartition("/")[2]


def bring(store: Store, keys: list[tuple[str, str]], folder: Path) -> None:
    """Download keys as files below a folder.

    Raises:
        StorageError: one cannot be had.
        SimulatorError: one can be no file here.
    """
    for key, name in keys:
        if not is_safe_name(name):
            raise SimulatorError(f"{key!r} can be no file below {folder.name}")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        store.download(key, place, MOST_OBJECT_BYTES)


def make_read_only(folder: Path) -> None:
    """As FastFile mode mounts a channel."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def remove_tree(folder: Path) -> None:
    """Remove a folder, though parts of it may be read-only."""
    for path, _, _ in os.walk(folder):
        with suppress(FileNotFoundError):
            Path(path).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def file_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as file:
        yield from _blocks(file)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


class CheckpointFolder:
    """One host's /opt/ml/checkpoints and its copy in S3: all restored at the start, then changes sent as they come.

    What the host deletes is deleted in S3; what others put there later does not come. Files travel as they are, in
    no order: a machine that is lost at once leaves some of them behind.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store
        self._known: dict[str, tuple[int, int]] = {}

    def restore(self) -> None:
        """Bring what is in S3.

        Raises:
            StorageError: it cannot be had.
        """
        bring(self._store, [(one.name, one.name) for one in self._store.list()], self._folder)
        self._known = self._look()

    def send(self) -> None:
        """Bring S3 into step with the folder.

        Raises:
            StorageError: it is not taken.
        """
        now = self._look()
        for name, state in now.items():
            if self._known.get(name) == state:
                continue
            try:
                file = (self._folder / name).open("rb")
            except FileNotFoundError:
                continue  # it was a temporary one
            with file:
                if state[0] <= _BLOCK_BYTES:
                    self._store.write(name, file.read())
                else:
                    self._store.upload(name, _blocks(file))
            self._known[name] = state
        gone = [name for name in self._known if name not in now]
        self._store.delete(gone)
        for name in gone:
            del self._known[name]

    def try_to_send(self) -> str | None:
        """As `send`, while the job runs: what went wrong is told and tried again the next time."""
        try:
            self.send()
        except StorageError as error:
            return f"checkpoints: {error}"
        return None

    def _look(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder) / name
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                found[path.relative_to(self._folder).as_posix()] = (state.st_size, state.st_mtime_ns)
        return found
