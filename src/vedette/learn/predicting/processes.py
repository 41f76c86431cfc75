"""A detector in several processes: each picture goes to whoever is free, and a killed worker loses nothing.

What a dead worker had before it is done by another one. The picture that it was at is suspected: after `MOST_DEATHS`
workers have died at it, it is reported as failed and the work goes on. Workers answer in order, so that picture is
known. Workers hold their own sockets only: no lock can be left behind by a dead one. One thread, the caller's.
"""

import json
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType

from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.predicting.errors import WorkersError
from vedette.learn.predicting.outcomes import Failed, Opener, Outcome, Outcomes
from vedette.learn.predicting.worker import ERROR, OUTCOME, READY

MOST_DEATHS = 3  # of workers at one picture; two could be two strangers' kills
MOST_FAILED_STARTS = 3  # in a row
WAITING = 2  # pictures that a worker has before it, so that it need not wait for the next one
PATIENCE_S = 5.0  # for a worker that was asked to end
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {module} import main; main(int(sys.argv[1]))"


@dataclass(slots=True, eq=False)
class _Worker:
    """One process; `pending` are the pictures it has been given, the first being the one it is at."""

    process: subprocess.Popen[bytes]
    connection: Connection
    pending: deque[int] = field(default_factory=deque)
    ready: bool = False


class WorkerPool:
    """Processes that keep a detector open. Use as a context manager; `outcomes` may be called again and again."""

    def __init__(self, opener: Opener, processes: int, progress: Progress | None = None) -> None:
        self._opener, self._processes = opener, processes
        self._progress = progress or SilentProgress()
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The workers that are there now."""
        return tuple(worker.process.pid for worker in self._workers)

    def outcomes(self, pictures: Sequence[Path]) -> Outcomes:
        """The outcome of every picture, as they come.

        Raises:
            WorkersError: workers cannot be started.
            VedetteError: what the opener, or the detector, raised in a worker.
        """
        work = _Work(len(pictures))
        try:
            while work.left:
                while len(self._workers) < min(self._processes, work.left):
                    self._start()
                for worker in self._workers:
                    self._feed(worker, work, pictures)
                for connection in wait([worker.connection for worker in self._workers]):
                    worker = next(one for one in self._workers if one.connection is connection)
                    yield from self._hear(worker, work, pictures)
        finally:
            if work.left:
                self.close()  # what comes of pictures that nobody waits for must not be taken for others'

    def close(self) -> None:
        """End the workers; what they are at is thrown away."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in workers:
            try:
                worker.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", PROGRAM.format(module="vedette.learn.predicting.worker")]
            try:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno()), json.dumps(sys.path)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # standard output is the caller's
                    start_new_session=True,  # a terminal's Ctrl-C goes to the caller only
                )
            except OSError as error:
                ours.close()
                raise WorkersError(f"a worker process cannot be started: {error.strerror or error}") from error
        worker = _Worker(process, Connection(ours.detach()))
        self._workers.append(worker)
        _send(worker, self._opener)

    def _feed(self, worker: _Worker, work: "_Work", pictures: Sequence[Path]) -> None:
        while worker.ready and len(worker.pending) < WAITING and (number := work.take()) is not None:
            worker.pending.append(number)
            _send(worker, (number, str(pictures[number])))

    def _hear(self, worker: _Worker, work: "_Work", pictures: Sequence[Path]) -> Iterator[tuple[int, Outcome]]:
        """One message of a worker, or its death."""
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, work, pictures)
            return
        if kind == READY:
            worker.ready, self._failed_starts = True, 0
        elif kind == OUTCOME:
            number, outcome = value
            worker.pending.popleft()
            work.left -= 1
            yield number, outcome
        elif kind == ERROR:
            raise value

    def _bury(self, worker: _Worker, work: "_Work", pictures: Sequence[Path]) -> Iterator[tuple[int, Outcome]]:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.kill()
        how = _death(worker.process.wait())
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise WorkersError(f"{MOST_FAILED_STARTS} worker processes in a row {how} before they began; see above")
            return
        if not worker.pending:
            self._progress.say(f"a worker process {how}; another takes its place")
            return
        suspect, *others = worker.pending
        work.give_back(others)
        if work.deaths_at(suspect) < MOST_DEATHS:
            work.give_back([suspect])
            self._progress.say(f"a worker process {how} at {pictures[suspect]}; another takes its pictures")
            return
        work.left -= 1
        yield suspect, Failed(f"{pictures[suspect]}: {MOST_DEATHS} worker processes died at it; the last {how}")


class _Work:
    """What is to do: pictures never given out, and those that dead workers left."""

    def __init__(self, count: int) -> None:
        self.left = count  # pictures without an outcome
        self._fresh = iter(range(count))
        self._returned: deque[int] = deque()
        self._deaths: dict[int, int] = {}

    def take(self) -> int | None:
        return self._returned.popleft() if self._returned else next(self._fresh, None)

    def give_back(self, numbers: Sequence[int]) -> None:
        self._returned.extend(numbers)

    def deaths_at(self, number: int) -> int:
        """One more worker has died at this picture; how many is that?"""
        self._deaths[number] = self._deaths.get(number, 0) + 1
        return self._deaths[number]


def _send(worker: _Worker, message: object) -> None:
    """Send; a dead worker shows when it is listened to."""
    try:
        worker.connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        return


def _death(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
