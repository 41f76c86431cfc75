"""What can go wrong with training on SageMaker, split by what the caller can do.

In the container:
InputError
└── ContractError     hyper-parameters, channels or hosts that this program cannot work with: change the job's request
ResultError
└── TrainingFailed    the training or the packing ended badly; the message is theirs

Where SageMaker is simulated:
UnavailableError
└── SimulatorError    the simulator cannot start, or cannot do what a job asks for

Where jobs are asked for:
JobError
├── RequestError             the request cannot work as it stands: change a setting          (UsageError)
├── JobNotFoundError         there is no such job: name another, or another region           (InputError)
├── NotPermittedError        credentials or region are missing, wrong, expired, not enough   (InputError)
├── QuotaError               the account has no room for it: wait, or ask AWS for more       (UnavailableError)
├── ServiceUnreachableError  AWS cannot be reached, or is asked too often: retry             (UnavailableError)
├── JobFailedError           the job has ended without a model: read why                     (ResultError)
└── ArtefactError            model.tar.gz is not what a job of Vedette leaves                (InputError)
"""

from collections.abc import Sequence

from vedette.contracts.errors import InputError, ResultError, UnavailableError, UsageError, VedetteError


class ContractError(InputError):
    """What SageMaker was asked for cannot be done here; the same job would fail again."""


class TrainingFailed(ResultError):  # noqa: N818 - what the person reads, not a kind of bug
    """Training or packing ended without a model to deliver."""


class SimulatorError(UnavailableError):
    """The simulator cannot start, or cannot do what a job asks for."""


class JobError(VedetteError):
    """Anything that jobs refuse or report."""


class RequestError(JobError, UsageError):
    """A job that SageMaker would refuse, or that could not work there; nothing was created."""

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(
            f"{source}: " + (mistakes[0] if len(mistakes) == 1 else "\n  ".join(["", *mistakes]).lstrip(" "))
        )


class JobNotFoundError(JobError, InputError):
    """No job of this name in this account and region."""


class NotPermittedError(JobError, InputError):
    """AWS does not know who asks, or does not let them."""


class QuotaError(JobError, UnavailableError):
    """The account's quota is used up."""


class ServiceUnreachableError(JobError, UnavailableError):
    """AWS cannot be reached, or goes on refusing for being asked too often."""


class JobFailedError(JobError, ResultError):
    """A job that was followed has failed."""


class ArtefactError(JobError, InputError):
    """The archive is damaged, hostile, or not a model of Vedette's; nothing was kept of it."""
