"""Reads and writes a bundle: a flat folder in which every byte of every file is accounted for.

`open_bundle` refuses a changed, missing or extra file, a link, a sub-folder, a bad name and an unknown schema, and
names the file. `read` hashes again whatever it returns, so what an engine gets is what was packed even if the folder
changed after opening. `write_bundle` builds a sibling folder and renames it: a half-written bundle never has the name.
What the files mean is `contracts.bundle`; that the digest is the one somebody signed is a later matter.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vedette.contracts.bundle import (
    MANIFEST_DIGEST_NAME,
    MANIFEST_NAME,
    BundleManifest,
    FileEntry,
    GoldenFile,
    is_safe_file_name,
)
from vedette.contracts.errors import InputError

LARGEST_MANIFEST_BYTES = 4 * 1024 * 1024  # a manifest of 10 000 classes takes about 0.3 MB
LARGEST_FILE_COUNT = 1000
READ_CHUNK_BYTES = 1 << 20


class BundleError(InputError):
    """The folder is no bundle, or not the one that was packed; the message names the file."""


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle whose every file was right when it was opened."""

    path: Path
    manifest: BundleManifest
    digest: str  # SHA-256 of bundle.json, which holds the digests of all other files

    def read(self, name: str) -> bytes:
        """The bytes of one listed file, verified again.

        Raises:
            BundleError: when the bundle has no such file, or it is not the one that was packed.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path}: the bundle has no file '{name}'")
        content = _read_at_most(self.path / name, entry.size_bytes)
        _check(self.path / name, len(content), hashlib.sha256(content).hexdigest(), entry)
        return content


def open_bundle(path: Path | str) -> OpenBundle:
    """Open a bundle and verify every file in it.

    Raises:
        BundleError: names the file that is wrong and says how.
    """
    folder = Path(path)
    names = _list_files(folder)
    for needed in (MANIFEST_NAME, MANIFEST_DIGEST_NAME):
        if needed not in names:
            raise BundleError(f"{folder}: {needed} is missing; a bundle is a folder that `vedette pack` wrote")
    content = _read_at_most(folder / MANIFEST_NAME, LARGEST_MANIFEST_BYTES)
    if len(content) > LARGEST_MANIFEST_BYTES:
        raise BundleError(f"{folder / MANIFEST_NAME}: larger than {LARGEST_MANIFEST_BYTES} bytes")
    digest = hashlib.sha256(content).hexdigest()
    expected = _digest_line(digest)
    if _read_at_most(folder / MANIFEST_DIGEST_NAME, len(expected)) != expected:
        raise BundleError(
            f"{folder}: {MANIFEST_NAME} and {MANIFEST_DIGEST_NAME} do not belong together: one of them was changed"
        )
    manifest = _parse_manifest(folder / MANIFEST_NAME, content)
    _check_listing(folder, names, manifest)
    for name, entry in manifest.files.items():
        size_bytes, file_digest = _hash_file(folder / name, entry.size_bytes)
        _check(folder / name, size_bytes, file_digest, entry)
    return OpenBundle(folder, manifest, digest)


def write_bundle(path: Path | str, manifest: BundleManifest, contents: Mapping[str, bytes]) -> OpenBundle:
    """Write a bundle; its `files` are filled in here from `contents`.

    Raises:
        BundleError: when something is at `path` already, a name is not allowed, or a file the manifest speaks of is
            not among `contents`. Nothing is left on disk then.
    """
    target = Path(path)
    refuse_occupied(target)
    bad = sorted(name for name in contents if not is_safe_file_name(name) or name in _UNLISTED)
    if bad:
        raise BundleError(f"{target}: not allowed as a file name in a bundle: {', '.join(bad)}")
    entries = {
        name: FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for name, content in sorted(contents.items())
    }
    complete = manifest.model_copy(update={"files": entries})
    _check_references(target, complete)
    document = canonical_json(complete)
    digest = hashlib.sha256(document).hexdigest()
    _write_folder(target, {**contents, MANIFEST_NAME: document, MANIFEST_DIGEST_NAME: _digest_line(digest)})
    return OpenBundle(target, complete, digest)


def read_golden(bundle: OpenBundle) -> GoldenFile:
    """The golden detections of a bundle; open the engine with their `score` and `nms_iou`.

    Raises:
        BundleError: it has none, or what it has is none.
    """
    name = bundle.manifest.golden
    if name is None:
        raise BundleError(
            f"{bundle.path}: the bundle has no golden pictures, so nothing can prove an engine built from it; pack it "
            "again with vedette pack"
        )
    try:
        return GoldenFile.model_validate_json(bundle.read(name))
    except ValidationError as error:
        raise BundleError(f"{bundle.path / name}: holds no golden detections") from error


def refuse_occupied(target: Path) -> None:
    """Raise unless nothing, or an empty folder, is at `target`.

    Raises:
        BundleError: when it is occupied.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BundleError(f"{target}: is not a folder; give the name of a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise BundleError(f"{target}: exists and is not empty; give the name of a new folder, nothing is overwritten")


def canonical_json(manifest: BundleManifest) -> bytes:
    """The one way to write a manifest: sorted keys, two spaces, UTF-8, one newline at the end."""
    document = json.dumps(
        manifest.model_dump(mode="json"), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False
    )
    return document.encode() + b"\n"


_UNLISTED = frozenset({MANIFEST_NAME, MANIFEST_DIGEST_NAME})


def _digest_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST_NAME}\n".encode()  # as sha256sum writes and checks it


