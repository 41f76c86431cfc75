"""The four operations on training jobs, without HTTP: create, describe, list, stop, with SageMaker's own refusals.

A request is held against botocore's model of the service before anything is begun, as the service would; then against
what this simulator can do, which is said in so many words.
"""

import re
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from vedette.learn.sagemaker.job_checks import model_mistakes
from vedette.learn.sagemaker.simulator.records import JobRecord

ACCOUNT = "123456789012"  # moto's
MOST_LISTED = 100
_LIST_DEFAULT = 10
_ORDERS: Mapping[str, Callable[[JobRecord], Any]] = {
    "Name": lambda job: job.name,
    "CreationTime": lambda job: job.created_s,
    "Status": lambda job: (job.phase.status, job.created_s),
}


class Refusal(Exception):  # noqa: N818 - an answer of the service
    """What the service answers instead of doing it: the code and message of its error."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class TrainingJobs:
    """Every job of one simulator. `start` is called with each new one, and `stop` with one that shall end."""

    def __init__(self, region: str, start: Callable[[JobRecord], None], stop: Callable[[JobRecord], None]) -> None:
        self._region, self._start, self._stop = region, start, stop
        self._jobs: dict[str, JobRecord] = {}
        self._lock = Lock()

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob.

        Raises:
            Refusal: as the service would, or this cannot be simulated.
        """
        mistakes = [*model_mistakes(request)] or [*_not_simulated(request)]
        if mistakes:
            raise Refusal("ValidationException", "; ".join(mistakes))
        name = request["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{self._region}:{ACCOUNT}:training-job/{name}"
        job = JobRecord(request, arn, time.time())
        with self._lock:
            if name in self._jobs:
                raise Refusal(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a training job with this "
                    f"name already exists ({arn})",
                )
            self._jobs[name] = job
            self._start(job)
        return {"TrainingJobArn": arn}

    def find(self, name: str) -> JobRecord:
        """The job of a name.

        Raises:
            Refusal: there is none.
        """
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            raise Refusal("ValidationException", "Requested resource not found.")
        return job

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self.find(_name(request)).describe()

    def stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StopTrainingJob; its answer is empty.

        Raises:
            Refusal: there is no such job, or it has ended.
        """
        job = self.find(_name(request))
        if job.phase.is_end:
            raise Refusal(
                "ValidationException",
                f"The request was rejected because the training job is in status {job.phase.status}.",
            )
        self._stop(job)
        return {}

    def list_jobs(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs: NameContains, StatusEquals, bounds of time, order, pages."""
        try:
            with self._lock:
                jobs = [job for job in self._jobs.values() if _is_asked_for(job, request)]
            jobs.sort(key=_ORDERS[request.get("SortBy", "CreationTime")])
            first, most = int(request.get("NextToken", "0")), int(request.get("MaxResults", _LIST_DEFAULT))
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise Refusal(
                "ValidationException", f"a bound, SortBy, NextToken or MaxResults is wrong: {error}"
            ) from error
        if not (1 <= most <= MOST_LISTED and first >= 0):
            raise Refusal("ValidationException", f"MaxResults is {most}, but must be from 1 to {MOST_LISTED}")
        if request.get("SortOrder", "Ascending") == "Descending":
            jobs.reverse()
        answer: dict[str, Any] = {"TrainingJobSummaries": [job.summary() for job in jobs[first : first + most]]}
        if first + most < len(jobs):
            answer["NextToken"] = str(first + most)
        return answer


def _name(request: Mapping[str, Any]) -> str:
    name = request.get("TrainingJobName")
    if not isinstance(name, str):
        raise Refusal("ValidationException", "TrainingJobName is missing")
    return name


def _is_asked_for(job: JobRecord, request: Mapping[str, Any]) -> bool:
    return (
        str(request.get("NameContains", "")) in job.name
        and request.get("StatusEquals") in {None, job.phase.status}
        and float(request.get("CreationTimeAfter", 0)) <= job.created_s
        and job.created_s <= float(request.get("CreationTimeBefore", job.created_s))
        and float(request.get("LastModifiedTimeAfter", 0)) <= job.changed_s
        and job.changed_s <= float(request.get("LastModifiedTimeBefore", job.changed_s))
    )


def _not_simulated(request: Mapping[str, Any]) -> list[str]:
    """What the service would take and this simulator does not do."""
    wrong = [
        f"the simulator needs {name}"
        for name in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition")
        if name not in request
    ]
    for channel in request.get("InputDataConfig", ()):
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            wrong.append(f"the simulator brings channel '{channel['ChannelName']}' from an S3Prefix only")
        if channel.get("CompressionType", "None") != "None":
            wrong.append(f"the simulator does not decompress channel '{channel['ChannelName']}'")
    if "InstanceGroups" in request.get("ResourceConfig", {}):
        wrong.append("the simulator knows no InstanceGroups; give InstanceType and InstanceCount")
    for one in request.get("AlgorithmSpecification", {}).get("MetricDefinitions", ()):
        try:
            re.compile(one["Regex"])
        except re.error as error:
            wrong.append(f"the regex of metric '{one['Name']}' is none: {error}")
    place = request.get("CheckpointConfig", {}).get("LocalPath", "/opt/ml/checkpoints")
    if place.rstrip("/") != "/opt/ml/checkpoints":
        wrong.append("the simulator keeps checkpoints in /opt/ml/checkpoints only")
    return wrong
