"""SageMaker's own word on training jobs: create, describe, list, stop; by boto3, which is imported when it is needed.

`endpoint_url` may be a simulator's. How refusals are told and retried is `aws_client`'s matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vedette.learn.sagemaker.aws_client import open_client, translated, without_control_signs

ENDED = frozenset({"Completed", "Failed", "Stopped"})
PAGE = 100  # jobs in one answer, the most there are


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as a list shows it."""

    name: str
    status: str
    created: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as SageMaker describes it. `transitions` are (status, start, message), the first one first."""

    name: str
    arn: str
    status: str
    secondary_status: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    failure_reason: str | None
    artefact: str | None  # where model.tar.gz is, or will be
    instance: str
    instances: int
    spot: bool
    training_s: int | None
    billable_s: int | None
    metrics: Mapping[str, float]
    transitions: tuple[tuple[str, datetime, str], ...]
    hyperparameters: Mapping[str, str]
    checkpoints: str | None  # where they are kept while it runs

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def spot_savings_percent(self) -> float | None:
        """What spot machines saved; None when nothing is known of it yet."""
        if not self.spot or not self.training_s or self.billable_s is None:
            return None
        return (1 - self.billable_s / self.training_s) * 100

    def cost(self, price_per_hour: float) -> float | None:
        """What the machines cost, at the price of one of them for an hour."""
        return None if self.billable_s is None else self.billable_s * self.instances / 3600 * price_per_hour


def open_service(region: str | None = None, endpoint_url: str | None = None) -> JobService:
    """SageMaker as the usual chain of AWS finds it: environment, profile, role.

    Raises:
        JobError: boto3 is not installed, or region or credentials are missing.
    """
    return JobService(open_client("sagemaker", region, endpoint_url))


class JobService:
    """Jobs of one account in one region. Its methods block."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.region = str(client.meta.region_name)

    def create(self, request: Mapping[str, Any]) -> str:
        """Create a job that `check_request` has seen; its ARN.

        Raises:
            JobError: AWS does not take it.
        """
        with translated("SageMaker", "CreateTrainingJob", request["TrainingJobName"]):
            return str(self._client.create_training_job(**request)["TrainingJobArn"])

    def describe(self, name: str) -> JobState:
        """What is known of a job.

        Raises:
            JobNotFoundError: there is none.
            JobError: AWS does not say.
        """
        with translated("SageMaker", "DescribeTrainingJob", name):
            return _state(self._client.describe_training_job(TrainingJobName=name))

    def list(self, most: int, status: str | None = None, name_contains: str | None = None) -> list[JobLine]:
        """The newest jobs.

        Raises:
            JobError: AWS does not say.
        """
        asked: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        asked |= {"StatusEquals": status} if status else {}
        asked |= {"NameContains": name_contains} if name_contains else {}
        found: list[JobLine] = []
        with translated("SageMaker", "ListTrainingJobs", ""):
            while True:
                page = self._client.list_training_jobs(**asked, MaxResults=min(PAGE, most - len(found)))
                found += [
                    JobLine(
                        one["TrainingJobName"],
                        one["TrainingJobStatus"],
                        one["CreationTime"],
                        one.get("TrainingEndTime"),
                    )
                    for one in page["TrainingJobSummaries"]
                ]
                if len(found) >= most or not page.get("NextToken"):
                    return found[:most]
                asked["NextToken"] = str(page["NextToken"])

    def stop(self, name: str) -> None:
        """Ask a job to end: it has two minutes to save its model. Returns before it has ended.

        Raises:
            JobNotFoundError: there is none.
            JobError: AWS does not do it.
        """
        with translated("SageMaker", "StopTrainingJob", name):
            self._client.stop_training_job(TrainingJobName=name)


def _state(told: Mapping[str, Any]) -> JobState:
    resources: Mapping[str, Any] = told.get("ResourceConfig", {})
    return JobState(
        name=told["TrainingJobName"],
        arn=told["TrainingJobArn"],
        status=told["TrainingJobStatus"],
        secondary_status=told["SecondaryStatus"],
        created=told["CreationTime"],
        started=told.get("TrainingStartTime"),
        ended=told.get("TrainingEndTime"),
        failure_reason=without_control_signs(told["FailureReason"]) if "FailureReason" in told else None,
        artefact=told.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        instance=resources.get("InstanceType", "?"),
        instances=resources.get("InstanceCount", 1),
        spot=bool(told.get("EnableManagedSpotTraining", False)),
        training_s=told.get("TrainingTimeInSeconds"),
        billable_s=told.get("BillableTimeInSeconds"),
        metrics={one["MetricName"]: float(one["Value"]) for one in told.get("FinalMetricDataList", ())},
        transitions=tuple(
            (one["Status"], one["StartTime"], without_control_signs(one.get("StatusMessage", "")))
            for one in told.get("SecondaryStatusTransitions", ())
        ),
        hyperparameters=dict(told.get("HyperParameters", {})),
        checkpoints=told.get("CheckpointConfig", {}).get("S3Uri"),
    )
