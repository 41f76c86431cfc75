"""Pushes the cameras' own packets on to a media server by RTSP, in a process of its own (`publish_program`).

Guarantees: watching never waits for the server: who cannot send skips to the newest keyframe; a connection that breaks
is tried again, and that is said once, and once when it is back; user name and password are in no argument, no message
and no log.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from vedette.contracts.camera_url import hide_query_secrets
from vedette.contracts.status import OutletState, PublishingStatus
from vedette.edge.live.publish_program import HEAD, PICTURE, START, TARGET
from vedette.edge.live.video_store import VideoStore
from vedette.edge.live.video_track import VideoTrack

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from vedette.edge.live.publish_program import main; main()"
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
POLL_S = 0.05
KEEP_S = 2.0
END_S = 1.0
AGAIN_S = 2.0  # after the program died
COUNTED = ("pictures", "bytes", "dropped")


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """`url` has {camera} where each camera's name goes."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None  # who vouches for a server over TLS; None: whom this machine trusts

    def shown(self, camera: str) -> str:
        """The address without secrets."""
        return hide_query_secrets(self._url(camera))

    def _url(self, camera: str) -> str:
        return self.url.replace("{camera}", camera)

    def address(self, camera: str) -> str:
        """With the credentials; to be shown to nobody."""
        parts = urlsplit(self._url(camera))
        if self.username is None:
            return self._url(camera)
        password = "" if self.password is None else f":{quote(self.password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{quote(self.username, safe='')}{password}@{parts.netloc}"))


@dataclass(slots=True)
class _Camera:
    name: str
    track: VideoTrack
    status: PublishingStatus
    serial: int = 0
    start: int = 0
    counted: dict[str, int] = field(default_factory=dict)  # by programs that have died


class Publishing:
    """All cameras of a run. `say` is told when a camera's video arrives at the server, or does not."""

    def __init__(
        self, store: VideoStore, cameras: Sequence[str], target: PublishTarget, say: Callable[[str], None]
    ) -> None:
        self._store, self._target, self._say = store, target, say
        self._cameras = [
            _Camera(name, store.acquire(name, KEEP_S), PublishingStatus(name, target.shown(name))) for name in cameras
        ]
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="vedette-publish", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        process = self._process
        if process is not None:
            process.kill()  # a writer that waits for it waits no more
        self._thread.join()
        for camera in self._cameras:
            self._store.release(camera.name, KEEP_S)

    def status(self) -> tuple[PublishingStatus, ...]:
        """Each camera's; from any thread."""
        return tuple(camera.status for camera in self._cameras)

    @property
    def pid(self) -> int | None:
        """Of the program."""
        return None if self._process is None else self._process.pid

    def _work(self) -> None:
        while not self._stop.is_set():
            process = self._begin()
            reports = threading.Thread(target=self._listen, args=(process,), name="vedette-publish-reports")
            reports.start()
            try:
                with contextlib.suppress(OSError):  # it is gone; another one goes on
                    self._feed(process)
            finally:
                process.kill()
                process.wait()
                reports.join()
                assert process.stdin is not None
                with contextlib.suppress(OSError):  # what it has not read is lost
                    process.stdin.close()
            self._stop.wait(AGAIN_S)

    def _begin(self) -> "subprocess.Popen[bytes]":
        package = str(Path(__file__).resolve().parents[3])
        path = [entry for entry in (package, *sys.path) if entry]
        process = self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", PROGRAM, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # FFmpeg's own words may hold the address
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
        )
        for camera in self._cameras:
            camera.serial = camera.start = 0
            camera.counted = {name: getattr(camera.status, name) for name in COUNTED}
        return process

    def _feed(self, process: "subprocess.Popen[bytes]") -> None:
        pipe = process.stdin
        assert pipe is not None
        for place, camera in enumerate(self._cameras):
            target = self._target
            document = {"camera": camera.name, "url": target.address(camera.name), "ca_file": target.ca_file}
            self._send(process, TARGET, place, json.dumps(document).encode())
        while not self._stop.wait(POLL_S):
            for place, camera in enumerate(self._cameras):
                for picture in camera.track.after(camera.serial):
                    if picture.start.number != camera.start:
                        camera.start = picture.start.number
                        self._send(process, START, place, picture.start.data)
                    sample = picture.sample
                    times = (picture.dts_ticks, picture.pts_ticks, sample.duration_ticks, sample.is_keyframe)
                    self._send(process, PICTURE, place, sample.data, times)
                    camera.serial = picture.serial
            pipe.flush()

    def _send(
        self,
        process: "subprocess.Popen[bytes]",
        kind: int,
        place: int,
        data: bytes,
        times: tuple[int, int, int, bool] = (0, 0, 0, False),
    ) -> None:
        assert process.stdin is not None
        process.stdin.write(HEAD.pack(kind, place, len(data), *times))
        process.stdin.write(data)

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout:
            lines = iter(process.stdout.readline, b"")
            self._tell(lines)

    def _tell(self, lines: Iterable[bytes]) -> None:
        cameras = {camera.name: camera for camera in self._cameras}
        for line in lines:
            told = json.loads(line)
            camera = cameras[told["camera"]]
            counts = {name: camera.counted[name] + told[name] for name in COUNTED}
            camera.status = replace(camera.status, **counts)
            if "up" in told:
                self._turn(camera, None if told["up"] else str(told["error"]))

    def _turn(self, camera: _Camera, error: str | None) -> None:
        """The video arrives, or does not; said when that is news."""
        before, name = camera.status, camera.name
        if error is None:
            camera.status = replace(before, state=OutletState.WORKING, problem=None, stopped_since_unix_s=None)
            if before.state is not OutletState.WORKING:
                self._say(f"camera '{name}': published at {before.url}")
            return
        problem = f"camera '{name}': cannot be published at {before.url} ({error})"
        camera.status = replace(before, state=OutletState.STOPPED, problem=problem)
        if before.state is not OutletState.STOPPED:
            camera.status = replace(camera.status, stopped_since_unix_s=time.time(), stops=before.stops + 1)
            self._say(f"{problem}; it is tried again, and watching goes on")
