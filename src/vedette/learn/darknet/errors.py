"""What can be wrong with a Darknet file; all of it is the input's fault, none of it is worth a retry.

InputError
└── DarknetError
    ├── CfgError      a .cfg that cannot be read, or asks for what is not supported; names file and line
    ├── WeightsError  a .weights file that does not fit its cfg, or holds numbers that are not finite
    ├── PublicFileError  a file that is not the published one
    ├── PublicNameError  a name that no public weights have
    └── FamilyError   a family, size, class count or set of anchors that no cfg can be written for
"""

from vedette.contracts.errors import InputError, UsageError


class DarknetError(InputError):
    """A Darknet file, or the request for one, is wrong."""


class CfgError(DarknetError):
    """A .cfg is malformed, contradicts itself, is absurdly large, or asks for a layer that is not supported."""


class WeightsError(DarknetError):
    """A .weights file is missing, of the wrong size, or holds values that no network can use."""


class PublicFileError(DarknetError):
    """A file whose size or checksum is not the published one."""


class PublicNameError(DarknetError, UsageError):
    """A name that no public weights have."""


class FamilyError(DarknetError, UsageError):
    """No cfg of this family can be written with these classes, this size or these anchors."""
