"""Counts events into a `CountsStore` from a thread of its own: whoever tells it of an event never waits for a disk.

Group commit: what came in since the last commit is counted in one transaction, at most once a second. At most
MOST_WAITING events wait for a disk that is full or slow; the newest beyond are not counted, and how many is told. What
could not be written is tried again until `close`.
"""

import logging
import sqlite3
import threading
import time

from vedette.contracts.event import Event
from vedette.edge.counting.store import CountsStore
from vedette.edge.counting.tallies import tally_of

COMMIT_EVERY_S = 1.0
RETRY_S = 5.0
MOST_WAITING = 100_000  # about an hour of 25 events a second, 40 MB
CLOSE_S = 2.0
_LOG = logging.getLogger(__name__)


class CountsKeeper:
    """Call `add` from one thread; the store stays the caller's and is closed after this."""

    def __init__(self, store: CountsStore, commit_every_s: float = COMMIT_EVERY_S) -> None:
        self.store = store
        self.uncounted = 0  # events that found no room
        self._problem_since_s = 0.0
        self.problem: str | None = None  # why nothing is written at the moment
        self._commit_every_s = commit_every_s
        self._changed = threading.Condition()
        self._waiting: list[Event] = []
        self._given = self._written = 0
        self._closing = self._hurrying = False
        self._thread = threading.Thread(target=self._run, name="vedette-counts", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events that are not in the file yet."""
        return len(self._waiting)

    def add(self, event: Event) -> None:
        """Count an event soon; returns at once."""
        with self._changed:
            if self._closing or len(self._waiting) >= MOST_WAITING:
                self.uncounted += 1
                return
            self._waiting.append(event)
            self._given += 1
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def flush(self, within_s: float = CLOSE_S) -> bool:
        """Wait until all that was added is in the file; false when that took too long."""
        with self._changed:
            given, self._hurrying = self._given, True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._written >= given, within_s)

    def close(self) -> None:
        """Write what waits, for at most `CLOSE_S`. Safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        left = self.waiting
        if left:
            _LOG.warning("%d events could not be counted in %s: %s", left, self.store.path, self.problem)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
                if not self._waiting:
                    return
                pause_s = self._commit_every_s if self.problem is None else RETRY_S
                self._changed.wait_for(lambda: self._closing or self._hurrying, pause_s)
                self._hurrying = False
                batch, closing = list(self._waiting), self._closing
            if not self._commit(batch) and closing:
                return

    def _commit(self, batch: list[Event]) -> bool:
        try:
            self.store.add([tally_of(event) for event in batch])
        except sqlite3.Error as error:
            if self.problem is None:
                self._problem_since_s = time.monotonic()
                _LOG.warning(
                    "counts cannot be written to %s (%s); they wait, and are tried again", self.store.path, error
                )
            self.problem = str(error)
            return False
        if self.problem is not None:
            _LOG.warning(
                "counts are written to %s again, after %.1f s",
                self.store.path,
                time.monotonic() - self._problem_since_s,
            )
        self.problem = None
        with self._changed:
            del self._waiting[: len(batch)]
            self._written += len(batch)
            self._changed.notify_all()
        return True
