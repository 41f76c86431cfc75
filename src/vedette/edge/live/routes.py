"""The live page over HTTP: its routes. What each request must pass first is in `guard.py`, for all of them alike.

One request at a time for each viewer: the page POSTs to `/next` what it has and which tiles are on the screen, and is
answered as soon as there is more, with status, events and JPEGs in one body. Preferred to a WebSocket and to a request
for each tile: a slow viewer simply asks less often, so nothing is queued and nothing is kept for a viewer; one of the
browser's six connections is used; connecting again is just the next request; and the same-origin policy holds, which
it does not for WebSockets.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from importlib.resources import files
from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vedette.edge.live.access import Access, TooManyAttemptsError, set_cookie
from vedette.edge.live.bodies import limited_body
from vedette.edge.live.errors import TokenFileError
from vedette.edge.live.feed import Feed, Seen
from vedette.edge.live.guard import Guard, client_of, too_many
from vedette.edge.live.insight_routes import InsightRoutes
from vedette.edge.live.metrics_text import metrics_text
from vedette.edge.live.rules_routes import RulesRoutes
from vedette.edge.live.snapshots import Use

ASSET_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MAX_REQUEST_BYTES = 64 * 1024
MAX_LOGIN_BYTES = 1024
MAX_WAIT_S = 0.5  # then a fresh status is news enough
POLL_S = 0.04  # how late news may be; cheaper than waking the loop for every frame

T = TypeVar("T")


class Routes:
    """The application around one feed. Pictures are made in `workers`, so that the loop stays free.

    With an `access` everybody logs in. `more` are routes of other parts of the page; they are guarded like these.
    """

    def __init__(
        self,
        feed: Feed,
        workers: Executor,
        *,
        access: Access | None = None,
        cookie_name: str = "vedette",
        over_tls: bool = False,
        more: Sequence[BaseRoute] = (),
    ) -> None:
        self._feed = feed
        self._workers = workers
        self._access, self._cookie_name, self._over_tls = access, cookie_name, over_tls
        self._assets = {one.name: one.read_bytes() for one in files("vedette.edge.live").joinpath("assets").iterdir()}
        self.closing = False
        self.rules = RulesRoutes(self._in_worker)
        self.insight = InsightRoutes(self._in_worker)
        routes: list[BaseRoute] = [
            Route("/", self._page),
            Route("/assets/{name}", self._asset),
            Route("/next", self._next, methods=["POST"]),
            Route("/login", self._login_page),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
            Route("/session", self._session),
            Route("/status.json", self._status),
            Route("/events.json", self._events),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/snapshot/{camera:path}.jpg", self._snapshot),
            Route("/stages/{number:int}/{place:int}", self._stage_picture),
            *self.rules.routes(),
            *self.insight.routes(),
        ]
        guard = Middleware(Guard, loopback_only=access is None, access=access, cookie_name=cookie_name)
        self.application = Starlette(routes=routes, middleware=[guard])
        self.application.state.is_closing = lambda: self.closing  # for the endless answers of `more`
        self.serve(more)

    def serve(self, more: Sequence[BaseRoute]) -> None:
        """Further routes from now on, guarded like all others."""
        self.application.router.routes.extend(more)
        self._look_for_video()

    def serve_no_longer(self, more: Sequence[BaseRoute]) -> None:
        """Without them."""
        self.application.router.routes[:] = [route for route in self.application.router.routes if route not in more]
        self._look_for_video()

    def _look_for_video(self) -> None:
        routes = self.application.router.routes
        self._feed.has_video = any(isinstance(route, Route) and route.path == "/video" for route in routes)

    async def _page(self, request: Request) -> Response:
        return self._served("index.html")

    async def _asset(self, request: Request) -> Response:
        return self._served(request.path_params["name"])

    def _served(self, name: str) -> Response:
        if name not in self._assets:
            return PlainTextResponse("no such file", 404)
        kind = ASSET_TYPES.get(name[name.rfind(".") :], "application/octet-stream")
        return Response(self._assets[name], media_type=kind)

    async def _login_page(self, request: Request) -> Response:
        return RedirectResponse("/", 303) if self._access is None else self._served("login.html")

    async def _log_in(self, request: Request) -> Response:
        if self._access is None:
            return PlainTextResponse("nobody needs to log in here", 404)
        try:
            asked = LogIn.model_validate_json(await limited_body(request, MAX_LOGIN_BYTES))
        except ValueError:
            return PlainTextResponse("not a log-in of this page", 400)
        try:
            cookie = await self._access.log_in(asked.token.strip(), client_of(request.scope))
        except TooManyAttemptsError as error:
            return too_many(error)
        except TokenFileError as error:
            return PlainTextResponse(str(error), 503)
        if cookie is None:
            return PlainTextResponse("that is not the page's token", 401)
        given = set_cookie(self._cookie_name, cookie, secure=self._over_tls)
        return Response(status_code=204, headers={"set-cookie": given})

    async def _log_out(self, request: Request) -> Response:
        if self._access is not None:
            self._access.log_out(request.scope["vedette.cookie"])
        taken = set_cookie(self._cookie_name, "", secure=self._over_tls)
        return Response(status_code=204, headers={"set-cookie": taken})

    async def _session(self, request: Request) -> Response:
        csrf = request.scope.get("vedette.csrf")
        return JSONResponse({"csrf": csrf, "logged_in": self._access is not None and csrf is not None})

    async def _next(self, request: Request) -> Response:
        try:
            seen = Seen.model_validate_json(await limited_body(request, MAX_REQUEST_BYTES))
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
        insight = self.insight.insight
        figures = None if insight is None else insight.figures
        text = await self._in_worker(lambda: metrics_text(self._feed.status_to_json(), figures and figures()))
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


class LogIn(BaseModel):
    """What the log-in page sends."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    token: str
