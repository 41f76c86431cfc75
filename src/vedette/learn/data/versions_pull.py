"""Brings a version of a data set from a store into a folder, and compares a folder with a version.

Only content that is not there travels; packs of small files come whole. It comes into FOLDER/.vedette-pull under its
digest, is verified, and is then renamed to its place: no file is ever there in part. Stopped anywhere, the next pull
goes on, within a large file too. Files that the version does not have are reported and left alone; files with other
content are not overwritten unasked.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vedette.contracts.ports import Progress
from vedette.learn.data.errors import DestinationError, VersionError
from vedette.learn.data.locating import plain_path
from vedette.learn.data.versions import MOST_SHOWN, Version, VersionedFile
from vedette.learn.data.versions_contents import Contents, Packed, object_name, pack_name, read_contents
from vedette.learn.data.versions_digests import DigestMemory, digest_file, file_blocks
from vedette.learn.data.versions_push import local_files
from vedette.storage.errors import ObjectNotFoundError, WrongContentError
from vedette.storage.parallel import in_parallel
from vedette.storage.store import Store

WORK_FOLDER = ".vedette-pull"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a folder stands to a version; paths in order."""

    right: tuple[str, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every file of the version is there as it must be."""
        return not self.missing and not self.changed


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did."""

    before: Comparison
    received_files: int  # files of the same content count once
    received_bytes: int


def compare_folder(
    version: Version, folder: Path, progress: Progress, memory: DigestMemory | None = None
) -> Comparison:
    """Read the folder's files and tell which are right; with a memory, those it knows are not read.

    Raises:
        DataError: the folder cannot be read, or holds a link to a folder.
    """
    root = plain_path(folder)
    if root.exists() and not root.is_dir():
        raise DestinationError(f"{folder} is no folder")
    there = set(local_files(root)) if root.is_dir() else set()
    progress.start("comparing", len(version.files), "files")
    found: dict[str, list[str]] = {"right": [], "missing": [], "changed": []}
    for path, verdict in in_parallel(lambda file: (file.path, _judge(root, file, there, memory)), version.files, 4):
        found[verdict].append(path)
        progress.advance()
    extra = there - {file.path for file in version.files}
    return Comparison(*(tuple(sorted(paths)) for paths in (*found.values(), extra)))


def pull_version(
    store: Store, version: Version, folder: Path, progress: Progress, *, memory: DigestMemory, overwrite: bool = False
) -> Pulled:
    """Make the folder hold the version.

    Raises:
        DestinationError: files there have other content and `overwrite` is not asked for, or it cannot be written;
            nothing was changed in the first case.
        WrongContentError: an object in the store is not what was pushed.
        StorageError: the store cannot be reached; the same call goes on from there.
    """
    root = plain_path(folder)
    before = compare_folder(version, root, progress, memory)
    if before.changed and not overwrite:
        shown = ", ".join(before.changed[:MOST_SHOWN]) + (", ..." if len(before.changed) > MOST_SHOWN else "")
        raise DestinationError(
            f"{folder} has files, {len(before.changed)} with other content than the version: {shown}; "
            "nothing was changed. Pull into another folder, or add --overwrite"
        )
    wanted: dict[str, list[VersionedFile]] = {}
    skip = set(before.right)
    for file in version.files:
        if file.path not in skip:
            wanted.setdefault(file.sha256, []).append(file)
    received_bytes = 0
    try:
        with _working_folder(root) as work:
            progress.start("pulling", sum(map(len, wanted.values())), "files")
            receiver = _Receiver(store, root, work)
            for count, received in in_parallel(lambda one: one(), _work(wanted, store, receiver)):
                received_bytes += received
                progress.advance(count, received_MB=received_bytes / 1e6)
    except OSError as error:
        raise DestinationError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
    finally:
        memory.save()
    return Pulled(before, len(wanted), received_bytes)


def _work(
    wanted: Mapping[str, Sequence[VersionedFile]], store: Store, receiver: "_Receiver"
) -> list[Callable[[], tuple[int, int]]]:
    """The pieces of work: packs, each with what is wanted of it, and objects; each gives files and bytes received."""
    contents = read_contents(store) if wanted else Contents({}, {}, {})
    packs: dict[str, list[tuple[Packed, Sequence[VersionedFile]]]] = {}
    pieces: list[Callable[[], tuple[int, int]]] = []
    for sha256, files in wanted.items():
        place = contents.packed.get(sha256)
        if contents.objects.get(sha256) == files[0].size_bytes:
            pieces.append(partial(receiver.pull_object, files))
        elif place is not None and place.size_bytes == files[0].size_bytes:
            packs.setdefault(place.pack, []).append((place, files))
        else:
            raise VersionError(f"{files[0].path}: its content is not at {store.address}; push the data again")
    pieces += [partial(receiver.pull_pack, pack, contents.packs[pack], parts) for pack, parts in packs.items()]
    return pieces


def _judge(root: Path, file: VersionedFile, there: set[str], memory: DigestMemory | None) -> str:
    if file.path not in there:
        return "missing"
    place = root / file.path
    try:
        found = place.lstat()
    except FileNotFoundError:
        return "missing"
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size_bytes:
        return "changed"
    digest = memory.find(file.path, found) if memory is not None else None
    if digest is None:
        digest, _ = digest_file(place)
        if memory is not None:
            memory.remember(file.path, found, digest)
    return "right" if digest == file.sha256 else "changed"


@contextmanager
def _working_folder(root: Path) -> Iterator[Path]:
    """Where content waits until it is whole; it stays after an error, for the next pull to go on."""
    work = root / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DestinationError(f"another process is pulling into {root} right now; wait for it") from error
        yield work
        shutil.rmtree(work)
    finally:
        os.close(handle)


class _Receiver:
    """Brings each content once and puts it wherever the version has it."""

    def __init__(self, store: Store, root: Path, work: Path) -> None:
        self._store = store
        self._root = root
        self._real_root = root.resolve()
        self._work = work

    def pull_object(self, files: Sequence[VersionedFile]) -> tuple[int, int]:
        """Files of one content that has an object of its own; how many, and how many bytes came."""
        part = self._work / files[0].sha256
        received = self._receive(files[0], part)
        self._place(part, files)
        return len(files), received

    def pull_pack(
        self, pack: str, size_bytes: int, wanted: Sequence[tuple[Packed, Sequence[VersionedFile]]]
    ) -> tuple[int, int]:
        """What is wanted of one pack; how many files, and how many bytes came."""
        name = pack_name(pack)
        try:
            content = self._store.read(name, size_bytes)
        except ObjectNotFoundError as error:
            raise VersionError(f"{self._store.address}/{name} is not there any more; push the data again") from error
        for place, files in wanted:
            piece = content[place.offset : place.offset + place.size_bytes]
            if hashlib.sha256(piece).hexdigest() != files[0].sha256:
                raise self._wrong(files[0], name)
            part = self._work / files[0].sha256
            part.write_bytes(piece)
            self._place(part, files)
        return sum(len(files) for _, files in wanted), len(content)

    def _place(self, part: Path, files: Sequence[VersionedFile]) -> None:
        """Put verified content wherever the version has it."""
        for number, file in enumerate(files):
            place = self._root / file.path
            self._make_parent(place)
            if number == len(files) - 1:
                part.replace(place)
            else:
                copy = self._work / f"{file.sha256}.copy"
                shutil.copyfile(part, copy)
                copy.replace(place)

    def _wrong(self, file: VersionedFile, name: str) -> WrongContentError:
        return WrongContentError(
            f"{file.path}: {self._store.address}/{name} is not what was pushed (its SHA-256 is another); "
            "delete that object and push the data again"
        )

    def _receive(self, file: VersionedFile, part: Path) -> int:
        """Fill the part file up to its end and verify it."""
        name = object_name(file.sha256)
        digest = hashlib.sha256()
        there = part.stat().st_size if part.exists() else 0
        if there > file.size_bytes or not part.is_file():
            part.unlink(missing_ok=True)
            there = 0
        for block in file_blocks(part) if there else ():
            digest.update(block)
        received = 0
        try:
            with part.open("ab") as out:
                if there < file.size_bytes:
                    for block in self._store.blocks(name, file.size_bytes, there):
                        digest.update(block)
                        received += out.write(block)
        except ObjectNotFoundError as error:
            part.unlink(missing_ok=True)
            raise VersionError(
                f"{file.path}: its content is not in the store ({self._store.address}/{name}); push the data again"
            ) from error
        if there + received != file.size_bytes or digest.hexdigest() != file.sha256:
            part.unlink(missing_ok=True)
            if there:  # what lay here may be what is wrong: once more from the start
                return received + self._receive(file, part)
            raise self._wrong(file, name)
        return received

    def _make_parent(self, place: Path) -> None:
        """The folder of a file, refused when a link leads it out of the folder that is pulled into."""
        if not place.parent.resolve().is_relative_to(self._real_root):  # of what is there; the rest is made below it
            raise DestinationError(
                f"{place.parent} is a link that leads outside {self._root}; nothing is written there"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            raise DestinationError(f"{place} is a folder; the version has a file there")
