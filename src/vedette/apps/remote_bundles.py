"""Bundles in S3: the same files under one prefix; copies in the cache are kept by digest and verified as a bundle is.

`bundle.json.sha256` is uploaded last and looked for first: a prefix without it holds no bundle, or half of one.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from pydantic import ValidationError

from vedette.bundle_folder import LARGEST_FILE_COUNT, LARGEST_MANIFEST_BYTES, BundleError, open_bundle
from vedette.contracts.bundle import MANIFEST_DIGEST_NAME, MANIFEST_NAME, BundleManifest, is_safe_file_name
from vedette.contracts.errors import InputError, UsageError
from vedette.storage.errors import ObjectNotFoundError, WrongContentError
from vedette.storage.parallel import in_parallel
from vedette.storage.store import Store

LARGEST_DIGEST_FILE_BYTES = 200
TRANSFERS = 4  # a bundle is a few files, some of them large


def bring_bundle(store: Store, kept: Path) -> Path:
    """The folder below `kept` that holds the bundle of this store; only what is not there yet is downloaded.

    Raises:
        BundleError: there is no bundle, or not the one that was packed.
        StorageError: it cannot be had now.
    """
    content = _read_manifest(store)
    place = kept / hashlib.sha256(content).hexdigest()
    try:
        return open_bundle(place).path
    except BundleError:  # not there yet, or damaged: brought anew
        pass
    try:
        _download(store, content, place)
        return open_bundle(place).path
    except BundleError as error:
        raise BundleError(str(error).replace(str(place), str(store.address))) from error


def refuse_bundle(store: Store) -> None:
    """Raise when a bundle is in the store already.

    Raises:
        UsageError: there is one.
        StorageError: the store does not say.
    """
    taken = next((found.name for found in store.list() if found.name == MANIFEST_DIGEST_NAME), None)
    if taken is not None:
        raise UsageError(f"{store.address}: there is a bundle already; give another prefix, nothing is overwritten")


def upload_bundle(store: Store, folder: Path) -> None:
    """Put the files of a bundle into the store, the digest of its manifest last.

    Raises:
        StorageError: the store does not take them.
    """
    opened = open_bundle(folder)
    for _ in in_parallel(lambda name: store.write(name, opened.read(name)), opened.manifest.files, TRANSFERS):
        pass
    for name in (MANIFEST_NAME, MANIFEST_DIGEST_NAME):
        store.write(name, (folder / name).read_bytes())


def _read_manifest(store: Store) -> bytes:
    for name in (MANIFEST_DIGEST_NAME, MANIFEST_NAME):
        try:
            content = store.read(name, LARGEST_MANIFEST_BYTES)
        except ObjectNotFoundError as error:
            if "bucket" in str(error).partition(":")[2]:
                raise
            raise BundleError(
                f"{store.address}: {name} is missing; give the prefix that `vedette pack --out` wrote"
            ) from error
    return content


def _download(store: Store, content: bytes, place: Path) -> None:
    try:
        files = BundleManifest.model_validate_json(content).files
    except ValidationError as error:
        raise BundleError(f"{store.address}/{MANIFEST_NAME}: is no manifest of a bundle") from error
    bad = sorted(name for name in files if not is_safe_file_name(name))
    if bad or len(files) > LARGEST_FILE_COUNT:
        raise BundleError(f"{store.address}/{MANIFEST_NAME}: lists files that no bundle has: {', '.join(bad)[:200]}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bundle-", dir=place.parent) as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            (folder / MANIFEST_NAME).write_bytes(content)
            store.download(MANIFEST_DIGEST_NAME, folder / MANIFEST_DIGEST_NAME, LARGEST_DIGEST_FILE_BYTES)
            try:
                for _ in in_parallel(
                    lambda name: store.download(name, folder / name, files[name].size_bytes), files, TRANSFERS
                ):
                    pass
            except (ObjectNotFoundError, WrongContentError) as error:
                raise BundleError(f"{error}; the bundle was changed or its upload was broken off") from error
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
    except OSError as error:
        raise InputError(f"{place}: cannot be written: {error.strerror or error}") from error
