"""Prefixes, channels and checkpoints between S3 and a simulated machine's disk."""

from pathlib import Path

import pytest

from simulators.s3_servers import BUCKET, S3Server
from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.simulator.s3_places import (
    CheckpointFolder,
    Prefix,
    bring,
    matching_keys,
    open_bucket,
    open_folder,
)
from vedette.storage.store import Store

LARGE = b"x" * (3 << 20)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"places/{tmp_path.name}"


def names(store: Store) -> list[str]:
    return sorted(one.name for one in store.list())


def test_a_prefix_is_the_beginning_of_a_key(rclone_s3: S3Server, root: str) -> None:
    store = open_bucket(rclone_s3.settings(), BUCKET)
    for name in ("parts/a", "parts/deep/b", "parts-old/c", "other/d"):
        store.write(f"{root}/{name}", b"1")

    def found(prefix: str) -> list[str]:
        return [name for _, name in matching_keys(store, Prefix.of(f"s3://{BUCKET}/{root}/{prefix}"))]

    assert found("parts/") == ["a", "deep/b"]
    assert found("parts") == ["-old/c", "a", "deep/b"]
    assert found("parts/deep/b") == ["b"]
    assert found("nothing/") == found("part/") == []


def test_a_key_that_leads_out_of_the_channel_is_refused(rclone_s3: S3Server, tmp_path: Path) -> None:
    store = open_bucket(rclone_s3.settings(), BUCKET)
    folder = tmp_path / "deep" / "channel"
    folder.mkdir(parents=True)
    with pytest.raises(SimulatorError, match="can be no file below channel"):
        bring(store, [("any", "../escaped")], folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "channel"]


def test_checkpoints_follow_their_folder_and_come_back(rclone_s3: S3Server, root: str, tmp_path: Path) -> None:
    store = open_folder(rclone_s3.settings(), f"s3://{BUCKET}/{root}")
    disk = tmp_path / "one"
    (disk / "deep").mkdir(parents=True)
    (disk / "deep" / "small").write_text("1")
    (disk / "large").write_bytes(LARGE)
    first = CheckpointFolder(disk, store)
    first.restore()
    assert names(store) == []
    # what lay there before the start is not the job's
    (disk / "deep" / "small").write_text("22")
    (disk / "new").write_bytes(LARGE[:-1])
    first.send()
    assert names(store) == ["deep/small", "new"]
    (disk / "new").unlink()
    store.write("of-another-host", b"3")
    first.send()
    assert names(store) == ["deep/small", "of-another-host"]

    (tmp_path / "two").mkdir()
    CheckpointFolder(tmp_path / "two", store).restore()
    assert {path.name: path.read_text() for path in (tmp_path / "two").rglob("*") if path.is_file()} == {
        "small": "22",
        "of-another-host": "3",
    }


def test_a_file_that_vanishes_before_it_is_sent_was_a_temporary_one(
    rclone_s3: S3Server, root: str, tmp_path: Path
) -> None:
    class Losing(CheckpointFolder):
        """Loses some files between looking and sending, as a trainer renames them."""

        def _look(self) -> dict[str, tuple[int, int]]:
            found = super()._look()
            for name in ("large", "small"):
                (tmp_path / "disk" / name).unlink(missing_ok=True)
            return found

    store = open_folder(rclone_s3.settings(), f"s3://{BUCKET}/{root}")
    (tmp_path / "disk").mkdir()
    folder = Losing(tmp_path / "disk", store)
    for name, content in (("large", LARGE), ("small", b"1"), ("kept", LARGE)):
        (tmp_path / "disk" / name).write_bytes(content)
    folder.send()
    assert names(store) == ["kept"]
    folder.send()
    assert names(store) == ["kept"]


def test_a_server_that_does_not_take_them_is_told_and_tried_again(
    rclone_s3: S3Server, root: str, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("1")
    refused = open_folder(rclone_s3.settings(secret="not-it-4712"), f"s3://{BUCKET}/{root}")
    folder = CheckpointFolder(tmp_path, refused)
    problem = folder.try_to_send()
    assert problem is not None
    assert problem.startswith("checkpoints: ")
    assert "4712" not in problem
    folder._store = open_folder(rclone_s3.settings(), f"s3://{BUCKET}/{root}")
    assert folder.try_to_send() is None
    assert names(folder._store) == ["state"]
