"""The simulator's copy of /opt/ml/checkpoints in S3, while the trainer writes and removes files."""

from pathlib import Path

import pytest

from simulators.s3_servers import BUCKET, S3Server
from vedette.learn.sagemaker.simulator import s3_places
from vedette.learn.sagemaker.simulator.s3_places import CheckpointFolder
from vedette.storage.store import open_store


@pytest.mark.parametrize("size_bytes", [10, s3_places._BLOCK_BYTES + 1])
def test_a_file_that_vanishes_while_it_is_sent_was_temporary(
    tmp_path: Path, size_bytes: int, moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"s3://{BUCKET}/vanishing-{size_bytes}", moto_s3.settings())
    checkpoints = CheckpointFolder(tmp_path, store)
    (tmp_path / "kept").write_bytes(b"k" * size_bytes)
    (tmp_path / "half").write_bytes(b"h" * size_bytes)
    seen = checkpoints._look()
    monkeypatch.setattr(checkpoints, "_look", lambda: seen)
    (tmp_path / "half").unlink()

    assert checkpoints.try_to_send() is None

    assert [one.name for one in store.list()] == ["kept"]
