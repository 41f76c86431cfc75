"""Which hosts and GPUs a job has.

Hosts are ordered as people count: SageMaker's own order puts algo-10 before algo-2.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.learn.sagemaker.errors import ContractError

ONE_HOST = "algo-1"
LOOK_S = 30.0  # for nvidia-smi, which takes seconds on a cold driver


@dataclass(frozen=True, slots=True)
class Resources:
    """The hosts in order, which of them this is, its GPUs, and the network interface by which they reach each other."""

    hosts: tuple[str, ...]
    current: str
    gpus: int
    interface: str = ""

    @property
    def rank(self) -> int:
        return self.hosts.index(self.current)


def parse_resources(config: Mapping[str, Any], gpus: int) -> Resources:
    """resourceconfig.json's content; one host where there is none.

    Raises:
        ContractError: it contradicts itself.
    """
    hosts = config.get("hosts", [ONE_HOST])
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, str) for host in hosts):
        raise ContractError("resourceconfig.json lists no hosts")
    current = config.get("current_host", hosts[0])
    if current not in hosts or len(set(hosts)) != len(hosts):
        raise ContractError(f"resourceconfig.json: host {current!r} is not once among {', '.join(hosts)}")
    interface = config.get("network_interface_name", "")
    if not isinstance(interface, str):
        raise ContractError("resourceconfig.json: network_interface_name is no text")
    return Resources(tuple(sorted(hosts, key=_counted)), current, gpus, interface)


def _counted(host: str) -> list[tuple[int, str]]:
    """algo-2 before algo-10: digits compare as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", host)]


def count_gpus(environ: Mapping[str, str]) -> int:
    """SM_NUM_GPUS where the toolkit has counted, else what the driver lists; 0 without a driver."""
    told = environ.get("SM_NUM_GPUS", "")
    if told.isdigit():
        return int(told)
    try:
        done = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False, timeout=LOOK_S
        )
    except (FileNotFoundError, PermissionError):
        return 0
    except subprocess.TimeoutExpired as error:
        raise ContractError(f"nvidia-smi did not answer within {LOOK_S:.0f} s: the GPU driver hangs") from error
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0
