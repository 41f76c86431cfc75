"""How much an object of each class counts in the loss: `--class-weights`.

`balanced`: objects of the training split / (classes * objects of the class), so that every class counts as much as any
other and an average object 1. Or weights of one's own: name=2,other=0.5, or a YAML file of them; classes that are not
named count 1. Every pull of an object is multiplied: on its box, its objectness and its class, as Darknet's
counters_per_class does it. Which pictures are shown does not change; that is the recipe's augment.balance.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vedette.learn.data.strict_yaml import YamlMistakeError, parse_strict_yaml
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.loading import PictureStore

BALANCED = "balanced"
LARGEST = 1000.0
MAX_BYTES = 1 << 20
_WANTED = "'balanced', name=2,other=0.5, or a YAML file of names and weights"


def parse_class_weights(text: str) -> str:
    """What --class-weights says, as it is written in settings: `balanced`, or a JSON object.

    Raises:
        SettingsError: it is none of what it may be, or a weight is out of range.
    """
    if text in {BALANCED, ""} or text.startswith("{"):
        try:
            given = {} if text in {BALANCED, ""} else json.loads(text)
        except ValueError as error:
            raise SettingsError(
                f"--class-weights {text:.60} is no JSON object of classes and weights: {error}"
            ) from error
    elif "=" in text:
        pairs = [part.partition("=") for part in text.split(",")]
        given = {name.strip(): weight for name, _, weight in pairs}
        if len(given) != len(pairs):
            raise SettingsError(f"--class-weights {text}: a class is named twice")
    else:
        given = _read(Path(text))
    if text == BALANCED:
        return BALANCED
    return json.dumps({str(name): _weight(str(name), value) for name, value in given.items()}, ensure_ascii=False)


def class_weights(given: str | None, classes: Sequence[str], train: PictureStore) -> tuple[float, ...] | None:
    """The weight of each class, or None where all count alike.

    Raises:
        SettingsError: a class that the data does not have.
    """
    if given is None:
        return None
    if given != BALANCED:
        check_named_classes(given, classes)
        named: Mapping[str, float] = json.loads(given)
        return tuple(float(named.get(name, 1.0)) for name in classes)
    ids = [train.get(index).labelled.class_ids for index in range(len(train))]
    counts = np.bincount(
        np.concatenate([np.zeros(0, np.int64), *(own[own >= 0] for own in ids)]), minlength=len(classes)
    )
    there = counts > 0  # a class without objects has nothing to weigh
    return tuple(float(w) for w in np.where(there, counts.sum() / (there.sum() * np.maximum(counts, 1)), 1.0))


def check_named_classes(given: str | None, classes: Sequence[str]) -> None:
    """See that weights are given to classes that there are.

    Raises:
        SettingsError: one is not.
    """
    named = {} if given in {None, BALANCED} else json.loads(str(given))
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise SettingsError(f"--class-weights names {unknown[0]!r}; the data has the classes {', '.join(classes)}")


def _read(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise SettingsError(f"--class-weights {path} is none of {_WANTED}")
    try:
        with path.open("rb") as file:
            document = parse_strict_yaml(file.read(MAX_BYTES))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except YamlMistakeError as error:
        raise SettingsError(
            f"{path}, {error}; write a class and its weight on each line, such as platelet: 3"
        ) from error
    if not isinstance(document, dict) or not document:
        raise SettingsError(f"{path}: holds no class weights; write one on each line, such as platelet: 3")
    return document


def _weight(name: str, value: object) -> float:
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if isinstance(value, bool) or not 0 < weight <= LARGEST:
        raise SettingsError(f"--class-weights: {name}={value} must be a number above 0, at most {LARGEST:g}")
    return weight
