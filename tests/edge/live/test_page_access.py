"""Beyond this machine the page asks for its token: every route, every message, whoever forgets to think of it."""

import asyncio
import hashlib
import http.client
import json
import ssl
import stat
import subprocess
import urllib.request
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from live_wall import DrawnPicture, camera_status, stamp, status, tracks
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from vedette.apps.cli import run_command
from vedette.apps.page_opening import open_live_page
from vedette.apps.video import opened_video
from vedette.contracts.pipeline import Camera, Clips, Pipeline, Show
from vedette.edge.live import guard, sessions, token_file
from vedette.edge.live.access import network_of, token_in
from vedette.edge.live.certificate import Certificate, check_certificate, fingerprint, make_self_signed
from vedette.edge.live.errors import CertificateError, TokenFileError
from vedette.edge.live.guard import READING, READING_POSTS
from vedette.edge.live.page import LivePage
from vedette.edge.live.sessions import Attempts, Sessions
from vedette.edge.live.token_file import Scope, TokenFile

pytestmark = pytest.mark.needs_server

# What a browser needs before it has logged in, and whether the server lives: nothing else may ever stand here.
OPEN_TO_ALL = {("GET", "/login"), ("POST", "/login"), ("GET", "/healthz")}


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    monkeypatch.setattr(token_file, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def tokens(tmp_path):
    return TokenFile(tmp_path / "state" / "tokens.json")


async def endless(request):
    async def drops():
        while True:
            yield b"drop"
            await asyncio.sleep(0.01)

    return StreamingResponse(drops())


async def somebody_elses(request):
    return PlainTextResponse("made it")


@pytest.fixture
def page(tokens, tmp_path):
    more = [
        Route("/video/{camera}", somebody_elses),
        Route("/video/{camera}", somebody_elses, methods=["PUT"]),
        Route("/endless", endless),
    ]
    settings = Pipeline(bundle="b", cameras=(Camera(name="north", url="n.mp4"),), show=Show())
    settings = settings.model_copy(update={"clips": Clips(folder=str(tmp_path / "clips"))})
    with (
        opened_video(settings) as video,
        LivePage(
            "0.0.0.0", 0, status=status(camera_status("north")), tokens=tokens, routes=[*more, *video.routes]
        ) as page,
    ):
        page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
        yield page


def ask(page, method, path, body=None, **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def log_in(page, token):
    code, headers, body = ask(page, "POST", "/login", json.dumps({"token": token}))
    return code, headers.get("set-cookie", ""), body.decode()


def routes_of(page):
    """(method, an address) of every route that there is, those of other parts too."""
    values = {"camera": "north", "name": "app.js", "number": "0", "place": "0", "segment": "0"}
    for route in page._routes.application.routes:
        path = route.path
        for name in getattr(route, "param_convertors", {}):
            for form in (f"{{{name}}}", f"{{{name}:path}}", f"{{{name}:int}}"):
                path = path.replace(form, values.get(name, "x"))
        assert "{" not in path, f"give this test a value for {path}"
        for method in (route.methods or {"GET"}) - {"HEAD"}:
            yield method, path


def test_every_route_but_the_log_in_is_shut_to_who_brings_nothing(page):
    found = set(routes_of(page))
    assert len(found) > 20 and {("PUT", "/video/north"), ("GET", "/video"), ("GET", "/clips/app.js")} <= found
    open_ = set()
    for method, path in found:
        code, headers, body = ask(page, method, path, b"{}" if method != "GET" else None)
        if code not in {401, 303}:
            open_.add((method, path))
        else:
            assert body in {b"log in, or bring the token", b""}
        assert "default-src 'none'" in headers["content-security-policy"]
    assert open_ == OPEN_TO_ALL
    assert ask(page, "GET", "/nothing/there")[0] == 401  # not even what there is can be told
    assert ask(page, "HEAD", "/status.json")[0] == 401


def test_every_route_that_changes_something_needs_the_sessions_csrf_token(page, tokens):
    cookie = log_in(page, tokens.make(Scope.PAGE))[1].partition(";")[0]
    csrf = json.loads(ask(page, "GET", "/session", cookie=cookie)[2])["csrf"]
    changing = [one for one in routes_of(page) if one[0] not in READING and one[1] not in READING_POSTS]
    changing = [(method, path) for method, path in changing if path not in {"/login"}]
    assert ("PUT", "/video/north") in changing and ("POST", "/logout") in changing
    for method, path in changing:
        for wrong in ({}, {"x_vedette_csrf": "x" * len(csrf)}, {"x_vedette_csrf": csrf, "origin": "http://evil.example"},
                      {"x_vedette_csrf": csrf, "sec_fetch_site": "cross-site"}, {"x_vedette_csrf": "é"}):  # fmt: skip
            assert ask(page, method, path, b"{}", cookie=cookie, **wrong)[0] == 403, (method, path, wrong)
    assert ask(page, "PUT", "/video/north", b"{}", cookie=cookie, x_vedette_csrf=csrf)[2] == b"made it"
    other = log_in(page, tokens_again := tokens.make(Scope.PAGE))[1].partition(";")[0]
    assert tokens_again and ask(page, "PUT", "/video/north", b"{}", cookie=other, x_vedette_csrf=csrf)[0] == 403


def test_on_loopback_nothing_is_asked_but_changes_still_come_from_the_page():
    more = [Route("/change", somebody_elses, methods=["POST"])]
    with LivePage(port=0, status=status(camera_status("north")), routes=more) as page:
        assert ask(page, "GET", "/status.json")[0] == 200
        assert ask(page, "GET", "/login")[0] == 303
        assert ask(page, "POST", "/change")[0] == 403
        session = json.loads(ask(page, "GET", "/session")[2])
        assert session["logged_in"] is False
        assert ask(page, "POST", "/change", x_vedette_csrf=session["csrf"])[0] == 200
        assert ask(page, "POST", "/change", x_vedette_csrf=session["csrf"], host="evil.example")[0] == 421


def test_logging_in_gives_a_cookie_that_no_script_reads_and_logging_out_takes_it(page, tokens):
    token = tokens.make(Scope.PAGE)
    code, cookie, _ = log_in(page, token)
    assert code == 204
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; ")) and "Secure" not in cookie
    mine = cookie.partition(";")[0]
    assert mine.startswith(f"vedette_{page.port}=")
    assert ask(page, "GET", "/status.json", cookie=mine)[0] == 200
    assert ask(page, "GET", "/status.json", cookie=mine[:-1])[0] == 401
    session = json.loads(ask(page, "GET", "/session", cookie=mine)[2])
    assert session["logged_in"] is True
    assert ask(page, "POST", "/logout", cookie=mine, x_vedette_csrf=session["csrf"])[0] == 204
    assert ask(page, "GET", "/status.json", cookie=mine)[0] == 401


def test_a_log_in_is_refused_for_a_wrong_token_a_wrong_form_and_from_another_site(page, tokens):
    token = tokens.make(Scope.PAGE)
    assert log_in(page, token + "x")[::2] == (401, "that is not the page's token")
    assert log_in(page, tokens.make(Scope.METRICS))[0] == 401
    for body in (b"", b"[]", b'{"token": 3}', b'{"token": "a", "more": 1}', b'{"token": "' + b"a" * 2000 + b'"}'):
        assert ask(page, "POST", "/login", body)[0] == 400
    said = json.dumps({"token": token})
    assert ask(page, "POST", "/login", said, origin="http://evil.example")[0] == 403
    assert ask(page, "POST", "/login", said, origin="null")[0] == 403
    assert ask(page, "POST", "/login", said, origin=f"http://127.0.0.1:{page.port}")[0] == 204


def test_whoever_guesses_waits_and_whoever_is_logged_in_does_not(page, tokens):
    mine = log_in(page, tokens.make(Scope.PAGE))[1].partition(";")[0]
    answers = [log_in(page, f"guess-{number}") for number in range(sessions.MOST_ATTEMPTS + 1)]
    assert [code for code, _, _ in answers] == [401] * sessions.MOST_ATTEMPTS + [429]
    assert "try again in" in answers[-1][2]
    code, headers, _ = ask(page, "GET", "/metrics", authorization="Bearer guess")
    assert code == 429 and 1 <= int(headers["retry-after"]) <= sessions.RETRY_EVERY_S
    assert ask(page, "GET", "/status.json", cookie=mine)[0] == 200


def test_programs_bring_the_token_itself_and_may_only_read(page, tokens):
    token, metrics = tokens.make(Scope.PAGE), tokens.make(Scope.METRICS)
    basic = b64encode(f"vlc:{token}".encode()).decode()
    for header in (f"Bearer {token}", f"Basic {basic}"):
        for _ in range(8):  # more often than one may guess
            assert ask(page, "GET", "/video/north", authorization=header)[0] == 200
        assert ask(page, "PUT", "/video/north", authorization=header)[0] == 403
    assert ask(page, "GET", "/metrics", authorization=f"Bearer {metrics}")[0] == 200
    assert ask(page, "GET", "/status.json", authorization=f"Bearer {metrics}")[0] == 403
    code, headers, _ = ask(page, "GET", "/video/north")
    assert (code, headers["www-authenticate"].split()[0]) == (401, "Basic")
    assert ask(page, "GET", "/video/north", user_agent="Mozilla/5.0")[1]["www-authenticate"] == "Bearer"


def test_a_new_token_ends_every_session_and_the_token_before(page, tokens):
    old = tokens.make(Scope.PAGE)
    mine = log_in(page, old)[1].partition(";")[0]
    assert ask(page, "GET", "/status.json", authorization=f"Bearer {old}")[0] == 200
    new = TokenFile(tokens.path).make(Scope.PAGE)  # as `vedette token new` would
    assert ask(page, "GET", "/status.json", cookie=mine)[0] == 401
    assert ask(page, "GET", "/status.json", authorization=f"Bearer {old}")[0] == 401
    assert log_in(page, new)[0] == 204


@pytest.mark.parametrize("by", ["logging out", "a new token"])
def test_an_endless_answer_ends_when_its_watcher_may_not_look_any_more(page, tokens, monkeypatch, by):
    monkeypatch.setattr(guard, "LOOK_AGAIN_S", 0.05)
    token = tokens.make(Scope.PAGE)
    mine = log_in(page, token)[1].partition(";")[0]
    csrf = json.loads(ask(page, "GET", "/session", cookie=mine)[2])["csrf"]
    brought = {"cookie": mine} if by == "logging out" else {"authorization": f"Bearer {token}"}
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)) as connection:
        connection.request("GET", "/endless", headers=brought)
        answer = connection.getresponse()
        assert answer.read(400) == b"drop" * 100
        if by == "logging out":
            assert ask(page, "POST", "/logout", cookie=mine, x_vedette_csrf=csrf)[0] == 204
        else:
            tokens.make(Scope.PAGE)
        try:
            while answer.read(4096):  # it would go on for ever
                pass
        except http.client.IncompleteRead:
            pass


