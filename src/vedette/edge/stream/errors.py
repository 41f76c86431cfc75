"""What can go wrong with one camera, split by what its owner can do.

    VedetteError
    ├── InputError
    │   └── CameraInputError         no such file, not a video, a wrong address: a retry cannot help
    └── UnavailableError
        └── CameraUnavailableError   does not answer, refuses, went silent, lacks a driver: a retry may help

A message is one sentence about one camera, says what to do, and never holds a password.
"""

from vedette.contracts.errors import InputError, UnavailableError


class CameraInputError(InputError):
    """The camera's address or file is wrong; opening it again gives the same."""


class CameraUnavailableError(UnavailableError):
    """The camera, its network or its driver is missing or down; later it may work."""


CameraError = (CameraInputError, CameraUnavailableError)
