"""A bundle in which anything at all was changed is refused, with the file named; a good one opens."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from small_bundle import make_bundle, make_manifest
from vedette.bundle_folder import LARGEST_MANIFEST_BYTES, BundleError, canonical_json, open_bundle, write_bundle

FILES = ("bundle.json", "bundle.json.sha256", "labels.txt", "model.onnx")


def seal(folder: Path, document: object) -> None:
    """Write a manifest with the digest that belongs to it."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "bundle.json").write_bytes(content)
    (folder / "bundle.json.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  bundle.json\n")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_opens_with_its_digest_and_verified_bytes(tmp_path: Path) -> None:
    written = make_bundle(tmp_path / "b")
    opened = open_bundle(str(tmp_path / "b"))
    assert opened == written
    assert opened.digest == hashlib.sha256((tmp_path / "b" / "bundle.json").read_bytes()).hexdigest()
    assert opened.read("labels.txt") == b"red\ngreen\nblue\n"
    assert sorted(opened.manifest.files) == ["labels.txt", "model.onnx"]
    assert names_in(tmp_path / "b") == sorted(FILES)


def test_the_manifest_is_canonical_and_sha256sum_checks_it(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    content = (tmp_path / "b" / "bundle.json").read_bytes()
    assert content == canonical_json(bundle.manifest)
    assert list(json.loads(content)) == sorted(json.loads(content))
    done = subprocess.run(
        ["sha256sum", "-c", "bundle.json.sha256"], cwd=tmp_path / "b", capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_byte_is_refused_and_its_file_named(tmp_path: Path, name: str) -> None:
    make_bundle(tmp_path / "b")
    path = tmp_path / "b" / name
    content = path.read_bytes()
    places = range(len(content)) if len(content) < 100 else [*range(0, len(content), 97), len(content) - 1]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            open_bundle(tmp_path / "b")
    path.write_bytes(content)
    open_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["longer", "shorter", "empty", "missing", "link", "folder"])
def test_a_file_that_is_longer_shorter_missing_or_no_file_is_refused(tmp_path: Path, name: str, change: str) -> None:
    make_bundle(tmp_path / "b")
    path = tmp_path / "b" / name
    content = path.read_bytes()
    path.unlink()
    if change == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif change == "folder":
        path.mkdir()
    elif change != "missing":
        path.write_bytes({"longer": content + b"\n", "shorter": content[:-1], "empty": b""}[change])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "Upper.txt", "model.onnx~", "a b", "café.txt", "x" * 101])
def test_an_extra_file_is_refused_and_named(tmp_path: Path, name: str) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / name).write_text("")
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path / "b")
    assert name in str(caught.value) and "Path(" not in str(caught.value)


def test_a_pipe_in_the_folder_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    os.mkfifo(tmp_path / "b" / "pipe")
    with pytest.raises(BundleError, match="pipe: is no plain file"):
        open_bundle(tmp_path / "b")


def test_a_file_swapped_for_a_link_after_opening_is_not_read(tmp_path: Path) -> None:
    opened = make_bundle(tmp_path / "b")
    content = (tmp_path / "b" / "labels.txt").read_bytes()
    (tmp_path / "copy").write_bytes(content)
    (tmp_path / "b" / "labels.txt").unlink()
    (tmp_path / "b" / "labels.txt").symlink_to(tmp_path / "copy")
    with pytest.raises(BundleError, match=r"labels\.txt"):
        opened.read("labels.txt")


@pytest.mark.parametrize("name", ["bundle.json", "../secret", "absent.bin"])
def test_only_listed_files_can_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="has no file"):
        make_bundle(tmp_path / "b").read(name)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": None}, "schema version None"),
        ({"classes": []}, "classes"),
        ({"surprise": 1}, "surprise"),
        ({"golden": "golden.json"}, "speaks of files that it does not list: golden.json"),
        ({"files": {}}, "speaks of files that it does not list: model.onnx"),
        ({"files": {"../up": {"sha256": "0" * 64, "size_bytes": 0}}}, "files"),
    ],
)
def test_a_sealed_manifest_that_is_wrong_is_refused(tmp_path: Path, update: dict[str, object], message: str) -> None:
    make_bundle(tmp_path / "b")
    document = json.loads((tmp_path / "b" / "bundle.json").read_bytes()) | update
    seal(tmp_path / "b", document)
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path / "b")
    assert message in str(caught.value) and "bundle.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_sealed_manifest_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    make_bundle(tmp_path / "b")
    seal(tmp_path / "b", content)
    with pytest.raises(BundleError, match="is not a JSON object"):
        open_bundle(tmp_path / "b")


def test_a_manifest_cannot_list_itself(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    document = json.loads((tmp_path / "b" / "bundle.json").read_bytes())
    document["files"]["bundle.json"] = {"sha256": "0" * 64, "size_bytes": 1}
    seal(tmp_path / "b", document)
    with pytest.raises(BundleError, match=r"lists bundle\.json, which it cannot"):
        open_bundle(tmp_path / "b")


def test_a_huge_manifest_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    seal(tmp_path / "b", b" " * (LARGEST_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="larger than"):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize(("path", "message"), [("nowhere", "does not exist"), ("file", "is no folder")])
def test_what_is_no_folder_is_refused(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path / path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"bundle\.json is missing"):
        open_bundle(tmp_path / "empty")


def test_an_occupied_place_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    (tmp_path / "f").write_text("mine")
    before = snapshot(tmp_path)
    for name in ("b", "f"):
        with pytest.raises(BundleError, match="new folder"):
            make_bundle(tmp_path / name)
    assert snapshot(tmp_path) == before


def test_an_empty_folder_and_missing_parents_are_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make_bundle(tmp_path / "empty")
    make_bundle(tmp_path / "deep" / "er" / "b")
    open_bundle(tmp_path / "empty")
    assert names_in(tmp_path / "deep" / "er") == ["b"]
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("contents", [{"Bad Name": b""}, {"bundle.json": b""}, {"labels.txt": b"no model"}])
def test_a_refused_bundle_leaves_nothing(tmp_path: Path, contents: dict[str, bytes]) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "b", make_manifest(), contents)
    assert names_in(tmp_path) == []


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        make_bundle(tmp_path / "file" / "b")
