"""What can go wrong with looking on, by what the caller can do.

VedetteError
├── UnavailableError
│   └── PageUnavailableError    the address is taken or not ours: choose another
└── InputError
    └── RecordingFolderError    the folder cannot be written to: name another
"""

from vedette.contracts.errors import InputError, UnavailableError


class PageUnavailableError(UnavailableError):
    """The live page cannot listen where it was told to."""


class RecordingFolderError(InputError):
    """The folder for recordings cannot be made or written to."""
