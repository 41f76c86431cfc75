"""From following a job to its end: the run that it leaves, or why there is none; or how to come back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from vedette.contracts.errors import VedetteError

if TYPE_CHECKING:
    from vedette.learn.sagemaker.job_service import JobService, JobState

INTERRUPTED = 130
LAST_LINES = 20
LOOK_EVERY_S = 5.0  # CloudWatch has lines some seconds after they were printed


@dataclass(frozen=True, slots=True)
class Ending:
    """How to tell the end, and what Ctrl-C does (None: the job is left alone)."""

    region: str | None = None
    price_per_hour: float | None = None
    json: bool = False
    look_every_s: float = field(default_factory=lambda: LOOK_EVERY_S)
    interrupted: Callable[[str], int] | None = None
    checkpoints: bool = True  # fetch them too


def follow_to_end(service: JobService, job: str, run: Path, ending: Ending) -> int:
    """Follow, fetch, tell; the command's exit code.

    Raises:
        JobFailedError: the job has failed; with its last lines.
        VedetteError: it cannot be followed or fetched.
    """
    from vedette.apps.aws_settings import aws_region
    from vedette.apps.console import warn
    from vedette.apps.followed_run import FollowedRun
    from vedette.apps.job_following import follow_job
    from vedette.learn.sagemaker.job_logs import open_logs

    state = service.describe(job)
    try:
        logs = open_logs(job, aws_region(ending.region))
        followed = FollowedRun(run, job)
        warn(f"{job}: curves and pictures so far in {run / 'report.html'}")
        state = follow_job(service, logs, state, followed, pause=lambda: sleep(ending.look_every_s))
    except KeyboardInterrupt:
        if ending.interrupted is not None:
            return ending.interrupted(job)
        warn(f"\ndetached; {job} goes on\n{way_back(job, run, ending.region)}")
        return INTERRUPTED
    except VedetteError:  # AWS, or this computer's disk
        if not state.has_ended:
            warn(f"following has ended, {job} has not\n{way_back(job, run, ending.region)}")
        raise
    return tell_end(state, run, ending)


def tell_end(state: JobState, run: Path, ending: Ending) -> int:
    """What has become of a job: its run in the folder, its time and cost."""
    from vedette.apps.console import ConsoleProgress, print_json, print_line
    from vedette.apps.job_describing import bill_lines, run_document, run_lines, state_document
    from vedette.apps.job_fetching import fetch_run, warn_of_left_out
    from vedette.learn.sagemaker.errors import JobFailedError

    if state.status == "Failed":
        lines = [f"{state.name} has failed: {state.failure_reason or 'no reason is known'}"]
        lines += bill_lines(state, ending.price_per_hour)
        raise JobFailedError("\n".join([*lines, *last_words(state.name, ending.region)]))
    with ConsoleProgress() as progress:
        unpacked = fetch_run(state, run, progress, checkpoints=ending.checkpoints)
    warn_of_left_out(unpacked)
    if ending.json:
        print_json({**state_document(state, ending.price_per_hour), **run_document(run, unpacked)})
        return 0
    print_line(f"{state.name}: {state.status}{_why(state)}")
    for line in [
        *bill_lines(state, ending.price_per_hour),
        f"report: {run / 'report.html'}",
        *run_lines(run, unpacked, resumable=state.status == "Stopped"),
    ]:
        print_line(line)
    return 0


def last_words(job: str, region: str | None) -> list[str]:
    """The end of a job's log, for a person who asks why it failed."""
    from vedette.apps.aws_settings import aws_region
    from vedette.learn.sagemaker.errors import JobError
    from vedette.learn.sagemaker.job_logs import open_logs
    from vedette.learn.sagemaker.metrics import MARK

    try:
        lines = open_logs(job, aws_region(region)).last_lines(LAST_LINES)
    except JobError as error:  # the reason of the failure is worth more
        return [f"its log cannot be read: {error}"]
    shown = [f"  {line.text}" for line in lines if not line.text.startswith(MARK)]
    return ["the last lines of its log:", *shown] if shown else ["it has printed nothing"]


def _why(state: JobState) -> str:
    return "" if state.secondary_status == state.status else f" ({state.secondary_status})"


def way_back(job: str, run: Path, region: str | None) -> str:
    """How to come back to a job that goes on."""
    where = f" --region {region}" if region else ""
    return (
        f"come back:  vedette jobs follow {job} --out {run}{where}\n"
        f"or look:    vedette jobs show {job}{where}\n"
        f"or end it:  vedette jobs stop {job}{where}"
    )
