"""What can go wrong in training, split by what the caller can do.

InputError
├── UsageError
│   └── SettingsError  a setting is out of range or contradicts another: change the setting
├── RunFolderError     the run folder is taken, missing or damaged: choose another, or `--resume`
└── ResumeError        what is to be resumed is not what was begun: give back the same data and settings
ResultError
└── DivergedError      the loss or a gradient is not finite: look at the pictures named, lower the learning rate
UnavailableError
└── PeerError          another process of the same training is gone or has other data: look there, then `--resume`
"""

from vedette.contracts.errors import InputError, ResultError, UnavailableError, UsageError


class SettingsError(UsageError):
    """A setting is out of range or contradicts another."""


class RunFolderError(InputError):
    """The run folder cannot be used."""


class ResumeError(InputError):
    """The run in the folder is another one than the one asked for."""


class DivergedError(ResultError):
    """Training cannot go on from here."""


class PeerError(UnavailableError):
    """Another process of the same training is gone, or not like this one."""
