"""A connection between processes that train together: whoever ends takes the others along, and they know why.

A collective operation on a GPU waits for hours for a process that was killed; here the end of its connection is heard
at once, on every host. The first process holds a connection to each of the others and passes news on. Machines that
vanish without a word are noticed by TCP's keep-alive. Left out: who may connect; a job's hosts are alone in their
network, and a stranger does not know the token.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from threading import Event, Lock, Thread

GRACE_S = 20.0  # for the main thread to end by itself after news of a loss
ALIVE_S, ALIVE_AGAIN_S, ALIVE_TRIES = 15, 5, 3  # so that a vanished machine is noticed after half a minute
MOST_LINE = 8192
HELLO_S = 10.0  # for the first line of who connects: it is sent at once, and the others wait meanwhile


class Kind(str, Enum):
    """How a process ended."""

    LEFT = "left"  # its work was done
    INTERRUPTED = "interrupted"  # somebody asked it to stop
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class News:
    """The end of a process, in words for a person."""

    kind: Kind
    text: str

    @property
    def exit_code(self) -> int:
        return 128 + signal.SIGINT if self.kind is Kind.INTERRUPTED else 1


def end_at_once(news: News) -> None:
    """What follows when the main thread does not come back, as from an operation on a GPU."""
    sys.stderr.write(f"vedette: {news.text}\n")
    sys.stderr.flush()
    os._exit(news.exit_code)


class Lifeline:
    """The connections of one process: of the first to all others, of any other to the first."""

    def __init__(
        self,
        connections: Mapping[str, socket.socket],
        give_up: Callable[[News], None] = end_at_once,
        grace_s: float = GRACE_S,
    ) -> None:
        self._connections = dict(connections)
        self._give_up, self._grace_s = give_up, grace_s
        self._lock, self._heard, self._closed = Lock(), Event(), Event()
        self._loss: News | None = None
        for who, connection in self._connections.items():
            Thread(target=self._listen, args=(who, connection), name="lifeline", daemon=True).start()

    def loss(self, patience_s: float) -> News | None:
        """The first loss that was heard of; waits a while for it."""
        self._heard.wait(patience_s)
        return self._loss

    def close(self, news: News) -> None:
        """Tell the others how this process ends."""
        self._closed.set()
        self._tell(news)
        for connection in self._connections.values():
            with suppress(OSError):  # the other side was quicker
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _tell(self, news: News) -> None:
        line = json.dumps({**asdict(news), "text": news.text[: MOST_LINE // 8]}).encode() + b"\n"
        for connection in self._connections.values():
            try:
                connection.sendall(line)
            except OSError:  # gone already, which its own listener notices
                continue

    def _listen(self, who: str, connection: socket.socket) -> None:
        news = News(Kind.FAILED, f"{who} of this training ended without a word: it was killed, or its machine is gone")
        try:
            with connection.makefile("rb") as lines:
                line = lines.readline(MOST_LINE)
            if line.endswith(b"\n"):
                told = json.loads(line)
                news = News(Kind(told["kind"]), str(told["text"]))
        except OSError:  # reset, or closed here
            pass
        if news.kind is not Kind.LEFT and not self._closed.is_set():
            self._lose(news)

    def _lose(self, news: News) -> None:
        with self._lock:
            if self._loss is not None:
                return
            self._loss = news
        self._heard.set()
        self._tell(news)  # the first process passes it on
        if not self._closed.wait(self._grace_s):
            self._give_up(news)


def listen(host: str = "") -> socket.socket:
    """A socket on a free port, for the first process."""
    return socket.create_server((host, 0), backlog=1024)


def accept_all(
    server: socket.socket, token: str, names: Mapping[int, str], timeout_s: float, hello_s: float = HELLO_S
) -> dict[str, socket.socket]:
    """The connections of all the others, by their names; closes the server.

    Raises:
        OSError: they do not all come in time.
    """
    found: dict[str, socket.socket] = {}
    deadline = time.monotonic() + timeout_s
    with server:
        while len(found) < len(names):
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            connection, _ = server.accept()
            words = _first_line(connection, hello_s).split()
            if len(words) != 2 or words[0] != token or not words[1].isdigit() or int(words[1]) not in names:
                connection.close()
                continue
            found[names[int(words[1])]] = _kept_alive(connection)
    return found


def connect(address: tuple[str, int], token: str, rank: int, timeout_s: float) -> socket.socket:
    """A connection to the first process.

    Raises:
        OSError: it cannot be reached.
    """
    connection = socket.create_connection(address, timeout_s)
    connection.sendall(f"{token} {rank}\n".encode())
    return _kept_alive(connection)


def _first_line(connection: socket.socket, timeout_s: float) -> str:
    """Read byte by byte: what follows is another's to read. Empty when it does not come in time."""
    line, until = b"", time.monotonic() + timeout_s
    try:
        while not line.endswith(b"\n") and len(line) < 256:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            if not (byte := connection.recv(1)):
                break
            line += byte
    except OSError:
        return ""
    return line.decode(errors="replace")


def _kept_alive(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", ALIVE_S),
        ("TCP_KEEPINTVL", ALIVE_AGAIN_S),
        ("TCP_KEEPCNT", ALIVE_TRIES),
    ):
        if hasattr(socket, option):  # Linux has them all
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
