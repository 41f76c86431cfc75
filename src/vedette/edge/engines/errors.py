"""What can go wrong between a bundle and its detections.

UnavailableError
└── EngineError   an engine is not installed, cannot do what was asked (BF16), or will not take the model
"""

from vedette.contracts.errors import UnavailableError


class EngineError(UnavailableError):
    """An engine is missing, lacks the precision asked for, or refuses the model; the message says what to do."""
