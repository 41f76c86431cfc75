"""Whether films or clips can be written to a folder, what was written, and who is told when that changes.

Guarantees: writing stops before the disk is full to the last byte, so that events and counts on the same disk still
find room; each stop is said once, each return once; a folder that is full is looked at every few seconds and used again
when there is clearly room (twice what is kept free, and a file that can really be written), so that a disk at its brink
brings no stream of messages. Thread-safe. What becomes of files that are open is left to their writers.
"""

import errno
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vedette.contracts.status import OutletState, RecordingStatus

KEPT_FREE_BYTES = 64 << 20  # for events, counts and logs: days of them
KEPT_FREE_SHARE = 0.02  # of a small disk
LOOK_AGAIN_S = 5.0
ASK_EVERY_S = 0.2  # how much room there is
STALLED_S = 1.0  # a run ends within 3 s, whatever its disks do; what was written before plays
PROBE_BYTES = 1 << 20  # a quota shows only when something is written
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOG = logging.getLogger(__name__)

Listener = Callable[[RecordingStatus], None]


class RecordingDisk:
    """One folder. Its writer asks `check` before it writes, says `stop` after an error, and asks `is_back`."""

    def __init__(
        self, what: str, folder: Path, stopped_words: str, try_again: Callable[[], object] = lambda: None
    ) -> None:
        """`what` is `recording` or `clips`; `stopped_words` begin the sentence that says so.

        `try_again` does what may have failed beside writing, and raises OSError while it does.
        """
        self._words = stopped_words
        self._try_again = try_again
        self._folder = folder
        self._lock = threading.Lock()
        self._status = RecordingStatus(what=what, folder=str(folder))
        self._listeners: list[Listener] = []
        self._for_good = False
        self._asked_s = self._looked_s = float("-inf")
        self._free, self._is_asking, self._refreshed_s = self._free_bytes(), False, time.monotonic()

    @property
    def problem(self) -> str | None:
        """Why nothing is written, as a sentence; None while it is."""
        return self._status.problem

    @property
    def written_bytes(self) -> int:
        """So far."""
        return self._status.bytes

    def status(self) -> RecordingStatus:
        """How it is now; from any thread, at once: the room is that of before where a disk does not answer."""
        with self._lock:
            asks = not self._is_asking and time.monotonic() >= self._refreshed_s + LOOK_AGAIN_S
            self._is_asking |= asks
        if asks:
            threading.Thread(target=self._refresh, name="vedette-disk-room", daemon=True).start()
        return replace(self._status, free_bytes=self._free)

    def tell(self, listener: Listener) -> None:
        """Call back whenever writing stops or goes on, from the thread that writes; now, if it has stopped already."""
        with self._lock:
            self._listeners.append(listener)
            stopped = self._status.problem is not None
        if stopped:
            listener(self.status())

    def count(self, *, files: int = 0, size_bytes: int = 0, dropped: int = 0, removed: int = 0) -> None:
        """So much more; from any thread."""
        with self._lock:
            before = self._status
            self._status = replace(
                before,
                files=before.files + files,
                bytes=before.bytes + size_bytes,
                dropped=before.dropped + dropped,
                removed=before.removed + removed,
            )

    def check(self) -> None:
        """Before something is written.

        Raises:
            OSError: the disk is as full as it may become.
        """
        now = time.monotonic()
        if now >= self._asked_s + ASK_EVERY_S:
            self._asked_s = now
            free, kept = self._room()
            self._free = free
            if free < kept:
                raise OSError(errno.ENOSPC, f"the disk is full ({free / 1e6:.1f} MB left, for events and counts)")

    def stop(self, error: BaseException, *, for_good: bool = False) -> None:
        """After an error; said unless it has stopped already. `for_good`: it is not looked for room any more."""
        now = time.monotonic()
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        with self._lock:
            self._for_good |= for_good
            self._looked_s = now
            if self._status.problem is not None:
                return
            self._status = replace(
                self._status,
                state=OutletState.STOPPED,
                problem=f"{self._words}: cannot write to {self._folder}: {reason}",
                disk_full=getattr(error, "errno", None) in FULL,
                stopped_since_unix_s=time.time(),
                stops=self._status.stops + 1,
            )
            listeners = list(self._listeners)
        goes_on = "recording does" if self._status.what == "recording" else "clips do"
        later = "" if self._for_good else f", and {goes_on} when that is mended"
        _LOG.warning("%s; watching goes on%s", self.problem, later)
        self._tell(listeners)

    def is_back(self) -> bool:
        """Whether writing is on; when it has stopped, the folder is looked at now and then."""
        if self._status.problem is None:
            return True
        now = time.monotonic()
        if self._for_good or now < self._looked_s + LOOK_AGAIN_S:
            return False
        self._looked_s = now
        if not self._can_be_written():
            return False
        with self._lock:
            since = self._status.stopped_since_unix_s or time.time()
            self._status = replace(
                self._status, state=OutletState.WORKING, problem=None, disk_full=False, stopped_since_unix_s=None
            )
            listeners = list(self._listeners)
        what = "films are recorded" if self._status.what == "recording" else "clips are cut"
        _LOG.warning("%s to %s again after %.0f s", what, self._folder, time.time() - since)
        self._tell(listeners)
        return True

    def _tell(self, listeners: list[Listener]) -> None:
        status = self.status()
        for listener in listeners:
            listener(status)

    def _can_be_written(self) -> bool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            free, kept = self._room()
            if free < 2 * kept:
                return False
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                size = min(PROBE_BYTES, kept)
                if file.write(bytes(size)) < size:
                    return False
            self._try_again()
        except OSError:
            return False
        return True

    def _room(self) -> tuple[int, int]:
        """Bytes free for this user, and how many of them are kept free."""
        disk = os.statvfs(self._folder)
        kept = min(KEPT_FREE_BYTES, int(KEPT_FREE_SHARE * disk.f_blocks * disk.f_frsize))
        return disk.f_bavail * disk.f_frsize, kept

    def _refresh(self) -> None:
        free = self._free_bytes()
        with self._lock:
            self._free, self._is_asking, self._refreshed_s = free, False, time.monotonic()

    def _free_bytes(self) -> int | None:
        try:
            return self._room()[0]
        except OSError:
            return None


def wait_for_writer(thread: threading.Thread, progress: Callable[[], object]) -> bool:
    """For a writer to end, for as long as it comes further; false when the disk holds it up, as a broken one may."""
    before: object = None
    while thread.is_alive() and (now := progress()) != before:
        before = now
        thread.join(STALLED_S)
    return not thread.is_alive()
