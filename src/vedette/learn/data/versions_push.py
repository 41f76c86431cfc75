"""Puts a data set into a store: only content that is not there travels, then the version, then the tag.

One listing tells what is there. Content is read once: the bytes that are sent are the bytes whose digest names them,
whatever happens to the file meanwhile. Stopped anywhere, what was sent is used by the next push; several pushes at once
write the same bytes to the same names. What a version needs is there before the version is.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.ports import Progress
from vedette.learn.data.errors import DataError, VersionError
from vedette.learn.data.locating import plain_path
from vedette.learn.data.versions import (
    OBJECTS,
    TAGS,
    VersionedFile,
    check_path,
    check_tag,
    make_version,
    object_name,
    version_name,
)
from vedette.learn.data.versions_digests import DigestMemory, digest_file, file_blocks
from vedette.storage.parallel import in_parallel
from vedette.storage.store import PART_BYTES, Store


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did."""

    digest: str  # of the version
    tag: str
    files: int
    size_bytes: int
    sent_objects: int
    sent_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Done:
    file: VersionedFile
    sent_bytes: int | None  # None: it was there


def push_version(source: Path, store: Store, tag: str, progress: Progress, memory: DigestMemory) -> Pushed:
    """Bring every file below a folder (hidden ones left out) into the store as a version, and name it.

    Raises:
        DataError: the folder cannot be read, or holds what a version cannot.
        StorageError: the store cannot be reached or refuses; the same call goes on from there.
    """
    began = time.monotonic()
    check_tag(tag)
    paths = local_files(source)
    if not paths:
        raise VersionError(f"{source} holds no file to push")
    there = {found.name.rpartition("/")[2]: found.size_bytes for found in store.list(OBJECTS)}
    sender = _Sender(plain_path(source), store, there, memory)
    done: list[_Done] = []
    sent_objects = sent_bytes = 0
    progress.start("pushing", len(paths), "files")
    try:
        for one in in_parallel(sender.push, paths):
            done.append(one)
            if one.sent_bytes is not None:
                sent_objects, sent_bytes = sent_objects + 1, sent_bytes + one.sent_bytes
            progress.advance(sent_MB=sent_bytes / 1e6)
    finally:
        memory.save()
    version = make_version(one.file for one in done)
    digest = version.digest()
    store.write(version_name(digest), version.to_bytes())
    store.write(f"{TAGS}/{tag}", f"{digest}\n".encode())
    seconds = time.monotonic() - began
    return Pushed(digest, tag, len(done), version.size_bytes, sent_objects, sent_bytes, seconds)


def local_files(source: Path) -> list[str]:
    """The paths of all files below a folder, in order; hidden files and folders are left out.

    Raises:
        DataError: it is no folder, or holds what a version cannot.
    """
    root = plain_path(source)
    if not root.is_dir():
        raise DataError(f"{source} {'is no folder' if root.exists() else 'does not exist'}; give the data set's folder")
    found = []
    for here, folders, files in os.walk(root, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(here, name).is_symlink()]
        if links:
            raise DataError(
                f"{Path(here, links[0])} is a link to a folder; a version holds files: copy the folder there"
            )
        below = os.path.relpath(here, root).replace(os.sep, "/")
        for name in sorted(files):
            if not name.startswith("."):
                path = name if below == "." else f"{below}/{name}"
                check_path(path)
                found.append(path)
    return found


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


class _Sender:
    """Sends what is not there, each content once however many files have it."""

    def __init__(self, root: Path, store: Store, there: dict[str, int], memory: DigestMemory) -> None:
        self._root = root
        self._store = store
        self._there = there
        self._memory = memory
        self._lock = threading.Lock()

    def push(self, path: str) -> _Done:
        place = self._root / path
        try:
            found = place.stat()
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{place}: is no plain file")
        known = self._memory.find(path, found)
        if known is not None and self._there.get(known) == found.st_size:
            return _Done(VersionedFile(path, found.st_size, known), None)
        if found.st_size > PART_BYTES:
            digest, size, sent = self._push_large(place, found.st_size)
        else:
            digest, size, sent = self._push_small(place)
        if size == found.st_size:
            self._memory.remember(path, found, digest)
        return _Done(VersionedFile(path, size, digest), size if sent else None)

    def _push_small(self, place: Path) -> tuple[str, int, bool]:
        content = b"".join(file_blocks(place))
        digest = hashlib.sha256(content).hexdigest()
        if not self._claim(digest, len(content)):
            return digest, len(content), False
        self._store.write(object_name(digest), content)
        return digest, len(content), True

    def _push_large(self, place: Path, size: int) -> tuple[str, int, bool]:
        digest = digest_file(place)
        if not self._claim(digest, size):
            return digest, size, False
        self._store.upload(object_name(digest), _unchanged_blocks(place, digest))
        return digest, size, True

    def _claim(self, digest: str, size: int) -> bool:
        """Whether this thread is to send it: nobody has and nobody does."""
        with self._lock:
            if self._there.get(digest) == size:
                return False
            self._there[digest] = size
            return True


def _unchanged_blocks(place: Path, expected: str) -> Iterator[bytes]:
    """A file's bytes; an error at their end, which undoes the upload, when they are not the ones that were digested."""
    digest = hashlib.sha256()
    for block in file_blocks(place):
        digest.update(block)
        yield block
    if digest.hexdigest() != expected:
        raise DataError(f"{place}: changed while it was pushed; push again when nobody writes to it")
