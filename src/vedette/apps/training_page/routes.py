"""What the page's server answers: the report, the present moment, the run's pictures; nothing else of the folder.

On loopback only requests for this machine's own names are answered (DNS rebinding). Beyond it everything lies under a
path that nobody guesses, and the address with it is printed once.
"""

import asyncio
import ipaddress
import re
import time
from concurrent.futures import Executor
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vedette.apps.training_page.rendering import Rendering
from vedette.apps.training_page.state import TrainingState

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
PICTURE = re.compile(r"(?:worst/)?[A-Za-z0-9_][A-Za-z0-9_.-]*\.(?:png|jpg)")
MOST_VIEWERS = 1000  # remembered; of more, those who asked last
ACTIVE_S = 4.0  # who has asked within these is looking
FOLLOW = "follow.js"


class Routes:
    """The application; who looks is known by a name that each page gives itself."""

    def __init__(self, state: TrainingState, workers: Executor, prefix: str, loopback_only: bool) -> None:
        self._state, self._workers = state, workers
        self._rendering = Rendering(state)
        self._script = files("vedette.apps.training_page").joinpath("assets", FOLLOW).read_text(encoding="utf-8")
        self._asked: dict[str, float] = {}  # when each viewer asked last, the latest at the end
        self._seen: set[str] = set()  # of them, who has the finished report
        routes = [
            Route(f"{prefix}/", self._page),
            Route(f"{prefix}/now.json", self._moment),
            Route(f"{prefix}/seen", self._has_seen, methods=["POST"]),
            Route(f"{prefix}/assets/{FOLLOW}", self._asset),
            Route(f"{prefix}/{{name:path}}", self._picture),
        ]
        self.application = Starlette(routes=routes, middleware=[Middleware(Guard, loopback_only=loopback_only)])

    def somebody_waits(self) -> bool:
        """Whether somebody looks who has not got the finished report yet."""
        recent = time.monotonic() - ACTIVE_S
        return any(at > recent and viewer not in self._seen for viewer, at in list(self._asked.items()))

    async def _page(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(self._workers, self._rendering.report)
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    async def _moment(self, request: Request) -> Response:
        self._note(request)
        loop = asyncio.get_running_loop()
        moment = await loop.run_in_executor(self._workers, self._rendering.moment)
        return JSONResponse(moment, headers={"cache-control": "no-store"})

    async def _has_seen(self, request: Request) -> Response:
        viewer = _viewer(request)
        if viewer in self._asked:
            self._seen.add(viewer)
        return PlainTextResponse("ok")

    def _note(self, request: Request) -> None:
        viewer = _viewer(request)
        self._asked.pop(viewer, None)
        self._asked[viewer] = time.monotonic()
        if len(self._asked) > MOST_VIEWERS:
            longest_ago = next(iter(self._asked))
            del self._asked[longest_ago]
            self._seen.discard(longest_ago)

    async def _asset(self, request: Request) -> Response:
        return Response(self._script, media_type="text/javascript; charset=utf-8")

    async def _picture(self, request: Request) -> Response:
        name, folder = request.path_params["name"], self._state.now().folder
        path = None if folder is None or PICTURE.fullmatch(name) is None else Path(folder, name)
        if path is None or not path.is_file():
            return PlainTextResponse("no such picture", 404)
        keep = {"cache-control": "private, max-age=3600"} if "v" in request.query_params else {}
        return FileResponse(path, headers=keep)


class Guard:
    """Refuses requests for other hosts and posts from other sites; adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp, loopback_only: bool) -> None:
        self._app, self._loopback_only = app, loopback_only

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
        if self._loopback_only and not _is_this_machine(headers.get(b"host", "")):
            return PlainTextResponse("this page is for http://localhost only", 421)
        if scope["method"] == "POST" and headers.get(b"sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("this page takes no requests from other sites", 403)
        return None


def _viewer(request: Request) -> str:
    return request.query_params.get("viewer", "")[:40]


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
