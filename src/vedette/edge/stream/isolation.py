"""Whether cameras decode in processes of their own here."""

import os
import sys

from vedette.contracts.errors import UnavailableError
from vedette.contracts.pipeline import Isolation


def resolve_isolation(isolation: Isolation | None) -> Isolation:
    """What was asked for, else processes where the system can.

    Raises:
        UnavailableError: processes were asked for where there can be none.
    """
    if isolation is None:
        return Isolation.PROCESSES if _is_possible() else Isolation.THREADS
    if isolation is Isolation.PROCESSES and not _is_possible():
        raise UnavailableError(
            "cameras in processes of their own need Linux and an interpreter; set 'isolation: threads'"
        )
    return isolation


def _is_possible() -> bool:
    """Linux, for its shared memory, and an interpreter to start."""
    return sys.platform == "linux" and bool(sys.executable) and hasattr(os, "memfd_create")
