"""A job that is followed looks as if it ran here: bar, curves, page; and then its run lies where they were."""

import csv
import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import pytest

from described_jobs import COMPLETED, DESCRIBED, RUN, archive, files_of
from simulators.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from simulators.scripted_aws import Answer, refusal, scripted_aws
from vedette.apps import job_ending, job_following
from vedette.apps.cli import run_command
from vedette.apps.followed_run import FollowedRun
from vedette.apps.object_storage import open_place
from vedette.learn.sagemaker.job_logs import GROUP
from vedette.learn.sagemaker.metrics import metrics_line

START_MS = 1_795_375_900_000
EPOCH = {"time_s": 8.5, "train_box_loss": 0.41, "train_objectness_loss": 0.2, "train_class_loss": 0.1,
         "learning_rate": 0.001, "pictures_per_s": 33.0, "val_map50": 0.5, "val_map50_95": 0.25,
         "val_precision": 0.75, "val_recall": 0.5}  # fmt: skip


def job(name: str, **changes: Any) -> Answer:
    """What SageMaker says of a job in training."""
    asked = {"model": "yolov3-tiny", "epochs": "3"}
    return 200, {**DESCRIBED, "TrainingJobName": name, "HyperParameters": asked, **changes}


def completed(name: str) -> Answer:
    address = {"S3ModelArtifacts": f"s3://{BUCKET}/jobs/{name}/output/model.tar.gz"}
    return job(name, **{**COMPLETED, "TrainingJobName": name, "ModelArtifacts": address})


def epoch_line(epoch: int, **changes: float) -> str:
    return metrics_line({"epoch": epoch, **EPOCH, **changes})


