"""Every route of the page under requests that no browser would send; a new route is attacked once there is one."""

import http.client
import json
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from live_wall import DrawnPicture, camera_status, stamp, status, tracks
from starlette.routing import Route

from vedette.apps.video import opened_video
from vedette.contracts.pipeline import Camera, Clips, Pipeline, Show
from vedette.edge.live import hls, routes, token_file
from vedette.edge.live.errors import RulesError
from vedette.edge.live.guard import HEADERS, READING
from vedette.edge.live.page import LivePage
from vedette.edge.live.retry_routes import retry_routes
from vedette.edge.live.token_file import Scope, TokenFile

pytestmark = pytest.mark.needs_server

VALUES = {"camera": "north", "name": "app.js", "number": "0", "place": "0", "segment": "0"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
SECRET = b"root:x:0:0:canary"
WAYS_OUT = [
    "../secret.txt", "../../secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "..%5csecret.txt",
    "%2e%2e/secret.txt", "....//secret.txt", "%c0%ae%c0%ae/secret.txt", "..%00/secret.txt", "secret.txt%00.mp4",
    "/etc/passwd", "%2fetc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd", ".", "..", "%00",
    "%0d%0aX-Added:%20yes", "%ff%fe", "a" * 6000, "north/../../secret.txt",
    "-1", "9" * 400, "0x10", "1e9", "{camera}", "%7b%7d", "%e2%80%ae",
]  # fmt: skip
BODIES = [
    b"", b"null", b"[]", b"{}", b"3", b'"x"', b"{", b"\xff\xfe\x00", b"[" * 60_000, b'{"a":' * 20_000,
    b'{"lines": 3, "zones": null}',
    b'{"lines": [[]], "zones": [{"name": {"a": 1}}]}', b'{"event": 1e999, "cameras": ["north"]}', b'{"event": NaN}',
    b'{"pictures": {"north": -9223372036854775809}}', b'{"cameras": ["' + b"x" * 30_000 + b'"]}', b"x" * 400_000,
    b'{"token": "\\ud800"}', b"\x1f\x8b\x08\0\0\0\0\0",
]  # fmt: skip
QUERIES = [
    "hours=-1", "hours=NaN", "hours=" + "9" * 300, "hours=", "hours=1&hours=2", "camera=north&at=1", "camera=" * 80,
    "camera=north&at=99999999999999.1.1", "camera=..%2f..&instance=%00", "%00=%00", "&&&==", "at=1.1.1",
]  # fmt: skip
STRANGE_HEADERS: list[dict[str, str]] = [
    {"Range": "bytes=0-0,2-5,-9999999999"}, {"Range": "bytes=" + "0-," * 500}, {"If-Modified-Since": "never"},
    {"Content-Type": "multipart/form-data; boundary=" + "x" * 300}, {"Cookie": "a=b; " * 300}, {"Cookie": '"; \\'},
    {"Authorization": "Basic %%%"}, {"Authorization": "Bearer " + "x" * 3000}, {"Authorization": "Bearer \xe9"},
    {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "X-Original-URL": "/status.json"},
    {"Expect": "100-continue"}, {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x"},
    {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}, {"Accept-Encoding": "gzip, br;q=1e9"},
]  # fmt: skip


STRANGE_WORDS = [
    b"\0" * 50, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
    b"GET / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x" * 70_000,
    b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
]  # fmt: skip


ELSEWHERE = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
]  # fmt: skip


class Desk:
    """Refuses every drawing; so that a request that reaches it is answered as in a run."""

    def rules(self, camera: str) -> dict[str, Any] | None:
        return {"lines": [], "zones": []} if camera == "north" else None

    def save(self, camera: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
        raise RulesError("no")

    def as_file(self) -> str:
        return "version: 1\n"


class Insight:
    def timing(self) -> dict[str, Any]:
        return {}

    def history(self, camera: str, hours: int) -> dict[str, Any] | None:
        assert 1 <= hours <= 24 * 366
        return {} if camera == "north" else None

    heat = history

    def figures(self) -> dict[str, Any]:
        return {"version": "0", "totals": {}, "buckets_s": [], "stages": {}, "busy": {}, "sinks": [], "counts": None}


@dataclass
class Target:
    page: LivePage
    credentials: dict[str, str]

    def routes(self) -> list[tuple[Route, str]]:
        """Every route there is, with an address for it."""
        found = []
        for route in self.page._routes.application.routes:
            assert isinstance(route, Route), f"this test knows nothing of a {type(route).__name__}: teach it"
            path = route.path
            for name in route.param_convertors:
                assert name in VALUES, f"give this test a value for {{{name}}} in {route.path}"
                for form in (f"{{{name}}}", f"{{{name}:path}}", f"{{{name}:int}}"):
                    path = path.replace(form, VALUES[name])
            found.append((route, path))
        return found

    def send(self, method: str, path: str, body: bytes | None = None, **more: Any) -> tuple[int, dict[str, str], bytes]:
        """Headers in `headers`; of an endless answer, the beginning."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=30)) as connection:
            connection.putrequest(method, path, skip_host="headers" in more and "Host" in more["headers"])
            headers = {**self.credentials, **more.get("headers", {})}
            if body is not None:
                headers.setdefault("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value.encode("latin-1"))
            try:
                connection.endheaders()
                if body:
                    connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has answered before all was said
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read1(100_000)


@contextmanager
def target(folder: Path, host: str) -> Iterator[Target]:
    (folder / "clips").mkdir(parents=True)
    (folder / "secret.txt").write_bytes(SECRET)
    settings = Pipeline(bundle="b", cameras=(Camera(name="north", url="n.mp4", realtime=True),), show=Show())
    settings = settings.model_copy(update={"clips": Clips(folder=str(folder / "clips"))})
    tokens = TokenFile(folder / "tokens.json")
    with (
        opened_video(settings) as video,
        LivePage(
            host, 0, status=status(camera_status("north")), tokens=tokens, routes=video.routes if video else ()
        ) as page,
    ):
        page._routes.serve(retry_routes(lambda camera: camera == "north"))
        page.set_rules(Desk())
        page.set_insight(Insight())
        page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
        one = Target(page, {})
        if host != "127.0.0.1":
            said = json.dumps({"token": tokens.make(Scope.PAGE)}).encode()
            one.credentials["Cookie"] = one.send("POST", "/login", said)[1]["set-cookie"].partition(";")[0]
        one.credentials["X-Vedette-CSRF"] = json.loads(one.send("GET", "/session")[2])["csrf"]
        yield one


@pytest.fixture(scope="module", params=["127.0.0.1", "0.0.0.0"], ids=["on loopback", "beyond"])
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_file, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        patch.setattr(hls, "PATIENCE_S", 0.0)
        patch.setattr(routes, "MAX_WAIT_S", 0.0)
        with target(tmp_path_factory.mktemp("attack"), request.param) as found:
            yield found


@pytest.fixture(autouse=True)
def nothing_breaks(victim: Target, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Afterwards the page answers, and no request has ended in an exception."""
    yield
    assert victim.send("GET", "/healthz")[::2] == (200, b"ok")
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


def check(code: int, headers: Mapping[str, str], body: bytes, what: object) -> None:
    assert code < 500 or code == 503, what
    assert SECRET not in body and b"root:x:" not in body and b"Traceback" not in body, what
    assert "x-added" not in headers, what
    if body == b"Invalid HTTP request received.":  # before it was a request
        return
    assert headers["content-security-policy"] == HEADERS["content-security-policy"], what
    assert headers["x-content-type-options"] == "nosniff", what


def test_every_route_that_is_written_down_anywhere_is_attacked_here(victim: Target) -> None:
    folder = files("vedette.edge.live")
    written = {
        path
        for module in folder.iterdir()
        if module.name.endswith(".py")
        for path in re.findall(r"\bRoute\(\s*f?[\"']([^\"']+)", module.read_text(encoding="utf-8"))
    }
    assert len(written) > 20
    assert written == {route.path for route, _ in victim.routes()}


def test_only_a_routes_own_methods_do_anything(victim: Target) -> None:
    methods: dict[str, set[str]] = {}
    for route, path in victim.routes():
        methods.setdefault(path, set()).update(route.methods or {"GET", "HEAD"})
    assert len(methods) > 20
    for path, own in methods.items():
        for method in METHODS:
            if method not in own:
                code, headers, body = victim.send(method, path, b"{}" if method not in READING else None)
                check(code, headers, body, (method, path))
                assert code in {400, 403, 404, 405}, (method, path, code)


def test_paths_lead_nowhere_else(victim: Target) -> None:
    patterns = {route.path for route, _ in victim.routes()}
    prefixes = {pattern.partition("{")[0] for pattern in patterns if "{" in pattern} | {"/", "/clips/north/"}
    assert {"/clips/", "/assets/", "/snapshot/", "/hls/"} <= prefixes
    for prefix in sorted(prefixes):
        for way in WAYS_OUT:
            for tail in ("", ".jpg", "/index.m3u8"):
                if tail and not any(pattern.startswith(prefix) and pattern.endswith(tail) for pattern in patterns):
                    continue
                code, headers, body = victim.send("GET", f"{prefix}{way}{tail}")
                check(code, headers, body, (prefix, way, tail))
                if "secret" in way or "etc" in way:
                    assert code in {400, 401, 404, 405}, (prefix, way, tail, code)


def test_bodies_queries_and_headers_of_any_kind_are_answered_in_a_sentence(victim: Target) -> None:
    for route, path in victim.routes():
        for method in sorted(route.methods or {"GET"}):
            if path == "/logout":
                continue
            if method not in READING:
                for body in BODIES:
                    check(*victim.send(method, path, body), (method, path, body[:40]))
                chunked = {**victim.credentials, "Transfer-Encoding": "chunked", "Content-Length": "9"}
                check(*victim.send(method, path, b"zz\r\n{}\r\n", headers=chunked), (method, path))
            if method == "GET":
                for query in QUERIES:
                    check(*victim.send("GET", f"{path}?{query}"), (path, query))
            for extra in STRANGE_HEADERS:
                own = {**victim.credentials, **extra}
                if "Cookie" in victim.credentials and "Cookie" in extra:
                    own["Cookie"] = f"{victim.credentials['Cookie']}; {extra['Cookie']}"
                check(*victim.send(method, path, b"{}" if method not in READING else None, headers=own), (path, extra))


def test_no_route_is_for_other_sites_other_names_or_other_sessions(victim: Target) -> None:
    on_loopback = victim.page.is_loopback
    csrf, port = victim.credentials["X-Vedette-CSRF"], victim.page.port
    for route, path in victim.routes():
        for method in sorted(route.methods or {"GET"}):
            body = None if method in READING else b"{}"
            if on_loopback:
                for host in (
                    f"evil.example:{port}",
                    "127.0.0.1.evil.example",
                    f"localhost:{port}@evil.example",
                    "[",
                    "",
                ):
                    assert victim.send(method, path, body, headers={"Host": host})[0] == 421, (method, path, host)
            if method in READING:
                continue
            for elsewhere in ELSEWHERE:
                assert victim.send(method, path, body, headers=elsewhere)[0] == 403, (method, path, elsewhere)
            if path not in {"/login", "/next"}:
                for wrong in ("", csrf[:-1], csrf + "x", "\xe9"):
                    assert victim.send(method, path, body, headers={"X-Vedette-CSRF": wrong})[0] == 403, (method, path)


def test_what_is_no_http_is_not_answered_for_long(victim: Target) -> None:
    for words in STRANGE_WORDS:
        with socket.create_connection(("127.0.0.1", victim.page.port), timeout=30) as line:
            line.sendall(words)
            with suppress(OSError):  # it has answered and hung up already
                line.shutdown(socket.SHUT_WR)
            heard = b""
            try:
                while more := line.recv(4096):
                    heard += more
            except ConnectionError:
                pass
            assert not heard or heard.startswith((b"HTTP/1.1 4", b"HTTP/1.1 303", b"HTTP/1.1 200")), words[:40]
            assert b"north" not in heard, words[:40]
