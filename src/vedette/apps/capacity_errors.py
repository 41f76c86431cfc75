"""What `vedette capacity` refuses.

VedetteError
├── InputError        CapacityError: a clip that nothing can be measured with
└── UnavailableError  NoEncoderError: FFmpeg cannot encode what was to be drawn
"""

from vedette.contracts.errors import InputError, UnavailableError


class CapacityError(InputError):
    """Nothing can be measured with what was given."""


class NoEncoderError(UnavailableError):
    """A clip cannot be drawn here."""
