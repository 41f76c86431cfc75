"""Whether a job can work, as far as this computer can tell, before anything is sent or created.

`job_checks` holds the request against SageMaker; here are the data, the network, the folder of the run and the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.apps.job_asking import Plan
    from vedette.learn.data.samples import DataSet
    from vedette.learn.sagemaker.job_service import JobService
    from vedette.learn.training.settings import TrainSettings

OUTSIDE_SHOWN = 3


def check_before(service: JobService, name: str, plan: Plan, out: Path) -> None:
    """Refuse what would fail after minutes of waiting for a machine.

    Raises:
        VedetteError: the run's folder is taken, data or network cannot be trained, there is a job of this name.
    """
    from vedette.apps.followed_run import check_folder
    from vedette.learn.sagemaker.errors import JobNotFoundError, RequestError

    check_folder(out, None)
    settings = _train_settings(plan)
    if plan.data is not None:
        check_network(settings, plan, check_data(replace(settings, data=plan.data)))
    elif plan.model is not None:
        _check_model(plan.model)
    try:
        service.describe(name)  # and whether AWS knows us at all
    except JobNotFoundError:
        pass
    else:
        raise RequestError(f"job '{name}'", ["there is one of this name already; give another --job-name"])
    if plan.data is None:
        check_stored(plan.data_address)


def check_data(settings: TrainSettings) -> DataSet:
    """Read the labels, see that they can be split and learnt, and that all of it is in the folder.

    Raises:
        InputError: it cannot be read, holds too little, or pictures that lie elsewhere.
    """
    from vedette.learn.training.split_classes import check_classes
    from vedette.learn.training.training_data import choose_splits, read_training_data

    data = settings.data
    found, _ = read_training_data(settings)
    home = data.resolve()
    outside = [one.picture for one in found.samples if not one.picture.resolve().is_relative_to(home)]
    if outside:
        shown = ", ".join(str(path) for path in outside[:OUTSIDE_SHOWN])
        raise InputError(f"{data}: {len(outside)} pictures lie outside of it and would not be sent: {shown}")
    check_classes(found, choose_splits(found, settings.seed, settings.fold), settings.unjudged)
    return found


def check_network(settings: TrainSettings, plan: Plan, data: DataSet) -> None:
    """See that the network fits the data's classes, starting weights the network, and both what is held or weighed.

    Anchors do not matter for that.

    Raises:
        InputError: they do not.
    """
    import numpy as np

    from vedette.learn.darknet.cfg import parse_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.training.class_weights import check_named_classes
    from vedette.learn.training.freezing import count_frozen
    from vedette.learn.training.new_network import draft_network, finish_cfg, read_starting_weights

    draft = draft_network(settings, len(data.classes))
    text, _ = finish_cfg(draft, settings, len(data.classes), np.zeros((0, 2), np.float32))
    network = plan_network(parse_cfg(text, settings.model))
    check_named_classes(settings.class_weights, data.classes)
    weights = plan.file_of("weights")
    if weights is not None:
        found, _ = read_starting_weights(weights, network)
        count_frozen(settings.freeze, network, found.layers_loaded)


def _check_model(model: str) -> None:
    from vedette.learn.darknet.zoo import FAMILIES

    if model not in FAMILIES and not Path(model).is_file():
        raise UsageError(f"--model {model} is neither a cfg file nor one of {', '.join(FAMILIES)}")


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
    """The hyper-parameters as `vedette train` will read them in the container, so that it takes them.

    What lies in S3 (a cfg, a recipe, class weights) is not known here and passed over.
    """
    from vedette.apps.durations import parse_duration
    from vedette.apps.train_flags import DEFAULT_CLASS
    from vedette.learn.sagemaker.container.hyperparameters import SWITCHES, parse_hyperparameters
    from vedette.learn.training.recipes import new_settings
    from vedette.learn.training.settings import DEFAULT_MODEL

    given: Mapping[str, str] = parse_hyperparameters(
        {name: str(value) for name, value in plan.parameters.items()}
    ).train
    asked: dict[str, Any] = {"data": "data", "model": plan.model or DEFAULT_MODEL}
    names = {"val-every": "validate_every", "time-budget": "time_budget_s"}
    for name, text in given.items():
        if name not in {"model", "class-name", "single-class"}:
            value: Any = text == "true" if name in SWITCHES else text
            asked[names.get(name, name.replace("-", "_"))] = parse_duration(text) if name == "time-budget" else value
    if given.get("single-class") == "true":
        asked["single_class"] = given.get("class-name", DEFAULT_CLASS)
    if "weights" in plan.values["channels"]:
        asked["weights"] = str(plan.file_of("weights") or "weights")
    for channel in ("recipe", "class-weights"):
        file = plan.file_of(channel)
        asked |= {} if file is None else {channel.replace("-", "_"): str(file)}
    if plan.model is None and "cfg" in plan.values["channels"]:
        _check_recipe(asked.pop("recipe", None))  # Darknet's would be read from that cfg
    return new_settings(asked)


def _check_recipe(text: str | None) -> None:
    from vedette.learn.training.recipe_file import choose_recipe

    if text is not None:
        choose_recipe(text)
