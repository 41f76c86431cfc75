"""Checkpoints that a job has kept in S3 come into its fetched run as a local run has them, or why not is said."""

from pathlib import Path
from typing import Any

import pytest
import torch

from described_jobs import COMPLETED, RUN, archive, files_of
from simulators.s3_servers import BUCKET, S3Server
from simulators.scripted_aws import scripted_aws
from vedette.apps.cli import run_command
from vedette.apps.object_storage import open_place
from vedette.learn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

PLACE = f"s3://{BUCKET}/jobs/one/checkpoints"
STEP_2 = "checkpoints/00000002"


@pytest.fixture(autouse=True)
def here(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in moto_s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, bytes]:
    """What S3 holds of a run: checkpoints 1 and 2, and what the trainer does not write."""
    folder = tmp_path / "there"
    folder.mkdir()
    for step in (1, 2):
        save_checkpoint(folder, step, Checkpoint({"w": torch.full((9,), step)}, {"step": step, "best_epoch": 1}))
    return files_of(folder)


def fetch(monkeypatch: pytest.MonkeyPatch, kept: dict[str, bytes], *flags: str, **changes: Any) -> int:
    store = open_place(f"{PLACE}/run")
    store.delete([one.name for one in store.list()])
    for name, content in kept.items():
        store.write(name, content)
    open_place(f"s3://{BUCKET}/jobs/one/output").write("model.tar.gz", archive(RUN))
    stopped = {**COMPLETED, "TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    described = {**stopped, "CheckpointConfig": {"S3Uri": PLACE}, **changes}
    with scripted_aws(DescribeTrainingJob=[(200, described)]) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        return run_command(["jobs", "fetch", "one", "--out", "run", *flags])


def test_the_checkpoints_of_a_job_are_those_of_its_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: dict[str, bytes]
) -> None:
    others = {"checkpoints/.00000003.7.partial/state.json": b"{", "checkpoints/x/state.json": b"{}", "notes.txt": b""}

    assert fetch(monkeypatch, {**kept, **others, "checkpoints/00000003/state.json": b"{}"}) == 0

    assert files_of(Path("run")) == {**RUN, **kept}
    assert load_checkpoint(Path("run")).document["step"] == 2
    told = capsys.readouterr()
    assert "resume: vedette train --out run --resume --data DATA\n" in told.out
    assert "fetching checkpoints" in told.err


def test_a_checkpoint_in_part_gives_way_to_the_one_before_it(
    monkeypatch: pytest.MonkeyPatch, kept: dict[str, bytes]
) -> None:
    cut = {f"{STEP_2}/state.safetensors": kept[f"{STEP_2}/state.safetensors"][:-1]}

    assert fetch(monkeypatch, {**kept, **cut}) == 0

    assert {path.name for path in Path("run/checkpoints").iterdir()} == {"00000001", "latest"}
    assert load_checkpoint(Path("run")).document["step"] == 1


def test_a_run_without_checkpoints_is_fetched_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: dict[str, bytes]
) -> None:
    document = {f"{STEP_2}/state.json": b'{"tensor_bytes": 4}', f"{STEP_2}/state.safetensors": b"torn off"}
    for number, (there, flags, changes, sentence) in enumerate(
        [
            ({}, (), {}, f"no checkpoint is left at {PLACE}/run/checkpoints"),
            (document, (), {}, f"no whole checkpoint is at {PLACE}/run/checkpoints"),
            (kept, (), {"CheckpointConfig": {}}, "one has kept no checkpoints (no CheckpointConfig)"),
            (kept, ("--no-checkpoints",), {}, ""),
        ]
    ):
        assert fetch(monkeypatch, there, *flags, **changes) == 0
        assert files_of(Path("run")) == RUN
        told = capsys.readouterr()
        assert sentence in told.err
        assert ("cannot be resumed" in told.err) == bool(sentence)
        assert "--resume" not in told.out
        Path("run").rename(f"run-{number}")


def test_a_checkpoint_that_cannot_be_read_leaves_nothing_and_says_how_to_do_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: dict[str, bytes]
) -> None:
    name = f"{STEP_2}/state.safetensors"

    assert fetch(monkeypatch, {**kept, name: b"\xff" * len(kept[name])}) == 1

    told = capsys.readouterr().err
    assert "is damaged" in told
    assert told.endswith("without them: vedette jobs fetch one --no-checkpoints\n")
    assert {path.name for path in Path().iterdir()} == {"there"}