def _list_files(folder: Path) -> set[str]:
    """The names in the folder, after refusing whatever is no plain file with an allowed name."""
    if not folder.is_dir():
        raise BundleError(
            f"{folder}: {'is no folder' if folder.exists() else 'does not exist'}; give a bundle's folder"
        )
    names = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise BundleError(f"{folder / entry.name}: is a link; a bundle holds plain files only")
                if not entry.is_file(follow_symlinks=False):
                    raise BundleError(f"{folder / entry.name}: is no plain file; a bundle is a flat folder of files")
                if not is_safe_file_name(entry.name):
                    raise BundleError(f"{str(folder / entry.name)!r}: a bundle's file may not have such a name")
                names.add(entry.name)
                if len(names) > LARGEST_FILE_COUNT:
                    raise BundleError(f"{folder}: more than {LARGEST_FILE_COUNT} files; this is no bundle")
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error.strerror}") from error
    return names


def _parse_manifest(path: Path, content: bytes) -> BundleManifest:
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: is not a JSON object") from error
    if version != 1:
        raise BundleError(f"{path}: schema version {version!r}; this Vedette reads version 1")
    try:
        return BundleManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path}: {where}: {first['msg']} ({error.error_count()} mistakes in all)") from error


def _check_listing(folder: Path, names: set[str], manifest: BundleManifest) -> None:
    listed = set(manifest.files)
    if listed & _UNLISTED:
        raise BundleError(f"{folder / MANIFEST_NAME}: lists {', '.join(sorted(listed & _UNLISTED))}, which it cannot")
    _check_references(folder, manifest)
    missing = sorted(listed - names)
    if missing:
        raise BundleError(f"{folder}: missing: {', '.join(missing)}")
    extra = sorted(names - listed - _UNLISTED)
    if extra:
        raise BundleError(f"{folder}: not part of the bundle: {', '.join(extra)}")


def _check_references(folder: Path, manifest: BundleManifest) -> None:
    wanted = {name for variant in manifest.variants for name in variant.files} | (
        {manifest.golden} if manifest.golden else set()
    )
    absent = sorted(wanted - set(manifest.files))
    if absent:
        raise BundleError(f"{folder / MANIFEST_NAME}: speaks of files that it does not list: {', '.join(absent)}")


def _check(path: Path, size_bytes: int, digest: str, entry: FileEntry) -> None:
    if size_bytes != entry.size_bytes:
        raise BundleError(f"{path}: does not have the {entry.size_bytes} bytes that were packed; the file was changed")
    if digest != entry.sha256:
        raise BundleError(f"{path}: its SHA-256 is not the packed one; the file was changed")


def _open_plain(path: Path) -> int:
    """A file descriptor of a plain file, never of a link that took its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: is no plain file")
    return descriptor


def _read_at_most(path: Path, size_bytes: int) -> bytes:
    """The file's bytes, but one more than `size_bytes` at most: enough to see that it is too long."""
    with os.fdopen(_open_plain(path), "rb") as file:
        return file.read(size_bytes + 1)


def _hash_file(path: Path, size_bytes: int) -> tuple[int, str]:
    """Size and SHA-256; reading stops as soon as the file proves longer than `size_bytes`."""
    digest = hashlib.sha256()
    seen = 0
    with os.fdopen(_open_plain(path), "rb") as file:
        while seen <= size_bytes and (chunk := file.read(READ_CHUNK_BYTES)):
            digest.update(chunk)
            seen += len(chunk)
    return seen, digest.hexdigest()


def _write_folder(target: Path, contents: Mapping[str, bytes]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BundleError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        for name, content in contents.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        temporary.replace(target)  # takes the place of an empty folder, never of a full one
    except OSError as error:
        raise BundleError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already when the rename succeeded
