"""What can go wrong with training on SageMaker, split by what the caller can do.

InputError
└── ContractError     hyper-parameters, channels or hosts that this program cannot work with: change the job's request
ResultError
└── TrainingFailed    the training or the packing ended badly; the message is theirs
"""

from vedette.contracts.errors import InputError, ResultError


class ContractError(InputError):
    """What SageMaker was asked for cannot be done here; the same job would fail again."""


class TrainingFailed(ResultError):  # noqa: N818 - what the person reads, not a kind of bug
    """Training or packing ended without a model to deliver."""
