"""A version of a data set: a small list of paths, sizes and digests, itself named by its SHA-256.

In a store, content lies under its own digest, so nothing is ever overwritten by something else, whoever writes when:

    objects/...                   the bytes of files, whatever they are called: `versions_contents`
    versions/DIGEST.json          a version; written after all its content
    tags/NAME                     the digest of the version that NAME means now; the last writer wins

The wire form is canonical JSON (sorted, no spaces), so the same files have the same digest everywhere: no times, no
owners, no machine. Everything read from a store is checked; a path never leads out of the folder it is pulled into.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vedette.learn.data.errors import VersionError
from vedette.storage.address import is_safe_name
from vedette.storage.errors import ObjectNotFoundError
from vedette.storage.store import Store

VERSIONS, TAGS = "versions", "tags"
DEFAULT_TAG = "latest"
SCHEMA_VERSION = 1
MOST_MANIFEST_BYTES = 256 << 20  # 1.5 million files
MOST_SHOWN = 10
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class VersionedFile:
    """One file of a version."""

    path: str  # below the data set's folder, parted by /
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Version:
    """The files of a data set at one time, in the order of their paths."""

    files: tuple[VersionedFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        """The canonical wire form; its SHA-256 names the version."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "files": [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in self.files],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()


def make_version(files: Iterable[VersionedFile]) -> Version:
    """The version of these files.

    Raises:
        VersionError: two are at one path, one is below another, or a path cannot be carried to every system.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    paths = {file.path for file in ordered}
    if len(paths) != len(ordered):
        raise VersionError("a version lists one path twice")
    for file in ordered:
        check_path(file.path)
        parts = file.path.split("/")
        if any("/".join(parts[:end]) in paths for end in range(1, len(parts))):
            raise VersionError(f"a version lists {file.path!r} below another file")
    return Version(ordered)


def check_path(path: str) -> None:
    """Refuse a path that leads outside, is hidden, or that not every system can hold.

    Raises:
        VersionError: it is refused.
    """
    if not is_safe_name(path):
        raise VersionError(
            f"{ascii(path)[:120]}: such a path cannot be kept in a version (a part is empty, '..' or too long, "
            "or there are backslashes, a drive letter, control characters, or it is no UTF-8)"
        )
    if any(part.startswith(".") for part in path.split("/")):
        raise VersionError(f"{path[:120]!r}: a version holds no hidden files")


def parse_version(content: bytes, digest: str, where: str) -> Version:
    """A version from its wire form, verified.

    Raises:
        VersionError: it has another digest, is no version, or names what must not be written.
    """
    if hashlib.sha256(content).hexdigest() != digest:
        raise VersionError(f"{where}: its SHA-256 is not in its name; it was changed. Push the data again")
    try:
        document = json.loads(content)
        if document.get("schema_version") != SCHEMA_VERSION:
            raise VersionError(
                f"{where}: schema version {document.get('schema_version')!r:.40}; this Vedette reads {SCHEMA_VERSION}"
            )
        files = [_parse_file(entry) for entry in document["files"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise VersionError(f"{where}: is not the list of files that `vedette data push` writes") from error
    return make_version(files)


def _parse_file(entry: Any) -> VersionedFile:
    path, size, digest = entry["path"], entry["size_bytes"], entry["sha256"]
    if not isinstance(path, str) or type(size) is not int or size < 0 or not isinstance(digest, str):
        raise ValueError(path)
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError(digest)
    return VersionedFile(path, size, digest)


def check_tag(name: str) -> None:
    """Refuse what can be no tag.

    Raises:
        VersionError: it is refused.
    """
    if _TAG.fullmatch(name) is None or _DIGEST.fullmatch(name) is not None:
        raise VersionError(
            f"{name[:120]!r} cannot name a version: letters, digits, '.', '_' and '-', at most 100, no 64-digit digest"
        )


def version_name(digest: str) -> str:
    return f"{VERSIONS}/{digest}.json"


def find_version(store: Store, reference: str) -> str:
    """The digest that a tag, or a digest itself, means in a store.

    Raises:
        VersionError: there is no such tag; the message lists those that there are.
        StorageError: the store cannot be asked.
    """
    if _DIGEST.fullmatch(reference):
        return reference
    check_tag(reference)
    try:
        digest = store.read(f"{TAGS}/{reference}", 1000).decode("ascii", "replace").strip()
    except ObjectNotFoundError as error:
        tags = sorted(found.name.removeprefix(f"{TAGS}/") for found in store.list(TAGS))
        if not tags:
            raise VersionError(f"{store.address} holds no data that `vedette data push` put there") from error
        more = ", ..." if len(tags) > MOST_SHOWN else ""
        raise VersionError(
            f"{store.address} has no version {reference!r}; there are: {', '.join(tags[:MOST_SHOWN])}{more}"
        ) from error
    if _DIGEST.fullmatch(digest) is None:
        raise VersionError(f"{store.address}/{TAGS}/{reference}: names no version; push the data again")
    return digest


def read_version(store: Store, digest: str) -> Version:
    """The version of this digest.

    Raises:
        VersionError: there is none, or it was changed.
        StorageError: the store cannot be asked.
    """
    name = version_name(digest)
    try:
        content = store.read(name, MOST_MANIFEST_BYTES)
    except ObjectNotFoundError as error:
        raise VersionError(f"{store.address} has no version {digest}") from error
    return parse_version(content, digest, f"{store.address}/{name}")