@pytest.fixture(autouse=True, scope="module")
def models() -> Iterator[None]:
    """Botocore's service models are read once for all tests here."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.loaders.create_loader", lambda *_: loader)
        yield


@pytest.fixture(autouse=True)
def aws(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in moto_s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", moto_s3.url)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(job_ending, "LOOK_EVERY_S", 0.0)
    monkeypatch.chdir(tmp_path)


Say = Callable[..., None]


@pytest.fixture
def say(moto_s3: S3Server) -> Iterator[Say]:
    """Puts lines into a job's log: `say("job/algo-1-1", "line", ...)`."""
    client = boto3.client(
        "logs", endpoint_url=moto_s3.url, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip
    said = 0

    def put(stream: str, *lines: str) -> None:
        nonlocal said
        for make, arguments in (
            (client.create_log_group, {"logGroupName": GROUP}),
            (client.create_log_stream, {"logGroupName": GROUP, "logStreamName": stream}),
        ):
            try:
                make(**arguments)
            except client.exceptions.ResourceAlreadyExistsException:
                continue
        events = [{"timestamp": START_MS + said + number, "message": line} for number, line in enumerate(lines)]
        said += len(lines)
        client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    yield put
    client.close()


def follow(name: str, monkeypatch: pytest.MonkeyPatch, *answers: Answer, flags: tuple[str, ...] = ()) -> int:
    with scripted_aws(DescribeTrainingJob=[*answers]) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        return run_command(["jobs", "follow", name, *flags])


def then(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], None]) -> None:
    """What happens in the pauses between two looks, one after the other."""
    waiting = [*steps]

    def pause(_: float) -> None:
        if waiting:
            waiting.pop(0)()

    monkeypatch.setattr(job_ending, "sleep", pause)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_job_is_followed_to_its_run(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name, run = "followed", tmp_path / "run"
    stream = f"{name}/algo-1-1"
    seen: list[dict[str, bytes]] = []
    starting = [{"Status": "Starting", "StartTime": 1795375800, "StatusMessage": "Preparing the instances"}]
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    monkeypatch.setattr("vedette.apps.followed_run.WRITE_EVERY_S", 0.0)
    then(
        monkeypatch,
        lambda: None,
        lambda: say(stream, "reading pictures", "epoch 1/3: 3/3 batches, 1.5/s in 2 s, loss 0.9", epoch_line(1)),
        lambda: seen.append(files_of(run)),
    )

    code = follow(
        name, monkeypatch, job(name, SecondaryStatus="Starting", SecondaryStatusTransitions=starting), job(name),
        job(name), job(name), completed(name), flags=("--out", str(run), "--price-per-hour", "1.5"),
    )  # fmt: skip

    told = capsys.readouterr()
    assert code == 0
    assert told.err.index("Starting: Preparing") < told.err.index("Training") < told.err.index("reading pictures")
    assert "epoch 1/3: 3/3 batches, 1.5/s in 2 s, loss 0.9" in told.err
    assert "metrics:" not in told.err
    assert set(seen[0]) == {"job.json", "settings.json", "results.csv", "results.png", "report.html"}
    assert b"training: epoch 1 of 3 done" in seen[0]["report.html"]
    assert b"followed" in seen[0]["report.html"]
    assert json.loads(seen[0]["settings.json"])["model"] == "yolov3-tiny"
    assert f"{name}: Completed\n" in told.out
    assert "trained 7200 s, billed 1800 s, 75 % saved by spot machines" in told.out
    assert "cost:   1.50, at the price given" in told.out
    assert f"vedette detect {run / 'bundle'} PICTURES" in told.out
    assert files_of(run) == RUN
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_curves_are_those_of_the_lines_and_a_resumed_run_repeats_epochs(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "resumed"
    failed = job(name, TrainingJobStatus="Failed", SecondaryStatus="Failed", FailureReason="out of luck")
    say(f"{name}/algo-1-1", epoch_line(1), epoch_line(2), epoch_line(3, val_map50=0.9))
    say(f"{name}/algo-1-2", "resuming in epoch 3, batch 1", epoch_line(3, val_map50=0.75), "vedette: out of luck")

    code = follow(name, monkeypatch, failed, flags=("--out", "run"))

    told = capsys.readouterr()
    assert code == 1
    assert [(row["epoch"], row["val_map50"]) for row in rows_of(tmp_path / "run")] == [
        ("1", "0.5"), ("2", "0.5"), ("3", "0.75"),
    ]  # fmt: skip
    assert rows_of(tmp_path / "run")[0]["learning_rate"] == "0.001"
    assert "vedette: resumed has failed: out of luck\nthe last lines of its log:\n" in told.err
    assert told.err.endswith("  resuming in epoch 3, batch 1\n  vedette: out of luck\n")
    assert "finished: 3 epochs" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_coming_back_to_a_job_does_not_repeat_its_log(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "back"
    stream = f"{name}/algo-1-1"
    say(stream, "an old line", epoch_line(1), "epoch 2/3: 1/3 batches, 1.0/s, 2 s left, loss 0.8")
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    then(monkeypatch, lambda: say(stream, "a new line", "epoch 2/3: 3/3 batches, 1.0/s in 3 s, loss 0.7"))

    code = follow(name, monkeypatch, job(name), job(name), completed(name))

    told = capsys.readouterr().err
    assert code == 0
    assert f"{name}: InProgress, 1 epochs done" in told
    assert "an old line" not in told
    assert "a new line" in told
    assert "epoch 2/3: 3/3 batches, 1.0/s in 3 s, loss 0.7" in told
    assert files_of(tmp_path / name) == RUN  # in a folder of the job's name


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_come_back(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "detached"
    say(f"{name}/algo-1-1", epoch_line(1))

    def interrupt() -> None:
        raise KeyboardInterrupt

    then(monkeypatch, interrupt)
    with scripted_aws(DescribeTrainingJob=[job(name)]) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        code = run_command(["jobs", "follow", name, "--out", "run", "--region", "us-east-1"])
        told = capsys.readouterr().err

    assert code == 130
    assert f"detached; {name} goes on" in told
    assert f"vedette jobs follow {name} --out run --region us-east-1\n" in told
    assert f"vedette jobs stop {name} --region us-east-1\n" in told
    assert set(service.operations()) == {"DescribeTrainingJob"}
    assert rows_of(tmp_path / "run")[0]["epoch"] == "1"

    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    assert follow(name, monkeypatch, completed(name), flags=("--out", "run")) == 0
    assert files_of(tmp_path / "run") == RUN


def test_a_folder_of_something_else_is_not_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "job.json").write_text('{"job": "one"}')
    (run / "notes.txt").write_text("mine")
    before = files_of(run)

    assert follow("one", monkeypatch, job("one"), flags=("--out", str(run))) == 1
    (run / "notes.txt").unlink()
    assert follow("two", monkeypatch, job("two"), flags=("--out", str(run))) == 1

    told = capsys.readouterr().err
    assert f"{run} is not empty; choose another folder" in told
    assert f"{run} follows one; come back to that with: vedette jobs follow one --out {run}" in told
    assert files_of(run) == {"job.json": before["job.json"]}


def test_a_job_that_has_ended_is_not_said_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("kept")
    assert follow("over", monkeypatch, completed("over"), flags=("--out", "taken")) == 1
    told = capsys.readouterr().err
    assert "taken is not empty; choose another folder" in told
    assert "has not" not in told and "come back" not in told


def test_an_archive_that_cannot_be_unpacked_leaves_the_curves(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "hostile-end"
    say(f"{name}/algo-1-1", epoch_line(1))
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive({**RUN, "../evil": b"evil"}))

    assert follow(name, monkeypatch, completed(name), flags=("--out", "run")) == 1

    assert "can be no name in a run" in capsys.readouterr().err
    assert {"job.json", "results.csv", "report.html"} <= set(files_of(tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_a_person_hid_in_a_followed_folder_stays_there(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "noted"
    say(f"{name}/algo-1-1", epoch_line(1))
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    FollowedRun(tmp_path / "run", name)
    for path in (".notes", ".git/HEAD", ".results.7.partial.csv"):  # the last one is of a following that was killed
        (tmp_path / "run" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / path).write_text("mine")
    (tmp_path / "run" / ".link").symlink_to("nowhere")

    assert follow(name, monkeypatch, completed(name), flags=("--out", "run")) == 0

    assert files_of(tmp_path / "run") == {**RUN, ".notes": b"mine", ".git/HEAD": b"mine"}
    assert (tmp_path / "run" / ".link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_cannot_take_its_place_leaves_the_curves(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "misplaced"
    say(f"{name}/algo-1-1", epoch_line(1))
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    rename = Path.rename

    def refused(place: Path, to: Path) -> Path:
        if place.name == ".run.fetched":
            raise PermissionError(13, "Permission denied", str(place))
        return rename(place, to)

    monkeypatch.setattr(Path, "rename", refused)

    assert follow(name, monkeypatch, completed(name), flags=("--out", "run")) == 1

    assert "run cannot be replaced: Permission denied" in capsys.readouterr().err
    assert {"job.json", "results.csv", "report.html"} <= set(files_of(tmp_path / "run"))


def test_pictures_of_the_run_come_from_its_checkpoints(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "pictured"
    say(f"{name}/algo-1-1", epoch_line(1))
    kept = open_place(f"s3://{BUCKET}/jobs/{name}/checkpoints/run")
    for path in ("train_batch0.jpg", "settings.json", "best.weights", "checkpoints/00001/state.json", ".half.jpg"):
        kept.write(path, b'{"model": "from the run"}')
    failed = job(
        name, TrainingJobStatus="Failed", SecondaryStatus="Failed",
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/jobs/{name}/checkpoints"},
    )  # fmt: skip

    assert follow(name, monkeypatch, failed, flags=("--out", "run")) == 1

    assert set(files_of(tmp_path / "run")) == {
        "job.json", "settings.json", "results.csv", "results.png", "report.html", "train_batch0.jpg",
    }  # fmt: skip
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "train_batch0.jpg" in page
    assert "from the run" in page


def test_other_hosts_are_named_and_draw_no_bar(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "hosts"
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))

    def talk() -> None:
        say(f"{name}/algo-2-1", "joined", "epoch 1/3: 1/3 batches, 1.0/s, 2 s left")
        say(f"{name}/algo-1-1", "the leader", "epoch 1/3: 3/3 batches, 1.0/s in 3 s")

    then(monkeypatch, talk)

    follow(name, monkeypatch, job(name), job(name), completed(name))

    told = capsys.readouterr().err
    assert "\nthe leader\n" in told
    assert "\n[algo-2] joined\n" in told
    assert "\nepoch 1/3: 3/3 batches, 1.0/s in 3 s\n" in told
    assert "\n[algo-2] epoch 1/3: 1/3 batches, 1.0/s, 2 s left\n" in told


def test_a_broken_line_does_not_end_the_following(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "broken-line"
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    monkeypatch.setattr("vedette.learn.sagemaker.aws_client.MOST_ATTEMPTS", 1)
    down = refusal("InternalFailure", "x", 500)

    code = follow(name, monkeypatch, job(name), down, down, job(name), completed(name))

    told = capsys.readouterr().err
    assert code == 0
    assert told.count("SageMaker fails at DescribeTrainingJob (500 InternalFailure") == 1
    assert "the job goes on" in told


def test_following_gives_up_in_the_end_and_says_that_the_job_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vedette.learn.sagemaker.aws_client.MOST_ATTEMPTS", 1)
    monkeypatch.setattr(job_following, "MOST_FAILURES", 3)
    down = refusal("InternalFailure", "x", 500)

    code = follow("lost", monkeypatch, job("lost"), down)

    told = capsys.readouterr().err
    assert code == 1
    assert "following has ended, lost has not\ncome back:  vedette jobs follow lost --out lost\n" in told


def test_a_followed_job_is_told_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "as-json"
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))

    assert follow(name, monkeypatch, completed(name), flags=("--json", "--price-per-hour", "1.5")) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "Completed"
    assert document["cost"] == 1.5
    assert document["bundle"] == f"{name}/bundle"
    assert files_of(tmp_path / name) == RUN


def test_a_failed_job_shows_its_last_lines(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "shown"
    failed = job(name, TrainingJobStatus="Failed", SecondaryStatus="Failed", FailureReason="no pictures")
    say(f"{name}/algo-1-1", *(f"line {number}" for number in range(40)), epoch_line(1))
    with scripted_aws(DescribeTrainingJob=[failed]) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        run_command(["jobs", "show", name])

    told = capsys.readouterr().out
    assert "failed: no pictures\n" in told
    assert told.endswith("  line 38\n  line 39\n")
    assert "line 20\n" not in told
    assert "metrics:" not in told


class Terminal(io.StringIO):
    """Where a bar is drawn."""

    def isatty(self) -> bool:
        return True


def test_the_bar_on_a_terminal_is_that_of_the_job(say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "barred"
    stream = f"{name}/algo-1-1"
    terminal = Terminal()
    open_place(f"s3://{BUCKET}/jobs/{name}/output").write("model.tar.gz", archive(RUN))
    say(stream, "epoch 1/3: 10/40 batches, 2.0/s, 15 s left, loss 0.9")
    then(monkeypatch, lambda: say(stream, "epoch 1/3: 40/40 batches, 2.0/s in 20 s, loss 0.8", epoch_line(1)))
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")

    assert follow(name, monkeypatch, job(name), job(name), completed(name)) == 0

    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert re.search(r"epoch 1/3 ━+ 40/40 [0-9.]+ batches/s .* loss 0\.8", drawn)


def test_a_disk_that_takes_no_more_ends_the_following_only(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    say("full/algo-1-1", epoch_line(1))
    monkeypatch.setattr("vedette.learn.training.run_folder.write_atomically", full)

    assert follow("full", monkeypatch, job("full"), flags=("--out", "run")) == 1

    told = capsys.readouterr().err
    assert "following has ended, full has not\ncome back:  vedette jobs follow full --out run\n" in told
    assert told.endswith("vedette: run cannot be written: No space left on device\n")
