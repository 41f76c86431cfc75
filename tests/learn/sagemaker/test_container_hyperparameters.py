"""Hyper-parameters are strings: what they may be, and that it is what `vedette train` takes."""

import inspect
import json
from dataclasses import fields

import pytest

from vedette.learn.sagemaker.container.hyperparameters import (
    DEVICES,
    PRECISIONS,
    TRAIN_PARAMETERS,
    flags_of,
    parse_hyperparameters,
)
from vedette.learn.sagemaker.errors import ContractError
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice


def test_they_are_the_flags_of_vedette_train_but_for_paths() -> None:
    from vedette.apps.recipe_flags import RecipeFlags
    from vedette.apps.train import train
    from vedette.apps.train_flags import TrainFlags

    names = [*inspect.signature(train).parameters, *(one.name for one in (*fields(TrainFlags), *fields(RecipeFlags)))]
    flags = {name.replace("_", "-") for name in names}
    paths_and_output = {"out", "data", "weights", "resume", "json"}
    assert flags >= paths_and_output | set(TRAIN_PARAMETERS)
    assert set(TRAIN_PARAMETERS) >= {one.name.replace("_", "-") for one in fields(RecipeFlags)} | {
        "model",
        "size",
        "epochs",
        "batch",
        "seed",
        "time-budget",
        "val-every",
        "patience",
    }
    assert tuple(choice.value for choice in DeviceChoice) == DEVICES
    assert tuple(choice.value for choice in PrecisionChoice) == PRECISIONS


def test_strings_json_strings_and_what_the_toolkit_decodes_mean_the_same() -> None:
    plain = parse_hyperparameters({"val_every": "2", "model": "yolov3-tiny"})
    for given in ({"val-every": '"2"', "model": json.dumps("yolov3-tiny")}, {"val-every": 2, "model": "yolov3-tiny"}):
        assert parse_hyperparameters(given) == plain
    assert flags_of(plain.train) == ["--val-every=2", "--model=yolov3-tiny"]


def test_names_of_the_toolkit_and_of_tuning_jobs_are_passed_over() -> None:
    given = {"sagemaker_program": "train.py", "_tuning_objective_metric": "best:map50", "name": "belt", "seed": "7"}
    parsed = parse_hyperparameters(given)
    assert (parsed.train, parsed.pack) == ({"seed": "7"}, {"name": "belt"})


def test_everything_wrong_is_said_at_once() -> None:
    given = {"epoch": "3", "batch": "many", "size": "-1", "device": "tpu", "time-budget": "soon", "seed": ""}
    with pytest.raises(ContractError) as caught:
        parse_hyperparameters(given)
    message = str(caught.value)
    assert "'epoch' is none of model, size, epochs" in message
    assert "'batch' is 'many', not a whole number such as 16, or auto" in message
    assert "'device' is 'tpu', not one of auto, cpu, cuda" in message
    for name in ("size", "time-budget", "seed"):
        assert f"'{name}' is " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": "3", "time-budget": "5m"}, "exclude each other"),
        ({"val-every": "3", "val_every": "4"}, "given twice"),
        ({"deterministic": "yes"}, "not true or false"),
        ({"class-name": "face"}, "is what 'single-class' calls all classes"),
        ({"leaks": "some"}, "not one of refuse, drop, keep"),
        ({"model": "a\nb"}, "not a text of one line"),
        ({"epochs": ["3"]}, "not a whole number"),
        ({"epochs": "3 "}, "not a whole number"),
        ({"recipe": "mine.yaml"}, "not one of vedette, darknet; a file comes in the channel 'recipe'"),
        ({"class-weights": "mine.yaml"}, "a file comes in the channel 'class-weights'"),
        ({"freeze": "all"}, "not 'backbone' or a number of layers"),
        ({"unfreeze-after": "soon"}, "not a number of epochs such as 5, or a share"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_hyperparameters(given)
