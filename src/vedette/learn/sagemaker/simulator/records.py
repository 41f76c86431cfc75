"""What the simulated SageMaker knows of a job: its request, how it stands, how it came there; no I/O, time passed in.

Names, statuses and messages are those of DescribeTrainingJob (botocore 1.44, `sagemaker/2017-07-24`) and of the lines
that the SageMaker SDK prints while a job runs. Times are seconds since 1970, as the service writes them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any

SPOT_SHARE = 0.3  # of the training time is billed for spot machines, here; AWS's own prices move
MOST_REASON = 1024  # characters of FailureReason
ENDED = frozenset({"Completed", "Failed", "Stopped"})
_NOT_DESCRIBED = frozenset({"Tags"})  # given with the request, answered by ListTags only


class Phase(Enum):
    """TrainingJobStatus, SecondaryStatus and StatusMessage."""

    STARTING = ("InProgress", "Starting", "Starting the training job")
    LAUNCHING = ("InProgress", "Starting", "Launching requested ML instances")
    PREPARING = ("InProgress", "Starting", "Preparing the instances for training")
    DOWNLOADING = ("InProgress", "Downloading", "Downloading input data")
    TRAINING = ("InProgress", "Training", "Training image download completed. Training in progress.")
    INTERRUPTED = ("InProgress", "Interrupted", "The spot instances were taken away")
    UPLOADING = ("InProgress", "Uploading", "Uploading generated training model")
    STOPPING = ("Stopping", "Stopping", "Stopping the training job")
    UPLOADING_STOPPED = ("Stopping", "Uploading", "Uploading generated training model")
    COMPLETED = ("Completed", "Completed", "Training job completed")
    FAILED = ("Failed", "Failed", "Training job failed")
    STOPPED = ("Stopped", "Stopped", "Training job stopped")
    TOO_LONG = ("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided")
    WAITED_TOO_LONG = (
        "Stopped",
        "MaxWaitTimeExceeded",
        "Training job waited longer than MaxWaitTimeInSeconds provided",
    )

    @property
    def status(self) -> str:
        """TrainingJobStatus."""
        return str(self.value[0])

    @property
    def is_end(self) -> bool:
        return self.status in ENDED


@dataclass
class Transition:
    """One SecondaryStatus, with the last message in it."""

    status: str
    message: str
    start_s: float
    end_s: float | None = None


@dataclass
class JobRecord:
    """One job. Its methods may be called from several threads."""

    request: Mapping[str, Any]
    arn: str
    created_s: float
    phase: Phase = Phase.STARTING
    changed_s: float = 0.0
    failure: str | None = None
    artefact: str | None = None
    training_s: float = 0.0  # on machines, in all attempts
    started_s: float | None = None
    ended_s: float | None = None
    transitions: list[Transition] = field(default_factory=list)
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)  # value, time
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self.enter(Phase.STARTING, self.created_s)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def is_spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    def enter(self, phase: Phase, now_s: float, failure: str | None = None) -> None:
        """Go on to a phase; one of the same SecondaryStatus changes the message only."""
        with self._lock:
            _, status, message = phase.value
            last = self.transitions[-1] if self.transitions else None
            if last is not None and last.status == status:
                last.message = message
            else:
                if last is not None:
                    last.end_s = now_s
                self.transitions.append(Transition(status, message, now_s))
            if phase is Phase.TRAINING and self.started_s is None:
                self.started_s = now_s
            if phase.is_end:
                self.transitions[-1].end_s = self.ended_s = now_s
            self.phase, self.changed_s = phase, now_s
            self.failure = None if failure is None else failure[:MOST_REASON]

    def note_figures(self, line: str, now_s: float) -> None:
        """Take what the job's own MetricDefinitions find in a line of its log."""
        for one in self.request.get("AlgorithmSpecification", {}).get("MetricDefinitions", ()):
            found = re.search(one["Regex"], line)
            if found is None or not found.groups():
                continue
            try:
                value = float(found[1])
            except (TypeError, ValueError):
                continue
            with self._lock:
                self.figures[one["Name"]] = (value, now_s)

    def summary(self) -> dict[str, Any]:
        """An entry of ListTrainingJobs."""
        with self._lock:
            return _given(
                {
                    "TrainingJobName": self.name,
                    "TrainingJobArn": self.arn,
                    "CreationTime": self.created_s,
                    "TrainingEndTime": self.ended_s,
                    "LastModifiedTime": self.changed_s,
                    "TrainingJobStatus": self.phase.status,
                    "SecondaryStatus": self.phase.value[1],
                }
            )

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeTrainingJob."""
        told = {**{name: value for name, value in self.request.items() if name not in _NOT_DESCRIBED}, **self.summary()}
        with self._lock:
            told |= _given(
                {
                    "FailureReason": self.failure,
                    "TrainingStartTime": self.started_s,
                    "ModelArtifacts": None if self.artefact is None else {"S3ModelArtifacts": self.artefact},
                }
            )
            if self.phase.is_end and self.started_s is not None:
                trained_s = max(1, round(self.training_s))
                told["TrainingTimeInSeconds"] = trained_s
                told["BillableTimeInSeconds"] = max(1, round(trained_s * SPOT_SHARE)) if self.is_spot else trained_s
            told["SecondaryStatusTransitions"] = [
                _given(
                    {"Status": one.status, "StartTime": one.start_s, "EndTime": one.end_s, "StatusMessage": one.message}
                )
                for one in self.transitions
            ]
            told["FinalMetricDataList"] = [
                {"MetricName": name, "Value": value, "Timestamp": when_s}
                for name, (value, when_s) in self.figures.items()
            ]
        return told


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
