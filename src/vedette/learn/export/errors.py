"""What can stop a model from becoming a bundle.

InputError
├── PackError            what is to be packed does not fit together: names, sizes, pictures
└── OnnxError            an ONNX file is none, or is not the network, or not of the kind, that it is taken for
ResultError
└── DisagreementError    an engine does not compute what the reference computes, so no bundle is written
"""

from vedette.contracts.errors import InputError, ResultError


class PackError(InputError):
    """What is to be packed does not fit together; the message says which part and what to do."""


class OnnxError(InputError):
    """An ONNX file cannot be read, or does not hold the network that is looked for; the message says where."""


class DisagreementError(ResultError):
    """An engine's output differs from the reference's by more than the bundle's tolerance."""


class VariantError(ResultError):
    """A variant cannot be made of this model, or loses more than allowed; the message names the layers that hurt."""
