"""What can go wrong with one camera, split by what its owner can do.

    VedetteError
    ├── InputError
    │   └── CameraInputError         no such file, not a video, a wrong password or path: its settings must change
    │       ├── CameraRefusedError   the password, or the user
    │       └── CameraHopelessError  no retry can help: an address of no known form, a film that broke off
    └── UnavailableError
        └── CameraUnavailableError   does not answer, refuses, went silent, lacks a driver: a retry may help

A message is one sentence about one camera, says what to do, and never holds a password. `retry` says how a live camera
that failed so is tried again (`reconnect`); a file never is.
"""

from enum import Enum

from vedette.contracts.errors import InputError, UnavailableError


class Retry(str, Enum):
    """How a live camera is opened again.

    `slowly`: unless it has worked with these settings. `seldom`: even so, before long, since cameras lock out whoever
    shows a wrong password too often.
    """

    NEVER = "never"
    SELDOM = "seldom"
    SLOWLY = "slowly"
    SOON = "soon"


class CameraInputError(InputError):
    """The camera's address, password, settings or file is wrong; opening it again most likely gives the same."""

    retry = Retry.SLOWLY


class CameraRefusedError(CameraInputError):
    """The camera refuses the user name and password, or wants some."""

    retry = Retry.SELDOM


class CameraHopelessError(CameraInputError):
    """Opening it again gives the same for certain, or would give the same film twice."""

    retry = Retry.NEVER


class CameraUnavailableError(UnavailableError):
    """The camera, its network or its driver is missing or down; later it may work."""

    retry = Retry.SOON


CameraError = (CameraInputError, CameraUnavailableError)


class DecoderBug(RuntimeError):  # noqa: N818 - a bug, not a condition to catch
    """Our own code failed while it decoded a camera; the message is its traceback."""
