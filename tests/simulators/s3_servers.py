"""Real S3 servers on 127.0.0.1: rclone's (checks signatures, keeps files in a folder) and moto's (S3's semantics).

`cutting_proxy` stands before one of them, counts requests, and breaks connections after a number of bytes.
"""

import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from unused_ports import unused_port
from vedette.storage.address import S3Settings

ACCESS_KEY, SECRET_KEY = "AKIDLOOPBACK", "a-secret-canary-4711"
BUCKET = "pictures"
START_PATIENCE_S = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    port: int
    folder: Path | None = None  # where rclone keeps the objects

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, *, secret: str = SECRET_KEY, port: int | None = None, max_retries: int = 3) -> S3Settings:
        """What a client needs; `port` may be a proxy's."""
        return S3Settings(
            endpoint_url=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            credentials=lambda: {
                "access_key_id": ACCESS_KEY,
                "secret_access_key": secret,
                "token": None,
                "expires_at": None,
            },
            max_retries=max_retries,
        )

    def environment(self) -> dict[str, str]:
        """The same as environment variables of the AWS tools."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }


@contextmanager
def rclone_server(folder: Path) -> Iterator[S3Server]:
    """rclone's S3 server over a folder."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    assert program is not None, "rclone is missing; install the dev extra"
    port = unused_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    with _running([*command, "--config", "/dev/null", str(folder)], port):
        yield S3Server(port, folder)


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """moto's server, with S3's own semantics and no check of signatures."""
    port = unused_port()
    with _running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        server = S3Server(port)
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT")):
            pass
        yield server


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_PATIENCE_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{command[0]} ended at once"
            assert time.monotonic() < until, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_CONTENT = re.compile("/objects/sha256/|/objects/packs/")
_REQUEST_LINE = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) (/[^ \r\n]*) HTTP/1\.1\r\n")


@dataclass
class Traffic:
    """What went through a proxy."""

    port: int
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_up: int = 0
    bytes_down: int = 0
    cuts: int = 0

    def methods(self) -> Counter[str]:
        return Counter(method for method, _ in self.requests)

    def sent_objects(self) -> list[str]:
        """The paths of content that was sent, once for each time."""
        return [path for method, path in self.requests if method in {"PUT", "POST"} and _CONTENT.search(path)]


@contextmanager
def cutting_proxy(server_port: int, cut_after: Callable[[], int | None] = lambda: None) -> Iterator[Traffic]:
    """A TCP proxy; each connection is reset after as many bytes (both ways together) as `cut_after` says for it."""
    listener = socket.create_server(("127.0.0.1", 0))
    traffic = Traffic(int(listener.getsockname()[1]))
    lock = threading.Lock()
    closing = threading.Event()

    def serve() -> None:
        while not closing.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(client,), daemon=True).start()

    def relay(client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", server_port))
        except OSError:
            client.close()
            return
        left = [cut_after()]
        pumps = [
            threading.Thread(target=pump, args=(client, upstream, left, True), daemon=True),
            threading.Thread(target=pump, args=(upstream, client, left, False), daemon=True),
        ]
        for thread in pumps:
            thread.start()
        for thread in pumps:
            thread.join()
        client.close()
        upstream.close()

    def pump(source: socket.socket, sink: socket.socket, left: list[int | None], up: bool) -> None:
        tail = b""
        with suppress(OSError):
            while block := source.recv(65536):
                with lock:
                    allowed = len(block) if left[0] is None else min(len(block), left[0])
                    if left[0] is not None:
                        left[0] -= allowed
                    cut = left[0] == 0
                    traffic.cuts += cut
                    if up:
                        traffic.bytes_up += allowed
                        tail += block[:allowed]
                        found = [*_REQUEST_LINE.finditer(tail)]
                        traffic.requests += [(f[1].decode(), f[2].decode()) for f in found]
                        tail = tail[found[-1].end() :][-2000:] if found else tail[-2000:]
                    else:
                        traffic.bytes_down += allowed
                sink.sendall(block[:allowed])
                if cut:
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                    break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield traffic
    finally:
        closing.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
