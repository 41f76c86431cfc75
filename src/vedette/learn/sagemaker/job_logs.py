"""What the hosts of a training job have printed, as CloudWatch keeps it: read on from where it was read before.

Group `/aws/sagemaker/TrainingJobs`; a stream for each start of each host, `JOB/algo-1-1795375800` (developer guide,
"CloudWatch Logs for SageMaker AI"). A job that has not printed anything has no stream, which is no mistake. Control
signs are taken out: a log is text of others, shown on a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vedette.learn.sagemaker.aws_client import open_client, translated, without_control_signs

GROUP = "/aws/sagemaker/TrainingJobs"
PAGE = 10_000  # events in one answer, the most there are
MOST_LINE = 4000  # characters kept of a line


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one host."""

    host: str  # algo-1
    time_ms: int  # since 1970, when it was printed
    text: str


def open_logs(job: str, region: str | None = None, endpoint_url: str | None = None) -> JobLogs:
    """The logs of a job, by the usual chain of AWS.

    Raises:
        JobError: boto3 is not installed, or region or credentials are missing.
    """
    return JobLogs(open_client("logs", region, endpoint_url), job)


class JobLogs:
    """Reads a job's streams, each line once. Its methods block."""

    def __init__(self, client: Any, job: str) -> None:
        self._client, self._job = client, job
        self._tokens: dict[str, str] = {}  # stream: where to read on
        self._read: list[LogLine] = []  # not given out yet: the service failed on the way

    def new_lines(self) -> list[LogLine]:
        """What came since the last call, of all hosts, in the order of time.

        Raises:
            JobError: AWS does not say; the next call goes on.
        """
        for stream in self._streams():
            self._read_on(stream)
        lines, self._read = self._read, []
        return sorted(lines, key=lambda line: line.time_ms)  # stable: lines of one host keep their order

    def last_lines(self, count: int) -> list[LogLine]:
        """The end of the log, of the first host where it printed anything; does not move on.

        Raises:
            JobError: AWS does not say.
        """
        streams = self._streams()
        hosts = sorted({_host(stream) for stream in streams}, key=lambda host: (len(host), host))
        lines: list[LogLine] = []
        with self._translated("GetLogEvents"):
            for stream in (one for one in streams if _host(one) == hosts[0]):
                page = self._client.get_log_events(
                    logGroupName=GROUP, logStreamName=stream, limit=count, startFromHead=False
                )
                lines += _lines(stream, page["events"])
        return sorted(lines, key=lambda line: line.time_ms)[-count:]

    def _streams(self) -> list[str]:
        asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamNamePrefix": f"{self._job}/"}
        names: list[str] = []
        with self._translated("DescribeLogStreams"):
            while True:
                try:
                    page = self._client.describe_log_streams(**asked)
                except self._client.exceptions.ResourceNotFoundException:
                    return []  # no job of the account has printed anything yet
                names += [str(one["logStreamName"]) for one in page["logStreams"]]
                if not page.get("nextToken"):
                    return sorted(names)
                asked["nextToken"] = page["nextToken"]

    def _read_on(self, stream: str) -> None:
        """Everything new of a stream; an answer may be empty though there is more, so the token tells the end."""
        while True:
            before = self._tokens.get(stream)
            going_on = {} if before is None else {"nextToken": before}
            with self._translated("GetLogEvents"):
                page = self._client.get_log_events(
                    logGroupName=GROUP, logStreamName=stream, limit=PAGE, startFromHead=True, **going_on
                )
            self._tokens[stream] = str(page["nextForwardToken"])
            self._read += _lines(stream, page["events"])
            if self._tokens[stream] == before:
                return

    def _translated(self, operation: str) -> Any:
        return translated("CloudWatch", operation, self._job)


def _host(stream: str) -> str:
    """`algo-1` of `JOB/algo-1-1795375800`."""
    return stream.rpartition("/")[2].rpartition("-")[0] or stream.rpartition("/")[2]


def _lines(stream: str, events: list[dict[str, Any]]) -> list[LogLine]:
    host = _host(stream)
    return [
        LogLine(host, int(event["timestamp"]), without_control_signs(text)[:MOST_LINE])
        for event in events
        for text in str(event["message"]).splitlines()
    ]
