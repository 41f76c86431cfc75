"""Push and pull against real S3 servers: only what changed travels, cuts are resumed, nothing wrong is taken."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.s3_servers import BUCKET, S3Server, Traffic, cutting_proxy
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.errors import DataError, DestinationError, VersionError
from vedette.learn.data.versions import DEFAULT_TAG, find_version, read_version
from vedette.learn.data.versions_contents import read_contents
from vedette.learn.data.versions_digests import DigestMemory, digest_file
from vedette.learn.data.versions_pull import WORK_FOLDER, Pulled, compare_folder, pull_version
from vedette.learn.data.versions_push import Pushed, push_version
from vedette.storage.errors import StorageError, WrongContentError
from vedette.storage.store import PART_BYTES, Store, open_store

NAMES = ["JPEGImages/ä b (1).jpg", "JPEGImages/日本.jpg", "Annotations/a#b%.xml", "labels & co/x+y=z.txt"]


def make_data(
    folder: Path, count: int = 30, size: int = 20_000, seed: int = 1, large: int = 600_000
) -> dict[str, bytes]:
    """Files of random bytes, two of them alike, one large, one empty, and names that are hard on servers."""
    drawn = random.Random(seed)
    contents = {f"JPEGImages/{number:04}.jpg": drawn.randbytes(size) for number in range(count)}
    contents |= {name: drawn.randbytes(1000 + number) for number, name in enumerate(NAMES)}
    contents |= {"large.png": drawn.randbytes(large)}
    contents |= {"twin.jpg": contents["JPEGImages/0000.jpg"], "empty.txt": b""}
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return contents


def push(source: Path, store: Store, tag: str = DEFAULT_TAG) -> Pushed:
    return push_version(source, store, tag, SilentProgress(), DigestMemory(None))


def pull(store: Store, folder: Path, tag: str = DEFAULT_TAG, overwrite: bool = False) -> Pulled:
    version = read_version(store, find_version(store, tag))
    return pull_version(store, version, folder, SilentProgress(), memory=DigestMemory(None), overwrite=overwrite)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(f"{request.param}_s3")
    return found


def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/data sets/{tmp_path.name}"


def test_what_was_pushed_is_pulled(server: S3Server, tmp_path: Path) -> None:
    contents = make_data(tmp_path / "data")
    store = open_store(place(tmp_path), server.settings())

    pushed = push(tmp_path / "data", store)
    pulled = pull(store, tmp_path / "copy")

    assert contents_of(tmp_path / "copy") == contents
    assert (pushed.files, pushed.size_bytes) == (len(contents), sum(map(len, contents.values())))
    assert pushed.sent_files == pulled.received_files == len({*contents.values()})
    assert pushed.digest == find_version(store, DEFAULT_TAG)


def test_pushing_again_moves_no_picture(server: S3Server, tmp_path: Path) -> None:
    contents = make_data(tmp_path / "data")
    with cutting_proxy(server.port) as traffic:
        store = open_store(place(tmp_path), server.settings(port=traffic.port))
        first = push(tmp_path / "data", store)
        assert len(traffic.sent_objects()) == 2  # a pack, and the large file
        assert first.sent_files == len({*contents.values()})
        traffic.requests.clear()

        second = push(tmp_path / "data", store)

        assert (second.digest, second.sent_files, second.sent_bytes) == (first.digest, 0, 0)
        assert traffic.methods() == {"GET": 2, "PUT": 2}  # a listing and an index; the version and its tag
        assert traffic.sent_objects() == []


def test_only_what_changed_travels(server: S3Server, tmp_path: Path) -> None:
    make_data(tmp_path / "data")
    store = open_store(place(tmp_path), server.settings())
    push(tmp_path / "data", store, "v1")
    pull(store, tmp_path / "copy", "v1")
    (tmp_path / "data" / "twin.jpg").write_bytes(b"another picture")
    (tmp_path / "data" / "empty.txt").unlink()
    (tmp_path / "data" / "moved.jpg").write_bytes((tmp_path / "data" / NAMES[0]).read_bytes())

    pushed = push(tmp_path / "data", store, "v2")
    pulled = pull(store, tmp_path / "copy", "v2", overwrite=True)

    assert (pushed.sent_files, pushed.sent_bytes) == (1, 15)
    assert pulled.received_files == 2  # the changed picture, and the content of the moved one
    assert pulled.received_bytes < 800_000  # its pack came with it, the large file did not
    assert pulled.before.changed == ("twin.jpg",)
    assert pulled.before.missing == ("moved.jpg",)
    assert pulled.before.extra == ("empty.txt",)
    assert {**contents_of(tmp_path / "data"), "empty.txt": b""} == contents_of(tmp_path / "copy")
    assert pull(store, tmp_path / "old", "v1").before.right == ()  # what was tagged before is still there


def repeatedly(work: Callable[[], object], traffic: Traffic) -> int:
    """Run it until it succeeds; how often it failed, each time with an error of storage."""
    for failures in range(200):
        try:
            work()
        except StorageError:
            continue
        return failures
    raise AssertionError(f"never succeeded; {traffic.cuts} cuts")


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures of 20 kB in a pack, so that a few pictures make many packs."""
    monkeypatch.setattr("vedette.learn.data.versions_push.PACK_BYTES", 30_000)


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("seed", [1, 2])
def test_cuts_at_any_byte_are_resumed(
    seed: int, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = make_data(tmp_path / "data", seed=seed, large=30_000)
    monkeypatch.setattr("vedette.learn.data.versions_push.SMALL_BYTES", 25_000)
    drawn = random.Random(seed)
    with cutting_proxy(server.port, lambda: drawn.randrange(1, 70_000)) as traffic:  # each holds one pack or two
        store = open_store(place(tmp_path), server.settings(port=traffic.port, max_retries=0))
        repeatedly(lambda: push(tmp_path / "data", store), traffic)
        sent, cuts = len(traffic.sent_objects()), traffic.cuts
        repeatedly(lambda: pull(store, tmp_path / "copy"), traffic)

        assert cuts >= 3
        assert traffic.cuts - cuts >= 3
    assert contents_of(tmp_path / "copy") == contents
    assert sent < 4 * 20  # what arrived was not sent again and again
    assert_names_are_digests(open_store(place(tmp_path), server.settings()))


def assert_names_are_digests(store: Store) -> None:
    names = [found.name for found in store.list("objects")]
    assert {name.split("/")[1] for name in names} == {"sha256", "packs", "indexes"}
    for name in names:
        assert hashlib.sha256(store.read(name, 1 << 24)).hexdigest() == Path(name).name.removesuffix(".json")


def test_a_large_file_goes_on_where_it_was_cut(moto_s3: S3Server, tmp_path: Path) -> None:
    size = PART_BYTES + 4_000_000
    (tmp_path / "data").mkdir()
    content = random.Random(7).randbytes(size)
    (tmp_path / "data" / "film.mp4").write_bytes(content)
    push(tmp_path / "data", open_store(place(tmp_path), moto_s3.settings()))
    with cutting_proxy(moto_s3.port, lambda: 5_000_000) as traffic:
        store = open_store(place(tmp_path), moto_s3.settings(port=traffic.port, max_retries=0))
        failures = repeatedly(lambda: pull(store, tmp_path / "copy"), traffic)

        assert failures >= 2
        assert traffic.bytes_down < 1.5 * size
    assert (tmp_path / "copy" / "film.mp4").read_bytes() == content
    assert not (tmp_path / "copy" / WORK_FOLDER).exists()


@pytest.mark.usefixtures("small_packs")
def test_a_push_that_is_killed_is_resumed(rclone_s3: S3Server, tmp_path: Path) -> None:
    contents = make_data(tmp_path / "data", count=300)
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from test_versions_transfer import *
import vedette.learn.data.versions_push
vedette.learn.data.versions_push.PACK_BYTES = 30_000
server = S3Server({rclone_s3.port})
push(Path({str(tmp_path / "data")!r}), open_store({place(tmp_path)!r}, server.settings()))
"""
    store = open_store(place(tmp_path), rclone_s3.settings())
    process = subprocess.Popen([sys.executable, "-c", program])
    while process.poll() is None and sum(1 for _ in store.list("objects/packs")) < 10:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = sum(1 for _ in store.list("objects/packs"))

    pushed = push(tmp_path / "data", store)
    pull(store, tmp_path / "copy")

    assert there >= 10
    assert pushed.sent_files <= len({*contents.values()}) - 2 * there + 2  # two in each pack but the last
    assert contents_of(tmp_path / "copy") == contents


def test_two_pushers_at_once_leave_two_whole_versions(server: S3Server, tmp_path: Path) -> None:
    sources = [tmp_path / "one", tmp_path / "two"]
    shared = [make_data(folder) for folder in sources]
    (sources[1] / "twin.jpg").write_bytes(b"only in the second")
    pushed: list[Pushed] = []

    def push_several_times(source: Path) -> None:
        for _ in range(3):
            pushed.append(push(source, open_store(place(tmp_path), server.settings())))

    threads = [threading.Thread(target=push_several_times, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = open_store(place(tmp_path), server.settings())
    digests = {one.digest for one in pushed}
    assert len(pushed) == 6
    assert len(digests) == 2
    for source, digest in zip(sources, [push(source, store).digest for source in sources], strict=True):
        assert digest in digests
        pull(store, tmp_path / f"copy of {source.name}", digest)
        assert contents_of(tmp_path / f"copy of {source.name}") == contents_of(source)
    assert shared[0] == shared[1]
    assert_names_are_digests(store)


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("kind", ["objects/sha256", "objects/packs"])
@pytest.mark.parametrize("wrong", ["shorter", "same size", "longer"])
def test_corrupted_content_is_noticed_and_sent_again(kind: str, wrong: str, server: S3Server, tmp_path: Path) -> None:
    contents = make_data(tmp_path / "data", count=3)
    store = open_store(place(tmp_path), server.settings())
    version = read_version(store, push(tmp_path / "data", store).digest)
    damaged = max(store.list(kind), key=lambda found: found.size_bytes)
    change = {"shorter": -1, "same size": 0, "longer": 1}[wrong]
    store.write(damaged.name, b"x" * (damaged.size_bytes + change))

    with pytest.raises((WrongContentError, VersionError), match=damaged.name if not change else "push"):
        pull(store, tmp_path / "copy")

    found = compare_folder(version, tmp_path / "copy", SilentProgress())
    assert found.changed == ()
    assert found.missing
    if not change:  # a push cannot tell: it looks at sizes
        store.delete([damaged.name])
        with pytest.raises(VersionError, match="its content is not at s3://"):
            pull(store, tmp_path / "copy")
    assert push(tmp_path / "data", store).sent_files > 0
    pull(store, tmp_path / "copy")
    assert contents_of(tmp_path / "copy") == contents


def test_a_changed_index_is_noticed(rclone_s3: S3Server, tmp_path: Path) -> None:
    make_data(tmp_path / "data", count=3)
    store = open_store(place(tmp_path), rclone_s3.settings())
    push(tmp_path / "data", store)
    name = next(found.name for found in store.list("objects/indexes"))
    store.write(name, store.read(name, 1 << 20).replace(b"20000", b"20001"))

    for attempt in (lambda: pull(store, tmp_path / "copy"), lambda: push(tmp_path / "data", store)):
        with pytest.raises(VersionError, match="delete that object and push the data again"):
            attempt()
    store.delete([name])
    assert push(tmp_path / "data", store).sent_files == 0  # the packs are there and get a new index
    pull(store, tmp_path / "copy")
    assert contents_of(tmp_path / "copy") == contents_of(tmp_path / "data")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"schema_version": 2, "packs": {}}',
        b'{"schema_version": 1, "packs": {"../x": []}}',
        b'{"schema_version": 1, "packs": {"%s": [["%s", -1]]}}' % (b"0" * 64, b"0" * 64),
        b'{"schema_version": 1, "packs": {"%s": [["../../x", 1]]}}' % (b"0" * 64),
        b'{"schema_version": 1, "packs": {"%s": [3]}}' % (b"0" * 64),
    ],
)
def test_what_is_no_index_is_refused(content: bytes, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    store.write(f"objects/indexes/{hashlib.sha256(content).hexdigest()}.json", content)
    with pytest.raises(VersionError, match="index"):
        read_contents(store)


def test_a_changed_version_is_noticed(rclone_s3: S3Server, tmp_path: Path) -> None:
    make_data(tmp_path / "data", count=3)
    store = open_store(place(tmp_path), rclone_s3.settings())
    name = f"versions/{push(tmp_path / 'data', store).digest}.json"
    store.write(name, store.read(name, 1 << 20).replace(b"twin.jpg", b"twig.jpg"))

    with pytest.raises(VersionError, match="was changed"):
        pull(store, tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


def test_files_with_other_content_are_not_overwritten_unasked(tmp_path: Path) -> None:
    contents = make_data(tmp_path / "data", count=3)
    store = open_store(tmp_path / "store")
    push(tmp_path / "data", store)
    make_data(tmp_path / "copy", count=3)
    (tmp_path / "copy" / "JPEGImages" / "0001.jpg").unlink()
    (tmp_path / "copy" / "twin.jpg").write_bytes(b"mine")
    before = contents_of(tmp_path / "copy")

    with pytest.raises(DestinationError, match=r"1 with other content than the version: twin\.jpg"):
        pull(store, tmp_path / "copy")

    assert contents_of(tmp_path / "copy") == before
    pull(store, tmp_path / "copy", overwrite=True)
    assert contents_of(tmp_path / "copy") == contents


def test_a_folder_is_compared_with_a_version(tmp_path: Path) -> None:
    make_data(tmp_path / "data", count=3)
    store = open_store(tmp_path / "store")
    version = read_version(store, push(tmp_path / "data", store).digest)
    (tmp_path / "data" / "twin.jpg").write_bytes(b"changed")
    (tmp_path / "data" / "empty.txt").unlink()
    (tmp_path / "data" / "more.txt").write_text("extra")

    found = compare_folder(version, tmp_path / "data", SilentProgress())

    assert (found.missing, found.changed, found.extra) == (("empty.txt",), ("twin.jpg",), ("more.txt",))
    assert not found.is_whole
    assert len(found.right) == len(version.files) - 2


def test_nothing_is_written_through_a_link_that_leads_outside(tmp_path: Path) -> None:
    make_data(tmp_path / "data", count=3)
    store = open_store(tmp_path / "store")
    push(tmp_path / "data", store)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy").mkdir()
    (tmp_path / "data" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "er" / "one.txt").write_bytes(b"deep")
    push(tmp_path / "data", store)
    for name in ("JPEGImages", "deep"):
        link = tmp_path / "copy" / name
        link.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(DataError, match="link"):
            pull(store, tmp_path / "copy")

        assert [*(tmp_path / "elsewhere").iterdir()] == []
        link.unlink()


def test_a_large_file_that_changes_while_it_is_pushed_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    film = tmp_path / "data" / "film.mp4"
    film.write_bytes(bytes(PART_BYTES + 1))

    def digest_then_change(path: Path) -> tuple[str, int]:
        digest = digest_file(path)
        with path.open("r+b") as file:
            file.write(b"changed")
        return digest

    monkeypatch.setattr("vedette.learn.data.versions_push.digest_file", digest_then_change)
    store = open_store(tmp_path / "store")
    with pytest.raises(DataError, match="changed while it was pushed"):
        push(tmp_path / "data", store)

    assert [*store.list()] == []


def test_a_large_file_that_grew_since_it_was_looked_at_has_the_size_of_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    film = tmp_path / "data" / "film.mp4"
    film.write_bytes(bytes(PART_BYTES + 1))

    def grow_then_digest(path: Path) -> tuple[str, int]:
        with path.open("ab") as file:
            file.write(b"more")
        return digest_file(path)

    monkeypatch.setattr("vedette.learn.data.versions_push.digest_file", grow_then_digest)
    store = open_store(tmp_path / "store")
    push(tmp_path / "data", store)
    pull(store, tmp_path / "copy")

    assert (tmp_path / "copy" / "film.mp4").read_bytes() == film.read_bytes()


def test_what_cannot_be_pushed_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VersionError, match="holds no file to push"):
        push(tmp_path / "empty", store)
    with pytest.raises(DataError, match="does not exist"):
        push(tmp_path / "nowhere", store)
    os.mkfifo(tmp_path / "empty" / "pipe.jpg")
    with pytest.raises(DataError, match="is no plain file"):
        push(tmp_path / "empty", store)
    assert not (tmp_path / "store").exists()
