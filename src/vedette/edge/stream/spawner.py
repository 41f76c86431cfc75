"""Starts, watches and kills decoder processes by way of `spawner_program`, a small program of our own.

The program is started with `subprocess` and told our import path, never with `multiprocessing`: nothing of the caller's
`__main__` runs again, so scripts need no `if __name__ == "__main__"`. It inherits only harmless environment variables:
passwords of cameras may stand in ours. When the program dies, the next decoder starts it anew. Thread-safe.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from vedette.edge.stream.errors import CameraUnavailableError

PROGRAM = (
    "import gc, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); gc.disable(); sys.path[:] = sys.argv[2:]; "
    "from vedette.edge.stream.spawner_program import main; main(int(sys.argv[1]))"
)
START_TIMEOUT_S = 30.0  # a cold disk on a small board; usually 0.3 s
# What decoding, TLS, proxies and GStreamer look at. Everything else stays here: it may hold secrets
INHERITED = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "no_proxy", "DISPLAY", "WAYLAND_DISPLAY"),
        *("GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH", "GST_REGISTRY"),
    }
)
# No thread before a fork; one heap for the few threads of a decoder, since each heap keeps what it once held
SET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
REPORT_BYTES = 4096


@dataclass(slots=True)
class DecoderProcess:
    """One decoder: `ended` is set when it is gone, `status` then says how (as os.waitpid does)."""

    number: int
    pid: int | None = None
    status: int | None = None
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def finish(self, status: int | None) -> None:
        """It is gone; `None` when nobody saw how."""
        self.status = status
        self.started.set()
        self.ended.set()

    @property
    def cause(self) -> str:
        """`SIGSEGV`, `exit code 1`, or `unknown cause`."""
        if self.status is None:
            return "unknown cause"
        if os.WIFSIGNALED(self.status):
            return signal.Signals(os.WTERMSIG(self.status)).name
        return f"exit code {os.WEXITSTATUS(self.status)}"


class Spawner:
    """`start` it early: the program needs a third of a second, in which the caller can do something else."""

    def __init__(self, program: str = PROGRAM) -> None:
        self._code = program
        self._lock = threading.Lock()
        self._program: _Program | None = None
        self._numbers = 0
        self._closed = False

    def start(self) -> "Spawner":
        """Start the program and return at once."""
        with self._lock:
            self._running_program()
        return self

    def start_decoder(self, name: str, socket_fd: int, ring_fd: int) -> DecoderProcess:
        """Fork a decoder that gets copies of the two descriptors; `name` is for `top`. Blocks until it runs.

        Raises:
            CameraUnavailableError: the program cannot be started.
        """
        for last_try in (False, True):
            with self._lock:
                program = self._running_program()
                self._numbers += 1
                decoder = DecoderProcess(self._numbers)
                asked = program.ask_start(decoder, name, (socket_fd, ring_fd))
            if asked and decoder.started.wait(START_TIMEOUT_S) and decoder.pid is not None:
                return decoder
            if last_try or not program.was_ready:
                break
        raise CameraUnavailableError(
            f"camera '{name}': the program that decodes cameras could not be started ({program.end()}); the lines "
            "above say why; 'isolation: threads' does without it"
        )

    def kill(self, decoder: DecoderProcess) -> None:
        """End a decoder at once; returns before it has ended."""
        with self._lock:
            if self._program is not None:
                self._program.ask_kill(decoder)

    def close(self) -> None:
        """Kill all decoders, end the program, wait for it."""
        with self._lock:
            self._closed = True
            program, self._program = self._program, None
        if program is not None:
            program.close()

    def __enter__(self) -> "Spawner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the program, while there is one."""
        return None if self._program is None else self._program.pid

    def _running_program(self) -> "_Program":
        if self._closed:
            raise RuntimeError("the spawner is closed")
        if self._program is not None and self._program.is_gone:
            self._program.close()
            self._program = None
        if self._program is None:
            self._program = _Program(self._code)
        return self._program


class _Program:
    """One run of the program, and the thread that reads its reports."""

    def __init__(self, code: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = str(Path(__file__).resolve().parents[3])  # where `vedette` lies, however it was found
        path = [entry for entry in (package, *sys.path) if entry]
        flags = ["-I", *(["-B"] if sys.dont_write_bytecode else [])]
        environment = {name: value for name, value in os.environ.items() if name in INHERITED} | SET
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", code, str(theirs.fileno()), *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # ours may be a JSON document
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self.was_ready = self.is_gone = False
        self.pid = self._process.pid
        self._control = ours
        self._decoders: dict[int, DecoderProcess] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_reports, name="vedette-spawner", daemon=True)
        self._reader.start()

    def ask_start(self, decoder: DecoderProcess, name: str, fds: tuple[int, int]) -> bool:
        with self._lock:
            if self.is_gone:
                return False
            self._decoders[decoder.number] = decoder
        request = json.dumps({"start": decoder.number, "name": name}).encode()
        try:
            socket.send_fds(self._control, [request], list(fds))
        except OSError:
            return False
        return True

    def ask_kill(self, decoder: DecoderProcess) -> None:
        try:
            self._control.send(json.dumps({"kill": decoder.number}).encode())
        except OSError:
            return  # the program is gone, and its decoders with it

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            self._control.shutdown(socket.SHUT_WR)
        if not self.was_ready:  # it is still importing, and would look at the socket only afterwards
            self._process.kill()
        self._process.wait()
        self._reader.join()
        self._control.close()

    def end(self) -> str:
        """How the program ended, for a person."""
        try:
            return f"exit code {self._process.wait(1.0 if self.is_gone else 0.0)}"
        except subprocess.TimeoutExpired:
            return "it does not answer"

    def _read_reports(self) -> None:
        while content := self._receive():
            report = json.loads(content)
            if "ready" in report:
                self.was_ready = True
                continue
            with self._lock:
                decoder = self._decoders.get(report.get("started", report.get("ended")))
                if "ended" in report:
                    self._decoders.pop(report["ended"], None)
            if decoder is None:
                continue
            if "started" in report:
                decoder.pid = report["pid"]
                decoder.started.set()
            else:
                decoder.finish(report["status"])
        with self._lock:
            self.is_gone = True
            orphans, self._decoders = list(self._decoders.values()), {}
        for decoder in orphans:
            decoder.finish(None)

    def _receive(self) -> bytes:
        try:
            return self._control.recv(REPORT_BYTES)
        except OSError:
            return b""
