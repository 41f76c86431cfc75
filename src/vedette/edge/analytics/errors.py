"""What analytics refuses.

VedetteError
└── InputError
    └── AnalyticsError
        ├── TimeOrderError   a frame came before the one that went before it
        └── GeometryError    a line or zone cannot lie in a picture of this size
"""

from vedette.contracts.errors import InputError


class AnalyticsError(InputError):
    """Anything that analytics refuses."""


class TimeOrderError(AnalyticsError):
    """Frames of a camera must come in the order of their time."""


class GeometryError(AnalyticsError):
    """A line or zone makes no sense in a picture of this size."""
