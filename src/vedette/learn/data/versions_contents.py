"""What content a store has, and where: a large file under its own digest, small ones together in packs.

A request costs more than the bytes of a small picture, so files of up to `SMALL_BYTES` are put one behind the other
into packs of about `PACK_BYTES`. A pack is named by its own SHA-256; an index, named by its SHA-256 too, lists which
contents lie in which packs, in their order. Nothing of this is ever changed, so an index is right for ever, or its pack
is gone: a pack of another size than its index says is as good as none, and its content is sent again.

    objects/sha256/ab/abcd...     one large file
    objects/packs/DIGEST          contents one behind the other
    objects/indexes/DIGEST.json   {"packs": {PACK: [[SHA-256 of a content, its size], ...]}, "schema_version": 1}
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.learn.data.errors import VersionError
from vedette.storage.parallel import in_parallel
from vedette.storage.store import Store

CONTENT = "objects"
OBJECTS, PACKS, INDEXES = "objects/sha256", "objects/packs", "objects/indexes"
SMALL_BYTES = 512 << 10
PACK_BYTES = 2 << 20  # what a cut costs at most, and enough for the request not to matter
MOST_PACK_BYTES = 64 << 20
MOST_INDEX_BYTES = 256 << 20
SCHEMA_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
PackEntries = tuple[tuple[str, int], ...]  # SHA-256 and size of each content, in order


@dataclass(frozen=True, slots=True)
class Packed:
    """Where a content lies within a pack."""

    pack: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a store has; sizes in bytes, by SHA-256."""

    objects: Mapping[str, int]
    packs: Mapping[str, int]
    packed: Mapping[str, Packed]

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether this content is there, whole as far as its size tells."""
        place = self.packed.get(sha256)
        return self.objects.get(sha256) == size_bytes or (place is not None and place.size_bytes == size_bytes)


def object_name(sha256: str) -> str:
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def pack_name(sha256: str) -> str:
    return f"{PACKS}/{sha256}"


def read_contents(store: Store) -> Contents:
    """What a store has: one listing, and one request for each index.

    Raises:
        VersionError: an index was changed, or is none.
        StorageError: the store cannot be asked.
    """
    objects: dict[str, int] = {}
    packs: dict[str, int] = {}
    indexes: list[str] = []
    for found in store.list(CONTENT):
        folder, _, name = found.name.rpartition("/")
        if folder == PACKS:
            packs[name] = found.size_bytes
        elif folder == INDEXES:
            indexes.append(found.name)
        else:
            objects[name] = found.size_bytes
    packed: dict[str, Packed] = {}
    for entries_of in in_parallel(lambda name: _read_index(store, name), indexes):
        for pack, entries in entries_of.items():
            if packs.get(pack) == sum(size for _, size in entries):
                packed.update(places_in(pack, entries))
    return Contents(objects, packs, packed)


def places_in(pack: str, entries: Sequence[tuple[str, int]]) -> dict[str, Packed]:
    """Where each content of a pack begins."""
    places, offset = {}, 0
    for sha256, size in entries:
        places[sha256] = Packed(pack, offset, size)
        offset += size
    return places


def write_index(store: Store, packs: Mapping[str, PackEntries]) -> None:
    """Make packs known that are there.

    Raises:
        StorageError: the store does not take it.
    """
    document = {"schema_version": SCHEMA_VERSION, "packs": packs}
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    store.write(f"{INDEXES}/{hashlib.sha256(content).hexdigest()}.json", content)


def _read_index(store: Store, name: str) -> dict[str, PackEntries]:
    content = store.read(name, MOST_INDEX_BYTES)
    where = f"{store.address}/{name}"
    if f"{INDEXES}/{hashlib.sha256(content).hexdigest()}.json" != name:
        raise VersionError(f"{where}: its SHA-256 is not in its name; delete that object and push the data again")
    try:
        document = json.loads(content)
        if document["schema_version"] != SCHEMA_VERSION:
            raise VersionError(f"{where}: has another schema version; a newer Vedette wrote it")
        return {_digest(pack): tuple(map(_entry, entries)) for pack, entries in document["packs"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise VersionError(f"{where}: is no index that `vedette data push` writes") from error


def _entry(entry: Sequence[object]) -> tuple[str, int]:
    sha256, size = entry
    if type(size) is not int or not 0 <= size <= MOST_PACK_BYTES:
        raise ValueError(size)
    return _digest(sha256), size


def _digest(text: object) -> str:
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise ValueError(text)
    return text
