"""Hyper-parameters: strings by name, as SageMaker gives them, become flags of `vedette train` and `vedette pack`.

Names and kinds are checked here, all of them at once; ranges are judged by the settings of `vedette train` itself,
before it reads any picture. Each value may be encoded as JSON once more (the SageMaker SDK does so), and a name may
be written with `_` or `-`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.learn.sagemaker.errors import ContractError

DEVICES, PRECISIONS = ("auto", "cpu", "cuda"), ("auto", "fp32", "bf16")
LEAKS = ("refuse", "drop", "keep")
RECIPES = ("vedette", "darknet")
SWITCH = (r"true|false", "true or false")
SWITCHES = ("deterministic", "single-class", "tensorboard")
WHOLE = (r"[0-9]{1,19}", "a whole number such as 100")
TEXT = (r"[^\0-\x1f]{1,256}", "a text of one line")
# name -> (pattern of the whole value, what is wanted, in words)
TRAIN_PARAMETERS: dict[str, tuple[str, str]] = {
    "model": TEXT,
    "size": (r"[0-9]{1,5}([xX][0-9]{1,5})?", "a number of pixels or WIDTHxHEIGHT, such as 416 or 416x256"),
    "epochs": WHOLE,
    "batch": (r"auto|[0-9]{1,19}", "a whole number such as 16, or auto"),
    "seed": WHOLE,
    "device": ("|".join(DEVICES), f"one of {', '.join(DEVICES)}"),
    "precision": ("|".join(PRECISIONS), f"one of {', '.join(PRECISIONS)}"),
    "time-budget": (r"[0-9]+(\.[0-9]+)?[smh]?", "a time such as 90s, 15m or 2h"),
    "val-every": WHOLE,
    "patience": WHOLE,
    "class-name": TEXT,
    "recipe": ("|".join(RECIPES), f"one of {', '.join(RECIPES)}; a file comes in the channel 'recipe'"),
    "freeze": (r"backbone|[0-9]{1,5}", "'backbone' or a number of layers"),
    "unfreeze-after": (
        r"[0-9]{1,6}|[0-9]{1,3}(\.[0-9]{1,6})?%",
        "a number of epochs such as 5, or a share such as 30%",
    ),
    "class-weights": (
        r"balanced|[^\0-\x1f]{0,250}=[^\0-\x1f]{1,250}|\{[^\0-\x1f]{0,255}",
        "'balanced' or name=2,other=0.5; a file comes in the channel 'class-weights'",
    ),
    "unjudged": (r"refuse|keep", "refuse or keep"),
    "leaks": ("|".join(LEAKS), f"one of {', '.join(LEAKS)}"),
    **dict.fromkeys(SWITCHES, SWITCH),
}
DATA_PARAMETERS: dict[str, tuple[str, str]] = {
    "data-version": (r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a tag or digest that `vedette data push` printed")
}
PACK_PARAMETERS: dict[str, tuple[str, str]] = {"name": TEXT, "licence": TEXT}
NOT_OURS = re.compile(r"sagemaker_.*|_tuning_objective_metric")  # for the toolkit and for tuning jobs


@dataclass(frozen=True, slots=True)
class HyperParameters:
    """What was asked for, by the names of the flags; nothing that was not."""

    train: Mapping[str, str]
    pack: Mapping[str, str]
    data_version: str | None = None


def parse_hyperparameters(given: Mapping[str, Any]) -> HyperParameters:
    """Check names and kinds.

    Raises:
        ContractError: lists everything that is wrong.
    """
    known = TRAIN_PARAMETERS | DATA_PARAMETERS | PACK_PARAMETERS
    wrong: list[str] = []
    asked: dict[str, str] = {}
    for written, value in given.items():
        if NOT_OURS.fullmatch(written):
            continue
        name = written.replace("_", "-")
        if name not in known:
            wrong.append(f"'{written[:60]}' is none of {', '.join(known)}")
            continue
        if name in asked:
            wrong.append(f"'{written}' is given twice, with '-' and with '_'")
            continue
        asked[name] = text = _decoded(value)
        pattern, wanted = known[name]
        if re.fullmatch(pattern, text) is None:
            wrong.append(f"'{written}' is {text[:60]!r}, not {wanted}")
    if "epochs" in asked and "time-budget" in asked:
        wrong.append("'epochs' and 'time-budget' exclude each other: each says when the run ends")
    if "class-name" in asked and asked.get("single-class") != "true":
        wrong.append("'class-name' is what 'single-class' calls all classes; set that to true")
    if wrong:
        raise ContractError(f"hyper-parameters cannot be used: {'; '.join(wrong)}")
    return HyperParameters(
        {name: text for name, text in asked.items() if name in TRAIN_PARAMETERS},
        {name: text for name, text in asked.items() if name in PACK_PARAMETERS},
        asked.get("data-version"),
    )


def _decoded(value: Any) -> str:
    """The value's text: `"x"` in quotes is x, and what the toolkit has decoded to a number is written out again."""
    if not isinstance(value, str):
        return json.dumps(value)
    if not value.startswith('"'):
        return value
    try:
        inner = json.loads(value)
    except ValueError:
        return value
    return inner if isinstance(inner, str) else value


def flags_of(parameters: Mapping[str, str]) -> list[str]:
    """Parameters as a command line: `--epochs=3`; the sign keeps a value that begins with `-` a value."""
    return [f"--{name}={text}" for name, text in parameters.items()]
