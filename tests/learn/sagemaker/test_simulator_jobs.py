"""What a job is given, how it ends and what is left of it: real processes, real S3, another program than `train`."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ended_processes import wait_until_ended
from simulators import training_program
from simulators.sagemaker_rehearsal import PATIENCE_S, Rehearsal
from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.simulator.lifecycle import JobRun, Surroundings
from vedette.learn.sagemaker.simulator.logs import LogGroup
from vedette.learn.sagemaker.simulator.opening import SimulatorOptions, open_simulator
from vedette.learn.sagemaker.simulator.records import JobRecord
from vedette.storage.address import S3Settings

PROGRAM = (sys.executable, training_program.__file__)


@contextmanager
def rehearsing(folder: Path, **options: Any) -> Iterator[Rehearsal]:
    chosen = SimulatorOptions(command=PROGRAM, checkpoint_every_s=0.1, **options)
    with open_simulator(folder, chosen) as simulator:
        made = Rehearsal(simulator)
        for name in ("parts/a.txt", "parts/sub/b.txt", "parts-old/c.txt"):
            made.store.write(name, name.encode())
        yield made
    assert [path.name for path in folder.iterdir()] == ["moto.log"]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with rehearsing(tmp_path_factory.mktemp("simulator"), grace_s=PATIENCE_S) as made:
        yield made


def steps(told: Mapping[str, Any]) -> list[str]:
    return [one["Status"] for one in told["SecondaryStatusTransitions"]]


def test_a_job_finds_the_contract_and_leaves_archives_log_and_figures(rehearsal: Rehearsal) -> None:
    told = rehearsal.run(
        "whole", {"tags": {"line": "7"}, "environment": {"COLOUR": "blue"}}, epochs="3",
        says="metrics: epoch=3; val_map50=0.5;", writes=json.dumps({"output/data/notes.json": "1"}),
    )  # fmt: skip
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Completed", "Completed")
    assert steps(told) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == f"{rehearsal.root}/jobs/whole/output/model.tar.gz"
    assert {one["MetricName"]: one["Value"] for one in told["FinalMetricDataList"]} == {"epoch": 3.0, "val:map50": 0.5}
    assert told["BillableTimeInSeconds"] == told["TrainingTimeInSeconds"] >= 1
    assert rehearsal.keys("jobs/whole/output") == [
        "jobs/whole/output/model.tar.gz", "jobs/whole/output/output.tar.gz",
    ]  # fmt: skip
    model = rehearsal.model("whole")
    assert model["algo-1/hyperparameters.json"]["epochs"] == "3"
    assert model["algo-1/inputdataconfig.json"]["train"] == {
        "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None",
    }  # fmt: skip
    resources = model["algo-1/resourceconfig.json"]
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert resources["current_instance_type"] == "ml.g5.xlarge"
    assert model["algo-1/inputs.json"] == {"train/a.txt": "644 parts/a.txt", "train/sub/b.txt": "644 parts/sub/b.txt"}
    environment = model["algo-1/environment.json"]
    assert (environment["TRAINING_JOB_NAME"], environment["COLOUR"]) == ("whole", "blue")
    assert environment["TRAINING_JOB_ARN"] == told["TrainingJobArn"]
    assert environment["arguments"] == "train"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    ((stream, lines),) = rehearsal.streams("whole").items()
    assert stream.startswith("whole/algo-1-")
    assert stream.removeprefix("whole/algo-1-").isdigit()
    assert lines == ["metrics: epoch=3; val_map50=0.5;"]


def test_hosts_are_listed_as_text_sorts_them_and_shards_are_parted(rehearsal: Rehearsal) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{rehearsal.root}/parts", "S3DataDistributionType": "ShardedByS3Key"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    rehearsal.create("many", {}, {"instances": 11}, InputDataConfig=[channel])
    assert rehearsal.ended("many")["TrainingJobStatus"] == "Completed"
    model = rehearsal.model("many")
    hosts = model["algo-7/resourceconfig.json"]["hosts"]
    assert hosts[:3] == ["algo-1", "algo-10", "algo-11"]
    assert model["algo-7/resourceconfig.json"]["current_host"] == "algo-7"
    inputs = {host: model[f"{host}/inputs.json"] for host in hosts}
    assert sorted(name for tree in inputs.values() for name in tree) == [
        "train/-old/c.txt",
        "train/a.txt",
        "train/sub/b.txt",
    ]
    assert [len(inputs[host]) for host in hosts[:4]] == [1, 1, 1, 0]
    assert len({model[f"{host}/environment.json"]["MASTER_PORT"] for host in hosts}) == 1
    assert len(rehearsal.streams("many")) == 11


def test_fast_file_is_read_only_pipe_is_a_fifo_and_nothing_at_an_address_is_a_failure(rehearsal: Rehearsal) -> None:
    assert rehearsal.run("fast", {"mode": "FastFile"})["TrainingJobStatus"] == "Completed"
    assert rehearsal.model("fast")["algo-1/inputs.json"]["train/a.txt"] == "444 parts/a.txt"
    told = rehearsal.run("piped", {"mode": "Pipe"})
    assert told["TrainingJobStatus"] == "Completed"
    assert rehearsal.model("piped")["algo-1/inputs.json"] == {}
    told = rehearsal.run("empty", {"channels": {"train": f"{rehearsal.root}/nothing"}})
    assert (told["TrainingJobStatus"], steps(told)) == ("Failed", ["Starting", "Downloading", "Failed"])
    assert "No S3 objects found under S3 URL" in told["FailureReason"]
    assert "TrainingTimeInSeconds" not in told
    assert "ModelArtifacts" not in told


def test_the_wheel_of_another_image_must_be_there_and_start_our_program(rehearsal: Rehearsal) -> None:
    wheel = {"wheel": f"{rehearsal.root}/code"}
    rehearsal.store.write("code/notes.txt", b"no wheel")
    told = rehearsal.run("no-wheel", wheel)
    assert told["FailureReason"] == "ClientError: channel 'code' holds no vedette-*.whl, which the entrypoint installs"
    rehearsal.store.write("code/vedette-1.0-py3-none-any.whl", b"a wheel")
    told = rehearsal.run("wheel", wheel)
    assert told["TrainingJobStatus"] == "Completed"
    assert "ContainerEntrypoint" in told["AlgorithmSpecification"]
    model = rehearsal.model("wheel")
    assert model["algo-1/environment.json"]["arguments"] == "train"
    assert "code/vedette-1.0-py3-none-any.whl" in model["algo-1/inputs.json"]
    ((_, lines),) = rehearsal.streams("wheel").items()
    assert lines[0] == "simulator: the Vedette that is installed here runs in place of the wheel"
    other = {**told["AlgorithmSpecification"], "ContainerEntrypoint": ["/bin/sh", "-c", "rm -rf ."]}
    rehearsal.create("other", {}, wheel, AlgorithmSpecification=other)
    assert "the simulator runs nothing else" in rehearsal.ended("other")["FailureReason"]


def test_a_failure_is_told_in_the_words_of_the_program_and_leaves_no_model(rehearsal: Rehearsal) -> None:
    told = rehearsal.run("failed", ends="3", writes=json.dumps({"output/failure": "the belt has torn"}))
    assert told["TrainingJobStatus"] == "Failed"
    assert told["FailureReason"] == "AlgorithmError: the belt has torn, exit code: 3"
    assert steps(told)[-1] == "Failed"
    assert rehearsal.keys("jobs/failed/output") == []


def test_a_host_that_fails_takes_the_others_along(rehearsal: Rehearsal) -> None:
    told = rehearsal.run("torn", {"instances": 3}, ends="1", only="algo-2")
    assert told["FailureReason"].endswith("exit code: 1")
    assert steps(told)[-2:] == ["Training", "Failed"]
    assert len(rehearsal.streams("torn")) == 3


def test_a_job_that_is_stopped_before_its_machines_come_has_no_model(tmp_path: Path) -> None:
    job = JobRecord({"TrainingJobName": "early", "ResourceConfig": {}, "StoppingCondition": {}}, "arn", 1.0)
    nowhere = Surroundings(tmp_path, S3Settings(), "us-east-1", LogGroup(None), PROGRAM, 1.0, 1.0, None)
    run = JobRun(job, nowhere)
    run.ask_to_stop()
    assert job.describe()["TrainingJobStatus"] == "Stopping"
    run.run()
    told = job.describe()
    assert steps(told) == ["Starting", "Stopping", "Stopped"]
    assert "ModelArtifacts" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_job_saves_its_model_and_its_checkpoints(rehearsal: Rehearsal) -> None:
    rehearsal.create("stopped", {"waits": "yes", "writes": json.dumps({"checkpoints/one": "1"})}, {})
    rehearsal.until_said("stopped", "started")
    rehearsal.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert rehearsal.describe("stopped")["TrainingJobStatus"] in {"Stopping", "Stopped"}
    told = rehearsal.ended("stopped")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert steps(told) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert "algo-1/inputs.json" in rehearsal.model("stopped")
    assert rehearsal.keys("jobs/stopped/checkpoints") == ["jobs/stopped/checkpoints/one"]


def test_a_job_that_runs_too_long_is_stopped(rehearsal: Rehearsal) -> None:
    told = rehearsal.run("long", {"max_run": 1}, waits="yes")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert steps(told)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


SPOT = {"spot": True, "max_run": "1h", "max_wait": "2h"}


def test_an_interrupted_spot_job_goes_on_with_its_checkpoints_on_new_machines(rehearsal: Rehearsal) -> None:
    writes = json.dumps({"checkpoints/deep/state": "7", "checkpoints/dropped": "x"})
    rehearsal.create("spot", {"waits": "yes", "writes": writes, "removes": '["checkpoints/dropped"]'}, SPOT)
    rehearsal.until_said("spot", "started")
    rehearsal.simulator.interrupt("spot")
    told = rehearsal.ended("spot")
    first = ["Starting", "Downloading", "Training"]
    assert steps(told) == [*first, "Interrupted", *first, "Uploading", "Completed"]
    model = rehearsal.model("spot")
    assert model["algo-1/checkpoints.json"] == {"deep/state": "644 7"}
    assert len(rehearsal.streams("spot")) == 2
    assert told["BillableTimeInSeconds"] <= told["TrainingTimeInSeconds"]
    assert rehearsal.keys("jobs/spot/checkpoints") == ["jobs/spot/checkpoints/deep/state"]
    for name in ("whole", "spot-2"):
        with pytest.raises(SimulatorError, match=r"no job .* on spot machines"):
            rehearsal.simulator.interrupt(name)


def test_every_machine_of_every_attempt_has_temporary_files_of_its_own(rehearsal: Rehearsal) -> None:
    rehearsal.create("apart", {"waits": "yes", "writes": '{"checkpoints/x": "1"}'}, {**SPOT, "instances": 2})
    while sum("started" in lines for lines in rehearsal.streams("apart").values()) < 2:
        assert not rehearsal.simulator.wait("apart", 0.05), rehearsal.describe("apart")
    running = [one.environ() for one in psutil.Process().children() if "training_program" in " ".join(one.cmdline())]
    seen = {one["TMPDIR"] for one in running if one["TRAINING_JOB_NAME"] == "apart"}
    assert len(seen) == 2
    assert all(Path(one).is_dir() for one in seen)
    rehearsal.simulator.interrupt("apart")
    assert rehearsal.ended("apart")["TrainingJobStatus"] == "Completed"
    model = rehearsal.model("apart")
    seen |= {model[f"algo-{number}/environment.json"]["TMPDIR"] for number in (1, 2)}
    assert len(seen) == 4
    assert not any(Path(one).exists() for one in seen)


def test_a_spot_job_that_waits_too_long_ends(rehearsal: Rehearsal) -> None:
    told = rehearsal.run("waited", {"spot": True, "max_run": 1, "max_wait": 1}, waits="yes")
    assert told["SecondaryStatus"] == "MaxWaitTimeExceeded"


def test_a_program_that_ignores_sigterm_is_killed_and_a_closed_simulator_leaves_no_process(tmp_path: Path) -> None:
    with rehearsing(tmp_path / "sim", grace_s=0.2) as rehearsal:
        rehearsal.create("deaf", {"ignores": "yes"}, {})
        rehearsal.until_said("deaf", "started")
        rehearsal.sagemaker.stop_training_job(TrainingJobName="deaf")
        assert rehearsal.ended("deaf")["TrainingJobStatus"] == "Stopped"
        assert "killed, for it had not ended 0.2 s after SIGTERM" in "".join(*rehearsal.streams("deaf").values())
        rehearsal.create("left", {"ignores": "yes"}, {})
        rehearsal.until_said("left", "started")
        children = psutil.Process().children(recursive=True)
        ours = [one for one in children if any("training_program" in word for word in one.cmdline())]
        assert len(ours) == 1
        temporary = Path(ours[0].environ()["TMPDIR"])
        (temporary / "half").write_text("of a data set")
    assert not temporary.exists()
    wait_until_ended(one.pid for one in ours)
