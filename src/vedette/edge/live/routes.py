"""The live page over HTTP: routes, and the headers and checks that keep it on this machine.

One request at a time for each viewer: the page POSTs to `/next` what it has and which tiles are on the screen, and is
answered as soon as there is more, with status, events and JPEGs in one body. Preferred to a WebSocket and to a request
for each tile: a slow viewer simply asks less often, so nothing is queued and nothing is kept for a viewer; one of the
browser's six connections is used; connecting again is just the next request; and the same-origin policy holds, which
it does not for WebSockets.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from concurrent.futures import Executor
from importlib.resources import files
from typing import TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vedette.edge.live.feed import Feed, Seen
from vedette.edge.live.metrics_text import metrics_text
from vedette.edge.live.snapshots import Use

ASSETS = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "tiles.js": "text/javascript; charset=utf-8",
    "stages.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
MAX_REQUEST_BYTES = 64 * 1024
MAX_WAIT_S = 0.5  # then a fresh status is news enough
POLL_S = 0.04  # how late news may be; cheaper than waking the loop for every frame

T = TypeVar("T")


class Routes:
    """The application around one feed. Pictures are made in `workers`, so that the loop stays free."""

    def __init__(self, feed: Feed, workers: Executor, loopback_only: bool) -> None:
        self._feed = feed
        self._workers = workers
        self._assets = {name: files("vedette.edge.live").joinpath("assets", name).read_bytes() for name in ASSETS}
        self.closing = False
        routes = [
            Route("/", self._page),
            Route("/assets/{name}", self._asset),
            Route("/next", self._next, methods=["POST"]),
            Route("/status.json", self._status),
            Route("/events.json", self._events),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/snapshot/{camera:path}.jpg", self._snapshot),
            Route("/stages/{number:int}/{place:int}", self._stage_picture),
        ]
        self.application = Starlette(routes=routes, middleware=[Middleware(Guard, loopback_only=loopback_only)])

    async def _page(self, request: Request) -> Response:
        return Response(self._assets["index.html"], media_type=ASSETS["index.html"])

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._assets:
            return PlainTextResponse("no such file", 404)
        return Response(self._assets[name], media_type=ASSETS[name])

    async def _next(self, request: Request) -> Response:
        try:
            seen = Seen.model_validate_json(await _limited_body(request))
        except ValueError:  # pydantic's is one
            return PlainTextResponse("not a request of this page", 400)
        until = time.monotonic() + MAX_WAIT_S
        while not self.closing and time.monotonic() < until and not self._feed.has_news(seen):
            await asyncio.sleep(POLL_S)
        body = await self._in_worker(lambda: self._feed.answer(seen).to_bytes())
        return Response(body, media_type="application/octet-stream")

    async def _status(self, request: Request) -> Response:
        return JSONResponse(await self._in_worker(self._feed.status_to_json))

    async def _events(self, request: Request) -> Response:
        return JSONResponse({"events": self._feed.events_after(0)[::-1]})

    async def _metrics(self, request: Request) -> Response:
        text = metrics_text(await self._in_worker(self._feed.status_to_json))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _snapshot(self, request: Request) -> Response:
        name: str = request.path_params["camera"]
        snapshot = await self._in_worker(
            lambda: self._feed.snapshots.snapshot(name, Use.CLOSE, self._feed.status().camera(name))
        )
        if snapshot is None:
            return PlainTextResponse("no picture of such a camera yet", 404)
        return Response(snapshot.jpeg, media_type="image/jpeg")

    async def _stage_picture(self, request: Request) -> Response:
        data = self._feed.stages.picture(request.path_params["number"], request.path_params["place"])
        if data is None:
            return PlainTextResponse("no such picture", 404)
        return Response(data, media_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)


class Guard:
    """Refuses requests for other hosts (DNS rebinding) and from other sites; adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._loopback_only and not is_loopback_host(headers.get(b"host", "")):
            return PlainTextResponse("this page is for http://localhost only", 421)
        if scope["method"] == "POST" and headers.get(b"sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("this page takes no requests from other sites", 403)
        return None


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine: localhost, 127.0.0.0/8 or [::1], with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _limited_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise ValueError(f"longer than {MAX_REQUEST_BYTES} bytes")
    return body
