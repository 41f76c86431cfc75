"""What can go wrong with looking on, by what the caller can do.

VedetteError
├── UnavailableError
│   └── PageUnavailableError    the address is taken or not ours: choose another
└── InputError
    ├── RecordingFolderError    the folder cannot be written to: name another
    ├── TokenFileError          the file of tokens cannot be used: name another, or delete it
    ├── CertificateError        the certificate or its key cannot be used: name others
    └── RulesError              lines and zones that cannot be: draw them otherwise
"""

from vedette.contracts.errors import InputError, UnavailableError


class PageUnavailableError(UnavailableError):
    """The live page cannot listen where it was told to."""


class RecordingFolderError(InputError):
    """The folder for recordings cannot be made or written to."""


class TokenFileError(InputError):
    """The file of the page's tokens cannot be read or written, or holds something else."""


class CertificateError(InputError):
    """The page's certificate or its key is missing, is none, or they do not belong together."""


class RulesError(InputError):
    """Lines and zones drawn on the page that cannot be used or saved; says which and why."""
