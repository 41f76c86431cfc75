"""What every request to the live page passes first; a route needs to do nothing for it, and cannot forget it.

On loopback: only for this machine's own names (DNS rebinding). Beyond: only with a session's cookie or a token, but for
what a browser needs to log in and `/healthz`. Everywhere: what changes something must come from this page itself
(Origin, Sec-Fetch-Site) and say the session's CSRF token; every answer carries HEADERS. A log-in needs no CSRF token:
there is no session yet, and its cookie is SameSite=Strict. Who has logged out, or whose token was replaced, sees
nothing more of an endless answer either.
"""

import asyncio
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vedette.edge.live.access import Access, TooManyAttemptsError, token_in
from vedette.edge.live.errors import TokenFileError
from vedette.edge.live.sessions import same
from vedette.edge.live.token_file import Scope as TokenScope

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
LOGIN = "/login"
PUBLIC = {LOGIN, "/healthz", "/assets/login.js", "/assets/style.css", "/assets/icon.svg"}
READING = {"GET", "HEAD"}
READING_POSTS = {"/next"}  # a question too long for an address; it changes nothing
CSRF_HEADER = "x-vedette-csrf"
LOOK_AGAIN_S = 2.0  # whether who watches an endless answer still may


class Guard:
    """ASGI middleware. `csrf` is the token of whoever needs no log-in, on loopback."""

    def __init__(self, app: ASGIApp, loopback_only: bool, access: Access | None, cookie_name: str) -> None:
        self._app = app
        self._loopback_only = loopback_only
        self._access = access
        self._cookie_name = cookie_name
        self._csrf = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if scope["type"] != "http":  # there is no WebSocket, and nothing else either
            return
        refusal = await self._refusal(scope)
        valid = scope.get("vedette.valid")
        heard = receive if valid is None else _while_valid(receive, valid)
        await (refusal or self._app)(scope, heard, send_with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, method = scope["path"], scope["method"]
        if self._loopback_only and not is_loopback_host(headers.get("host", "")):
            return PlainTextResponse("this page is for http://localhost only", 421)
        if method not in READING and not comes_from_this_page(headers):
            return PlainTextResponse("this page takes no requests from other sites", 403)
        csrf = self._csrf
        if self._access is not None:
            if path in PUBLIC:
                return None
            cookie = _cookie(headers, self._cookie_name)
            session = self._access.session(cookie)
            if session is None:
                return await self._token_refusal(self._access, scope, headers)
            csrf, access = session.csrf, self._access
            scope["vedette.cookie"], scope["vedette.valid"] = cookie, lambda: access.session(cookie) is not None
        scope["vedette.csrf"] = csrf
        changes = method not in READING and path not in READING_POSTS
        if changes and path != LOGIN and not same(headers.get(CSRF_HEADER, ""), csrf):
            return PlainTextResponse("this request lacks the page's CSRF token; load the page again", 403)
        return None

    async def _token_refusal(self, access: Access, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Without a session: whoever brings a token may read; a browser is sent to log in."""
        token = token_in(headers.get("authorization", ""))
        if token:
            try:
                found = await access.scope_of(token, client_of(scope))
            except TooManyAttemptsError as error:
                return too_many(error)
            except TokenFileError as error:
                return PlainTextResponse(str(error), 503)
            made = access.tokens_made()
            scope["vedette.valid"] = lambda: access.tokens_made() == made
            reads = scope["method"] in READING
            if reads and (found is TokenScope.PAGE or (found is TokenScope.METRICS and scope["path"] == "/metrics")):
                return None
            if found is not None:
                return PlainTextResponse("this token does not open that", 403)
        if scope["path"] == "/" and scope["method"] in READING:
            return RedirectResponse(LOGIN, 303)
        # Browsers would ask for a password of their own in the middle of the page; players and scripts must be asked
        in_browser = headers.get("user-agent", "").startswith("Mozilla/")
        asked = "Bearer" if in_browser else 'Basic realm="Vedette: any name, the token as password"'
        return PlainTextResponse("log in, or bring the token", 401, {"www-authenticate": asked})


def _while_valid(receive: Receive, valid: Callable[[], bool]) -> Receive:
    """What the client sends; once it may not look on any more, that it has gone: endless answers end by it."""

    async def receive_while_valid() -> Message:
        heard = asyncio.ensure_future(receive())
        try:
            while not heard.done():
                if not valid():
                    return {"type": "http.disconnect"}
                await asyncio.wait({heard}, timeout=LOOK_AGAIN_S)
            return heard.result()
        finally:
            heard.cancel()

    return receive_while_valid


def too_many(error: TooManyAttemptsError) -> Response:
    """The answer to somebody who has tried too often."""
    return PlainTextResponse(str(error), 429, {"retry-after": str(round(error.wait_s) or 1)})


def client_of(scope: Scope) -> str:
    """The address that a request came from."""
    return scope["client"][0] if scope.get("client") else ""


def comes_from_this_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that this very site asks; other programs say nothing, and hold no cookies."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine: localhost, 127.0.0.0/8 or [::1], with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
