"""The server behind `vedette train --show`, in a thread of its own.

Guarantees: the address is taken in the constructor, so a port in use is known before any work starts; the training
never waits for a viewer, but at its very end, for those who look, a few seconds, so that they are left with the report.
"""

import contextlib
import ipaddress
import re
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from vedette.apps.training_page.routes import Routes
from vedette.apps.training_page.state import Shown, TrainingState
from vedette.contracts.errors import InputError, UsageError
from vedette.contracts.ports import Progress

HOST = "127.0.0.1"
START_TIMEOUT_S, LAST_LOOK_S = 10.0, 12.0
ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s]*):)?(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """`8080`, `:8080` or `HOST:8080`; without a host this machine only.

    Raises:
        UsageError: it is none of these.
    """
    match = ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"--show is a port such as :8080, or HOST:PORT such as 0.0.0.0:8080, not '{text}'")
    return (match["host"] or HOST).strip("[]"), int(match["port"])


class TrainingPage:
    """Use as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        """Take the address (port 0 takes a free one) and serve.

        Raises:
            InputError: it is in use, or not this machine's.
        """
        self.state = TrainingState()
        self._socket = _listen(host, port)
        address, self.port = self._socket.getsockname()[:2]
        ip = ipaddress.ip_address(address)
        self.is_loopback = ip.is_loopback
        prefix = "" if ip.is_loopback else f"/{secrets.token_urlsafe(12)}"
        shown = socket.gethostname() if ip.is_unspecified else f"[{address}]" if ip.version == 6 else address
        self.url = f"http://{shown}:{self.port}{prefix}/"
        self._workers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vedette-page")
        self._routes = Routes(self.state, self._workers, prefix, self.is_loopback)
        config = uvicorn.Config(
            self._routes.application, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, limit_concurrency=64, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="vedette-page", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.close()
                raise InputError(f"--show: the page did not start at {self.url} within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.005)

    def beside(self, progress: Progress) -> Progress:
        """A progress that is drawn on the page too."""
        return Shown(progress, self.state)

    def finish(self) -> None:
        """The report is whole: who looks gets it, then this returns, after LAST_LOOK_S at the latest."""
        self.state.end()
        until = time.monotonic() + LAST_LOOK_S
        while self._routes.somebody_waits() and time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        """Stop serving. Safe to call twice."""
        self._server.should_exit = True
        self._thread.join(timeout=3.0)
        self._workers.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(OSError):  # uvicorn has closed it already, as a rule
            self._socket.close()

    def __enter__(self) -> "TrainingPage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, or one sentence about why not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise InputError(f"--show: '{host}' is no address of this machine ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise InputError(
            f"--show: cannot listen on {host}:{port}: {error.strerror}; give another port, or :0 to take a free one"
        ) from error
    return listener
