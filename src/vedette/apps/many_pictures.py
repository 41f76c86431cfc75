"""How `vedette evaluate` and `vedette label` spread pictures over processes of this computer, or over a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.contracts.ports import Progress
    from vedette.learn.predicting.outcomes import Opener, Outcomes

MOST_PROCESSES = 1024
CONNECT_TIMEOUT_S = 10.0

Processes = Annotated[
    int, Parameter(help="Processes that work at once, each with its share of the processors; with ray: of the cluster.")
]
On = Annotated[
    Literal["local", "ray"],
    Parameter(help="ray: on a Ray cluster (RAY_ADDRESS, else one on this computer), whose nodes see the same files."),
]


def check_processes(processes: int) -> None:
    """Raise when there cannot be so many.

    Raises:
        UsageError: fewer than one, or more than any computer has.
    """
    if not 1 <= processes <= MOST_PROCESSES:
        raise UsageError(f"--processes must lie between 1 and {MOST_PROCESSES}; got {processes}")


def threads_of_each(processes: int, on: str) -> int:
    """How many processors one of so many processes may use; on a cluster one, which is what is asked of Ray."""
    return 1 if on == "ray" else max(1, available_processors() // processes)


def available_processors() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def everywhere(path: Path) -> Path:
    """A path that means the same in a process that was started elsewhere."""
    from vedette.storage.address import is_s3_address

    return path if is_s3_address(path) else path.absolute()


def outcomes_elsewhere(
    opener: Opener, pictures: Sequence[Path], processes: int, on: str, progress: Progress
) -> Outcomes:
    """What `opener`'s detector finds in every picture, by other processes, in the order in which they finish.

    Raises:
        WorkersError: they cannot be started, or the cluster cannot be used.
        VedetteError: what the opener, or the detector, raises there.
    """
    places = [path.absolute() for path in pictures]
    if not places:
        return
    if on == "ray":
        check_cluster(os.environ.get("RAY_ADDRESS", ""))
        from vedette.learn.predicting.ray_cluster import outcomes_on_ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless it is asked for
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors come as exceptions, too
        with closing(outcomes_on_ray(opener, places, processes, progress)) as outcomes:
            yield from outcomes
        return
    from vedette.learn.predicting.processes import WorkerPool

    with WorkerPool(opener, processes, progress) as pool, closing(pool.outcomes(places)) as outcomes:
        yield from outcomes


def check_cluster(address: str) -> None:
    """Raise when nothing listens at HOST:PORT, which Ray would find out in minutes; other addresses are Ray's to judge.

    Raises:
        WorkersError: nothing listens there.
    """
    import socket

    from vedette.learn.predicting.errors import WorkersError

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise WorkersError(f"RAY_ADDRESS {address}: the Ray cluster cannot be reached: {why}") from error
