"""Jobs on the simulated SageMaker as boto3 asks for them, and what they leave in S3 and CloudWatch."""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from vedette.learn.sagemaker.job import build_request
from vedette.learn.sagemaker.job_settings import parse_job_settings
from vedette.learn.sagemaker.simulator.logs import GROUP
from vedette.learn.sagemaker.simulator.opening import Simulator
from vedette.storage.store import open_store

PATIENCE_S = 500.0


class Rehearsal:
    """A simulator, and clients of it."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.root = f"s3://{simulator.bucket}"
        self.store = open_store(self.root, simulator.settings)
        keys = simulator.environment
        session = boto3.session.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], None, "us-east-1")
        self.sagemaker = session.client("sagemaker", endpoint_url=simulator.endpoint)
        self.logs = session.client("logs", endpoint_url=simulator.endpoint)

    def create(self, name: str, parameters: Mapping[str, str], settings: Mapping[str, Any], **more: Any) -> None:
        given = {
            "role": self.simulator.role,
            "image": self.simulator.image,
            "instance": "ml.g5.xlarge",
            "output": f"{self.root}/jobs",
            "channels": {"train": f"{self.root}/parts"},
            "hyperparameters": dict(parameters),
            **settings,
        }
        self.sagemaker.create_training_job(**{**build_request(parse_job_settings(given), name), **more})

    def ended(self, name: str) -> dict[str, Any]:
        assert self.simulator.wait(name, PATIENCE_S), self.describe(name)
        return self.describe(name)

    def describe(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return told

    def run(self, name: str, settings: Mapping[str, Any] | None = None, **parameters: str) -> dict[str, Any]:
        self.create(name, parameters, settings or {})
        return self.ended(name)

    def streams(self, name: str) -> dict[str, list[str]]:
        found = self.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        return {
            one["logStreamName"]: [
                event["message"]
                for event in self.logs.get_log_events(
                    logGroupName=GROUP, logStreamName=one["logStreamName"], startFromHead=True
                )["events"]
            ]
            for one in found
        }

    def until_said(self, name: str, line: str) -> None:
        for _ in range(int(PATIENCE_S / 0.1)):
            if any(line in said for stream in self.streams(name).values() for said in stream):
                return
            assert not self.simulator.wait(name, 0.1), self.describe(name)
        pytest.fail(f"'{line}' was never said")

    def model(self, name: str) -> dict[str, Any]:
        archive = self.store.read(f"jobs/{name}/output/model.tar.gz", 1 << 24)
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            files = {one.name: opened.extractfile(one) for one in opened.getmembers() if one.isfile()}
            return {key: json.loads(file.read()) for key, file in files.items() if file is not None}

    def keys(self, below: str) -> list[str]:
        return sorted(one.name for one in self.store.list(below))
