"""A web server for files on loopback that resumes (Range, If-Range, ETag), and misbehaves on request.

`FileServer.files` maps a path to bytes, `FileServer.manners` a path to one `Manner`; `requests` remembers what came.
"""

import hashlib
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass
class Manner:
    """How one path is answered; a fresh one is well-behaved."""

    ranges: bool = True  # False: every answer is the whole file
    ignores_if_range: bool = False  # sends the rest of another file
    shifts_range: bool = False  # sends another part than was asked for
    etag: bool = True
    length: bool = True  # False: chunked
    close_after_bytes: int | None = None  # hang up within the body
    stall_after_bytes: int | None = None  # fall silent within the body
    extra_bytes: int = 0  # more than the file has
    status: int = 200
    content_type: str = "application/octet-stream"
    redirect: str | None = None
    slow_s: float = 0.0  # before each block


class FileServer:
    """Start with `with FileServer() as server:`; `server.url("a.weights")`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.manners: dict[str, Manner] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []  # path, Range, If-Range
        self.stopping = threading.Event()

    def __enter__(self) -> "FileServer":
        simulator = self

        class Handler(_Handler):
            server_of_files = simulator

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def manner(self, path: str, **how: object) -> None:
        self.manners[path] = Manner(**how)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_files: FileServer

    def do_GET(self) -> None:
        server, path = self.server_of_files, self.path.lstrip("/")
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        server.requests.append((path, asked, condition))
        manner = server.manners.get(path, Manner())
        if manner.redirect is not None:
            self._answer(302, {"Location": manner.redirect, "Content-Length": "0"})
            return
        if path not in server.files or manner.status != 200:
            self._answer(404 if manner.status == 200 else manner.status, {"Content-Length": "0"})
            return
        self._send_file(server.files[path], manner, asked, condition)

    def _send_file(self, content: bytes, manner: Manner, asked: str | None, condition: str | None) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"Content-Type": manner.content_type} | ({"ETag": etag} if manner.etag else {})
        start, status = 0, 200
        if asked and manner.ranges and (condition == etag or manner.ignores_if_range):
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                self._answer(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            start -= manner.shifts_range
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:] + b"+" * manner.extra_bytes
        headers |= {"Content-Length": str(len(content) - start)} if manner.length else {"Transfer-Encoding": "chunked"}
        self._answer(status, headers)
        self._send_body(body, manner)

    def _send_body(self, body: bytes, manner: Manner) -> None:
        ends = [end for end in (manner.close_after_bytes, manner.stall_after_bytes) if end is not None]
        sent = 0
        for end in (*ends, len(body)):
            while sent < min(end, len(body)):
                time.sleep(manner.slow_s)
                block = body[sent : min(sent + 4096, end)]
                self.wfile.write(block if manner.length else f"{len(block):x}\r\n".encode() + block + b"\r\n")
                sent += len(block)
            self.wfile.flush()
            if end == manner.stall_after_bytes:
                self.server_of_files.stopping.wait()
            if end in ends:
                self.close_connection = True
                return
        if not manner.length:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client had enough
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass
