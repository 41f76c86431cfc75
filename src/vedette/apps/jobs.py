"""`vedette jobs list|show|stop|fetch`: training jobs on Amazon SageMaker, and the runs that they leave.

Who asks, and where: as for the AWS tools, AWS_REGION too. Reads arguments and environment, calls
`vedette.learn.sagemaker.job_service` and `artefact`, prints.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.learn.sagemaker.artefact import Unpacked
    from vedette.learn.sagemaker.job_service import JobService, JobState

Region = Annotated[str | None, Parameter(help="AWS region. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's.")]
Json = Annotated[bool, Parameter(negative="", help="Print one JSON document.")]
Job = Annotated[str, Parameter(help="The job's name.")]
Status = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
MOST_ARCHIVE_BYTES = 8 << 30


def list_jobs(
    *,
    status: Annotated[Status | None, Parameter(help="Only jobs in this state.")] = None,
    name: Annotated[str | None, Parameter(help="Only jobs whose name contains this.")] = None,
    most: Annotated[int, Parameter(help="How many, the newest first.")] = 20,
    region: Region = None,
    json: Json = False,
) -> None:
    """List training jobs of the account in one region, the newest first."""
    from vedette.apps.console import print_json, print_line, print_table

    if most < 1:
        raise UsageError(f"--most {most}: at least 1")
    service = _service(region)
    found = service.list(most, status, name)
    if json:
        print_json(
            [
                {"name": one.name, "status": one.status, "created": _iso(one.created), "ended": _iso(one.ended)}
                for one in found
            ]
        )
    elif found:
        rows = [[one.name, one.status, _local(one.created), _local(one.ended)] for one in found]
        print_table(f"training jobs in {service.region}", ["job", "status", "created", "ended"], rows)
    else:
        print_line(f"no such jobs in {service.region}" if status or name else f"no jobs in {service.region}")


def show(
    job: Job,
    /,
    *,
    price_per_hour: Annotated[
        float | None, Parameter(help="What one machine costs in an hour; the cost is shown only with it.")
    ] = None,
    region: Region = None,
    json: Json = False,
) -> None:
    """Show how a training job stands: its states so far, figures, time, savings of spot machines, why it failed."""
    from vedette.apps.console import print_json, print_line

    if price_per_hour is not None and not 0 <= price_per_hour < 1e6:
        raise UsageError(f"--price-per-hour {price_per_hour}: give what one machine costs in an hour, such as 1.41")
    state = _service(region).describe(job)
    cost = None if price_per_hour is None else state.cost(price_per_hour)
    if json:
        print_json(_document(state, cost))
        return
    for line in _lines(state, cost):
        print_line(line)


def stop(job: Job, /, *, region: Region = None, json: Json = False) -> None:
    """Ask a training job to end. It has two minutes to save its model, which `vedette jobs fetch` then brings."""
    from vedette.apps.console import print_json, print_line

    service = _service(region)
    before = service.describe(job)
    asked = not before.has_ended and before.status != "Stopping"
    if asked:
        service.stop(job)
    if json:
        print_json({"name": job, "asked": asked, "status_before": before.status})
    elif asked:
        print_line(f"{job}: asked to stop; it saves its model within two minutes")
        print_line(f"then:   vedette jobs fetch {job}")
    else:
        print_line(f"{job}: nothing to do, it is {before.status}")


def fetch(
    job: Job,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder for the run; new or empty. Default: the job's name.")] = None,
    region: Region = None,
    json: Json = False,
) -> None:
    """Bring what a training job has left: a run folder as `vedette train` writes it here.

    It appears whole or not at all, and is of the same layout; the bundle that the job has packed is in `bundle/`. Every
    name and size in the archive is checked before anything is written.
    """
    from vedette.apps.console import ConsoleProgress, print_json, print_line, warn
    from vedette.apps.object_storage import refuse_s3

    run = out if out is not None else Path(job)
    refuse_s3(run, "--out")
    state = _service(region).describe(job)
    address = _artefact_of(state)
    with ConsoleProgress() as progress:
        unpacked = _bring(address, run, progress)
    if unpacked.left_out:
        warn(f"left out {len(unpacked.left_out)} hidden files of the archive: {', '.join(unpacked.left_out[:5])}")
    if json:
        print_json(
            {
                "job": job,
                "run": str(run),
                "from": address,
                "files": unpacked.files,
                "size_bytes": unpacked.size_bytes,
                "left_out": list(unpacked.left_out),
                "bundle": str(run / "bundle") if unpacked.has_bundle else None,
            }
        )
        return
    print_line(f"run:    {run} ({unpacked.files} files, {unpacked.size_bytes / 1e6:.1f} MB)")
    if unpacked.has_bundle:
        print_line(f"bundle: {run / 'bundle'}")
        print_line(f"next:   vedette detect {run / 'bundle'} PICTURES")
    else:
        print_line(f"next:   vedette pack --run {run} --out BUNDLE")


def _service(region: str | None) -> JobService:
    from vedette.learn.sagemaker.job_service import open_service

    return open_service(region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None)


def _artefact_of(state: JobState) -> str:
    """Where the archive is.

    Raises:
        InputError: there is none, and why.
    """
    if not state.has_ended:
        raise InputError(
            f"{state.name} is {state.status} ({state.secondary_status}); its model comes when it has ended: "
            f"vedette jobs show {state.name}"
        )
    if state.status == "Failed":
        raise InputError(f"{state.name} has failed and left no model: {state.failure_reason or 'no reason is known'}")
    if state.artefact is None:
        raise InputError(f"{state.name} is {state.status} and left no model: it ended before training began")
    if not state.artefact.endswith(".tar.gz"):
        raise InputError(f"{state.artefact} is no archive; only output of compression type GZIP is read")
    return state.artefact


def _bring(address: str, run: Path, progress: Any) -> Unpacked:
    from vedette.apps.object_storage import open_place
    from vedette.learn.sagemaker.artefact import unpack_run
    from vedette.storage.address import parse_address
    from vedette.storage.errors import ObjectNotFoundError

    folder, name = parse_address(address).parted()
    store = open_place(str(folder))
    found = store.stat(name)
    if found is None:
        raise ObjectNotFoundError(f"{address}: there is no such object; was it deleted, or the job stopped too early?")
    return unpack_run(store.blocks(name, MOST_ARCHIVE_BYTES), found.size_bytes, run, progress)


def _lines(state: JobState, cost: float | None) -> list[str]:
    machines = f"{state.instances} x {state.instance}{' (spot)' if state.spot else ''}"
    lines = [f"{state.name}: {state.status} ({state.secondary_status}), {machines}"]
    for status, start, message in state.transitions:
        lines.append(f"  {_local(start)}  {status}{f': {message}' if message else ''}")
    if state.failure_reason:
        lines.append(f"failed: {state.failure_reason}")
    lines += [f"  {name} {value:.6g}" for name, value in state.metrics.items()]
    if state.training_s is not None and state.billable_s is not None:
        saved = state.spot_savings_percent
        lines.append(
            f"time:   trained {state.training_s} s, billed {state.billable_s} s"
            f"{'' if saved is None else f', {saved:.0f} % saved by spot machines'}"
        )
    if cost is not None:
        lines.append(f"cost:   {cost:.2f}, at the price given")
    if state.status in {"Completed", "Stopped"} and state.artefact:
        lines.append(f"next:   vedette jobs fetch {state.name}")
    return lines


def _document(state: JobState, cost: float | None) -> dict[str, object]:
    return {
        "name": state.name,
        "arn": state.arn,
        "status": state.status,
        "secondary_status": state.secondary_status,
        "created": _iso(state.created),
        "started": _iso(state.started),
        "ended": _iso(state.ended),
        "failure_reason": state.failure_reason,
        "artefact": state.artefact,
        "instance": state.instance,
        "instances": state.instances,
        "spot": state.spot,
        "training_s": state.training_s,
        "billable_s": state.billable_s,
        "spot_savings_percent": state.spot_savings_percent,
        "cost": cost,
        "metrics": dict(state.metrics),
        "transitions": [
            {"status": status, "start": _iso(start), "message": message} for status, start, message in state.transitions
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _local(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
