"""The simulated service as boto3 meets it over HTTP: what it answers, and what it refuses in SageMaker's words."""

import http.client
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from vedette.learn.sagemaker.job import build_request
from vedette.learn.sagemaker.job_settings import parse_job_settings
from vedette.learn.sagemaker.simulator.front import serve_front
from vedette.learn.sagemaker.simulator.records import JobRecord, Phase
from vedette.learn.sagemaker.simulator.service import TrainingJobs

KEY = "SIMULATED0815"
NOBODY = "http://127.0.0.1:9"  # nothing here is handed on


def request(name: str, **more: Any) -> dict[str, Any]:
    settings = {
        "role": "arn:aws:iam::123456789012:role/vedette-training",
        "instance": "ml.g5.xlarge",
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/vedette:1",
        "output": "s3://factory/jobs",
        "channels": {"train": "s3://factory/parts"},
    }
    return {**build_request(parse_job_settings(settings), name), **more}


class Front:
    """A front whose jobs only stand still; what was asked of them is kept."""

    def __init__(self) -> None:
        self.started: list[JobRecord] = []
        self.stopped: list[str] = []
        self.jobs = TrainingJobs("us-east-1", self.started.append, lambda job: self.stopped.append(job.name))
        self.url = ""

    def client(self, key: str = KEY) -> Any:
        return boto3.session.Session().client(
            "sagemaker", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=key,
            aws_secret_access_key="any", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front()
    with serve_front(made.jobs, KEY, NOBODY, NOBODY) as made.url:
        yield made


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_job_is_created_described_and_asked_to_stop(front: Front) -> None:
    client = front.client()
    arn = client.create_training_job(**request("belt-1"))["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:training-job/belt-1"
    assert [job.name for job in front.started] == ["belt-1"]
    told = client.describe_training_job(TrainingJobName="belt-1")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("InProgress", "Starting")
    assert told["CreationTime"].timestamp() == pytest.approx(front.started[0].created_s, abs=0.01)
    asked = request("belt-1")
    for name in ("HyperParameters", "ResourceConfig", "InputDataConfig", "CheckpointConfig", "StoppingCondition"):
        assert told[name] == asked[name], name
    assert "TrainingTimeInSeconds" not in told
    client.stop_training_job(TrainingJobName="belt-1")
    assert front.stopped == ["belt-1"]


def test_a_name_is_used_once_and_unknown_and_ended_jobs_are_refused(front: Front) -> None:
    client = front.client()
    client.create_training_job(**request("belt-1"))
    assert refusal(client.create_training_job, **request("belt-1"))[0] == "ResourceInUse"
    assert len(front.started) == 1
    unknown = ("ValidationException", "Requested resource not found.")
    assert refusal(client.describe_training_job, TrainingJobName="belt-2") == unknown
    assert refusal(client.stop_training_job, TrainingJobName="belt-2") == unknown
    front.started[0].enter(Phase.COMPLETED, 1e9)
    code, text = refusal(client.stop_training_job, TrainingJobName="belt-1")
    assert (code, "in status Completed" in text, front.stopped) == ("ValidationException", True, [])


def test_what_the_service_or_the_simulator_cannot_take_begins_nothing(front: Front) -> None:
    client = front.client()
    asked = request("belt-1")
    algorithm = asked["AlgorithmSpecification"]
    s3 = asked["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    manifest = [{"ChannelName": "train", "DataSource": {"S3DataSource": {**s3, "S3DataType": "ManifestFile"}}}]
    for change, message in [
        ({"RoleArn": "whoever-comes-along-today"}, "RoleArn"),
        ({"ResourceConfig": {**asked["ResourceConfig"], "InstanceType": "ml.toaster"}}, "ml.toaster"),
        ({"InputDataConfig": manifest}, "an S3Prefix only"),
        ({"CheckpointConfig": {"S3Uri": "s3://factory/c", "LocalPath": "/tmp"}}, "/opt/ml/checkpoints only"),
        (
            {"AlgorithmSpecification": {**algorithm, "MetricDefinitions": [{"Name": "x", "Regex": "("}]}},
            "regex of metric 'x' is none",
        ),
    ]:
        code, text = refusal(client.create_training_job, **{**asked, **change})
        assert code == "ValidationException"
        assert message in text
    assert front.started == []


def test_lists_are_filtered_ordered_and_paged(front: Front) -> None:
    client = front.client()
    for number in range(5):
        client.create_training_job(**request(f"belt-{number}"))
        front.started[number].created_s = 1000.0 + number
    front.started[1].enter(Phase.FAILED, 2000.0, "AlgorithmError: no")

    def names(**given: Any) -> list[str]:
        return [one["TrainingJobName"] for one in client.list_training_jobs(**given)["TrainingJobSummaries"]]

    assert names() == [f"belt-{number}" for number in range(5)]
    assert names(SortOrder="Descending", MaxResults=2) == ["belt-4", "belt-3"]
    assert names(StatusEquals="Failed") == ["belt-1"]
    assert names(NameContains="-3") == ["belt-3"]
    assert names(CreationTimeAfter=1001.5, CreationTimeBefore=1003.5) == ["belt-2", "belt-3"]
    assert names(SortBy="Status")[0] == "belt-1"
    pages = client.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 2, 1]
    assert refusal(client.list_training_jobs, NextToken="x")[0] == "ValidationException"


def test_other_operations_keys_and_hosts_are_refused(front: Front) -> None:
    assert refusal(front.client().list_models)[0] == "UnknownOperationException"
    assert refusal(front.client("SIMULATED").list_training_jobs)[0] == "UnrecognizedClientException"
    good = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20261122/us-east-1/sagemaker/aws4_request",
        "X-Amz-Target": "SageMaker.ListTrainingJobs",
    }
    assert post(front.url, b"{}", good) == (200, {"TrainingJobSummaries": []})
    for headers, body, code in [
        ({**good, "Host": "rebound.example.org"}, b"{}", "AccessDeniedException"),
        ({**good, "X-Amz-Target": "SageMaker.__init__"}, b"{}", "UnknownOperationException"),
        (good, b"[" * 100_000, "SerializationException"),
        (good, b"[]", "SerializationException"),
        (good, b'{"MaxResults": 1e999}', "ValidationException"),
    ]:
        status, told = post(front.url, body, headers)
        assert (status, told["__type"]) == (400, code)
    connection = http.client.HTTPConnection(front.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/", headers={**good, "Content-Length": str(2 << 20)})  # refused before its bytes come
    assert connection.getresponse().status == 413
    connection.close()


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    asked = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_transitions_figures_and_savings_are_told_as_sagemaker_tells_them() -> None:
    job = JobRecord(request("belt-1", EnableManagedSpotTraining=True), "arn", 100.0)
    steps = [
        Phase.LAUNCHING, Phase.PREPARING, Phase.DOWNLOADING, Phase.TRAINING, Phase.INTERRUPTED, Phase.LAUNCHING,
        Phase.DOWNLOADING, Phase.TRAINING, Phase.UPLOADING,
    ]  # fmt: skip
    for number, phase in enumerate(steps, 101):
        job.enter(phase, number)
    job.note_figures("metrics: epoch=1; val_map50=0.25;", 105.0)
    job.note_figures("metrics: epoch=2; val_map50=nan; ", 106.0)
    assert "TrainingTimeInSeconds" not in job.describe()
    job.training_s = 200.0
    job.enter(Phase.COMPLETED, 120.0)
    told = job.describe()
    assert [(one["Status"], one["StartTime"], one["EndTime"]) for one in told["SecondaryStatusTransitions"]] == [
        ("Starting", 100.0, 103), ("Downloading", 103, 104), ("Training", 104, 105), ("Interrupted", 105, 106),
        ("Starting", 106, 107), ("Downloading", 107, 108), ("Training", 108, 109), ("Uploading", 109, 120.0),
        ("Completed", 120.0, 120.0),
    ]  # fmt: skip
    assert told["SecondaryStatusTransitions"][0]["StatusMessage"] == "Preparing the instances for training"
    assert {one["MetricName"]: one["Value"] for one in told["FinalMetricDataList"]} == {"epoch": 2.0, "val:map50": 0.25}
    assert (told["TrainingTimeInSeconds"], told["BillableTimeInSeconds"]) == (200, 60)
    assert (told["TrainingStartTime"], told["TrainingEndTime"]) == (104, 120.0)


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "sagemaker-simulator.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
