"""SHA-256 of files, remembered as long as a file cannot have changed.

A file is taken for unchanged when its size, times of change (mtime and ctime, in ns) and inode are. What was changed
less than `SETTLED_S` before it was read is not remembered: a second change within the clock's grain would not show
(the "racy" entries of git's index). Losing the memory costs time only.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from vedette.learn.data.errors import DataError

SETTLED_S = 2.0
BLOCK_BYTES = 1 << 20
_FORMAT = 1


class DigestMemory:
    """What is known of the files below one folder. Not shared by processes; threads may use it together."""

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._known: dict[str, list[int | str]] = {}
        self._changed = False
        if place is not None:
            try:
                document = json.loads(place.read_bytes())
                if document["format"] == _FORMAT:
                    self._known = dict(document["files"])
            except FileNotFoundError:
                pass
            except (OSError, ValueError, KeyError, TypeError):
                self._changed = True  # written anew

    def find(self, path: str, found: os.stat_result) -> str | None:
        """The digest, when the file is the one that was read."""
        entry = self._known.get(path)
        if not isinstance(entry, list) or entry[:-1] != _identity(found) or not isinstance(entry[-1], str):
            return None
        return entry[-1]

    def remember(self, path: str, found: os.stat_result, digest: str) -> None:
        """`found` is from before the file was read."""
        if time.time() - max(found.st_mtime, found.st_ctime) > SETTLED_S:
            self._known[path] = [*_identity(found), digest]
            self._changed = True

    def save(self) -> None:
        """Keep it for the next time; that it cannot be kept harms nothing and is passed over."""
        if self._place is None or not self._changed:
            return
        temporary = self._place.with_name(f".{self._place.name}.{os.getpid()}.part")
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"format": _FORMAT, "files": self._known}), encoding="utf-8")
            temporary.replace(self._place)
        except OSError:
            temporary.unlink(missing_ok=True)
        self._changed = False


def digest_file(path: Path) -> tuple[str, int]:
    """SHA-256 of a file's bytes, in hexadecimal, and how many these were.

    Raises:
        DataError: it cannot be read.
    """
    digest, size_bytes = hashlib.sha256(), 0
    for block in file_blocks(path):
        digest.update(block)
        size_bytes += len(block)
    return digest.hexdigest(), size_bytes


def file_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _identity(found: os.stat_result) -> list[int | str]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
