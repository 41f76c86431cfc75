"""`open_simulator`: SageMaker's training jobs, with S3, logs and STS, on loopback for as long as a block lasts.

Everything in it (buckets, logs, jobs) is gone when the block ends; jobs that still run are ended. S3 may be another
server's. Nothing of the environment is changed: `environment` says what clients must be given.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.simulator.front import serve_front
from vedette.learn.sagemaker.simulator.lifecycle import JobRun, Surroundings
from vedette.learn.sagemaker.simulator.logs import LogGroup
from vedette.learn.sagemaker.simulator.machines import COMMAND
from vedette.learn.sagemaker.simulator.moto_server import moto_server
from vedette.learn.sagemaker.simulator.records import JobRecord
from vedette.learn.sagemaker.simulator.service import ACCOUNT, TrainingJobs
from vedette.storage.address import S3Credential, S3Settings
from vedette.version import __version__

REGION = "us-east-1"  # the only one in which moto makes a bucket without being told where
BUCKET = "vedette-simulated"
GRACE_S = 120.0  # `docker stop -t 120`
CHECKPOINT_S = 1.0
END_S = 60.0


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """What may be other than at SageMaker."""

    grace_s: float = GRACE_S  # between SIGTERM and SIGKILL
    checkpoint_every_s: float = CHECKPOINT_S
    interrupt_after_epoch: int | None = None  # each spot job loses its machines once, when its log tells of this epoch
    s3: S3Settings | None = None  # another S3 server than moto's, at http://HOST:PORT
    bucket: str = BUCKET  # made in moto's server; another one must have it
    command: tuple[str, ...] = COMMAND  # what an image runs, before `train`


@dataclass
class Simulator:
    """A running simulator."""

    endpoint: str  # the address of all services
    environment: Mapping[str, str] = field(repr=False)  # what the AWS tools must be given; AWS_PROFILE must not be set
    settings: S3Settings  # by that address
    bucket: str
    region: str
    role: str  # any will do; this one looks right
    image: str  # as well
    jobs: TrainingJobs
    _runs: dict[str, JobRun] = field(default_factory=dict, repr=False)

    def interrupt(self, name: str) -> None:
        """Take the machines of a running spot job away.

        Raises:
            SimulatorError: there is no such job, or its machines are not spot machines.
        """
        run = self._runs.get(name)
        if run is None or not run.record.is_spot:
            raise SimulatorError(f"there is no job '{name}' on spot machines")
        run.interrupt.set()

    def wait(self, name: str, timeout_s: float) -> bool:
        """Wait until a job has ended; whether it has."""
        run = self._runs.get(name)
        return run is not None and run.ended.wait(timeout_s)


@contextmanager
def open_simulator(folder: Path, options: SimulatorOptions | None = None) -> Iterator[Simulator]:
    """A simulator that works in `folder`, which is made; only moto's log stays there.

    Raises:
        SimulatorError: moto is not installed or does not start, or the folder cannot be made.
    """
    chosen = options if options is not None else SimulatorOptions()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulatorError(f"{folder} cannot be made: {error.strerror or error}") from error
    with ExitStack() as stack:
        moto = stack.enter_context(moto_server(folder / "moto.log"))
        settings = chosen.s3 if chosen.s3 is not None else _moto_settings(moto)
        keys = settings.credentials() if settings.credentials is not None else {}
        if chosen.s3 is None:
            _client("s3", moto, keys).create_bucket(Bucket=chosen.bucket)
        logs = LogGroup(_client("logs", moto, keys))
        logs.make()
        around = Surroundings(
            folder.absolute(), settings, REGION, logs, chosen.command, chosen.grace_s, chosen.checkpoint_every_s,
            chosen.interrupt_after_epoch,
        )  # fmt: skip
        runs = stack.enter_context(_running_jobs())
        jobs = TrainingJobs(
            REGION, lambda job: runs.start(job, around), lambda job: runs.by_name[job.name].ask_to_stop()
        )
        front = stack.enter_context(
            serve_front(jobs, keys.get("access_key_id", ""), moto, settings.endpoint_url or "Amazon")
        )
        yield Simulator(
            endpoint=front,
            environment=_environment(front, keys),
            settings=replace(settings, endpoint_url=front),
            bucket=chosen.bucket,
            region=REGION,
            role=f"arn:aws:iam::{ACCOUNT}:role/vedette-training",
            image=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/vedette:{__version__}",
            jobs=jobs,
            _runs=runs.by_name,
        )


class _Runs:
    """The jobs' threads."""

    def __init__(self) -> None:
        self.by_name: dict[str, JobRun] = {}
        self._lock = Lock()

    def start(self, job: JobRecord, around: Surroundings) -> None:
        run = JobRun(job, around)
        with self._lock:
            self.by_name[job.name] = run
        Thread(target=run.run, name=f"job {job.name}", daemon=True).start()

    def close(self) -> None:
        for run in self.by_name.values():
            run.close.set()
        for run in self.by_name.values():
            run.ended.wait(END_S)


@contextmanager
def _running_jobs() -> Iterator[_Runs]:
    runs = _Runs()
    try:
        yield runs
    finally:
        runs.close()


def _moto_settings(address: str) -> S3Settings:
    keys: S3Credential = {
        "access_key_id": f"SIMULATED{secrets.token_hex(8).upper()}",
        "secret_access_key": secrets.token_urlsafe(24),
        "token": None,
        "expires_at": None,
    }
    return S3Settings(address, REGION, lambda: keys)


def _client(service: str, address: str, keys: Mapping[str, Any]) -> Any:
    """A client that takes nothing from the user's own profiles."""
    try:
        from botocore.config import Config
        from botocore.session import Session
    except ModuleNotFoundError as error:
        raise SimulatorError(
            "the simulator needs 'boto3'; install it with: pip install 'vedette[simulator]'"
        ) from error
    nowhere = (None, None, os.devnull, None)
    plain = {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    return Session(plain).create_client(
        service,
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=keys.get("access_key_id"),
        aws_secret_access_key=keys.get("secret_access_key"),
        config=Config(proxies={}),  # a proxy knows nothing of this computer's servers
    )


def _environment(address: str, keys: Mapping[str, Any]) -> dict[str, str]:
    services = ("", "_SAGEMAKER", "_S3", "_CLOUDWATCH_LOGS", "_STS")  # each, so that no profile's own counts
    return {
        **{f"AWS_ENDPOINT_URL{service}": address for service in services},
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": str(keys.get("access_key_id", "")),
        "AWS_SECRET_ACCESS_KEY": str(keys.get("secret_access_key", "")),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
