"""Engines and timing caches that this box built, in one folder, each found by the digest of all that went into it.

An engine is a program: TensorRT runs what it says and checks next to nothing. So only files are read that this user or
root wrote and nobody else could have changed, that are whole (SHA-256) and that state exactly what is asked for. All
else counts as not there, and `read` says why. Files appear whole or not at all; the oldest engines go.
"""

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vedette.edge.engines.errors import EngineError

FORMAT = "vedette-engine-1"
MOST_ENGINES = 8
MOST_HEADER_BYTES = 16384
LEFT_BEHIND_S = 86400.0  # what is half written for a day belongs to a process that died
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Key = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache has; `refused` says why a file that is there is not used."""

    content: bytes | None
    refused: str | None = None


class EngineCache:
    """One folder. Several processes may use it; the last to write wins, with what is as good."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, kind: str, key: Key) -> Found:
        """What was built from exactly this."""
        path = self.place(kind, key)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return Found(None)
        except OSError as error:
            return Found(None, f"{path}: {error.strerror or error}")
        with os.fdopen(handle, "rb") as file:
            foreign = _foreign(path.parent.stat()) or _foreign(os.fstat(file.fileno()))
            if foreign:
                return Found(None, f"{path}: {foreign}")
            header, content = file.readline(MOST_HEADER_BYTES), file.read()
        wrong = _wrong(header, content, kind, key)
        return Found(None, f"{path}: {wrong}") if wrong else Found(content)

    def write(self, kind: str, key: Key, content: bytes) -> None:
        """Keep what was built.

        Raises:
            EngineError: the folder cannot be written.
        """
        path = self.place(kind, key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".part", ".", self.folder)  # for this user alone
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_header(kind, key, content) + content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._remove_oldest()
        except OSError as error:
            raise EngineError(
                f"{error.filename or path}: the engine cannot be kept: {error.strerror or error}; make room, or give "
                "another folder by XDG_CACHE_HOME"
            ) from error

    def place(self, kind: str, key: Key) -> Path:
        """The file for a key."""
        return self.folder / f"{kind}-{digest_of(json.dumps(dict(key), sort_keys=True).encode())}.sealed"

    def _remove_oldest(self) -> None:
        for path in self.folder.glob(".*.part"):
            if path.stat().st_mtime < time.time() - LEFT_BEHIND_S:
                path.unlink(missing_ok=True)
        engines = sorted(self.folder.glob("engine-*.sealed"), key=lambda path: path.stat().st_mtime_ns)
        for path in engines[:-MOST_ENGINES]:
            path.unlink(missing_ok=True)


def digest_of(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _header(kind: str, key: Key, content: bytes) -> bytes:
    facts = {"format": FORMAT, "kind": kind, "key": dict(key), "size": len(content), "sha256": digest_of(content)}
    return json.dumps(facts, sort_keys=True).encode() + b"\n"


def _foreign(found: os.stat_result) -> str | None:
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to user {found.st_uid}, who is not us"
    if found.st_mode & WRITABLE_BY_OTHERS:
        return "others may write it"
    return None


def _wrong(header: bytes, content: bytes, kind: str, key: Key) -> str | None:
    if not header.endswith(b"\n"):
        return "is not one of ours"
    if header == _header(kind, key, content):
        return None
    try:
        facts = json.loads(header)
    except ValueError:
        return "is not one of ours"
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        return "is not one of ours"
    if facts.get("kind") != kind or facts.get("key") != dict(key):
        return "is of something else"
    return "is damaged"
