"""Where commands name a SOURCE, RUN, BUNDLE or picture, the name may be in S3: it is brought into the cache first.

The cache is $XDG_CACHE_HOME/vedette (~/.cache/vedette without it): versions of data sets and bundles under their
digest, verified; plain files by address, compared by size and ETag. It may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.contracts.ports import Progress
    from vedette.edge.engines.tensorrt.settings import TensorRtSettings
    from vedette.learn.data.versions_digests import DigestMemory
    from vedette.storage.store import Store

Flags = ParamSpec("Flags")
_uploads: dict[Path, str] = {}  # folders that are being written to be uploaded, and where to


def cache_folder() -> Path:
    """Where copies are kept; a relative XDG_CACHE_HOME is ignored, as its specification wants."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "vedette"


def open_place(address: str | Path) -> Store:
    """The store at an address, with the endpoint, region and credentials that the environment says.

    Raises:
        StorageError: the address cannot be used, or there are no credentials.
    """
    from vedette.apps.aws_settings import s3_settings
    from vedette.storage.address import parse_address
    from vedette.storage.store import open_store

    place = parse_address(address)
    return open_store(place, s3_settings(os.environ) if place.is_s3 else None)


def local_data(source: Path) -> Path:
    """A data set's folder: itself, or that of the version s3://BUCKET/PREFIX[#TAG-OR-DIGEST], pulled and verified.

    Where nothing was pushed, the files as they lie below the prefix.

    Raises:
        VedetteError: it cannot be brought.
    """
    from vedette.storage.address import is_s3_address

    if not is_s3_address(source):
        return source
    from vedette.apps.console import ConsoleProgress
    from vedette.apps.remote_files import mirror
    from vedette.learn.data.versions import DEFAULT_TAG, TAGS, find_version, read_version
    from vedette.learn.data.versions_pull import pull_version

    address, tag = part_reference(str(source))
    store = open_place(address)
    if not tag and store.stat(f"{TAGS}/{DEFAULT_TAG}") is None:
        return mirror(store, cache_folder() / "mirrors")
    digest = find_version(store, tag or DEFAULT_TAG)
    folder = cache_folder() / "data" / digest
    version = read_version(store, digest)
    with ConsoleProgress() as progress:
        pull_version(store, version, folder, progress, memory=digest_memory(folder), overwrite=True)
    return folder


def local_folder(folder: Path) -> Path:
    """A folder of plain files, such as a RUN: itself, or a copy of what lies below s3://BUCKET/PREFIX.

    Raises:
        VedetteError: it cannot be brought.
    """
    from vedette.apps.remote_files import mirror
    from vedette.storage.address import is_s3_address

    return mirror(open_place(folder), cache_folder() / "mirrors") if is_s3_address(folder) else folder


def tensorrt_settings(progress: Progress | None = None) -> TensorRtSettings:
    """Engines built here lie in the cache too; a calibration table is what $VEDETTE_TENSORRT_CALIBRATION names."""
    from vedette.contracts.ports import SilentProgress
    from vedette.edge.engines.tensorrt.settings import TensorRtSettings

    table = os.environ.get("VEDETTE_TENSORRT_CALIBRATION")
    return TensorRtSettings(
        cache=cache_folder() / "engines",
        calibration=Path(table).expanduser() if table else None,
        progress=progress or SilentProgress(),
    )


def local_bundle(bundle: str | Path) -> Path:
    """A bundle's folder: itself, or a verified copy of the one at s3://BUCKET/PREFIX, kept by its digest.

    Raises:
        VedetteError: it cannot be brought, or is not the bundle that was packed.
    """
    from vedette.storage.address import is_s3_address

    if not is_s3_address(bundle):
        place = Path(bundle)
        # What `vedette install` switches: all files of one run come from the release that the link stood for at first
        return place.resolve() if place.is_symlink() else place
    from vedette.apps.remote_bundles import bring_bundle

    return bring_bundle(open_place(bundle), cache_folder() / "bundles")


def remote_pictures(text: str, endings: frozenset[str]) -> dict[Path, str]:
    """Copies of the picture, or of the pictures directly in the folder, at an S3 address; and how each is called there.

    Raises:
        VedetteError: they cannot be brought, or there is none.
    """
    from vedette.apps.remote_files import mirror
    from vedette.storage.address import parse_address

    address = parse_address(text)
    one = Path(address.path).suffix.lower() in endings
    folder, name = address.parted() if one else (address, "")
    found = mirror(
        open_place(str(folder)),
        cache_folder() / "pictures",
        lambda path: path == name if one else "/" not in path and Path(path).suffix.lower() in endings,
    )
    pictures = sorted(path for path in found.iterdir() if path.suffix.lower() in endings)
    if not pictures:
        raise InputError(f"{text}: {'there is no such picture' if one else 'holds no picture'}")
    return {path: f"{folder}/{path.name}" for path in pictures}


@contextmanager
def published_bundle(out: Path) -> Iterator[Path]:
    """Where to write a bundle: `out` itself, or a folder that is uploaded to s3://BUCKET/PREFIX when all went well.

    The manifest's digest goes last: before it is there, nobody takes the prefix for a bundle.

    Raises:
        UsageError: there is a bundle at that address already.
        StorageError: it cannot be uploaded.
    """
    from vedette.storage.address import is_s3_address

    if not is_s3_address(out):
        yield out
        return
    from vedette.apps.remote_bundles import refuse_bundle, upload_bundle

    store = open_place(out)
    refuse_bundle(store)
    with tempfile.TemporaryDirectory(prefix="vedette-") as scratch:
        folder = Path(scratch) / "bundle"
        _uploads[folder] = str(store.address)
        try:
            yield folder
            if folder.is_dir():
                upload_bundle(store, folder)
        finally:
            del _uploads[folder]


def uploads_bundle(command: Callable[Flags, int]) -> Callable[Flags, int]:
    """A command that writes a bundle to `out` may be given an S3 address there; its RUN and SOURCE may be in S3 too."""

    @functools.wraps(command)
    def run(*args: Flags.args, **kwargs: Flags.kwargs) -> int:
        flags: dict[str, object] = kwargs
        for name, bring in (("run", local_folder), ("data", local_data), ("pictures", local_folder)):
            given = flags.get(name)
            if isinstance(given, Path):
                flags[name] = bring(given)
        out = flags["out"]
        if not isinstance(out, Path):
            return command(*args, **kwargs)
        with published_bundle(out) as folder:
            flags["out"] = folder
            return command(*args, **kwargs)

    return run


def place_of(folder: Path) -> str:
    """How a report calls the bundle in a folder: by the address that it is being uploaded to, if it is."""
    return _uploads.get(folder, str(folder))


def refuse_s3(out: Path, flag: str, instead: str | None = None) -> None:
    """Keep a command that writes local files from making a folder called `s3:`.

    Raises:
        UsageError: `out` is an S3 address.
    """
    from vedette.storage.address import is_s3_address

    if is_s3_address(out):
        writers = "only `vedette train`, `vedette pack`, `vedette data convert` and `vedette data push` write to S3"
        raise UsageError(f"{flag} must be on this computer; {instead or writers}")


def digest_memory(folder: Path) -> DigestMemory:
    """What is known of the digests of a folder's files."""
    from vedette.learn.data.versions_digests import DigestMemory

    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:32]
    return DigestMemory(cache_folder() / "digests" / f"{name}.json")


def part_reference(text: str) -> tuple[str, str]:
    """`s3://BUCKET/PREFIX#TAG` parted; the tag is empty when there is none."""
    address, _, tag = text.partition("#")
    return address.rstrip("/") or address, tag
