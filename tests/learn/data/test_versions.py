"""What a version is: the same files have the same digest, and nothing from a store is believed."""

import hashlib
import json
from pathlib import Path

import pytest

from vedette.learn.data.errors import DataError, VersionError
from vedette.learn.data.versions import (
    VersionedFile,
    check_tag,
    find_version,
    make_version,
    parse_version,
    read_version,
)
from vedette.learn.data.versions_digests import DigestMemory, digest_file
from vedette.learn.data.versions_push import local_files
from vedette.storage.store import open_store

SHA = hashlib.sha256(b"one").hexdigest()


def entry(path: str = "a.jpg", size: object = 3, sha256: object = SHA) -> dict[str, object]:
    return {"path": path, "size_bytes": size, "sha256": sha256}


def parse(*files: object, schema: object = 1) -> object:
    content = json.dumps({"schema_version": schema, "files": [*files]}).encode()
    return parse_version(content, hashlib.sha256(content).hexdigest(), "s3://b/versions/x.json")


def test_the_digest_depends_on_the_files_and_not_on_their_order() -> None:
    files = [VersionedFile("b.jpg", 3, SHA), VersionedFile("a/ü.jpg", 3, SHA)]
    version = make_version(files)

    assert version == make_version(reversed(files))
    assert version.digest() == hashlib.sha256(version.to_bytes()).hexdigest()
    assert version.size_bytes == 6
    assert parse_version(version.to_bytes(), version.digest(), "here") == version
    assert make_version([VersionedFile("c.jpg", 3, SHA), files[1]]).digest() != version.digest()


@pytest.mark.parametrize(
    "path",
    ["../a.jpg", "/etc/passwd", "a/../../b", "a//b", "", ".", "C:/a", "a\\..\\b", "a\nb", ".git/hooks/x", "a/.hidden"],
)
def test_a_path_that_leads_outside_or_is_hidden_is_refused(path: str) -> None:
    with pytest.raises(VersionError):
        parse(entry(path))


@pytest.mark.parametrize(
    "files",
    [
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry(size=-1)],
        [entry(size="3")],
        [entry(size=True)],
        [entry(sha256="../../x")],
        [entry(sha256=SHA.upper())],
        [entry(sha256=None)],
        ["a.jpg"],
        [{"path": "a.jpg"}],
    ],
)
def test_what_is_no_list_of_files_is_refused(files: list[object]) -> None:
    with pytest.raises(VersionError):
        parse(*files)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, b'{"schema_version": 1, "files": 3}'])
def test_what_is_no_version_is_refused(content: bytes) -> None:
    with pytest.raises(VersionError):
        parse_version(content, hashlib.sha256(content).hexdigest(), "here")


def test_a_version_of_another_schema_or_digest_is_refused() -> None:
    with pytest.raises(VersionError, match="schema version 2; this Vedette reads 1"):
        parse(schema=2)
    with pytest.raises(VersionError, match="was changed"):
        parse_version(b"{}", SHA, "here")


@pytest.mark.parametrize("name", ["", ".x", "a/b", "../x", "x" * 101, SHA, "ü", "a b"])
def test_what_can_be_no_tag_is_refused(name: str) -> None:
    with pytest.raises(VersionError, match="cannot name a version"):
        check_tag(name)


def test_a_tag_or_version_that_is_not_there_is_told_with_what_there_is(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(VersionError, match="holds no data that `vedette data push` put there"):
        find_version(store, "latest")
    store.write("tags/v1", SHA.encode() + b"\n")
    store.write("tags/v2", b"not a digest")
    with pytest.raises(VersionError, match="no version 'latest'; there are: v1, v2"):
        find_version(store, "latest")
    with pytest.raises(VersionError, match="names no version"):
        find_version(store, "v2")
    assert find_version(store, "v1") == find_version(store, SHA) == SHA
    with pytest.raises(VersionError, match=f"no version {SHA}"):
        read_version(store, SHA)


def test_files_below_a_folder_without_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.jpg", "a b/ü.jpg", ".hidden", ".before-repair-1/x.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "b.jpg")

    assert sorted(local_files(tmp_path)) == ["a b/ü.jpg", "b.jpg", "link.jpg"]

    (tmp_path / "folder").symlink_to(tmp_path / "a b")
    with pytest.raises(DataError, match="link to a folder"):
        local_files(tmp_path)


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.jpg").write_text("x")
    with pytest.raises(VersionError, match="no UTF-8"):
        local_files(tmp_path)


def test_digests_are_remembered_only_while_a_file_cannot_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, place = tmp_path / "a.jpg", tmp_path / "cache" / "digests.json"
    file.write_bytes(b"one")
    found = file.stat()

    memory = DigestMemory(place)
    memory.remember("a.jpg", found, digest_file(file)[0])
    assert memory.find("a.jpg", found) is None  # written a moment ago: it could change unseen

    monkeypatch.setattr("vedette.learn.data.versions_digests.SETTLED_S", -1.0)
    memory.remember("a.jpg", found, digest_file(file)[0])
    memory.save()
    again = DigestMemory(place)
    assert again.find("a.jpg", file.stat()) == SHA
    assert again.find("b.jpg", file.stat()) is None

    file.write_bytes(b"two")
    assert again.find("a.jpg", file.stat()) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"format": 1, "files": {"a.jpg": [1]}}', b'{"format": 1, "files": {"a.jpg": 1}}']
)
def test_a_broken_memory_is_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "digests.json").write_bytes(content)
    assert DigestMemory(tmp_path / "digests.json").find("a.jpg", (tmp_path / "a.jpg").stat()) is None
