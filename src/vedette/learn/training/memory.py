"""Memory in training: kept from one step to the next, how much there is, and what is said when it does not do.

The C library returns blocks as large as a layer's output to the system as soon as they are freed, and gets them back
empty: page by page, each a fault, hundreds of megabytes a step. That was a fifth of the time in FP32 (figures in
docs/reference/training.md). The setting is the process's and lasts; it costs a tenth more memory at the peak.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vedette.contracts.errors import UnavailableError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
NEVER = 2**31 - 1
MEMORY = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")  # limits of a container, version 2 of control groups


def keep_freed_memory() -> bool:
    """Ask glibc never to give memory back; whether it will. Other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


def available_bytes(memory: Path = MEMORY, container: Path = CONTAINER) -> int | None:
    """What this computer, and the container if there is one, still has without swapping; None where nobody says so."""
    try:
        lines = [line.split() for line in memory.read_text(encoding="ascii").splitlines()]
        free = 1024 * int({name: values[0] for name, *values in lines}["MemAvailable:"])
    except (OSError, ValueError, KeyError, IndexError):  # no Linux
        return None
    try:
        most = int((container / "memory.max").read_text(encoding="ascii"))
        used = int((container / "memory.current").read_text(encoding="ascii"))
        pages = dict(line.split() for line in (container / "memory.stat").read_text(encoding="ascii").splitlines())
        return min(free, max(most - used + int(pages.get("inactive_file", 0)), 0))
    except (OSError, ValueError):  # no container, or one without a limit, which is "max"
        return free


@contextmanager
def memory_explained(pictures: int) -> Iterator[None]:
    """Say what to do about a step of so many pictures that memory does not hold.

    Raises:
        UnavailableError: it does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _too_small("the GPU's memory", pictures) from error
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "allocate memory" not in str(error):
            raise
        raise _too_small("the memory", pictures) from error


def _too_small(what: str, pictures: int) -> UnavailableError:
    return UnavailableError(
        f"{what} does not hold a step of {pictures} pictures; train anew with a smaller --batch or --size, or free some"
    )
