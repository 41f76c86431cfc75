"""`vedette simulator`: a command, or a shell, in which AWS is this computer, with training jobs, S3 and logs."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vedette.apps.simulator_opening import LAST_SIGNAL, simulated
from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.sagemaker.simulator.opening import Simulator

NO_PROXY = dict.fromkeys(
    ("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"
)  # a proxy cannot reach this computer's servers


def simulator(
    *command: str,
    interrupt_after_epoch: int | None = None,
    grace: str | None = None,
    folder: Path | None = None,
) -> int:
    """Run a command in which AWS is simulated here: SageMaker's training jobs, S3, CloudWatch logs. Costs nothing.

    Any AWS tool may be used in it: `vedette`, `aws`, boto3. $BUCKET names a bucket, $ROLE and $IMAGE what a job needs.
    Jobs are real: `vedette train` in a process of its own, on this computer. When the command ends, so do running jobs,
    and everything is gone: buckets, logs, jobs. Without a command, your shell is started.

    Parameters
    ----------
    command
        What to run, with its arguments; after `--` if it begins with a dash or has flags.
    interrupt_after_epoch
        Each job on spot machines loses them once, after this epoch, and goes on with its checkpoints.
    grace
        Between SIGTERM and SIGKILL, such as 20s. Default: 120s, as at SageMaker.
    folder
        Where machines' disks are. Default: a temporary folder.
    """
    from vedette.apps.durations import parse_duration
    from vedette.learn.sagemaker.simulator.opening import GRACE_S, SimulatorOptions

    if interrupt_after_epoch is not None and interrupt_after_epoch < 1:
        raise UsageError(f"--interrupt-after-epoch {interrupt_after_epoch}: the first epoch is 1")
    options = SimulatorOptions(
        grace_s=GRACE_S if grace is None else parse_duration(grace), interrupt_after_epoch=interrupt_after_epoch
    )
    os.environ.update(NO_PROXY)  # for the machines' own way to S3
    arguments = list(command) or [os.environ.get("SHELL") or "/bin/sh"]
    with simulated(options, folder) as running:
        return _run(arguments, environment_in(running, os.environ))


def environment_in(running: "Simulator", environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program for which AWS is the simulator: nothing of AWS's own is left in it."""
    kept = {name: text for name, text in environ.items() if not name.startswith("AWS_")}
    ours = {"BUCKET": running.bucket, "ROLE": running.role, "IMAGE": running.image}
    return {**kept, **running.environment, **ours, **NO_PROXY}


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command to its end; Ctrl-C is for it."""
    with _leaving_signals_to() as children:
        try:
            children.append(subprocess.Popen(arguments, env=environ))
        except OSError as error:
            raise UsageError(f"{arguments[0]} cannot be run: {error.strerror or error}") from error
        code = children[0].wait()
    return code if code >= 0 else LAST_SIGNAL - code


@contextmanager
def _leaving_signals_to() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """For the child in the list: the terminal sends Ctrl-C to both; SIGTERM and SIGHUP may come here alone."""
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGHUP: signal.signal(signal.SIGHUP, pass_on),
    }
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
