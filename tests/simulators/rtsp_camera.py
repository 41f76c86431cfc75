"""An RTSP camera on loopback: one H.264 track, RTP interleaved in the TCP connection (RFC 2326 10.12, RFC 6184).

Knows OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN and Basic authentication; loops a short clip in real time. It can fall
silent or hang up after a time, or never answer at all (`deaf`). Several clients at once.
"""

import base64
import socket
import struct
import threading
import time
from collections.abc import Callable
from io import BytesIO
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

from simulators.clips import draw_frame

FPS = 25
SIZE = (160, 96)
PAYLOAD = 1200
CLIP_FRAMES = 25
Draw = Callable[[int, int, int], NDArray[np.uint8]]


def encode_units(draw: Draw = draw_frame, clip_frames: int = CLIP_FRAMES) -> list[list[bytes]]:
    """The NAL units of each frame of a clip, a keyframe a second; the first frame carries SPS and PPS."""
    sink = BytesIO()
    with av.open(sink, "w", format="h264") as output:
        video = output.add_stream("libx264", rate=FPS)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = CLIP_FRAMES
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "sliced-threads=0"}
        frames = []
        for index in range(clip_frames):
            packets = video.encode(av.VideoFrame.from_ndarray(draw(index, *SIZE), format="rgb24"))
            frames += [bytes(packet) for packet in packets]
        frames += [bytes(packet) for packet in video.encode()]
    return [[unit.rstrip(b"\0") for unit in frame.split(b"\0\0\1") if unit.strip(b"\0")] for frame in frames]


class RtspCamera:
    """Start with `with RtspCamera() as camera:`; `camera.url`."""

    def __init__(
        self,
        credentials: tuple[str, str] | None = None,
        silent_after_s: float | None = None,
        close_after_s: float | None = None,
        deaf: bool = False,
        frames: list[list[bytes]] | None = None,
    ) -> None:
        self._silent_after_s, self._close_after_s, self._deaf = silent_after_s, close_after_s, deaf
        self._expected = None
        if credentials is not None:
            self._expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        self._frames = frames or encode_units()
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"

    def __enter__(self) -> "RtspCamera":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            client.settimeout(0.1)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                if self._deaf:
                    self._stopping.wait()
                    return
                if self._talk(client):
                    self._play(client)
            except OSError:
                return  # the client has gone

    def _talk(self, client: socket.socket) -> bool:
        """Answer requests up to PLAY; whether it came to that."""
        pending = b""
        while not self._stopping.is_set():
            while b"\r\n\r\n" not in pending:
                if self._stopping.is_set():
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
        status, more, body = "200 OK", "", ""
        if self._expected is not None and method != "OPTIONS" and fields.get("Authorization") != self._expected:
            status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            sets = ",".join(base64.b64encode(unit).decode() for unit in self._frames[0][:2])
            body = (
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nc=IN IP4 127.0.0.1\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
            )
            more = "Content-Type: application/sdp\r\n"
        elif method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            more = "Session: 1\r\n"
        return (
            f"RTSP/1.0 {status}\r\nCSeq: {fields['CSeq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def _play(self, client: socket.socket) -> None:
        began, sequence, index = time.monotonic(), 0, 0
        while not self._stopping.is_set():
            spent = time.monotonic() - began
            if self._close_after_s is not None and spent > self._close_after_s:
                return
            if self._silent_after_s is not None and spent > self._silent_after_s:
                self._stopping.wait()
                return
            units = self._frames[index % len(self._frames)]
            for number, unit in enumerate(units):
                for payload, last in _payloads(unit):
                    marker = 0x80 if last and number == len(units) - 1 else 0
                    header = struct.pack(">BBHII", 0x80, marker | 96, sequence & 0xFFFF, index * 90_000 // FPS, 1)
                    client.sendall(struct.pack(">BBH", 0x24, 0, 12 + len(payload)) + header + payload)
                    sequence += 1
            index += 1
            self._stopping.wait(max(began + index / FPS - time.monotonic(), 0))


def _payloads(unit: bytes) -> list[tuple[bytes, bool]]:
    """A NAL unit as one RTP payload, or cut into FU-A fragments; and whether it is the unit's last."""
    if len(unit) <= PAYLOAD:
        return [(unit, True)]
    indicator, kind, body = (unit[0] & 0xE0) | 28, unit[0] & 0x1F, unit[1:]
    pieces = [body[start : start + PAYLOAD] for start in range(0, len(body), PAYLOAD)]
    return [
        (
            bytes([indicator, kind | (0x80 if number == 0 else 0) | (0x40 if number == len(pieces) - 1 else 0)])
            + piece,
            number == len(pieces) - 1,
        )
        for number, piece in enumerate(pieces)
    ]
