"""What can go wrong with the file of counts.

VedetteError
└── InputError
    └── CountsFileError    the file is no file of counts, or cannot be read or written: name another
"""

from vedette.contracts.errors import InputError


class CountsFileError(InputError):
    """The file cannot hold counts, or holds something else."""
