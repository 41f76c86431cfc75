"""The output of processes, line by line into CloudWatch: group /aws/sagemaker/TrainingJobs, stream JOB/algo-N-EPOCH.

Lines of both outputs come as they are written, gathered for a moment as the log agent does. A log that CloudWatch does
not take must not stop the job: reading goes on, and the first error is kept for the end.
"""

import os
import selectors
import time
from collections.abc import Callable
from threading import Thread
from typing import IO, Any

from vedette.learn.sagemaker.errors import SimulatorError

GROUP = "/aws/sagemaker/TrainingJobs"
GATHER_S, JOIN_S = 0.3, 30.0
MOST_EVENTS, MOST_LINE = 1000, 16384  # of a request of PutLogEvents: at most 10,000 events and 1 MiB


class LogGroup:
    """CloudWatch's group for training jobs. Its methods may be called from several threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def make(self) -> None:
        """Make the group, unless it is there."""
        if not self._client.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
            self._client.create_log_group(logGroupName=GROUP)

    def open(self, stream: str) -> "LogStream":
        """A new stream.

        Raises:
            SimulatorError: CloudWatch does not make it.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        except (BotoCoreError, ClientError) as error:
            raise SimulatorError(f"log stream {stream}: {error}") from error
        return LogStream(self._client, stream)


class LogStream:
    """One host's log in one attempt."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.name = client, name
        self.error: str | None = None

    def put(self, lines: list[tuple[int, str]]) -> None:
        """Add lines with their times in milliseconds since 1970."""
        from botocore.exceptions import BotoCoreError, ClientError

        events = [{"timestamp": when, "message": line[:MOST_LINE] or " "} for when, line in lines]
        try:
            for first in range(0, len(events), MOST_EVENTS):
                part = events[first : first + MOST_EVENTS]
                self._client.put_log_events(logGroupName=GROUP, logStreamName=self.name, logEvents=part)
        except (BotoCoreError, ClientError) as error:
            self.error = self.error or f"log stream {self.name}: {error}"

    def say(self, line: str) -> None:
        """One line of the simulator's own."""
        self.put([(_now_ms(), line)])


class LogReader:
    """Reads a process's output to its end in a thread of its own."""

    def __init__(self, output: IO[bytes], stream: LogStream, on_line: Callable[[str], None]) -> None:
        self._output, self._stream, self._on_line = output, stream, on_line
        self._thread = Thread(target=self._read, name=f"log {stream.name}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is in the log; not for ever, should a process have slipped out of its group."""
        self._thread.join(JOIN_S)

    def _read(self) -> None:
        lines: list[tuple[int, str]] = []
        rest = b""
        with selectors.DefaultSelector() as selector, self._output:
            selector.register(self._output, selectors.EVENT_READ)
            since_s = time.monotonic()
            while True:
                block = os.read(self._output.fileno(), 65536) if selector.select(GATHER_S) else None
                *whole, rest = (rest + (block or b"")).split(b"\n")
                if block == b"" and rest:
                    whole, rest = [*whole, rest], b""
                for text in (one.decode(errors="replace").rstrip("\r") for one in whole):
                    self._on_line(text)
                    lines.append((_now_ms(), text))
                if lines and (block == b"" or len(lines) >= MOST_EVENTS or time.monotonic() - since_s > GATHER_S):
                    self._stream.put(lines)
                    lines, since_s = [], time.monotonic()
                if block == b"":
                    return


def _now_ms() -> int:
    return int(time.time() * 1000)
