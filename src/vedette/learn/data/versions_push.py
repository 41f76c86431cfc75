"""Puts a data set into a store: only content that is not there travels, then the version, then the tag.

One listing, and the indexes of packs, tell what is there. Content is read once: the bytes that are sent are the bytes
whose digest names them, whatever happens to the file meanwhile. Stopped anywhere, what was sent is used by the next
push: files are packed in the order of their paths, so the same packs come out again and are found there. Several
pushes at once write the same bytes to the same names. What a version needs is there before the version is.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vedette.contracts.ports import Progress
from vedette.learn.data.errors import DataError, VersionError
from vedette.learn.data.locating import plain_path
from vedette.learn.data.versions import TAGS, VersionedFile, check_path, check_tag, make_version, version_name
from vedette.learn.data.versions_contents import (
    PACK_BYTES,
    SMALL_BYTES,
    Contents,
    PackEntries,
    object_name,
    pack_name,
    read_contents,
    write_index,
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
    sent_files: int  # files of the same content count once
    sent_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _LocalFile:
    path: str
    place: Path
    found: os.stat_result
    sha256: str | None  # where it is known without reading


@dataclass(frozen=True, slots=True)
class _Done:
    """One piece of work: files that are in the store now, and what it took."""

    files: tuple[VersionedFile, ...]
    sent_files: int = 0
    sent_bytes: int = 0
    packs: tuple[tuple[str, PackEntries], ...] = ()


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
    root = plain_path(source)
    files = [_look_at(root, path, memory) for path in paths]
    contents = read_contents(store)
    sender = _Sender(store, contents, memory)
    done: list[_Done] = []
    sent_bytes = 0
    progress.start("pushing", len(files), "files")
    try:
        for one in in_parallel(lambda work: work(), _work(files, contents, sender)):
            done.append(one)
            sent_bytes += one.sent_bytes
            progress.advance(len(one.files), sent_MB=sent_bytes / 1e6)
    finally:
        memory.save()
    packs = dict(pack for one in done for pack in one.packs)
    if packs:
        write_index(store, packs)
    version = make_version(file for one in done for file in one.files)
    digest = version.digest()
    store.write(version_name(digest), version.to_bytes())
    store.write(f"{TAGS}/{tag}", f"{digest}\n".encode())
    seconds = time.monotonic() - began
    sent_files = sum(one.sent_files for one in done)
    return Pushed(digest, tag, len(files), version.size_bytes, sent_files, sent_bytes, seconds)


def _look_at(root: Path, path: str, memory: DigestMemory) -> _LocalFile:
    place = root / path
    try:
        found = place.stat()
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{place}: is no plain file")
    return _LocalFile(path, place, found, memory.find(path, found))


def _work(files: list[_LocalFile], contents: Contents, sender: "_Sender") -> Iterator[Callable[[], _Done]]:
    """The pieces of work in the order of paths; small files together as they will be in a pack."""
    group: list[_LocalFile] = []
    grouped_bytes = 0
    there: list[VersionedFile] = []
    for file in files:
        size = file.found.st_size
        if file.sha256 is not None and contents.has(file.sha256, size):
            there.append(VersionedFile(file.path, size, file.sha256))
        elif size > SMALL_BYTES:
            yield partial(sender.push_large, file)
        else:
            group.append(file)
            grouped_bytes += size
            if grouped_bytes >= PACK_BYTES:
                yield partial(sender.push_small, group)
                group, grouped_bytes = [], 0
    if group:
        yield partial(sender.push_small, group)
    if there:
        yield partial(_Done, tuple(there))


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

    def __init__(self, store: Store, contents: Contents, memory: DigestMemory) -> None:
        self._store = store
        self._contents = contents
        self._memory = memory
        self._claimed: set[str] = set()
        self._lock = threading.Lock()

    def push_small(self, group: list[_LocalFile]) -> _Done:
        """Read files and send what is new among them as one pack."""
        files: list[VersionedFile] = []
        new: list[tuple[str, int]] = []
        pieces: list[bytes] = []
        for file in group:
            content = b"".join(file_blocks(file.place))
            sha256 = hashlib.sha256(content).hexdigest()
            files.append(self._noted(file, sha256, len(content)))
            if self._claim(sha256, len(content)):
                new.append((sha256, len(content)))
                pieces.append(content)
        if not new:
            return _Done(tuple(files))
        pack = b"".join(pieces)
        digest = hashlib.sha256(pack).hexdigest()
        packs = ((digest, tuple(new)),)
        if self._contents.packs.get(digest) == len(pack):  # sent by a push that did not come to its end
            return _Done(tuple(files), packs=packs)
        self._store.write(pack_name(digest), pack)
        return _Done(tuple(files), len(new), len(pack), packs)

    def push_large(self, file: _LocalFile) -> _Done:
        """Send one file under its own digest."""
        content = b"".join(file_blocks(file.place)) if file.found.st_size <= PART_BYTES else None
        if content is None:
            sha256, size = digest_file(file.place)
        else:
            sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        done = (self._noted(file, sha256, size),)
        if not self._claim(sha256, size):
            return _Done(done)
        if content is None:
            self._store.upload(object_name(sha256), _unchanged_blocks(file.place, sha256))
        else:
            self._store.write(object_name(sha256), content)
        return _Done(done, 1, size)

    def _noted(self, file: _LocalFile, sha256: str, size: int) -> VersionedFile:
        if size == file.found.st_size:
            self._memory.remember(file.path, file.found, sha256)
        return VersionedFile(file.path, size, sha256)

    def _claim(self, sha256: str, size: int) -> bool:
        """Whether this thread is to send it: nobody has and nobody does."""
        with self._lock:
            if sha256 in self._claimed or self._contents.has(sha256, size):
                return False
            self._claimed.add(sha256)
            return True


def _unchanged_blocks(place: Path, expected: str) -> Iterator[bytes]:
    """A file's bytes; an error at their end, which undoes the upload, when they are not the ones that were digested."""
    digest = hashlib.sha256()
    for block in file_blocks(place):
        digest.update(block)
        yield block
    if digest.hexdigest() != expected:
        raise DataError(f"{place}: changed while it was pushed; push again when nobody writes to it")
