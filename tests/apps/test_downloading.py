"""One file over a real loopback server: resumed, checked, never half; each misbehaviour is one clear sentence."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from simulators.file_server import FileServer
from vedette.apps.downloading import Wanted, download, require_safe
from vedette.contracts.errors import InputError, ResultError, UnavailableError, UsageError
from vedette.contracts.ports import SilentProgress

CONTENT = bytes(range(256)) * 400  # 102 400 bytes
OTHER = bytes(reversed(CONTENT))


class Notes(SilentProgress):
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done = self.total = 0

    def start(self, stage: str, total: int, unit: str) -> None:
        self.total, self.done = total, 0

    def advance(self, count: int = 1, **figures: float) -> None:
        self.done += count

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def server():
    with FileServer() as running:
        running.files["a.weights"] = CONTENT
        yield running


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache" / "a.weights"


def accept_anything(path) -> None:
    assert path.is_file()


def fetch(server, place, accept=accept_anything, progress=None, **wanted) -> str:
    asked = Wanted("a.weights", (server.url("a.weights"),), place, **{"stall_s": 0.3, **wanted})
    return download(asked, accept, progress or Notes())


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(server, place, count=40_000) -> None:
    """A download that the server ended early."""
    server.manner("a.weights", close_after_bytes=count)
    with pytest.raises(UnavailableError, match=f"{count} of {len(CONTENT)} bytes"):
        fetch(server, place)
    server.manner("a.weights")
    assert names_in(place.parent) == [".a.weights.part", ".a.weights.part.json"]


def test_a_file_comes_whole_and_nothing_else_is_left(server, place):
    notes = Notes()

    assert fetch(server, place, progress=notes, size_bytes=len(CONTENT)) == server.url("a.weights")

    assert place.read_bytes() == CONTENT
    assert names_in(place.parent) == ["a.weights"]
    assert (notes.total, notes.done) == (103, 103)  # kB
    assert server.requests == [("a.weights", None, None)]


def test_what_was_broken_off_goes_on_where_it_stopped(server, place):
    begin(server, place)
    notes = Notes()

    fetch(server, place, progress=notes)

    assert place.read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=40000-"
    assert notes.lines == ["a.weights: goes on at 0.0 MB"]
    assert (notes.total, notes.done) == (63, 63)
    assert names_in(place.parent) == ["a.weights"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(server, place):
    begin(server, place)
    server.files["a.weights"] = OTHER
    notes = Notes()

    fetch(server, place, progress=notes)

    assert place.read_bytes() == OTHER
    assert "another file by now, or cannot resume; from the start" in notes.lines[0]


def test_a_server_that_ignores_ranges_sends_it_all_again(server, place):
    begin(server, place)
    server.manner("a.weights", ranges=False)

    fetch(server, place)

    assert place.read_bytes() == CONTENT


def test_parts_of_two_files_are_never_put_together(server, place):
    begin(server, place)
    server.files["a.weights"] = OTHER
    server.manner("a.weights", ignores_if_range=True)

    with pytest.raises(UnavailableError, match="has another file by now; what had come is deleted"):
        fetch(server, place)
    assert names_in(place.parent) == []
    fetch(server, place)
    assert place.read_bytes() == OTHER


def test_a_server_without_etag_is_asked_from_the_start(server, place):
    server.manner("a.weights", etag=False, close_after_bytes=40_000)
    with pytest.raises(UnavailableError, match="the same command starts anew"):
        fetch(server, place)
    server.manner("a.weights", etag=False)

    fetch(server, place)

    assert place.read_bytes() == CONTENT
    assert server.requests[-1] == ("a.weights", None, None)


def test_another_part_than_was_asked_for_is_refused_and_what_came_stays(server, place):
    begin(server, place)
    server.manner("a.weights", shifts_range=True)

    with pytest.raises(UnavailableError, match="another part of the file than it was asked for"):
        fetch(server, place)

    assert (place.parent / ".a.weights.part").read_bytes() == CONTENT[:40_000]


def test_a_part_of_another_address_is_not_gone_on_with(server, place):
    begin(server, place)
    server.files["b.weights"] = OTHER

    download(Wanted("a.weights", (server.url("b.weights"),), place), accept_anything, Notes())

    assert place.read_bytes() == OTHER
    assert server.requests[-1] == ("b.weights", None, None)


def test_a_whole_part_that_was_not_yet_taken_is_taken(server, place):
    begin(server, place)
    (place.parent / ".a.weights.part").write_bytes(CONTENT)

    fetch(server, place)

    assert place.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, place):
    begin(server, place)
    (place.parent / ".a.weights.part").write_bytes(CONTENT + b"+")

    with pytest.raises(UnavailableError, match="shorter file than what had come, which is deleted"):
        fetch(server, place)
    fetch(server, place)

    assert place.read_bytes() == CONTENT


@pytest.mark.parametrize("origin", ["", "[]", '{"url": 3}', '{"validator": []}'])
def test_a_damaged_note_of_the_origin_is_a_start_from_the_beginning(server, place, origin):
    begin(server, place)
    (place.parent / ".a.weights.part.json").write_text(origin)

    fetch(server, place)

    assert place.read_bytes() == CONTENT


def test_silence_ends_the_download_and_what_came_stays(server, place):
    server.manner("a.weights", stall_after_bytes=40_960)
    began = time.monotonic()

    with pytest.raises(UnavailableError, match=r"sent nothing for 0\.3 s; the 40960 bytes that have come stay"):
        fetch(server, place)

    assert time.monotonic() - began < 3


REFUSED = {  # manner, wanted: error, words
    "missing": ({"status": 404}, {}, UnavailableError, "answers 404 Not Found"),
    "server error": ({"status": 503}, {}, UnavailableError, "answers 503"),
    "no content": ({"status": 204}, {}, UnavailableError, "answers 204, which is no file"),
    "a page": ({"content_type": "text/html; charset=utf-8"}, {}, UnavailableError, "a web page in place of the file"),
    "other size": ({}, {"size_bytes": 5}, ResultError, "has 102400 bytes, the published file has 5; refused"),
    "huge": ({}, {"most_bytes": 1000}, ResultError, "has 102400 bytes, at most 1000 are taken"),
    "endless": ({"length": False}, {"most_bytes": 50_000}, ResultError, "sends more than 50000 bytes; what came is"),
    "chunks too many": (
        {"length": False, "extra_bytes": 9},
        {"size_bytes": 102_400},
        ResultError,
        "sends more than 102400 bytes",
    ),
    "chunks broken off": (
        {"length": False, "close_after_bytes": 40_960},
        {"size_bytes": 102_400},
        UnavailableError,
        "broke the connection .* 40960 bytes that have come stay",
    ),
    "http elsewhere": ({"redirect": "http://example.org/a"}, {}, UnavailableError, "sends on to http://example.org/a"),
    "no host": ({"redirect": "https://..a/a"}, {}, UnavailableError, "an address that cannot be asked"),
    "a file": ({"redirect": "file:///etc/passwd"}, {}, UnavailableError, "'file:///etc/passwd' is not allowed"),
}


@pytest.mark.parametrize(("manner", "wanted", "error", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_misbehaviour_is_one_sentence_and_no_file(server, place, manner, wanted, error, words):
    server.manner("a.weights", **manner)

    with pytest.raises(error, match=words) as caught:
        fetch(server, place, **wanted)

    assert "\n" not in str(caught.value)
    assert not place.exists()
    if error is ResultError:
        assert names_in(place.parent) == []


def test_bytes_after_the_stated_end_are_not_read(server, place):
    server.manner("a.weights", extra_bytes=9)

    fetch(server, place)

    assert place.read_bytes() == CONTENT


def test_a_page_that_calls_itself_binary_is_recognised(server, place):
    server.files["a.weights"] = b"\n<!DOCTYPE html><html>404"

    with pytest.raises(UnavailableError, match="a web page in place of the file"):
        fetch(server, place)

    assert not place.exists()


def test_redirects_on_loopback_are_followed_and_resumed(server, place):
    server.manner("first", redirect=server.url("a.weights"))
    server.manner("a.weights", close_after_bytes=40_000)
    asked = Wanted("a.weights", (server.url("first"),), place)
    with pytest.raises(UnavailableError, match="40000 of 102400"):
        download(asked, accept_anything, Notes())
    server.manner("a.weights")

    download(asked, accept_anything, Notes())

    assert place.read_bytes() == CONTENT
    assert server.requests[-1][:2] == ("a.weights", "bytes=40000-")


def test_what_is_not_accepted_is_deleted(server, place):
    def refuse(path) -> None:
        raise InputError(f"{path}: is not it")

    with pytest.raises(ResultError, match=r"^a\.weights: is not it \(from http.*what came is deleted\)"):
        fetch(server, place, refuse)

    assert names_in(place.parent) == []


def test_the_next_address_is_tried(server, place):
    notes = Notes()
    wanted = Wanted("a.weights", (server.url("missing"), server.url("a.weights")), place)

    assert download(wanted, accept_anything, notes) == server.url("a.weights")

    assert "answers 404" in notes.lines[0]
    assert "; trying 127.0.0.1" in notes.lines[0]
    assert place.read_bytes() == CONTENT


def test_a_broken_download_is_not_begun_anew_at_the_next_address(server, place):
    wanted = Wanted("a.weights", (server.url("a.weights"), server.url("b.weights")), place)
    server.files["b.weights"] = CONTENT
    server.manner("a.weights", close_after_bytes=40_000)
    with pytest.raises(UnavailableError, match="the 40000 bytes that have come stay"):
        download(wanted, accept_anything, Notes())
    assert [path for path, _, _ in server.requests] == ["a.weights"]

    server.manner("a.weights", status=404)  # gone for good: the next address is no longer a loss

    assert download(wanted, accept_anything, Notes()) == server.url("b.weights")
    assert place.read_bytes() == CONTENT
    assert names_in(place.parent) == ["a.weights"]


def test_a_place_that_cannot_be_written_is_one_message(server, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "a.weights")


def test_nobody_listening_is_unavailable(place, free_port):
    wanted = Wanted("a.weights", (f"http://127.0.0.1:{free_port}/a.weights",), place)

    with pytest.raises(UnavailableError, match=r"cannot reach 127\.0\.0\.1:\d+ \(Connection refused\)"):
        download(wanted, accept_anything, Notes())


def test_a_server_that_takes_the_connection_and_says_nothing_is_left(place):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.weights"
        with pytest.raises(UnavailableError, match="timed out"):
            download(Wanted("a.weights", (url,), place, stall_s=0.2), accept_anything, Notes())


@pytest.mark.parametrize("url", ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "a.weights", ""])
def test_addresses_that_are_not_safe_are_refused(url, place):
    with pytest.raises(UsageError, match="must begin with https"):
        download(Wanted("a.weights", (url,), place), accept_anything, Notes())
    assert not place.parent.exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///a",
        "http://[::1",
        "https://a.example/\u00fc",
        "https://a b/",
        "https://a:x/",
        "https://a:0",
    ],
)
def test_what_is_no_address_is_wrong_usage_before_anything_is_made(place, url):
    with pytest.raises(UsageError, match="no address to download from"):
        download(Wanted("a.weights", (url,), place), accept_anything, Notes())
    assert not place.parent.exists()


def test_a_password_in_an_address_is_refused_without_showing_it():
    with pytest.raises(UsageError) as caught:
        require_safe("https://me:secret@example.org/a")
    assert "secret" not in str(caught.value)


def test_two_downloads_of_one_file_do_not_meet(server, place):
    place.parent.mkdir()
    with (place.parent / ".a.weights.lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="another program downloads it"):
            fetch(server, place)
    assert server.requests == []

    fetch(server, place)  # a lock file whose owner is gone holds nobody up

    assert names_in(place.parent) == ["a.weights"]


def test_of_two_downloads_at_once_one_is_refused_and_the_file_is_whole(server, place):
    server.manner("a.weights", slow_s=0.005)

    def outcome() -> str:
        try:
            return fetch(server, place)
        except UnavailableError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: outcome(), range(4)))

    assert told.count(server.url("a.weights")) >= 1
    assert all(line == server.url("a.weights") or "another program downloads it" in line for line in told)
    assert place.read_bytes() == CONTENT
    assert names_in(place.parent) == ["a.weights"]


SCRIPT = """
import sys
from pathlib import Path
from vedette.apps.console import ConsoleProgress
from vedette.apps.downloading import Wanted, download
with ConsoleProgress() as progress:
    download(Wanted("a.weights", (sys.argv[1],), Path(sys.argv[2])), lambda path: None, progress)
"""


def test_ctrl_c_leaves_what_came_and_says_so(server, place):
    server.manner("a.weights", stall_after_bytes=40_960)
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, server.url("a.weights"), str(place)], stderr=subprocess.PIPE, text=True
    )
    part = place.parent / ".a.weights.part"
    deadline = time.monotonic() + 60
    while not (server.requests and part.exists()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=60)

    assert "the 40960 bytes that have come stay, and the same command goes on from there" in told
    assert json.loads((place.parent / ".a.weights.part.json").read_text())["url"] == server.url("a.weights")
    server.manner("a.weights")
    fetch(server, place)
    assert place.read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=40960-"
