"""An HTTP camera on loopback: endless MPEG-TS or Motion JPEG, in real time, with or without a password.

Paths: `/live.ts`, `/mjpeg`, `/clip.mp4` (a finite file), `/text`; anything else is 404. `silent_after_s` makes it stop
sending and hold the connection; `close_after_s` makes it hang up. Several clients at once.
"""

import base64
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

import av
import cv2

from simulators.clips import draw_frame

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
        self.expected = None
        if credentials is not None:
            self.expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
        camera = self

        class Handler(_Handler):
            server_camera = camera

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def __enter__(self) -> "HttpCamera":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_camera: HttpCamera

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        camera = self.server_camera
        if camera.expected is not None and self.headers.get("Authorization") != camera.expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        bodies = {
            "/live.ts": ("video/mp2t", transport_stream),
            "/mjpeg": ("multipart/x-mixed-replace; boundary=next", motion_jpeg),
            "/text": ("text/plain", lambda: iter([b"hello, this is no camera\n" * 200])),
        }
        if self.path == "/clip.mp4" and camera.clip is not None:
            bodies["/clip.mp4"] = ("video/mp4", lambda: iter([camera.clip.read_bytes()]))
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
        camera, began = self.server_camera, time.monotonic()
        for chunk in chunks:
            spent = time.monotonic() - began
            if camera.stopping.is_set() or (camera.close_after_s is not None and spent > camera.close_after_s):
                return
            if camera.silent_after_s is not None and spent > camera.silent_after_s:
                camera.stopping.wait()
                return
            self.wfile.write(chunk)
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


def transport_stream(seconds: float = 60.0) -> Iterator[bytes]:
    """MPEG-TS with H.264 in real time, a keyframe every 10 frames."""
    sink = _Chunks()
    with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        video = output.add_stream("libx264", rate=FPS)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = 10
        video.options = {"preset": "ultrafast", "tune": "zerolatency"}
        began = time.monotonic()
        for index in range(int(seconds * FPS)):
            output.mux(video.encode(av.VideoFrame.from_ndarray(draw_frame(index, *SIZE), format="rgb24")))
            if sink.taken:
                chunk, sink.taken = sink.taken, b""
                yield chunk
            time.sleep(max(began + index / FPS - time.monotonic(), 0))


def motion_jpeg(seconds: float = 60.0) -> Iterator[bytes]:
    """One JPEG after the other, 10 a second: FFmpeg's made-up 25 frames a second would be wrong."""
    began = time.monotonic()
    for index in range(int(seconds * 10)):
        picture = cv2.imencode(".jpg", draw_frame(index, *SIZE)[:, :, ::-1])[1].tobytes()
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield head.encode() + picture + b"\r\n"
        time.sleep(max(began + index / 10 - time.monotonic(), 0))
