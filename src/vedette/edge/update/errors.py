"""What installing on a box refuses or reports, split by what the caller can do.

UpdateError
├── BusyError        another installation is under way: wait for it                         (UnavailableError)
├── NoReleaseError   there is nothing to go back to, or what is there is damaged            (InputError)
├── ReleasesError    the folder cannot be written (full, read-only, not ours): make room    (UnavailableError)
└── GateError        the engine here does not reproduce the golden pictures                 (ResultError)
"""

from vedette.contracts.errors import InputError, ResultError, UnavailableError, VedetteError


class UpdateError(VedetteError):
    """Anything that installing refuses or reports; what ran before goes on running."""


class BusyError(UpdateError, UnavailableError):
    """Another process installs into the same folder right now."""


class NoReleaseError(UpdateError, InputError):
    """There is no previous release, or it is not what was installed."""


class ReleasesError(UpdateError, UnavailableError):
    """The folder of releases cannot be written; what ran before is untouched."""


class GateError(UpdateError, ResultError):
    """An engine does not reproduce a bundle's golden pictures."""
