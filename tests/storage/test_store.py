"""Stores against real servers and real folders: what is written is read, and every failure is one clear sentence."""

import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from simulators.s3_servers import BUCKET, SECRET_KEY, S3Server, cutting_proxy
from vedette.storage.address import S3Settings
from vedette.storage.errors import (
    AccessDeniedError,
    AddressError,
    ObjectNotFoundError,
    StorageError,
    UnreachableError,
    WrongContentError,
)
from vedette.storage.parallel import in_parallel
from vedette.storage.store import PART_BYTES, Store, open_store


@pytest.fixture(params=["folder", "rclone", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "not yet there")
    server: S3Server = request.getfixturevalue(f"{request.param}_s3")
    return open_store(f"s3://{BUCKET}/store {tmp_path.name}", server.settings())


def test_what_is_written_is_listed_and_read(store: Store) -> None:
    assert [*store.list()] == []
    contents = {"a.txt": b"one", "folder/b b.txt": b"", "folder/ü.bin": bytes(range(256))}
    for name, content in contents.items():
        store.write(name, content)

    assert {found.name: found.size_bytes for found in store.list()} == {
        "a.txt": 3,
        "folder/b b.txt": 0,
        "folder/ü.bin": 256,
    }
    assert {found.name for found in store.list("folder")} == {"folder/b b.txt", "folder/ü.bin"}
    assert {name: store.read(name, 256) for name in contents} == contents
    assert b"".join(store.blocks("folder/ü.bin", 256, 250)) == bytes(range(250, 256))
    assert store.stat("a.txt").size_bytes == 3
    assert store.stat("b.txt") is None


def test_writing_over_and_deleting(store: Store) -> None:
    store.write("a", b"old")
    store.write("a", b"new one")
    store.write("b", b"stays")
    assert store.read("a", 100) == b"new one"

    store.delete(["a", "never was"])

    assert [found.name for found in store.list()] == ["b"]


def test_a_large_object_goes_in_parts_and_comes_back_as_a_file(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * (PART_BYTES // 256) + b"and the rest"
    store.upload("large", (content[start : start + 1_000_000] for start in range(0, len(content), 1_000_000)))
    store.write("large too", content)

    assert store.download("large", tmp_path / "large", len(content)) == len(content)
    assert (tmp_path / "large").read_bytes() == content
    assert store.stat("large too").size_bytes == len(content)


def test_an_upload_whose_source_fails_stores_nothing(store: Store) -> None:
    def blocks() -> Iterator[bytes]:
        yield bytes(PART_BYTES + 1)
        raise RuntimeError("the file changed")

    with pytest.raises(RuntimeError, match="the file changed"):
        store.upload("large", blocks())

    assert store.stat("large") is None
    assert [*store.list()] == []


def test_an_object_larger_than_allowed_is_not_taken(store: Store, tmp_path: Path) -> None:
    store.write("a", bytes(1001))

    with pytest.raises(WrongContentError, match="1001 bytes; at most 1000"):
        store.read("a", 1000)
    with pytest.raises(WrongContentError):
        store.download("a", tmp_path / "a", 1000)
    assert [*tmp_path.iterdir()] == [] or not (tmp_path / "a").exists()


def test_a_missing_object_is_told(store: Store, tmp_path: Path) -> None:
    store.write("a", b"")
    with pytest.raises(ObjectNotFoundError, match="no such object"):
        store.read("nothing", 10)
    with pytest.raises(ObjectNotFoundError):
        store.download("nothing", tmp_path / "nothing", 10)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("server", ["rclone_s3", "moto_s3"])
def test_a_listing_of_more_than_a_page_is_whole(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = open_store(f"s3://{BUCKET}/many {tmp_path.name}", request.getfixturevalue(server).settings())
    names = {f"{number:04}" for number in range(1105)}
    for _ in in_parallel(lambda name: store.write(name, b"x"), names):
        pass

    assert {found.name for found in store.list()} == names


@pytest.mark.parametrize("server", ["rclone_s3", "moto_s3"])
def test_a_bucket_that_is_not_there_is_named(server: str, request: pytest.FixtureRequest) -> None:
    store = open_store("s3://nobody-has-it/x", request.getfixturevalue(server).settings())
    for attempt in (lambda: [*store.list()], lambda: store.write("a", b""), lambda: store.read("a", 1)):
        with pytest.raises(ObjectNotFoundError, match="there is no bucket 'nobody-has-it' at http"):
            attempt()


def test_wrong_keys_are_told_without_showing_them(rclone_s3: S3Server) -> None:
    store = open_store(f"s3://{BUCKET}/x", rclone_s3.settings(secret="wrong-canary-0815"))
    for attempt in (lambda: [*store.list()], lambda: store.write("a", b""), lambda: store.read("a", 1)):
        with pytest.raises(AccessDeniedError, match="the secret key is wrong") as caught:
            attempt()
        assert "canary" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(AccessDeniedError, match="does not allow this"):
        store.stat("a")  # a HEAD request has no body that says more


def test_a_server_that_does_not_listen_is_told(rclone_s3: S3Server, free_port: int) -> None:
    store = open_store(f"s3://{BUCKET}/x", rclone_s3.settings(port=free_port, max_retries=1))
    with pytest.raises(UnreachableError, match=rf"127.0.0.1:{free_port} cannot be reached \(connection refused\)"):
        [*store.list()]


def test_a_host_without_address_is_told() -> None:
    store = open_store(f"s3://{BUCKET}/x", S3Settings("http://s3.nowhere.invalid", "us-east-1", _no_keys, 0))
    with pytest.raises(UnreachableError, match=r"nowhere\.invalid cannot be reached"):
        store.read("a", 1)


def test_broken_connections_are_tried_again(rclone_s3: S3Server, tmp_path: Path) -> None:
    cuts = iter([150, 900, 40_000])
    with cutting_proxy(rclone_s3.port, lambda: next(cuts, None)) as traffic:
        store = open_store(f"s3://{BUCKET}/cut {tmp_path.name}", rclone_s3.settings(port=traffic.port))
        store.write("a", bytes(100_000))
        assert store.read("a", 100_000) == bytes(100_000)
        assert traffic.cuts == 3


@pytest.fixture
def talkative_server() -> Iterator[int]:
    """Answers every request as Amazon S3 does a wrong signature: it quotes the request, session token included."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            quoted = (
                f"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{self.headers}</CanonicalRequest></Error>"
            )
            self.send_response(403)
            self.send_header("Content-Length", str(len(quoted.encode())))
            self.end_headers()
            self.wfile.write(quoted.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_no_secret_stands_in_messages_reprs_or_tracebacks(talkative_server: int) -> None:
    def keys() -> dict[str, object]:
        return {"access_key_id": "AKID", "secret_access_key": "canary-1", "token": "canary-2", "expires_at": None}

    settings = S3Settings(f"http://127.0.0.1:{talkative_server}", "us-east-1", keys, 0)
    store = open_store(f"s3://{BUCKET}/x", settings)

    with pytest.raises(AccessDeniedError) as caught:
        store.read("a", 1)

    told = "".join(traceback.format_exception(caught.value)) + repr(store) + repr(settings) + str(settings)
    assert "SignatureDoesNotMatch" not in told
    assert "canary" not in told
    assert SECRET_KEY not in told


@pytest.mark.parametrize(
    "endpoint",
    ["nonsense", "ftp://host", "http://", "http://a:b@host", "http://host:0", "http://ho st", "http://host?x=1"],
)
def test_an_endpoint_that_cannot_be_asked_is_refused(endpoint: str) -> None:
    with pytest.raises(AddressError, match="endpoint") as caught:
        S3Settings(endpoint)
    assert endpoint not in str(caught.value) or endpoint == "http://"


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        open_store(tmp_path / "file").write("a", b"")


def test_parallel_work_gives_every_result_and_the_first_error() -> None:
    assert sorted(in_parallel(lambda number: number * 2, range(100), 7)) == [2 * number for number in range(100)]
    assert [*in_parallel(str, [], 3)] == []
    begun: list[int] = []

    def fail_at_ten(number: int) -> int:
        begun.append(number)
        if number == 10:
            raise KeyError(number)
        time.sleep(0.002)
        return number

    with pytest.raises(KeyError):
        [*in_parallel(fail_at_ten, range(5_000), 4)]
    assert len(begun) < 2_500


def _no_keys() -> dict[str, object]:
    return {"access_key_id": "a", "secret_access_key": "b", "token": None, "expires_at": None}


def test_ctrl_c_does_not_wait_for_a_server_that_is_silent() -> None:
    program = """
import sys
from vedette.storage.address import S3Settings
from vedette.storage.store import open_store
keys = {"access_key_id": "a", "secret_access_key": "b", "token": None, "expires_at": None}
store = open_store("s3://bucket/x", S3Settings(sys.argv[1], "us-east-1", lambda: keys))
print("asking", flush=True)
try:
    list(store.list())
except KeyboardInterrupt:
    sys.exit(130)
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"asking\n"
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                assert process.wait(15) == 130
