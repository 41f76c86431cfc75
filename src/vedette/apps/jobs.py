"""`vedette jobs list|show|follow|stop|fetch`: training jobs on Amazon SageMaker, and the runs that they leave.

Who asks, and where: as for the AWS tools, AWS_REGION too. Reads arguments, calls
`vedette.learn.sagemaker.job_service`, `job_ending` and `job_fetching`, prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.sagemaker.job_service import JobService

Region = Annotated[str | None, Parameter(help="AWS region. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's.")]
Json = Annotated[bool, Parameter(negative="", help="Print one JSON document.")]
Checkpoints = Annotated[
    bool, Parameter(negative="--no-checkpoints", help="Bring the checkpoints too, so that --resume can go on here.")
]
Job = Annotated[str, Parameter(help="The job's name.")]
Status = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]


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
    from vedette.apps.job_describing import iso, local_time

    if most < 1:
        raise UsageError(f"--most {most}: at least 1")
    service = _service(region)
    found = service.list(most, status, name)
    if json:
        print_json(
            [
                {"name": one.name, "status": one.status, "created": iso(one.created), "ended": iso(one.ended)}
                for one in found
            ]
        )
    elif found:
        rows = [[one.name, one.status, local_time(one.created), local_time(one.ended)] for one in found]
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
    from vedette.apps.job_describing import bill_lines, check_price, state_document, state_lines
    from vedette.apps.job_ending import last_words

    check_price(price_per_hour)
    state = _service(region).describe(job)
    if json:
        print_json(state_document(state, price_per_hour))
        return
    for line in [*state_lines(state), *bill_lines(state, price_per_hour)]:
        print_line(line)
    if state.status == "Failed":
        for line in last_words(job, region):
            print_line(line)
    elif not state.has_ended:
        print_line(f"next:   vedette jobs follow {state.name}")
    elif state.artefact:
        print_line(f"next:   vedette jobs fetch {state.name}")


def follow(
    job: Job,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder for the run; new, empty, or followed before. Default: the job's name.")
    ] = None,
    price_per_hour: Annotated[
        float | None, Parameter(help="What one machine costs in an hour; the cost is shown only with it.")
    ] = None,
    checkpoints: Checkpoints = True,
    region: Region = None,
    json: Json = False,
) -> int:
    """Follow a training job as if it ran here: bar, curves and report page; when it has ended, its run is fetched.

    Ctrl-C leaves the job alone and says how to come back. Curves and page are in the folder while the job runs
    (report.html reloads itself); in the end the run that the job leaves takes their place.
    """
    from vedette.apps.job_describing import check_price
    from vedette.apps.job_ending import Ending, follow_to_end
    from vedette.apps.object_storage import refuse_s3

    run = out if out is not None else Path(job)
    refuse_s3(run, "--out", "in S3 the run is already: `vedette jobs show` tells where")
    check_price(price_per_hour)
    return follow_to_end(_service(region), job, run, Ending(region, price_per_hour, json, checkpoints=checkpoints))


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
    checkpoints: Checkpoints = True,
    region: Region = None,
    json: Json = False,
) -> None:
    """Bring what a training job has left: a run folder as `vedette train` writes it here.

    It appears whole or not at all, and is of the same layout, checkpoints included; the bundle that the job has packed
    is in `bundle/`. Every name and size in the archive is checked before anything is written.
    """
    from vedette.apps.console import ConsoleProgress, print_json, print_line
    from vedette.apps.job_describing import run_document, run_lines
    from vedette.apps.job_fetching import fetch_run, warn_of_left_out
    from vedette.apps.object_storage import refuse_s3

    run = out if out is not None else Path(job)
    refuse_s3(run, "--out", "in S3 the run is already: `vedette jobs show` tells where")
    state = _service(region).describe(job)
    with ConsoleProgress() as progress:
        unpacked = fetch_run(state, run, progress, checkpoints=checkpoints)
    warn_of_left_out(unpacked)
    if json:
        print_json({"job": job, "from": state.artefact, **run_document(run, unpacked)})
        return
    for line in run_lines(run, unpacked, resumable=state.status == "Stopped"):
        print_line(line)


def _service(region: str | None) -> JobService:
    from vedette.apps.aws_settings import aws_region
    from vedette.learn.sagemaker.job_service import open_service

    return open_service(aws_region(region))
