"""What reading and writing by address refuses or reports, split by what the caller can do.

StorageError
├── ObjectNotFoundError   no such bucket, folder or object: name another          (InputError)
├── AccessDeniedError     credentials are missing, wrong or not enough            (InputError)
├── AddressError          the address or a setting cannot be used                 (UsageError)
├── UnreachableError      the server cannot be reached, or is overloaded: retry   (UnavailableError)
└── WrongContentError     what is stored is not what it must be                   (ResultError)
"""

from vedette.contracts.errors import InputError, ResultError, UnavailableError, UsageError, VedetteError


class StorageError(VedetteError):
    """Anything that reading and writing by address refuses or reports."""


class ObjectNotFoundError(StorageError, InputError):
    """There is no such bucket, folder or object."""


class AccessDeniedError(StorageError, InputError):
    """Credentials are missing, wrong, expired, or not allowed to do this."""


class AddressError(StorageError, UsageError):
    """The address, or a setting such as the endpoint, cannot be used."""


class UnreachableError(StorageError, UnavailableError):
    """The server cannot be reached or cannot answer now; a retry may succeed."""


class WrongContentError(StorageError, ResultError):
    """What is stored is not what it must be, or larger than it may be."""
