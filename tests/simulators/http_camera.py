"""An HTTP camera on loopback: endless MPEG-TS or Motion JPEG, in real time, with or without a password.

Paths: `/live.ts`, `/mjpeg`, `/clip.mp4` (a finite file), `/text`, and what is added to `bodies`; anything else is 404.
`silent_after_s` makes it stop sending and hold the connection; `close_after_s` makes it hang up. While it runs it can
be killed and started again on its port, given another `mood`, or told to send clients elsewhere (`redirect`). Several
clients at once.
"""

import base64
import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

import av
import cv2

from simulators.clips import TIME_BASE, draw_frame, mux_silence
from simulators.moods import Mood

FPS = 25
SIZE = (160, 96)


class HttpCamera:
    """Start with `with HttpCamera() as camera:`; `camera.url("live.ts")`."""

    def __init__(
        self,
        clip: Path | None = None,
        credentials: tuple[str, str] | None = None,
        silent_after_s: float | None = None,
        close_after_s: float | None = None,
    ) -> None:
        self.clip = clip
        self.silent_after_s, self.close_after_s = silent_after_s, close_after_s
        self.stopping = threading.Event()
        self.mood, self.redirect = Mood.WELL, None
        self.break_films = False  # hang up in the middle of a file
        self.bodies: dict[str, tuple[str, Callable[[], Iterator[bytes]]]] = {}
        self.requests: list[str] = []
        self.authorizations: list[str] = []  # what clients showed
        self.clients: set[socket.socket] = set()
        self.expected = None
        if credentials is not None:
            self.expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        self._port = 0
        self._listen()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}/{path}"

    def __enter__(self) -> "HttpCamera":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Listen again, on the port of before."""
        self.stopping = threading.Event()
        self._listen()
        self._thread.start()

    def kill(self) -> None:
        """Hang up on everybody and refuse connections from now on."""
        self.stopping.set()
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def hang_up(self) -> None:
        """On everybody who is connected; who connects anew is served."""
        for client in list(self.clients):
            with contextlib.suppress(OSError):  # it has gone by itself
                client.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        camera = self

        class Handler(_Handler):
            server_camera = camera

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)


class _Handler(BaseHTTPRequestHandler):
    server_camera: HttpCamera

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        camera = self.server_camera
        camera.clients.add(self.connection)
        try:
            super().handle()
        except OSError:
            return  # the client has gone
        finally:
            camera.clients.discard(self.connection)

    def do_GET(self) -> None:
        camera = self.server_camera
        camera.requests.append(self.path)
        if "Authorization" in self.headers:
            camera.authorizations.append(self.headers["Authorization"])
        if camera.mood is Mood.BLACK_HOLE:
            camera.stopping.wait()
            return
        if camera.mood is Mood.ENDLESS_HEADER:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not camera.stopping.wait(0.02):
                self.wfile.write(b"X-More: and more\r\n")
            return
        if camera.mood is Mood.MISSING:
            self.send_error(404)
            return
        if camera.mood is Mood.LOCKED or (
            camera.expected is not None and self.headers.get("Authorization") != camera.expected
        ):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if camera.redirect is not None:
            self.send_response(302)
            self.send_header("Location", camera.redirect)
            self.end_headers()
            return
        bodies = {
            "/live.ts": ("video/mp2t", transport_stream),
            "/mjpeg": ("multipart/x-mixed-replace; boundary=next", motion_jpeg),
            "/text": ("text/plain", lambda: iter([b"hello, this is no camera\n" * 200])),
            **camera.bodies,
        }
        if self.path == "/clip.mp4" and camera.clip is not None:
            film = camera.clip.read_bytes()
            film = film[: len(film) // 2] if camera.break_films else film
            bodies["/clip.mp4"] = ("video/mp4", lambda: iter([film]))
        if self.path not in bodies:
            self.send_error(404)
            return
        kind, chunks = bodies[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.path == "/clip.mp4" and camera.clip is not None:
            self.send_header("Content-Length", str(camera.clip.stat().st_size))
        self.end_headers()
        try:
            self._send(chunks())
        except OSError:
            return  # the client has gone

    def _send(self, chunks: Iterator[bytes]) -> None:
        camera = self.server_camera
        for number, chunk in enumerate(chunks):
            spent = number / FPS  # not by the clock: a busy machine sends late, and so many frames all the same
            if camera.stopping.is_set() or (camera.close_after_s is not None and spent > camera.close_after_s):
                return
            if camera.mood is Mood.SILENT or (camera.silent_after_s is not None and spent > camera.silent_after_s):
                camera.stopping.wait()
                return
            truncated = camera.mood is Mood.TRUNCATED
            self.wfile.write(chunk[: len(chunk) // 188 * 4] if truncated else chunk)
            camera.stopping.wait(0.5 if truncated else 0.0)
            self.wfile.flush()


class _Chunks(io.RawIOBase):
    """A file that the muxer writes into and the server reads out of."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, content: "memoryview[int]") -> int:  # type: ignore[override]
        self.taken += bytes(content)
        return len(content)


def transport_stream(
    seconds: float = 600.0,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    audio_first: bool = False,
    due_s: Callable[[int], float] = lambda index: index / FPS,
) -> Iterator[bytes]:
    """MPEG-TS in real time, a keyframe every 10 frames; with sound ahead of the video where `audio_first`."""
    sink = _Chunks()
    with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        audio = output.add_stream("aac", rate=16_000, layout="mono") if audio_first else None
        video = output.add_stream(codec, rate=FPS)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = 10
        video.codec_context.time_base = TIME_BASE
        video.options = {"preset": "ultrafast", "tune": "zerolatency"}
        began, index = time.monotonic(), 0
        while due_s(index) < seconds:
            if audio is not None and index % 3 == 0:
                mux_silence(output, audio, int(due_s(index) * 16_000))
            frame = av.VideoFrame.from_ndarray(draw_frame(index, *size), format="rgb24")
            frame.time_base, frame.pts = TIME_BASE, round(due_s(index) / TIME_BASE)
            output.mux(video.encode(frame))
            if sink.taken:
                chunk, sink.taken = sink.taken, b""
                yield chunk
            index += 1
            time.sleep(max(began + due_s(index) - time.monotonic(), 0))


def motion_jpeg(seconds: float = 600.0) -> Iterator[bytes]:
    """One JPEG after the other, 10 a second: FFmpeg's made-up 25 frames a second would be wrong."""
    began = time.monotonic()
    for index in range(int(seconds * 10)):
        picture = cv2.imencode(".jpg", draw_frame(index, *SIZE)[:, :, ::-1])[1].tobytes()
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield head.encode() + picture + b"\r\n"
        time.sleep(max(began + index / 10 - time.monotonic(), 0))
