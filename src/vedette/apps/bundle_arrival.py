"""Brings a bundle into a folder on the box: from a folder, from S3, or out of the model.tar.gz that a job has left.

Of an archive only the files of `bundle/` are written, under flat safe names; what else a run holds is passed over. What
arrives is a bundle whose every file has been verified.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.ports import Progress
    from vedette.edge.update.releases import Releases

ARCHIVE_ENDING = ".tar.gz"
INSIDE = "bundle/"
MOST_ARCHIVE_BYTES = 8 << 30
BLOCK_BYTES = 1 << 20


def bring(source: str, releases: Releases, folder: Path, progress: Progress) -> OpenBundle:
    """The bundle that `source` names, in a folder of its own below `folder`, verified.

    Raises:
        BundleError: it is no bundle, or not the one that was packed.
        ReleasesError: there is no room for it.
        VedetteError: it cannot be had now.
    """
    from vedette.bundle_folder import open_bundle
    from vedette.storage.address import is_s3_address

    if source.rstrip("/").endswith(ARCHIVE_ENDING):
        return _from_archive(source, releases, folder / "bundle", progress)
    if is_s3_address(source):
        from vedette.apps.object_storage import open_place
        from vedette.apps.remote_bundles import bring_bundle

        store = open_place(source)
        releases.require_room(sum(one.size_bytes for one in store.list()))
        progress.say(f"fetching {source}")
        return open_bundle(bring_bundle(store, folder))
    if "://" in source:
        raise UsageError(f"{source.partition('://')[0]}:// is no address that Vedette reads; give a folder or s3://...")
    return _from_folder(Path(source), releases, folder / "bundle", progress)


def _from_folder(source: Path, releases: Releases, place: Path, progress: Progress) -> OpenBundle:
    from vedette.bundle_folder import open_bundle
    from vedette.contracts.bundle import MANIFEST_DIGEST_NAME, MANIFEST_NAME

    opened = open_bundle(source)
    sizes = {name: entry.size_bytes for name, entry in opened.manifest.files.items()}
    releases.require_room(sum(sizes.values()))
    place.mkdir()
    progress.start("copying", len(sizes), "files")
    for name in sizes:
        (place / name).write_bytes(opened.read(name))
        progress.advance()
    for name in (MANIFEST_NAME, MANIFEST_DIGEST_NAME):
        (place / name).write_bytes((source / name).read_bytes())
    return open_bundle(place)


def _from_archive(source: str, releases: Releases, place: Path, progress: Progress) -> OpenBundle:
    from vedette.bundle_folder import BundleError, open_bundle
    from vedette.learn.sagemaker.errors import ArtefactError

    size_bytes, blocks = _archive(source)
    releases.require_room(size_bytes)
    place.mkdir()
    progress.start("fetching", size_bytes, "bytes")
    try:
        count = _unpack(_counted(blocks, progress), place)
    except ArtefactError as error:
        raise BundleError(f"{source}: {error}") from error
    if not count:
        raise BundleError(
            f"{source}: the archive holds no bundle in {INSIDE}; the job did not pack one. Fetch its run with vedette "
            "jobs fetch, pack that with vedette pack --run, and install what that wrote"
        )
    try:
        return open_bundle(place)
    except BundleError as error:
        raise BundleError(str(error).replace(str(place), f"{source}, {INSIDE}")) from error


def _archive(source: str) -> tuple[int, Iterator[bytes]]:
    """Size and bytes of an archive, wherever it is."""
    from vedette.storage.address import is_s3_address

    if not is_s3_address(source):
        try:
            with Path(source).open("rb") as file:  # what is wrong with it shows here, not amid the writing
                return os.fstat(file.fileno()).st_size, _file_blocks(Path(source))
        except OSError as error:
            raise InputError(f"{source}: cannot be read: {error.strerror}") from error
    from vedette.apps.object_storage import open_place
    from vedette.storage.address import parse_address
    from vedette.storage.errors import ObjectNotFoundError

    folder, name = parse_address(source).parted()
    store = open_place(str(folder))
    found = store.stat(name)
    if found is None:
        raise ObjectNotFoundError(f"{source}: there is no such object; has the job ended?")
    return found.size_bytes, store.blocks(name, MOST_ARCHIVE_BYTES)


def _unpack(blocks: Iterable[bytes], place: Path) -> int:
    """Write the files of `bundle/`; how many they were."""
    from vedette.contracts.bundle import is_safe_file_name
    from vedette.learn.sagemaker.errors import ArtefactError
    from vedette.learn.sagemaker.tar_members import TarMembers

    members, count = TarMembers(blocks), 0
    for member in members:
        name = member.name.removeprefix("./")
        if member.is_folder or not name.startswith(INSIDE):
            continue
        flat = name.removeprefix(INSIDE)
        if not is_safe_file_name(flat):
            raise ArtefactError(f"{member.name!r:.200} can be no file of a bundle")
        try:
            handle = os.open(place / flat, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError as error:
            raise ArtefactError(f"{member.name!r:.200} is in the archive twice") from error
        with os.fdopen(handle, "wb") as file:
            for piece in members.content():
                file.write(piece)
        count += 1
    return count


def _file_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _counted(blocks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for block in blocks:
        progress.advance(len(block))
        yield block
