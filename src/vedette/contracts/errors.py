"""The root of every error Vedette raises on purpose, split by what the caller can do.

    VedetteError
    ├── InputError        the input is wrong: fix the file, flag or value named in the message   (exit code 1)
    │   └── UsageError    a flag is missing, contradicts another, or has an impossible value      (exit code 2)
    ├── UnavailableError  something outside is missing or down: retry, or install what is named  (exit code 1)
    └── ResultError       the work was done and its result is not good enough to go on           (exit code 1)

A message is one paragraph: what is wrong, where (file, line, object), and what to do. Each part of Vedette subclasses
these in its own `errors.py`; foreign exceptions are translated once, at the boundary, with `from`.
"""


class VedetteError(Exception):
    """Anything that Vedette itself refuses or reports; `str()` is fit to show to a person."""

    exit_code = 1


class InputError(VedetteError):
    """The input is wrong; the same call cannot succeed until the input changes."""


class UsageError(InputError):
    """The request misses a part, contradicts itself, or asks for a value that cannot be."""

    exit_code = 2


class UnavailableError(VedetteError):
    """Something outside (camera, broker, library, device) is missing or down; a retry may succeed."""


class ResultError(VedetteError):
    """The work was done, and its result must not be used: engines disagree, a loss is not finite, a check failed."""
