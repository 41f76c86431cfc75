"""What can go wrong with DeepStream configurations.

VedetteError
└── InputError
    ├── KeyFileError        GLib would refuse to load the text; the line and a remedy are named
    ├── DeepStreamError     a target, version or pipeline that cannot be rendered, or a file that cannot be imported
    └── MessageError        what came from the broker is no message of NVIDIA's that can be read
"""

from vedette.contracts.errors import InputError


class KeyFileError(InputError):
    """The text is no key file: nothing of it would be read on the device."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        self.source, self.line, self.problem = source, line, problem
        super().__init__(f"{source}:{line}: {problem}")


class DeepStreamError(InputError):
    """What was asked for does not go with DeepStream, its version or the target."""


class MessageError(InputError):
    """A message cannot be read; the next one may."""
