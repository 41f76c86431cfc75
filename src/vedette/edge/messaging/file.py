"""Events as JSON lines, appended to a file: `contracts.ports.EventSink`.

Every event is one write of one whole line, so that `tail -f` shows it at once and a crash costs at most the line being
written; a line cut short (by a crash before, or a full disk) is closed with a line break before the next one. Missing
folders are made. A path that cannot be written is an error at the start; a disk that fills up later costs the events
that do not fit: they are counted in `lost` and said once, until writing works again. So does a pipe that nobody
empties: it is never waited for, or, with patience, only until that was in vain once.
"""

import errno
import logging
import os
import select
import stat
from pathlib import Path

from vedette.contracts.event import AnyEvent
from vedette.edge.messaging.errors import SinkError

log = logging.getLogger(__name__)


class FileSink:
    """Appends events to one file. Not thread-safe: one caller at a time."""

    def __init__(self, path: Path, patience_s: float = 0.0) -> None:
        """Open the file for appending; returns at once, also where it is a pipe that nobody reads.

        `patience_s` is how long an event waits for room in a pipe, for runs that may wait.

        Raises:
            SinkError: the path cannot be written.
        """
        self._path = path
        self._patience_s = patience_s
        self.published = 0
        self.lost = 0
        self.problem: str | None = None  # why events are being lost at the moment
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor: int | None = os.open(path, flags, 0o644)
        except OSError as error:
            raise SinkError(
                f"events cannot be written to {path}: {error.strerror}; name a file that can be written"
            ) from error
        self._cut_short = self._ends_within_a_line(self._descriptor)

    @property
    def name(self) -> str:
        """The path, as given."""
        return str(self._path)

    def publish(self, event: AnyEvent) -> None:
        """Append one line. Never raises for a disk or a pipe that is full: see `lost`."""
        if self._descriptor is None:
            self.lost += 1
            return
        line = event.to_json().encode() + b"\n"
        if self._cut_short:
            line = b"\n" + line
        try:
            written = self._write(self._descriptor, line)
        except BlockingIOError:
            self._lose("nobody reads from this pipe, and it is full")
            return
        except OSError as error:
            self._lose("the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error))
            return
        if written < len(line):
            self._cut_short = True
            self._lose("the disk is full")
            return
        self._cut_short = False
        self.published += 1
        if self.problem is not None:
            self.problem = None
            log.warning("events are written to %s again; %d were lost so far", self._path, self.lost)

    def close(self) -> None:
        """Close the file; events published after that are lost, and counted."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, descriptor: int, line: bytes) -> int:
        try:
            return os.write(descriptor, line)
        except BlockingIOError:
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            if self.problem is not None or not room.poll(1000 * self._patience_s):
                raise
            return os.write(descriptor, line)

    def _lose(self, reason: str) -> None:
        self.lost += 1
        if self.problem is None:
            self.problem = f"events cannot be written to {self._path} ({reason}) and are being lost"
            log.warning("%s", self.problem)

    @staticmethod
    def _ends_within_a_line(descriptor: int) -> bool:
        """Whether an older run's last line has no end; pipes and devices have no such past."""
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return False
        size = facts.st_size
        return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