def test_tokens_are_kept_as_argon2_hashes_that_others_cannot_read(tokens):
    token = tokens.make(Scope.PAGE)
    text = tokens.path.read_text()
    assert token not in text and "$argon2id$" in text
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert tokens.check(token) is Scope.PAGE and tokens.check(token[:-1]) is None
    assert tokens.check(tokens.make(Scope.METRICS)) is Scope.METRICS and tokens.check(token) is Scope.PAGE
    assert [one.name for one in tokens.path.parent.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version": 9}', b'{"version": 1, "page": 3}', b"\xff"])
def test_a_file_that_is_no_file_of_tokens_is_said(tokens, content):
    tokens.path.parent.mkdir()
    tokens.path.write_bytes(content)
    tokens.path.chmod(0o600)
    with pytest.raises(TokenFileError, match="no file of tokens"):
        tokens.check("x")
    with pytest.raises(TokenFileError):
        tokens.make(Scope.PAGE)
    assert tokens.path.read_bytes() == content


def test_a_file_of_tokens_that_others_can_read_is_refused(tokens):
    tokens.make(Scope.PAGE)
    tokens.path.chmod(0o644)
    with pytest.raises(TokenFileError, match="chmod 600"):
        tokens.has(Scope.PAGE)


def test_sessions_are_few_grow_old_and_make_room():
    some, tokens = Sessions(), (1, 1)
    first = some.open(0.0, tokens)
    cookies = [some.open(float(n), tokens) for n in range(1, sessions.MOST_SESSIONS)]
    assert some.find(first, 100.0, tokens) is not None  # used last, so it stays
    some.open(101.0, tokens)
    assert len(some) == sessions.MOST_SESSIONS
    assert some.find(cookies[0], 102.0, tokens) is None and some.find(first, 102.0, tokens) is not None
    assert some.find(first, 103.0, (2, 1)) is None
    assert some.find(first, 102.0 + sessions.IDLE_S + 1, tokens) is None
    kept, at = some.open(0.0, tokens), 0.0
    while at < sessions.OLDEST_S - sessions.IDLE_S:
        at += sessions.IDLE_S / 2
        assert some.find(kept, at, tokens) is not None
    assert some.find(kept, sessions.OLDEST_S + 1, tokens) is None


def test_attempts_come_back_slowly_and_few_addresses_are_remembered(monkeypatch):
    attempts = Attempts()
    assert [attempts.take("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert attempts.take("a", 0.0) == pytest.approx(sessions.RETRY_EVERY_S)
    assert attempts.take("b", 0.0) == 0.0
    assert attempts.take("a", sessions.RETRY_EVERY_S) == 0.0
    assert attempts.take("a", sessions.RETRY_EVERY_S) > 0.0
    attempts.forgive("a")
    assert attempts.take("a", sessions.RETRY_EVERY_S) == 0.0
    monkeypatch.setattr(sessions, "MOST_ADDRESSES", 3)
    for number in range(9):
        attempts.take(str(number), 0.0)
    assert len(attempts._by_address) == 3
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("::ffff:10.0.0.2")


def test_headers_that_are_no_tokens():
    assert [token_in(text) for text in ("", "Basic !", "Basic /w==", "Digest x", "Bearer  t ")] == [None] * 4 + ["t"]


def test_a_page_beyond_this_machine_without_tokens_is_a_mistake():
    with pytest.raises(ValueError, match="needs tokens"):
        LivePage("0.0.0.0", 0)


def test_tls_with_a_certificate_made_here(tmp_path, tokens):
    made = make_self_signed(tmp_path, "box-7")
    assert make_self_signed(tmp_path, "box-7") == made  # the same the next time
    assert stat.S_IMODE(Path(made.key).stat().st_mode) == 0o600
    context = ssl.create_default_context(cafile=made.certificate)
    with LivePage("0.0.0.0", 0, status=status(), tokens=tokens, tls=made) as page:
        assert page.url.startswith("https://")
        asked = urllib.request.Request(
            f"https://localhost:{page.port}/login", json.dumps({"token": tokens.make(Scope.PAGE)}).encode()
        )
        with urllib.request.urlopen(asked, context=context, timeout=30) as answer:
            assert answer.status == 204 and answer.headers["set-cookie"].endswith("; Secure")
    der = ssl.PEM_cert_to_DER_cert(subprocess.run(
        ["openssl", "x509", "-in", made.certificate], capture_output=True, text=True, check=True).stdout)  # fmt: skip
    assert bytes.fromhex(fingerprint(made).replace(":", "")) == hashlib.sha256(der).digest()


def test_certificates_that_cannot_be_used_are_said(tmp_path):
    good = make_self_signed(tmp_path / "a", "a")
    other = make_self_signed(tmp_path / "b", "b")
    with pytest.raises(CertificateError, match="cannot be read"):
        check_certificate(Certificate(str(tmp_path / "none.pem"), good.key))
    with pytest.raises(CertificateError, match="do not belong together"):
        check_certificate(Certificate(good.certificate, other.key))
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(CertificateError, match="cannot be used"):
        check_certificate(Certificate(str(tmp_path / "text.pem"), good.key))
    locked = tmp_path / "locked.pem"
    subprocess.run(["openssl", "ec", "-in", good.key, "-aes128", "-passout", "pass:secret", "-out", locked],
                   check=True, capture_output=True)  # fmt: skip
    with pytest.raises(CertificateError, match="pass phrase"):
        check_certificate(Certificate(good.certificate, str(locked)))


def test_the_token_is_shown_at_the_first_start_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    said = []
    for _ in range(2):
        open_live_page(Show(host="0.0.0.0", port=0)).close()
        said.append(capsys.readouterr().err)
    token = said[0].partition("shown this once: ")[2].split()[0]
    assert len(token) == 32 and "shown this once" not in said[1] and "without TLS" in said[1]
    kept = TokenFile(tmp_path / "page-tokens.json")
    assert token not in kept.path.read_text() and kept.check(token) is Scope.PAGE
    assert run_command(["token", "new"]) == 0
    made = capsys.readouterr().out.strip()
    assert kept.check(made) is Scope.PAGE and kept.check(token) is None
