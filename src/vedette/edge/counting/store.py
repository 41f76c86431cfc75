"""The file of counts: SQLite in WAL mode, synchronous FULL, so that what was committed is there after a power cut.

Each event is counted once, however often it is given: the numbers of the events counted are kept as ranges for each
run, in the transaction that counts them. A damaged file, or one of a newer Vedette, is set aside under another name
with all that it holds, and a new one is begun; what is no file of counts at all is refused and not touched. Without a
path the counts live in memory, for as long as the store. Thread-safe; every call may wait for the disk.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.edge.counting.errors import CountsFileError
from vedette.edge.counting.tallies import Tally, add_to_ranges

APPLICATION_ID = 0x56645443
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 1.0  # a keeper tries again; closing must not take longer
MAGIC = b"SQLite format 3\0"
DATABASE_ENDINGS = {".sqlite", ".sqlite3", ".db"}
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS counts (
    camera TEXT NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, class TEXT NOT NULL, what TEXT NOT NULL,
    slot_unix_s INTEGER NOT NULL, count INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (camera, kind, place, class, what, slot_unix_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (
    source TEXT NOT NULL, run TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (source, run, first)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(frozen=True, slots=True)
class CountRow:
    """How often something happened in one quarter of an hour; `seconds` were spent in the zone by those that left."""

    camera: str
    kind: str
    place: str
    class_name: str
    what: str
    slot_unix_s: int
    count: int
    seconds: float


class CountsStore:
    """One file, or memory. Use as a context manager, or call `close`."""

    def __init__(self, path: Path | None = None, *, make: bool = True) -> None:
        """Open the file; without `make` it has to be there, and one that is damaged or too new is left where it is.

        Raises:
            CountsFileError: there is none, it cannot be written, or it holds something else.
        """
        self.path = path
        self.set_aside: str | None = None  # a sentence, when an older file had to make room
        self._lock = threading.Lock()
        if path is not None:
            _refuse_other_files(path, make=make)
        try:
            self._connection = self._open(make)
        except OSError as error:
            raise CountsFileError(f"counts cannot be kept in {path}: {error.strerror}; name another file") from error
        except sqlite3.Error as error:
            raise CountsFileError(f"counts cannot be kept in {path}: {error}; name another file") from error

    def add(self, tallies: Sequence[Tally]) -> int:
        """Count those that were not counted before, all or none; returns how many were new.

        Raises:
            sqlite3.Error: the disk is full, or another program keeps the file; nothing was counted.
        """
        by_run: dict[tuple[str, str], list[Tally]] = defaultdict(list)
        for tally in tallies:
            by_run[tally.source, tally.run].append(tally)
        with self._lock, _transaction(self._connection):
            return sum(self._add_of_run(source, run, of_run) for (source, run), of_run in by_run.items())

    def totals(self) -> dict[str, dict[str, Any]]:
        """By camera: `{"lines": {line: {class: {direction: n}}}, "zones": {zone: {"entered": n, ...}}}`."""
        found: dict[str, dict[str, Any]] = {}
        with self._lock:
            rows = self._connection.execute(
                "SELECT camera, kind, place, class, what, SUM(count) FROM counts GROUP BY 1, 2, 3, 4, 5"
            ).fetchall()
        for camera, kind, place, class_name, what, count in rows:
            of_camera = found.setdefault(camera, {"lines": {}, "zones": {}})
            if kind == "line":
                of_camera["lines"].setdefault(place, {}).setdefault(class_name, {})[what] = count
            else:
                figures = of_camera["zones"].setdefault(place, {})
                figures[what] = figures.get(what, 0) + count
        return found

    def rows(
        self,
        camera: str | None = None,
        place: str | None = None,
        since_unix_s: float | None = None,
        until_unix_s: float | None = None,
    ) -> list[CountRow]:
        """What was counted in the quarters of an hour that begin at or after `since` and before `until`."""
        wanted = {
            "camera = ?": camera,
            "place = ?": place,
            "slot_unix_s >= ?": since_unix_s,
            "slot_unix_s < ?": until_unix_s,
        }
        given = {clause: value for clause, value in wanted.items() if value is not None}
        where = f" WHERE {' AND '.join(given)}" if given else ""
        query = f"SELECT camera, kind, place, class, what, slot_unix_s, count, seconds FROM counts{where}"
        with self._lock:
            found = self._connection.execute(f"{query} ORDER BY 1, 2, 3, 4, 5, 6", tuple(given.values())).fetchall()
        return [CountRow(*row) for row in found]

    @property
    def since_unix_s(self) -> int | None:
        """When the first quarter of an hour with a count began."""
        with self._lock:
            found: int | None = self._connection.execute("SELECT MIN(slot_unix_s) FROM counts").fetchone()[0]
        return found

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "CountsStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, make: bool) -> sqlite3.Connection:
        if self.path is None:
            return _connect(":memory:")
        if make:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(str(self.path))
        except _TooNewError as error:
            reason, ending = f"was written by a newer Vedette (its version is {error.version})", "newer"
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: the file itself may be whole
                raise
            reason, ending = f"is damaged ({error})", "damaged"
        if not make:
            raise CountsFileError(f"the counts in {self.path} cannot be read: the file {reason}")
        kept = _set_aside(self.path, ending)
        self.set_aside = f"the file of counts {self.path} {reason}; it is kept as {kept}, and counting begins anew"
        return _connect(str(self.path))

    def _add_of_run(self, source: str, run: str, tallies: Sequence[Tally]) -> int:
        key = (source, run)
        before = self._connection.execute(
            "SELECT first, last FROM counted WHERE source = ? AND run = ? ORDER BY first", key
        ).fetchall()
        ranges, new = [(low, high) for low, high in before], []
        for tally in tallies:
            joined = add_to_ranges(ranges, tally.number)
            if joined is not None:
                ranges = joined
                new.append(tally)
        if not new:
            return 0
        self._connection.execute("DELETE FROM counted WHERE source = ? AND run = ?", key)
        self._connection.executemany("INSERT INTO counted VALUES (?, ?, ?, ?)", [(*key, *one) for one in ranges])
        self._connection.executemany(
            "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
            "count = count + 1, seconds = seconds + excluded.seconds",
            [(t.camera, t.kind, t.place, t.class_name, t.what, t.slot_unix_s, t.seconds) for t in new],
        )
        return len(new)


class _TooNewError(sqlite3.DatabaseError):
    def __init__(self, version: int) -> None:
        super().__init__(f"schema version {version}")
        self.version = version


def _connect(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise CountsFileError(f"{name} is no file of counts and is left as it is; name another file")
        if version > SCHEMA_VERSION:
            raise _TooNewError(version)
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(str(problem).splitlines()[-1])
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_other_files(path: Path, *, make: bool) -> None:
    """Refuse what is there and is no file of counts; a damaged one must have the name of a database to be known."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError as error:
        if make:
            return
        raise CountsFileError(
            f"there is no file of counts at {path}; `vedette run --counts {path}` makes one"
        ) from error
    except OSError as error:
        raise CountsFileError(f"the counts in {path} cannot be read: {error.strerror}; name another file") from error
    is_database = head.startswith(MAGIC)
    application = int.from_bytes(head[68:72], "big")  # SQLite, "Database File Format", 1.3
    foreign = is_database and application not in (0, APPLICATION_ID)
    unknown = bool(head) and not is_database and path.suffix not in DATABASE_ENDINGS
    if foreign or unknown:
        raise CountsFileError(f"{path} is no file of counts and is left as it is; name another file")


def _set_aside(path: Path, ending: str) -> Path:
    """Rename the file, with what SQLite keeps beside it, to a name that is free."""
    stem = path.with_name(f"{path.name}.{ending}-{time.strftime('%Y%m%dT%H%M%S')}")
    kept, number = stem, 1
    while kept.exists():
        number += 1
        kept = stem.with_name(f"{stem.name}-{number}")
    for suffix in ("-wal", "-shm", ""):  # the file itself last: a crash in between leaves it to be set aside again
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{kept}{suffix}")  # noqa: PTH105 - names put together
    return kept
