"""deepstream-app as a process: its output line by line, a clean end, and nothing of it left over.

It runs in a process group of its own, which a Ctrl-C in the terminal does not reach. It ends cleanly (recordings are
closed) on one SIGINT; a second one, or SIGTERM, would cut it off. So an end is: SIGINT, time, SIGTERM, SIGKILL, each to
the whole group. It reads its keyboard commands from a pipe on which nothing comes.
Source: deepstream_app_main.c: `_intr_handler` takes itself away after the first SIGINT; `kbhit`.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vedette.contracts.errors import UnavailableError

MOST_LINE_BYTES = 16 << 10
CHUNK_BYTES = 64 << 10
LOOK_S = 0.02
TERM_S = 2.0
DRAIN_S = 5.0

LineListener = Callable[[bytes], None]


class Program:
    """One process, started at once. `on_line` is called in a thread of this object's own."""

    def __init__(self, command: Sequence[str], folder: Path, on_line: LineListener) -> None:
        """Raises:
        UnavailableError: it cannot be started at all.
        """
        try:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"{command[0]} cannot be started: {error.strerror}") from error
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, name="vedette-deepstream-output", daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        """Whether the process is over; `close` tells its code."""
        if self._process.returncode is not None:
            return True
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT  # it stays to be waited for, so that its number stays its own
        return os.waitid(os.P_PID, self._process.pid, look) is not None

    def stop(self, patience_s: float) -> int:
        """End it, cleanly if it will; blocks for little more than `patience_s`. The exit code, as `close` tells it."""
        for number, wait_s in ((signal.SIGINT, patience_s), (signal.SIGTERM, TERM_S)):
            if self.has_ended():
                break
            self._signal(number)
            until = time.monotonic() + wait_s
            while not self.has_ended() and time.monotonic() < until:
                time.sleep(LOOK_S)
        return self.close()

    def close(self) -> int:
        """Kill what is left, read the rest of the output; the exit code, negative for a signal."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)  # also what the process started and left behind
            self._process.wait()
        self._reader.join(DRAIN_S)
        for pipe in (self._process.stdin, self._process.stdout if not self._reader.is_alive() else None):
            if pipe is not None:
                pipe.close()
        return self._process.returncode

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        lines = LineCutter()
        while chunk := self._process.stdout.read(CHUNK_BYTES):
            for line in lines.feed(chunk):
                self._on_line(line)
        if lines.rest:
            self._on_line(lines.rest)


class LineCutter:
    """Bytes in pieces of any size as lines; of a line without an end the first MOST_LINE_BYTES."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this piece."""
        *ended, last = chunk.replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in ended:
            self._add(piece)
            lines.append(self.rest)
            self.rest = b""
        self._add(last)
        return [line for line in lines if line.strip()]

    def _add(self, piece: bytes) -> None:
        room = MOST_LINE_BYTES - len(self.rest)
        self.rest += piece[:room]
