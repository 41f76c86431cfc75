"""A media server on loopback that takes what is published to it (RTSP ANNOUNCE, RECORD; RTP interleaved; RFC 2326).

Knows OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN and Basic authentication, and puts H.264 together again from RTP (RFC
6184): single units, STAP-A, FU-A. It can refuse, never answer (`deaf`), or `hang_up` and be published to anew. With a
`certificate` (PEM with its key) it speaks TLS.
"""

import base64
import re
import socket
import ssl
import struct
import threading
from types import TracebackType


class RtspServer:
    """Start with `with RtspServer() as server:`; `server.url` and a path. `units[path]` are the NAL units that came."""

    def __init__(
        self, credentials: tuple[str, str] | None = None, *, deaf: bool = False, certificate: str | None = None
    ) -> None:
        self._expected = None
        if credentials is not None:
            self._expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        self._deaf = deaf
        self.units: dict[str, list[bytes]] = {}
        self.descriptions: dict[str, str] = {}
        self.requests: list[str] = []
        self.changed = threading.Condition()
        self._stopping = threading.Event()
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.url = f"rtsp{'s' if self._tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "RtspServer":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def hang_up(self) -> None:
        """Break every connection."""
        for client in self._clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has gone already

    def wait_for(self, path: str, count: int, timeout_s: float = 30.0) -> list[bytes]:
        """The units published to a path, when there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.units.get(path, [])) >= count, timeout_s), (
                f"{len(self.units.get(path, []))} of {count} units; asked: {self.requests}"
            )
            return list(self.units[path])

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._clients.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        if self._tls is not None:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:
                return  # it does not trust us
        with client, client.makefile("rb") as stream:
            try:
                if self._deaf:
                    self._stopping.wait()
                    return
                path, pieces = "", bytearray()
                while first := stream.read(1):
                    if first == b"$":
                        channel, size = struct.unpack(">BH", stream.read(3))
                        packet = stream.read(size)
                        if channel == 0:
                            self._take(path, packet, pieces)
                        continue
                    head = first.decode()
                    while not head.endswith("\r\n\r\n"):
                        head += stream.read(1).decode()
                    length = re.search(r"Content-Length: *(\d+)", head, re.IGNORECASE)
                    body = stream.read(int(length.group(1))).decode() if length else ""
                    method, url, _ = head.split(" ", 2)
                    path = re.sub(r"^rtsps?://[^/]*|/streamid=\d+$", "", url)
                    self.requests.append(f"{method} {path}")
                    client.sendall(self._answer(method, path, head, body))
            except (OSError, struct.error):
                return  # the client has gone

    def _answer(self, method: str, path: str, head: str, body: str) -> bytes:
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        status, more = "200 OK", ""
        if self._expected is not None and method != "OPTIONS" and fields.get("Authorization") != self._expected:
            status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="media"\r\n'
        elif method == "OPTIONS":
            more = "Public: OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN\r\n"
        elif method == "ANNOUNCE":
            self.descriptions[path] = body
        elif method == "SETUP":
            more = f"Transport: {fields['Transport']}\r\nSession: 7\r\n"
        elif method == "RECORD":
            more = "Session: 7\r\n"
        return f"RTSP/1.0 {status}\r\nCSeq: {fields['CSeq']}\r\n{more}Content-Length: 0\r\n\r\n".encode()

    def _take(self, path: str, packet: bytes, pieces: bytearray) -> None:
        payload = packet[12:]
        kind = payload[0] & 0x1F
        units: list[bytes] = []
        if kind == 28:  # FU-A
            if payload[1] & 0x80:
                pieces[:] = bytes([(payload[0] & 0xE0) | (payload[1] & 0x1F)])
            pieces += payload[2:]
            if payload[1] & 0x40:
                units.append(bytes(pieces))
        elif kind == 24:  # STAP-A
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                units.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        else:
            units.append(payload)
        with self.changed:
            self.units.setdefault(path, []).extend(units)
            self.changed.notify_all()
