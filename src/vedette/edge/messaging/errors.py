"""What messaging refuses at the start; later trouble (a full disk, a broker that is away) is counted and logged.

VedetteError
└── InputError
    └── SinkError   events cannot go there: the path cannot be written, the broker's address makes no sense
"""

from vedette.contracts.errors import InputError


class SinkError(InputError):
    """Events cannot go where they were told to."""
