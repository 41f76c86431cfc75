"""`vedette train --on sagemaker|simulator`: the same training as a job, followed as if it ran here.

Everything is checked before anything is sent, and everything is sent before the job is created. The simulator is
SageMaker's interface on this computer: the same code asks it for the same job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.apps.job_flags import JobFlags
from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.apps.job_ending import Ending
    from vedette.learn.sagemaker.job_service import JobService
    from vedette.learn.sagemaker.simulator.opening import Simulator

SIMULATED_INSTANCE = "ml.m5.large"
SIMULATOR_LOOK_S = 0.5
STOP_PATIENCE_S = 150.0  # SIGTERM's 120 s, and what travels after


def train_elsewhere(
    on: str | None, flags: JobFlags | None, trained: Mapping[str, Any], out: Path, *, resume: bool, json: bool
) -> int:
    """Train as a job; the command's exit code. `trained` are the flags of `vedette train` by name, None if not given.

    Raises:
        VedetteError: it cannot be asked for, sent, followed or fetched, or has failed.
    """
    from vedette.apps.console import warn
    from vedette.apps.job_describing import check_price
    from vedette.apps.job_ending import Ending, follow_to_end, way_back
    from vedette.apps.object_storage import refuse_s3

    asked = flags if flags is not None else JobFlags()
    trained = {name: value for name, value in trained.items() if value is not None}
    if on is None:
        raise UsageError("flags of a job are given, but not where: add --on sagemaker, or --on simulator to rehearse")
    if resume:
        raise UsageError("--resume goes on with a run on this computer; a job that is interrupted goes on by itself")
    refuse_s3(out, "--out", "the job itself keeps its model and checkpoints in S3, below --output")
    check_price(asked.price_per_hour)
    if on == "simulator":
        return _rehearse(asked, trained, out, json)
    service = _service(asked.region)
    name = _create(service, asked, trained, out)
    if not asked.wait:
        return _leave(service, name, out, asked, json)
    warn(way_back(name, out, asked.region))  # first of all: whatever becomes of this computer or its network
    return follow_to_end(service, name, out, Ending(asked.region, asked.price_per_hour, json))


def _service(region: str | None) -> JobService:
    from vedette.apps.aws_settings import aws_region
    from vedette.learn.sagemaker.job_service import open_service

    return open_service(aws_region(region))


def _create(
    service: JobService,
    flags: JobFlags,
    trained: Mapping[str, Any],
    out: Path,
    simulated: Mapping[str, Any] | None = None,
) -> str:
    """Check, send, create; the job's name."""
    from vedette.apps.console import ConsoleProgress, warn
    from vedette.apps.job_asking import plan_job, send
    from vedette.apps.job_checking import check_before
    from vedette.learn.sagemaker.job import build_request, make_job_name
    from vedette.learn.sagemaker.job_checks import check_request
    from vedette.learn.sagemaker.job_settings import parse_job_settings

    plan = plan_job(flags, trained, service.region, simulated)
    source = "job" if flags.job is None else str(flags.job)
    settings = parse_job_settings(plan.values, source)
    name = make_job_name(settings, datetime.now())
    check_request(build_request(settings, name), service.region)
    check_before(service, name, plan, out)
    try:
        with ConsoleProgress() as progress:
            pushed = send(plan, progress)
    except KeyboardInterrupt:
        warn("stopped, and no job was created; what was sent stays, and the same command goes on")
        raise
    if pushed is not None:
        plan = plan.with_version(pushed.digest)
        sent = f"{pushed.sent_files} of {pushed.files} files sent"
        warn(f"data: {plan.data_address}, version {pushed.digest[:12]}: {sent}")
    request = build_request(parse_job_settings(plan.values, source), name)
    check_request(request, service.region)
    try:
        arn = service.create(request)
    except KeyboardInterrupt:
        if simulated is None:  # else it ends with this command
            warn(f"interrupted while {name} was being created; it may run: vedette jobs show {name}")
        raise
    warn(f"job:  {name} ({arn})")
    return name


def _leave(service: JobService, name: str, out: Path, flags: JobFlags, json: bool) -> int:
    """--detach."""
    from vedette.apps.console import print_json, print_line
    from vedette.apps.job_describing import state_document
    from vedette.apps.job_ending import way_back

    if json:
        print_json(state_document(service.describe(name), flags.price_per_hour))
    else:
        print_line(f"{name} was created")
        print_line(way_back(name, out, flags.region))
    return 0


def _rehearse(flags: JobFlags, trained: Mapping[str, Any], out: Path, json: bool) -> int:
    """The same against a simulator, which ends with the command."""
    from vedette.apps.console import warn
    from vedette.apps.job_ending import Ending, follow_to_end
    from vedette.apps.object_storage import local_data
    from vedette.apps.simulator_opening import simulated

    if not flags.wait:
        raise UsageError("--detach: the simulator ends with this command, and its job with it; leave it out")
    trained = dict(trained)
    if trained.get("data") is not None:
        trained["data"] = local_data(trained["data"])  # from the true S3, which the simulator has not
    warn("simulator: SageMaker, S3 and logs on this computer, until the job has ended")
    with simulated() as simulator, _environment(simulator.environment):
        service = _service(None)
        there = {"image": simulator.image, "output": f"s3://{simulator.bucket}/jobs"}
        here = replace(flags, region=None, instance=flags.instance or SIMULATED_INSTANCE)
        if flags.job is None:
            here = replace(here, role=flags.role or simulator.role)
        name = _create(service, here, trained, out, there)
        ending = Ending(None, flags.price_per_hour, json, SIMULATOR_LOOK_S)
        stop = partial(_stop_simulated, service, simulator, out, ending)
        return follow_to_end(service, name, out, replace(ending, interrupted=stop))


def _stop_simulated(service: JobService, simulator: Simulator, out: Path, ending: Ending, name: str) -> int:
    """Ctrl-C: a true job would go on; this one is stopped, and what it has learnt is fetched."""
    from vedette.apps.console import warn
    from vedette.apps.job_ending import INTERRUPTED, tell_end

    warn(
        f"\nOn SageMaker {name} would go on now, and `vedette jobs follow {name} --out {out}` come back to it.\n"
        "The simulator ends with this command, so the job is asked to stop and saves its model; Ctrl-C again: at once"
    )
    service.stop(name)
    if not simulator.wait(name, STOP_PATIENCE_S):
        warn(f"{name} does not end; it is left without a model")
        return INTERRUPTED
    tell_end(service.describe(name), out, ending)
    return INTERRUPTED


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """What the AWS tools read, for a while; nothing on the way to this computer's own servers goes through a proxy."""
    before = dict(os.environ)
    hosts = "127.0.0.1,localhost"
    for name in [name for name in before if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({**values, "NO_PROXY": hosts, "no_proxy": hosts})
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
