"""An RTSP camera on loopback: one H.264 or H.265 track, RTP interleaved in the TCP connection (RFC 2326 10.12).

Knows OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN and Basic authentication; loops a short clip in real time. It can fall
silent or hang up after a time, or never answer at all (`deaf`); and, while it runs, be killed and started again on its
port, be given another `mood`, other `frames` (of another codec or size), other time stamps. Several clients at once.
"""

import base64
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

from simulators.moods import Mood
from simulators.rtp_units import CLIP_FRAMES, FPS, SIZE, encode_units, payloads
from unused_ports import unused_port

__all__ = ["CLIP_FRAMES", "FPS", "SIZE", "RtspCamera", "encode_units"]
CLOCK = 90_000
TRUNCATED_EVERY_S = 0.5


class RtspCamera:
    """Start with `with RtspCamera() as camera:`; `camera.url`."""

    def __init__(
        self,
        credentials: tuple[str, str] | None = None,
        silent_after_s: float | None = None,
        close_after_s: float | None = None,
        deaf: bool = False,
        frames: list[list[bytes]] | None = None,
        *,
        codec: str = "h264",
        due_s: Callable[[int], float] = lambda index: index / FPS,
        stamp_s: Callable[[int], float] | None = None,
        audio_first: bool = False,
        redirect: str | None = None,
        port: int = 0,
    ) -> None:
        """`due_s` says when a frame is sent after PLAY, `stamp_s` what its time stamp says where that is another."""
        self._silent_after_s, self._close_after_s = silent_after_s, close_after_s
        self._expected = None
        if credentials is not None:
            self._expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        self.mood = Mood.BLACK_HOLE if deaf else Mood.WELL
        self.frames, self.codec = frames or encode_units(codec=codec), codec
        self.due_s, self.stamp_s = due_s, stamp_s or due_s
        self.audio_first, self.redirect = audio_first, redirect
        self.authorizations: list[str] = []  # what clients showed
        self.connections = self.frames_sent = 0
        self._port = port or unused_port()  # it may be away for a while and come back
        self._life = threading.Event()  # set: this life is over
        self._threads: list[threading.Thread] = []
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen()
        self.url = f"rtsp://127.0.0.1:{self._port}/live"

    def __enter__(self) -> "RtspCamera":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Listen (again), on the port of before."""
        if self._listener is None:
            self._listener = self._listen()
        self._life = threading.Event()
        self._threads = [threading.Thread(target=self._accept, args=(self._listener, self._life), daemon=True)]
        self._threads[0].start()

    def kill(self) -> None:
        """Hang up on everybody and refuse connections from now on."""
        self._life.set()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def hang_up(self) -> None:
        """On everybody who is connected; who connects anew is served."""
        with self._lock:
            for client in self._clients:
                with contextlib.suppress(OSError):  # it has gone by itself
                    client.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> socket.socket | None:
        listener = socket.create_server(("127.0.0.1", self._port))
        listener.settimeout(0.05)
        self._port = listener.getsockname()[1]
        return listener

    def _accept(self, listener: socket.socket, life: threading.Event) -> None:
        while not life.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                continue
            client.settimeout(0.1)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(client, life), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, life: threading.Event) -> None:
        with client:
            with self._lock:
                self._clients.add(client)
            try:
                if self.mood is Mood.BLACK_HOLE:
                    self._swallow(client, life)
                elif self.mood is Mood.ENDLESS_HEADER:
                    self._answer_for_ever(client, life)
                elif self._talk(client, life):
                    self._play(client, life)
            except OSError:
                return  # the client has gone
            finally:
                with self._lock:
                    self._clients.discard(client)

    @staticmethod
    def _swallow(client: socket.socket, life: threading.Event) -> None:
        while not life.is_set():
            try:
                if not client.recv(4096):
                    return
            except TimeoutError:
                continue

    @staticmethod
    def _answer_for_ever(client: socket.socket, life: threading.Event) -> None:
        client.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n")
        while not life.wait(0.02):
            client.sendall(b"X-More: and more\r\n")

    def _talk(self, client: socket.socket, life: threading.Event) -> bool:
        """Answer requests up to PLAY; whether it came to that."""
        pending = b""
        while not life.is_set():
            while b"\r\n\r\n" not in pending:
                if life.is_set():
                    return False
                try:
                    more = client.recv(4096)
                except TimeoutError:
                    continue
                if not more:
                    return False
                pending += more
            head, _, pending = pending.partition(b"\r\n\r\n")
            method = head.split(b" ", 1)[0].decode()
            client.sendall(self._answer(method, head.decode()))
            if method == "PLAY":
                return True
            if method == "TEARDOWN":
                return False
        return False

    def _answer(self, method: str, head: str) -> bytes:
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        if "Authorization" in fields:
            self.authorizations.append(fields["Authorization"])
        status, more, body = "200 OK", "", ""
        locked = self.mood is Mood.LOCKED or (
            self._expected is not None and fields.get("Authorization") != self._expected
        )
        if self.mood is Mood.MISSING and method != "OPTIONS":
            status = "404 Not Found"
        elif locked and method != "OPTIONS":
            status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif self.redirect is not None and method == "DESCRIBE":
            status, more = "302 Moved Temporarily", f"Location: {self.redirect}\r\n"
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body, more = self._description(), "Content-Type: application/sdp\r\n"
        elif method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            more = "Session: 1\r\n"
        return (
            f"RTSP/1.0 {status}\r\nCSeq: {fields['CSeq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def _description(self) -> str:
        """The SDP."""
        audio = "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track9\r\n" if self.audio_first else ""
        video = "m=video 0 RTP/AVP 96\r\na=control:track0\r\n"
        if self.codec == "h264":
            sets = ",".join(base64.b64encode(unit).decode() for unit in self.frames[0][:2])
            video += f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
        else:
            names = ("sprop-vps", "sprop-sps", "sprop-pps")
            units = (base64.b64encode(unit).decode() for unit in self.frames[0][:3])
            sets = ";".join(f"{name}={unit}" for name, unit in zip(names, units, strict=True))
            video += f"a=rtpmap:96 H265/90000\r\na=fmtp:96 {sets}\r\n"
        return f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nc=IN IP4 127.0.0.1\r\n{audio}{video}"

    def _play(self, client: socket.socket, life: threading.Event) -> None:
        began, sequence, index = time.monotonic(), 0, 0
        while not life.is_set():
            spent = self.due_s(index)  # not by the clock: a busy machine sends late, and so many frames all the same
            if self._close_after_s is not None and spent > self._close_after_s:
                return
            if self.mood is Mood.SILENT or (self._silent_after_s is not None and spent > self._silent_after_s):
                self._swallow(client, life)
                return
            units = self.frames[index % len(self.frames)]
            truncated = self.mood is Mood.TRUNCATED
            if truncated:
                units = [unit[: max(len(unit) // 20, 3)] for unit in units[-1:]]
            stamp = round(self.stamp_s(index) * CLOCK) & 0xFFFFFFFF
            for number, unit in enumerate(units):
                for payload, last in payloads(unit, self.codec):
                    marker = 0x80 if last and number == len(units) - 1 else 0
                    header = struct.pack(">BBHII", 0x80, marker | 96, sequence & 0xFFFF, stamp, 1)
                    client.sendall(struct.pack(">BBH", 0x24, 0, 12 + len(payload)) + header + payload)
                    sequence += 1
            index += 1
            self.frames_sent += 1
            if truncated:
                life.wait(TRUNCATED_EVERY_S)
                index = max(index, int((time.monotonic() - began) * FPS))
            else:
                life.wait(max(began + self.due_s(index) - time.monotonic(), 0))
