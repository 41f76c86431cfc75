"""The cameras' video over HTTP: one endless answer for all tiles of a page, and HLS for everybody else.

One answer for all tiles, since a browser opens six connections to a site. It holds messages: the length of the content
(4 bytes, big-endian), its kind (1), which camera of those asked for (2), then START (2 bytes of length, JSON with the
MIME type, the initialisation segment), FRAGMENT (4 bytes serial, moof and mdat of a picture), RESULTS (JSON: boxes with
their times on the video's line) or ALIVE (nothing). A page that asks again says what it has and goes on from there.
Nothing is queued for a viewer: who is slow skips to the newest keyframe. Access is the guard's matter.
"""

import asyncio
import json
import re
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from vedette.edge.live.hls import HlsShelf
from vedette.edge.live.video_store import VideoStore
from vedette.edge.live.video_track import VideoTrack

ALIVE, START, FRAGMENT, RESULTS = range(4)
POLL_S = 0.05  # how late a picture may be; cheaper than waking the loop for every packet of every camera
ALIVE_EVERY_S = 2.0
MOST_CAMERAS = 64
KEEP_S = 4.0  # for a page whose connection broke: it goes on without a gap
_HEAD = struct.Struct(">IBH")
_POSITION = re.compile(r"^\d{1,12}\.\d{1,12}\.\d{1,12}$")


@dataclass(slots=True)
class _Seat:
    """What one viewer has of one camera."""

    place: int
    track: VideoTrack
    serial: int = 0
    start: int = 0
    result: int = 0
    parts: list[bytes] = field(default_factory=list)

    def collect(self) -> list[bytes]:
        """Messages with all that is new."""
        parts: list[bytes] = []
        for picture in self.track.after(self.serial):
            if picture.start.number != self.start:
                start = picture.start
                described = {"mime": start.mime, "width": start.form.width_px, "height": start.form.height_px}
                head = json.dumps({"number": start.number, **described}).encode()
                parts.append(self._message(START, len(head).to_bytes(2, "big") + head + start.data))
                self.start = start.number
            self.serial = picture.serial
            fragment = picture.fragment
            parts += (_HEAD.pack(4 + len(fragment), FRAGMENT, self.place), self.serial.to_bytes(4, "big"), fragment)
        if self.track.result > self.result:
            self.result, results = self.track.results_after(self.result)
            if results:
                document = {"last": self.result, "results": results}
                parts.append(self._message(RESULTS, json.dumps(document, separators=(",", ":")).encode()))
        return parts

    def _message(self, kind: int, content: bytes) -> bytes:
        return _HEAD.pack(len(content), kind, self.place) + content


class VideoRoutes:
    """Routes for `LivePage(routes=...)`; the application's `state.is_closing` says when endless answers must end."""

    def __init__(self, store: VideoStore, cameras: Collection[str] | None = None) -> None:
        """Only these `cameras` are shown, where they are given."""
        self._store = store
        self._tracks = {name: track for name, track in store.tracks.items() if cameras is None or name in cameras}
        self._hls = HlsShelf(store)
        self._instance = secrets.token_hex(4)
        self.viewers = 0

    @property
    def routes(self) -> list[BaseRoute]:
        """To be mounted."""
        return [
            Route("/video", self._video),
            Route("/hls/{camera:path}/index.m3u8", self._playlist),
            Route("/hls/{camera:path}/start-{number:int}.mp4", self._hls_start),
            Route("/hls/{camera:path}/{segment:int}.m4s", self._hls_segment),
            Route("/hls.json", self._list),
        ]

    def close(self) -> None:
        """Hold no camera any more."""
        self._hls.close()

    async def _video(self, request: Request) -> Response:
        names = request.query_params.getlist("camera")
        positions = request.query_params.getlist("at")
        if not 1 <= len(names) <= MOST_CAMERAS or len(positions) not in (0, len(names)):
            return PlainTextResponse(
                f"ask for 1 to {MOST_CAMERAS} cameras, as camera=NAME, with at= for each or none", 400
            )
        known = request.query_params.get("instance") == self._instance
        seats = []
        for place, name in enumerate(names):
            if name not in self._tracks:
                continue
            seat = _Seat(place, self._tracks[name])
            if known and positions and _POSITION.match(positions[place]):
                seat.serial, seat.start, seat.result = map(int, positions[place].split("."))
            seats.append(seat)
        headers = {"x-vedette-video": self._instance, "x-accel-buffering": "no"}
        return StreamingResponse(
            self._messages(seats, _closing(request)), media_type="application/octet-stream", headers=headers
        )

    async def _messages(self, seats: list[_Seat], closing: Callable[[], bool]) -> AsyncIterator[bytes]:
        for seat in seats:
            self._store.acquire(seat.track.camera, KEEP_S)
        self.viewers += 1
        try:
            told_s = float("-inf")
            while not closing():
                parts = [part for seat in seats for part in seat.collect()]
                now = time.monotonic()
                if parts or now >= told_s + ALIVE_EVERY_S:
                    told_s = now
                    yield b"".join(parts) or _HEAD.pack(0, ALIVE, 0)
                await asyncio.sleep(POLL_S)
        finally:
            self.viewers -= 1
            for seat in seats:
                self._store.release(seat.track.camera, KEEP_S)

    # -- HLS ------------------------------------------------------------------------------------------------------

    async def _list(self, request: Request) -> Response:
        paths = {camera: f"/hls/{camera}/index.m3u8" for camera in self._tracks}
        return JSONResponse({"playlists": paths})

    async def _playlist(self, request: Request) -> Response:
        camera = request.path_params["camera"]
        if camera not in self._tracks:
            return PlainTextResponse("no such camera", 404)
        until, closing = time.monotonic() + self._hls.patience_s, _closing(request)
        while (text := self._hls.playlist(camera)) is None and time.monotonic() < until and not closing():
            await asyncio.sleep(POLL_S)
        if text is None:
            reason = "no video of this camera yet: it sends none, or neither H.264 nor H.265"
            return PlainTextResponse(reason, 503, {"retry-after": "2"})
        return Response(text, media_type="application/vnd.apple.mpegurl")

    async def _hls_start(self, request: Request) -> Response:
        camera = request.path_params["camera"]
        data = self._hls.start(camera, request.path_params["number"]) if camera in self._tracks else None
        return _found(data)

    async def _hls_segment(self, request: Request) -> Response:
        camera = request.path_params["camera"]
        data = self._hls.segment(camera, request.path_params["segment"]) if camera in self._tracks else None
        return _found(data)


def _closing(request: Request) -> Callable[[], bool]:
    closing: Callable[[], bool] = request.app.state.is_closing
    return closing


def _found(data: bytes | None) -> Response:
    if data is None:
        return PlainTextResponse("gone: ask for the playlist again", 404)
    return Response(data, media_type="video/mp4")
