"""Hands a request on to another server as it came, and its answer back, byte for byte: nothing is signed anew.

Bodies stream in both directions, whatever their length and framing; headers stay as they are, Host too, for signatures
cover them. Only what concerns one connection (RFC 9110, 7.6.1) is left out, and "Expect: 100-continue", which no AWS
client signs: it is answered here. An answer that comes before the body has been sent ends the sending: the rest is read
from the caller and dropped.
"""

import json
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from vedette.learn.sagemaker.errors import SimulatorError

CONNECT_S, ANSWER_S = 10.0, 600.0  # moto takes its time to put thousands of parts together
_BLOCK_BYTES = 256 << 10
_MOST_LINE_BYTES = 65536
_ONE_CONNECTION = frozenset({"connection", "expect", "keep-alive", "proxy-connection", "te", "upgrade"})
_UNUSABLE = "a body needs one Content-Length or Transfer-Encoding: chunked"


@dataclass(frozen=True, slots=True)
class Server:
    """Whom requests are handed on to."""

    name: str  # in messages
    host: str
    port: int

    @staticmethod
    def at(name: str, address: str) -> "Server":
        """The server at http://HOST:PORT.

        Raises:
            SimulatorError: the address is another kind of one.
        """
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname is None or parts.path.strip("/"):
            raise SimulatorError(f"{name} at {address}: requests are handed on to http://HOST:PORT only")
        return Server(name, parts.hostname, parts.port or 80)


class UnusableBodyError(Exception):
    """How long the body is cannot be told."""


def pass_on(handler: BaseHTTPRequestHandler, server: Server) -> None:
    """Have a request answered by another server; the caller's connection stays open where its framing allows it."""
    try:
        blocks = _body(handler)
    except UnusableBodyError:
        handler.close_connection = True
        _refuse(handler, 400, "InvalidRequest", _UNUSABLE)
        return
    try:
        upstream = socket.create_connection((server.host, server.port), CONNECT_S)
    except OSError as error:
        for _ in blocks:
            pass
        told = f"{server.name} does not answer ({error.strerror or error}); end this simulator and start it again"
        _refuse(handler, 503, "ServiceUnavailable", told)
        return
    with upstream:
        upstream.settimeout(ANSWER_S)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send(handler, upstream, blocks)
        answer = HTTPResponse(upstream, method=handler.command)
        try:
            answer.begin()
        except (HTTPException, OSError) as error:
            _refuse(handler, 502, "BadGateway", f"{server.name} gives no answer ({error or type(error).__name__})")
            return
        with answer:
            _give_back(handler, answer)


def _body(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    """The body in pieces as they stand on the wire, chunks with their frames."""
    lengths = handler.headers.get_all("Content-Length", [])
    codings = handler.headers.get_all("Transfer-Encoding", [])
    if codings:
        if lengths or [one.strip().lower() for one in codings] != ["chunked"]:
            raise UnusableBodyError
        return _chunks(handler.rfile)
    if len(lengths) > 1 or not all(one.strip().isdecimal() for one in lengths):
        raise UnusableBodyError
    return _exactly(handler.rfile, int(lengths[0]) if lengths else 0)


def _exactly(file: BufferedIOBase, count: int) -> Iterator[bytes]:
    while count > 0:
        block = file.read1(min(count, _BLOCK_BYTES))
        if not block:
            raise ConnectionAbortedError("the caller has gone")
        count -= len(block)
        yield block


def _chunks(file: BufferedIOBase) -> Iterator[bytes]:
    while True:
        line = file.readline(_MOST_LINE_BYTES)
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise ConnectionAbortedError("no chunk") from error
        yield line
        if size <= 0:
            break
        yield from _exactly(file, size + 2)
    while True:
        line = file.readline(_MOST_LINE_BYTES)  # trailers: the checksum of a body that was streamed
        yield line
        if line in {b"\r\n", b"\n", b""}:
            return


def _send(handler: BaseHTTPRequestHandler, upstream: socket.socket, blocks: Iterator[bytes]) -> None:
    """Head and body; the head goes with what there is of the body."""
    lines = [handler.requestline.encode("latin-1")]
    for name, value in handler.headers.items():
        if name.lower() not in _ONE_CONNECTION:
            lines.append(f"{name}: {value}".encode("latin-1"))
    waiting = b"\r\n".join([*lines, b"Connection: close", b"", b""])
    try:
        for block in blocks:
            upstream.sendall(waiting + block if waiting else block)
            waiting = b""
            if select.select([upstream], [], [], 0)[0]:
                break  # it has heard enough
        if waiting:
            upstream.sendall(waiting)
    except (BrokenPipeError, ConnectionResetError):
        pass  # what it had to say may be there all the same
    for _ in blocks:
        pass


def _give_back(handler: BaseHTTPRequestHandler, answer: HTTPResponse) -> None:
    """Status, headers and body as they came; a body that breaks off breaks the caller's connection."""
    has_body = not (handler.command == "HEAD" or answer.status in {204, 304} or answer.status < 200)
    chunked = has_body and (answer.chunked or answer.length is None) and handler.request_version != "HTTP/1.0"
    handler.send_response_only(answer.status, answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _ONE_CONNECTION | {"transfer-encoding"}:
            handler.send_header(name, value)
    if chunked:
        handler.send_header("Transfer-Encoding", "chunked")
    elif has_body and answer.length is None:
        handler.close_connection = True
    if handler.close_connection:
        handler.send_header("Connection", "close")
    handler.end_headers()
    if not has_body:
        return
    try:
        while block := answer.read1(_BLOCK_BYTES):
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
    except HTTPException as error:
        raise ConnectionAbortedError("the answer breaks off") from error
    if answer.length:
        raise ConnectionAbortedError("the answer breaks off")
    if chunked:
        handler.wfile.write(b"0\r\n\r\n")


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
    """An error as the service that was asked would write it: JSON where operations are named in a header, else XML."""
    if "X-Amz-Target" in handler.headers:
        kind, content = "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message})
    else:
        error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        is_query = handler.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
        kind, content = "application/xml", f"<ErrorResponse>{error}</ErrorResponse>" if is_query else error
    body = content.encode()
    handler.send_response_only(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    if handler.close_connection:
        handler.send_header("Connection", "close")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
