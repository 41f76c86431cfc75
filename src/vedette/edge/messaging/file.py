"""Events as JSON lines, appended to a file: `contracts.ports.EventSink`.

A thread of its own writes, so that a disk that stalls or a pipe that nobody reads never slows the video: up to
`QUEUE_EVENTS` events wait, then the newest are lost, and counted. Every event is one write of one whole line (in
parts where a pipe has no room for all of it), so that `tail -f` shows it at once and a crash costs at most the line
being written; a line cut short (by a crash before, or a full disk) is closed with a line break before the next one.
Missing folders are made. A path that cannot be written is an error at the start; a disk that fills up later costs the
events that do not fit: they are counted in `lost`. Each trouble is said once, until writing works again.
"""

import errno
import logging
import os
import select
import stat
import threading
import time
from collections import deque
from pathlib import Path

from vedette.contracts.event import AnyEvent
from vedette.edge.messaging.errors import SinkError

log = logging.getLogger(__name__)

QUEUE_EVENTS = 10_000
CLOSE_S = 2.0  # for what waits at the end
LOOK_EVERY_S = 0.2  # whether the end has come while a pipe is full
PIPE_FULL = "nobody reads from this pipe, and it is full"
STALLED = "the disk does not keep up"


class FileSink:
    """Appends events to one file; publishes from any thread."""

    def __init__(self, path: Path, patience_s: float = 0.0) -> None:
        """Open the file for appending; returns at once, also where it is a pipe that nobody reads.

        `patience_s` is how long an event waits for room in the queue, for runs that may wait; they also wait at the
        end, for as long as events go out.

        Raises:
            SinkError: the path cannot be written.
        """
        self._path = path
        self._patience_s = patience_s
        self.published = 0
        self.lost = 0
        self.problem: str | None = None  # why events are late or being lost at the moment
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            raise SinkError(
                f"events cannot be written to {path}: {error.strerror}; name a file that can be written"
            ) from error
        self._is_pipe = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._cut_short = self._ends_within_a_line(self._descriptor)
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._closing = self._at_once = False
        self._thread = threading.Thread(target=self._work, name="vedette-events", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The path, as given."""
        return str(self._path)

    @property
    def waiting(self) -> int:
        """Events that are not written yet."""
        return len(self._queue)

    def publish(self, event: AnyEvent) -> None:
        """Queue one event; returns at once, whatever the disk does, but for runs with patience."""
        line = event.to_json().encode() + b"\n"
        with self._changed:
            if self._patience_s:
                self._changed.wait_for(self._has_room, self._patience_s)
            if self._closing:
                self.lost += 1
                return
            if not self._has_room():
                self._lose(PIPE_FULL if self._is_pipe else STALLED)
                return
            self._queue.append(line)
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait for all that was published to be written, or lost; false when it takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout_s)

    def close(self) -> None:
        """Write what waits, two seconds at most without patience; the rest, and what is published after, is lost."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
            until_s, left = time.monotonic() + CLOSE_S, len(self._queue)
            while left and (self._patience_s or time.monotonic() < until_s):
                self._changed.wait(self._patience_s or CLOSE_S)  # for the next line to be written
                if len(self._queue) == left:
                    break
                left = len(self._queue)
            self._at_once = True
            self.lost += len(self._queue)
            if self._queue:
                log.warning("%s: %d events were not written before the end and are lost", self._path, len(self._queue))
            self._queue.clear()
            self._changed.notify_all()
        self._thread.join(2 * LOOK_EVERY_S)  # one that a disk holds up ends with the process

    def _has_room(self) -> bool:
        return len(self._queue) < QUEUE_EVENTS

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    break
                line = self._queue[0]
            reason = self._write(line)
            with self._changed:
                if not self._queue:  # given up meanwhile, and counted
                    break
                self._queue.popleft()
                if reason is None:
                    self._count()
                else:
                    self._lose(reason)
                self._changed.notify_all()
        os.close(self._descriptor)

    def _write(self, line: bytes) -> str | None:
        """Why one line was lost; None: it is written. Waits for room in a pipe."""
        if self._cut_short:
            line = b"\n" + line
        try:
            while line:
                try:
                    written = os.write(self._descriptor, line)
                except BlockingIOError:
                    if not self._wait_for_room():
                        return PIPE_FULL
                    continue
                line = line[written:]
                self._cut_short = bool(line)
                if line and not self._is_pipe:
                    return "the disk is full"
        except OSError as error:
            return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        return None

    def _wait_for_room(self) -> bool:
        """In a pipe; false when the end has come."""
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        while not room.poll(1000 * LOOK_EVERY_S):
            if self._at_once:
                return False
        return True

    def _count(self) -> None:
        self.published += 1
        if self.problem is not None and len(self._queue) < QUEUE_EVENTS // 2:
            self.problem = None
            log.warning("events are written to %s again; %d were lost so far", self._path, self.lost)

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
