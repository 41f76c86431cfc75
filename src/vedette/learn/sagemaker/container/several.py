"""How a job's hosts and GPUs become processes that train as one: torchrun's arguments and environment on each host.

One process for each GPU, or for each host without any. The first host, as people count, is where they meet and where
the run is written. A single process is started without torchrun.
"""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from vedette.learn.sagemaker.container.resources import Resources
from vedette.learn.sagemaker.container.supervising import Say, Stop
from vedette.learn.sagemaker.errors import ContractError

TORCHRUN = "vedette.learn.sagemaker.container.torchrun"
PORT = "29500"  # torch's own
MEETING_S = 600  # hosts of a job start within minutes of each other
CONNECT_S, TRY_AGAIN_S = 5.0, 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of a job, seen from one host."""

    resources: Resources
    processes: int  # on this host
    address: str  # where they meet
    port: str

    @property
    def are_several(self) -> bool:
        return self.processes > 1 or len(self.resources.hosts) > 1

    @property
    def is_first_host(self) -> bool:
        return self.resources.rank == 0

    def command(self, arguments: list[str]) -> list[str]:
        """A module with its arguments, in as many processes as there are to be."""
        if not self.are_several:
            return arguments
        return [
            TORCHRUN,
            f"--nnodes={len(self.resources.hosts)}",
            f"--node-rank={self.resources.rank}",
            f"--nproc-per-node={self.processes}",
            f"--master-addr={self.address}",
            f"--master-port={self.port}",
            f"--rdzv-conf=timeout={MEETING_S}",
            "--max-restarts=0",  # SageMaker restarts jobs
            "-m",
            *arguments,
        ]

    def environment(self, environ: Mapping[str, str], finish_s: float) -> dict[str, str]:
        """What its processes need besides; `finish_s` is what a stop leaves them."""
        if not self.are_several:
            return {}
        found = {
            "VEDETTE_HOST": self.resources.current,
            "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(round(finish_s)),
            "OMP_NUM_THREADS": str(max(len(os.sched_getaffinity(0)) // self.processes, 1)),
        }
        if self.resources.interface in {name for _, name in socket.if_nameindex()}:
            found |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), self.resources.interface)
        return {name: text for name, text in found.items() if name not in environ}

    def wait_for_first_host(self, stop: Stop) -> None:
        """Until its name is known here and it takes connections, or a stop is asked for.

        torchrun would wait as well, but deaf to signals, and several times as long as it is told.

        Raises:
            ContractError: it does not come.
        """
        deadline = time.monotonic() + MEETING_S
        while not self.is_first_host and not stop.is_asked:
            try:
                socket.create_connection((self.address, int(self.port)), CONNECT_S).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ContractError(
                        f"{self.resources.hosts[0]} does not answer at {self.address}:{self.port} ({error}), so the "
                        "hosts of this job cannot train together; its own log says why"
                    ) from error
                time.sleep(TRY_AGAIN_S)
            else:
                return


def group_of(resources: Resources, device: str, environ: Mapping[str, str], say: Say) -> Group:
    """The processes for a job on `device`; MASTER_ADDR and MASTER_PORT count before the first host's name."""
    processes = max(resources.gpus, 1) if device != "cpu" else 1
    address = environ.get("MASTER_ADDR") or resources.hosts[0]
    group = Group(resources, processes, address, environ.get("MASTER_PORT") or PORT)
    if group.are_several:
        say(
            f"{resources.current} is host {resources.rank + 1} of {len(resources.hosts)}; "
            f"processes here: {processes}; all meet at {address}"
        )
    return group
