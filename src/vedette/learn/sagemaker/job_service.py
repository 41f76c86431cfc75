"""SageMaker's own word on training jobs: create, describe, list, stop; by boto3, which is imported when it is needed.

`endpoint_url` may be a simulator's. Being asked to wait (throttling) and broken connections are retried by botocore
with growing pauses; what it gives up on, and everything else, becomes one sentence (`errors`). The text of AWS is
quoted only where it holds no request: the answer to a wrong signature would show the session token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vedette.learn.sagemaker.errors import (
    JobError,
    JobNotFoundError,
    NotPermittedError,
    QuotaError,
    RequestError,
    ServiceUnreachableError,
)

ENDED = frozenset({"Completed", "Failed", "Stopped"})
PAGE = 100  # jobs in one answer, the most there are
MOST_ATTEMPTS = 6  # pauses of up to 1, 2, 4, 8 and 16 s
NO_CREDENTIALS = (
    "no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`"
)
NO_REGION = "no AWS region; set AWS_REGION, give --region, or run `aws configure`"
_BAD_KEYS = {
    "UnrecognizedClientException": "the access key is not known",
    "InvalidClientTokenId": "the access key is not known",
    "InvalidSignatureException": "the secret key is wrong, or this computer's clock",
    "SignatureDoesNotMatch": "the secret key is wrong, or this computer's clock",
    "ExpiredToken": "the session has expired",
    "ExpiredTokenException": "the session has expired",
    "RequestExpired": "the request came too late: look at this computer's clock",
}
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded"}
)


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
    try:
        import boto3.session
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise ServiceUnreachableError("jobs need 'boto3'; install it with: pip install 'vedette[learn]'") from error
    config = Config(retries={"mode": "standard", "total_max_attempts": MOST_ATTEMPTS}, connect_timeout=10)
    with _translated("sagemaker", ""):
        try:
            session = boto3.session.Session(region_name=region)
            client = session.client("sagemaker", endpoint_url=endpoint_url, config=config)
        except ValueError as error:
            raise RequestError("--endpoint-url", [f"{error}"]) from None
    return JobService(client)


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
        with _translated("CreateTrainingJob", request["TrainingJobName"]):
            return str(self._client.create_training_job(**request)["TrainingJobArn"])

    def describe(self, name: str) -> JobState:
        """What is known of a job.

        Raises:
            JobNotFoundError: there is none.
            JobError: AWS does not say.
        """
        with _translated("DescribeTrainingJob", name):
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
        with _translated("ListTrainingJobs", ""):
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
        with _translated("StopTrainingJob", name):
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
        failure_reason=told.get("FailureReason"),
        artefact=told.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        instance=resources.get("InstanceType", "?"),
        instances=resources.get("InstanceCount", 1),
        spot=bool(told.get("EnableManagedSpotTraining", False)),
        training_s=told.get("TrainingTimeInSeconds"),
        billable_s=told.get("BillableTimeInSeconds"),
        metrics={one["MetricName"]: float(one["Value"]) for one in told.get("FinalMetricDataList", ())},
        transitions=tuple(
            (one["Status"], one["StartTime"], one.get("StatusMessage", ""))
            for one in told.get("SecondaryStatusTransitions", ())
        ),
    )


@contextmanager
def _translated(operation: str, job: str) -> Iterator[None]:
    """What botocore raises, in one sentence; `None` behind `from` keeps requests out of chained errors."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise NotPermittedError(NO_CREDENTIALS) from None
    except exceptions.NoRegionError:
        raise NotPermittedError(NO_REGION) from None
    except exceptions.ParamValidationError as error:
        raise RequestError(operation, [line for line in str(error).splitlines()[1:] if line]) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:  # endpoint, proxy, timeout, TLS
        raise ServiceUnreachableError(f"SageMaker cannot be reached ({error}); try again later") from None
    except exceptions.ClientError as error:
        raise _explain(operation, job, error) from None
    except exceptions.BotoCoreError as error:  # profiles, SSO, roles: names of profiles and files, never keys
        raise NotPermittedError(f"AWS credentials: {error}") from None


def _explain(operation: str, job: str, error: Any) -> JobError:
    code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    named = f"job '{job}'" if job else "jobs"
    if code in _BAD_KEYS:
        return NotPermittedError(f"AWS refuses the credentials: {_BAD_KEYS[code]}")
    if "AccessDenied" in code or code == "UnauthorizedOperation":
        action = re.search(r"not authorized to perform: ([a-z0-9-]+:\w+)", text)
        who = re.search(r"User: (arn:\S{1,300})", text)
        return NotPermittedError(
            f"{who[1] if who else 'whoever asks'} has no permission {action[1] if action else f'sagemaker:{operation}'}"
            f" for {named}; add it to their policy (docs/how-to/sagemaker-permissions.md)"
        )
    if code in _THROTTLED or status == 429:
        return ServiceUnreachableError(
            f"SageMaker is asked too often ({operation}, {MOST_ATTEMPTS} attempts); try again in a minute"
        )
    if status >= 500:
        return ServiceUnreachableError(f"SageMaker fails at {operation} ({status} {code}); try again later")
    if code == "ResourceLimitExceeded":
        return QuotaError(f"the account's quota does not hold this: {_one_line(text)}")
    if code == "ResourceInUse":
        return RequestError(named, ["there is one of this name already; give another --name"])
    if code == "ResourceNotFound" or re.search(r"not found|[Cc]ould not find", text):
        return JobNotFoundError(f"there is no {named} in this account and region")
    return RequestError(f"{operation} of {named}", [f"SageMaker refuses: {_one_line(text) or code}"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
