"""What can be wrong with a data set that somebody hands in; every one is fixed by changing the input.

InputError
└── DataError              a data set, its labels or its lists cannot be used as they are
    ├── PictureError       one picture cannot be read
    ├── ClassMatchError    classes of the data are unknown to the model
    ├── DestinationError   the place to write to is taken
    ├── VersionError       a version of a data set in a store is not there, or not what was pushed
    └── FractionsError     fractions that cannot part anything (a UsageError too: they come from a flag)
"""

from vedette.contracts.errors import InputError, UsageError


class DataError(InputError):
    """A data set, its labels or its lists cannot be used as they are."""


class PictureError(DataError):
    """One picture is missing, is no picture, or is too large."""


class ClassMatchError(DataError):
    """Classes of the data set have no counterpart in the model."""


class DestinationError(DataError):
    """The place to write to exists already, or cannot be written."""


class VersionError(DataError):
    """A version of a data set in a store is not there, cannot be made, or is not what was pushed."""


class FractionsError(DataError, UsageError):
    """Fractions of splits that cannot part anything."""
