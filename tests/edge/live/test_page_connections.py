"""Connections that say nothing, or next to nothing: they keep nobody out, and are ended."""

import asyncio
import gc
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_wall import camera_status, status
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vedette.edge.live import connections
from vedette.edge.live.certificate import Certificate, make_self_signed
from vedette.edge.live.connections import MOST_CONNECTIONS, MOST_OF_ONE, Places
from vedette.edge.live.page import LivePage
from vedette.edge.live.token_file import TokenFile

pytestmark = pytest.mark.needs_server

TLS = [pytest.param(False, id="plain"), pytest.param(True, id="tls")]


@contextmanager
def served(folder: Path, over_tls: bool) -> Iterator[tuple[LivePage, Certificate | None]]:
    made = make_self_signed(folder, "box") if over_tls else None
    with LivePage("127.0.0.1", 0, status=status(camera_status("north")), tls=made) as page:
        yield page, made


def connect(page: LivePage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page.port), timeout=30)


def ask(page: LivePage, made: Certificate | None, path: str = "/healthz") -> tuple[int, bytes]:
    if made is None:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    else:
        context = ssl.create_default_context(cafile=made.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", page.port, timeout=30, context=context)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def is_ended(connection: socket.socket) -> bool:
    """Whether the server has hung up; waits as long as the connection's own time limit."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("over_tls", TLS)
def test_two_hundred_silent_connections_keep_nobody_out(tmp_path: Path, over_tls: bool) -> None:
    with served(tmp_path, over_tls) as (page, made), ExitStack() as silent:
        for number in range(200):
            one = silent.enter_context(connect(page))
            if number % 2:
                one.sendall(b"\x16\x03\x01" if over_tls else b"GET / HTTP/1.1\r\nHost: local")
        for _ in range(3):
            assert ask(page, made) == (200, b"ok")
        assert len(page.places) <= MOST_OF_ONE
        assert page.places.turned_out >= 200 - MOST_OF_ONE


@pytest.mark.parametrize("over_tls", TLS)
def test_who_says_nothing_or_never_ends_a_request_is_hung_up_on(
    tmp_path: Path, over_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.4)
    half = [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: a"]
    half += [b"POST /next HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"]
    half += [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /again HTTP/1.1\r\n"]  # the second one is slow
    with served(tmp_path, over_tls) as (page, made), ExitStack() as open_:
        lines = [open_.enter_context(connect(page)) for _ in range(len(half))]
        for line, text in zip(lines, [b"", b"\x16\x03\x01"] if over_tls else half, strict=False):
            line.sendall(text)
        until = time.monotonic() + 60
        with pytest.raises(OSError, match=r"Broken pipe|reset|Bad file"):  # a letter now and then gains nothing
            while time.monotonic() < until:
                lines[1].sendall(b"a")
                time.sleep(0.05)
        assert [is_ended(line) for line in lines] == [True] * len(lines)
        monkeypatch.undo()
        assert ask(page, made) == (200, b"ok")


def test_a_long_answer_and_a_kept_connection_are_not_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.2)
    with (
        LivePage(port=0, status=status(camera_status("north"))) as page,
        closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)) as connection,
    ):
        seen = {"cameras": []}
        for _ in range(2):  # the second one waits for news, longer than the patience, on the same connection
            connection.request("POST", "/next", json.dumps(seen))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200
            head = json.loads(body[4 : 4 + int.from_bytes(body[:4], "big")])
            seen = {"instance": head["instance"], "stages": head["stages_version"], "cameras": []}


@pytest.mark.parametrize("over_tls", TLS)
def test_an_answer_that_is_taken_in_slowly_arrives_whole(
    tmp_path: Path, over_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.2)
    monkeypatch.setattr(connections, "LOOK_AGAIN_S", 0.02)
    content = bytes(24 << 20)  # more than the system's own buffers hold

    async def answer(_: Request) -> Response:
        return Response(content)

    with served(tmp_path, over_tls) as (page, made), page.serving([Route("/long", answer)]), connect(page) as plain:
        connection = plain
        if made is not None:
            context = ssl.create_default_context(cafile=made.certificate)
            connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
        with connection:
            connection.sendall(b"GET /long HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % page.port)
            taken = len(connection.recv(4096))
            time.sleep(1.0)  # five times the patience of those who ask
            while taken < len(content) and (more := connection.recv(1 << 20)):
                taken += len(more)
    assert taken >= len(content)


def test_a_page_that_closes_hangs_up_on_those_who_shake_hands(tmp_path: Path) -> None:
    with served(tmp_path, over_tls=True) as (page, _):
        silent = connect(page)
        until = time.monotonic() + 60
        while not len(page.places):
            assert time.monotonic() < until
            time.sleep(0.01)
    with silent:
        assert is_ended(silent)


@pytest.mark.parametrize("over_tls", TLS)
def test_a_page_that_closes_leaves_nobody_behind_who_is_still_being_answered(tmp_path: Path, over_tls: bool) -> None:
    asked, never = threading.Event(), asyncio.Event()

    async def answer_never(_: Request) -> Response:
        asked.set()
        await never.wait()
        return Response()

    with ExitStack() as held:
        with served(tmp_path, over_tls) as (page, made), page.serving([Route("/never", answer_never)]):
            connection = held.enter_context(connect(page))
            if made is not None:
                context = ssl.create_default_context(cafile=made.certificate)
                connection = held.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))
            connection.sendall(b"GET /never HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % page.port)
            assert asked.wait(30)
        assert is_ended(connection)
    del page
    gc.collect()  # a connection that the page had left open would warn here


def test_tls_is_spoken_by_those_who_connect_beyond_this_machine(tmp_path: Path) -> None:
    made = make_self_signed(tmp_path, "box")
    tokens = TokenFile(tmp_path / "tokens")
    with LivePage("0.0.0.0", 0, status=status(), tokens=tokens, tls=made) as page:
        assert ask(page, made)[0] == 200
        with connect(page) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: box\r\n\r\n")
            assert b"ok" not in (plain.recv(4096) or b"")


@dataclass(eq=False)
class Somebody:
    network: str
    waits_since_s: float | None
    turned_out: bool = False

    def turn_out(self) -> None:
        self.turned_out = True


def test_one_address_takes_at_most_its_share_and_gives_up_its_own_places_first() -> None:
    places = Places(most=6, most_of_one=4)
    person = Somebody("person", 0.0)
    assert places.enter(person)
    crowd = [Somebody("crowd", float(number)) for number in range(1, 10)]
    assert all(places.enter(one) for one in crowd)
    assert [one.turned_out for one in crowd] == [True] * 5 + [False] * 4
    assert len(places) == 5 and not person.turned_out


def test_a_full_page_makes_room_where_most_places_are_held_and_refuses_only_when_all_are_answered() -> None:
    places = Places(most=6, most_of_one=4)
    person = Somebody("person", 0.0)  # silent for longest, but one alone
    crowd = [Somebody("crowd", 9.0 - number) for number in range(4)]
    assert all(places.enter(one) for one in (person, *crowd, Somebody("other", 5.0), Somebody("guest", 7.0)))
    assert [one.turned_out for one in crowd] == [False, False, False, True] and not person.turned_out
    busy = Places(most=2, most_of_one=2)
    assert all(busy.enter(Somebody(str(number), None)) for number in range(2))
    assert not busy.enter(Somebody("late", 1.0)) and len(busy) == 2


def test_there_are_places_for_two_addresses_at_least() -> None:
    assert 2 * MOST_OF_ONE <= MOST_CONNECTIONS
