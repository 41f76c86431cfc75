"""Whether a job can work, as far as this computer can tell, before anything is sent or created.

`job_checks` holds the request against SageMaker; here are the data, the network, the folder of the run and the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from vedette.apps.job_asking import Plan
    from vedette.learn.sagemaker.job_service import JobService
    from vedette.learn.training.settings import TrainSettings

OUTSIDE_SHOWN = 3


def check_before(service: JobService, name: str, plan: Plan, out: Path) -> None:
    """Refuse what would fail after minutes of waiting for a machine.

    Raises:
        VedetteError: the run's folder is taken, data or network cannot be trained, there is a job of this name.
    """
    from vedette.learn.sagemaker.errors import JobNotFoundError, RequestError
    from vedette.learn.training.new_network import draft_network
    from vedette.learn.training.run_folder import RunFolder

    RunFolder(out).check_free()
    settings = _train_settings(plan)
    classes = None if plan.data is None else check_data(plan.data)
    if plan.model is not None and classes is not None:
        draft_network(settings, classes)
    try:
        service.describe(name)  # and whether AWS knows us at all
    except JobNotFoundError:
        pass
    else:
        raise RequestError(f"job '{name}'", ["there is one of this name already; give another --job-name"])
    if plan.data is None:
        check_stored(plan.data_address)


def check_data(data: Path) -> int:
    """Read the labels and see that all of it is in the folder; how many classes there are.

    Raises:
        InputError: it cannot be read, holds nothing, or pictures that lie elsewhere.
    """
    from vedette.learn.data.reading import read_data_set

    found = read_data_set(data)
    home = data.resolve()
    outside = [one.picture for one in found.samples if not one.picture.resolve().is_relative_to(home)]
    if outside:
        shown = ", ".join(str(path) for path in outside[:OUTSIDE_SHOWN])
        raise InputError(f"{data}: {len(outside)} pictures lie outside of it and would not be sent: {shown}")
    if not found.samples or not found.classes:
        raise InputError(f"{data}: holds no labelled pictures")
    return len(found.classes)


def check_stored(address: str) -> None:
    """See that something lies at an S3 address.

    Raises:
        StorageError: there is nothing, or it cannot be asked.
    """
    from vedette.apps.object_storage import open_place
    from vedette.storage.errors import ObjectNotFoundError

    if next(open_place(address).list(), None) is None:
        raise ObjectNotFoundError(f"{address}: nothing is stored there; `vedette data push` puts data there")


def _train_settings(plan: Plan) -> TrainSettings:
    """The hyper-parameters as `vedette train` will read them in the container, so that it takes them."""
    from vedette.apps.durations import parse_duration
    from vedette.learn.sagemaker.container.hyperparameters import parse_hyperparameters
    from vedette.learn.training.settings import DEFAULT_MODEL, TrainSettings, settings_from_flat

    asked: Mapping[str, Any] = parse_hyperparameters(
        {name: str(value) for name, value in plan.parameters.items()}
    ).train
    flat: dict[str, Any] = TrainSettings(data=Path("data"), model=plan.model or DEFAULT_MODEL).to_flat()
    names = {"val-every": "validate_every", "time-budget": "time_budget_s"}
    for name, text in asked.items():
        if name != "model":
            flat[names.get(name, name)] = parse_duration(text) if name == "time-budget" else text
    return settings_from_flat(flat)
