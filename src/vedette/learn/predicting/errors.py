"""What running a detector over many pictures refuses or reports.

UnavailableError
└── WorkersError    processes cannot be started, or the Ray cluster cannot be used
"""

from vedette.contracts.errors import UnavailableError


class WorkersError(UnavailableError):
    """The processes that should work cannot be started, or the cluster cannot be used."""
