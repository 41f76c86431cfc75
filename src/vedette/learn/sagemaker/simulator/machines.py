"""One simulated machine: a folder in place of /opt/ml, laid out as SageMaker does, and the `train` process in it.

The folder is of one attempt and vanishes with it, as the machine would. Hosts are algo-1, algo-2, ... in SageMaker's
own order, which puts algo-10 before algo-2; all of them are this computer, so MASTER_ADDR and MASTER_PORT say where
they meet. Sources: developer guide, "Use your own training algorithms"; sagemaker-training-toolkit 5.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vedette.learn.sagemaker.container.folders import RELOCATED
from vedette.learn.sagemaker.container.supervising import die_with_parent
from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.simulator.logs import LogReader
from vedette.learn.sagemaker.simulator.s3_places import (
    CheckpointFolder,
    Prefix,
    bring,
    make_read_only,
    matching_keys,
    open_bucket,
    open_folder,
)
from vedette.storage.address import S3Settings

PROGRAM = "vedette.learn.sagemaker.container"
COMMAND = (sys.executable, "-m", PROGRAM)  # the entrypoint of deploy/sagemaker/Dockerfile
NETWORK_INTERFACE = "lo"
GROUP = "homogeneousCluster"  # as SageMaker calls the machines of a job that names no groups
MOST_FAILURE = 1024  # characters of /opt/ml/output/failure that are read
_NOT_PASSED_ON = ("AWS_", "SM_", "SAGEMAKER_", "TRAINING_JOB_", "MASTER_", "VEDETTE")  # a container has none of these


def host_names(count: int) -> list[str]:
    """The hosts of a job, in the order in which SageMaker lists them."""
    return sorted(f"algo-{number + 1}" for number in range(count))


@dataclass
class Machine:
    """One host in one attempt."""

    name: str
    base: Path
    checkpoints: CheckpointFolder | None
    process: "subprocess.Popen[bytes] | None" = None
    reader: LogReader | None = field(default=None, repr=False)

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        return self.base / "output" / "data"

    def code(self) -> int | None:
        """How its process has ended; None while it runs. `docker` tells 128 + N of one that signal N has killed."""
        code = None if self.process is None else self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def failure(self) -> str:
        """What the program says of its failure; empty when it says nothing."""
        path = self.base / "output" / "failure"
        return path.read_text("utf-8", errors="replace")[:MOST_FAILURE] if path.is_file() else ""

    def terminate(self) -> None:
        """SIGTERM to the program, as `docker stop` sends it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its group at once, and wait for it and its log."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):  # all of it may have gone already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.reader is not None:
            self.reader.join()


def lay_out(base: Path, name: str, hosts: Sequence[str], request: Mapping[str, Any], settings: S3Settings) -> Machine:
    """Make the folders and configuration files of a host."""
    for folder in ("input/config", "input/data", "model", "output/data"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    config = base / "input" / "config"
    instance = request["ResourceConfig"].get("InstanceType", "local")
    documents: dict[str, Any] = {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "inputdataconfig.json": {one["ChannelName"]: _channel_config(request, one) for one in _channels(request)},
        "resourceconfig.json": {
            "current_host": name,
            "current_instance_type": instance,
            "current_group_name": GROUP,
            "hosts": [*hosts],
            "instance_groups": [{"instance_group_name": GROUP, "instance_type": instance, "hosts": [*hosts]}],
            "network_interface_name": NETWORK_INTERFACE,
        },
    }
    for file, document in documents.items():
        (config / file).write_text(json.dumps(document))
    checkpoints = None
    if "CheckpointConfig" in request:
        (base / "checkpoints").mkdir(exist_ok=True)
        store = open_folder(settings, request["CheckpointConfig"]["S3Uri"])
        checkpoints = CheckpointFolder(base / "checkpoints", store)
    return Machine(name, base, checkpoints)


def bring_channels(machine: Machine, hosts: Sequence[str], request: Mapping[str, Any], settings: S3Settings) -> None:
    """Put every channel into its folder: File as a copy, FastFile read-only, Pipe as the FIFO of the first epoch.

    Raises:
        SimulatorError: there is nothing at an address.
        StorageError: it cannot be had.
    """
    for channel in _channels(request):
        name, source = channel["ChannelName"], channel["DataSource"]["S3DataSource"]
        prefix = Prefix.of(source["S3Uri"])
        store = open_bucket(settings, prefix.bucket)
        keys = [*matching_keys(store, prefix)]
        if not keys:
            raise SimulatorError(
                f'Data download failed: No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data '
                f"source. Please ensure that the bucket exists and that objects exist under that S3 prefix."
            )
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            keys = keys[hosts.index(machine.name) :: len(hosts)]
        folder = machine.base / "input" / "data" / name
        mode = _mode(request, channel)
        if mode == "Pipe":
            os.mkfifo(folder.with_name(f"{name}_0"))
            continue
        folder.mkdir()
        bring(store, keys, folder)
        if mode == "FastFile":
            make_read_only(folder)


def start(
    machine: Machine, command: Sequence[str], request: Mapping[str, Any], given: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start the program as `docker run IMAGE train` would; `given` comes into its environment besides the request's.

    Raises:
        SimulatorError: it cannot be started.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    arguments = request["AlgorithmSpecification"].get("ContainerArguments", ["train"])
    if "ContainerEntrypoint" in request["AlgorithmSpecification"]:
        arguments = ["train"]  # the entrypoint installs the wheel and starts this same program: see `lifecycle`
    try:
        machine.process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=machine.base,
            env={**kept, **request.get("Environment", {}), **given, RELOCATED: str(machine.base)},
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - only calls what was loaded before
        )
    except (OSError, ValueError) as error:
        raise SimulatorError(f"the program cannot be started: {error}") from error
    return machine.process


def _channels(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    channels: Sequence[Mapping[str, Any]] = request.get("InputDataConfig", ())
    return channels


def _mode(request: Mapping[str, Any], channel: Mapping[str, Any]) -> str:
    return str(channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"])


def _channel_config(request: Mapping[str, Any], channel: Mapping[str, Any]) -> dict[str, Any]:
    source = channel["DataSource"]["S3DataSource"]
    return {
        **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        "TrainingInputMode": _mode(request, channel),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
