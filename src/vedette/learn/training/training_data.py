"""The data of a run: read, maybe as one class, and parted into what trains and what validates.

Splits that the data names are honoured, and a `test` split (any but train, val, trainval) is never trained on. Without
a `val` split a fifth of the rest becomes it. A fold of a cross-validation takes train and val together and parts them
anew. All by class and from the seed, identical pictures together (`data.split`).
"""

from collections.abc import Mapping
from dataclasses import replace

from vedette.contracts.errors import InputError
from vedette.learn.data.reading import read_data_set
from vedette.learn.data.samples import DataSet
from vedette.learn.data.single_class import as_single_class
from vedette.learn.data.split import split_data_set
from vedette.learn.training.loading import PictureStore
from vedette.learn.training.settings import TrainSettings
from vedette.learn.training.split_classes import TRAIN, VAL

VAL_SHARE = 0.2
TRAINABLE = frozenset({TRAIN, VAL, "trainval"})

Splits = dict[str, tuple[str, ...]]


def read_training_data(settings: TrainSettings) -> tuple[DataSet, tuple[str, ...]]:
    """The labelled pictures as a run takes them, and the classes as the data names them.

    Raises:
        InputError: there are none, or labels would be lost or guessed.
    """
    data = read_data_set(settings.data)
    if not data.classes:
        raise InputError(f"{settings.data} names no class; label some objects first")
    if settings.single_class is None:
        return data, data.classes
    return as_single_class(data, settings.single_class), data.classes


def choose_splits(data: DataSet, seed: int, fold: tuple[int, int] | None = None) -> Splits:
    """Who trains and who validates; `fold` is (number from 1, of how many).

    Raises:
        InputError: a split that would be empty.
    """
    given = {name: members for name, members in data.splits.items() if members}
    if fold is not None:
        usable = {name for split in TRAINABLE for name in given.get(split, ())}
        return _choose_fold(_trainable(data, given, usable), seed, fold)
    if TRAIN in given and VAL in given:
        return {TRAIN: given[TRAIN], VAL: given[VAL]}
    if VAL in given:
        raise InputError(f"{data.root} has a 'val' split but no 'train'; give both, or none")
    usable = set(given.get(TRAIN) or given.get("trainval") or ())
    return split_data_set(_trainable(data, given, usable), {TRAIN: 1 - VAL_SHARE, VAL: VAL_SHARE}, seed)


def _trainable(data: DataSet, given: Mapping[str, tuple[str, ...]], usable: set[str]) -> DataSet:
    """The pictures that may train or validate: the `usable` ones, or all where none is named; never a test's."""
    held_out = {name for split, members in given.items() if split not in TRAINABLE for name in members}
    names = (usable or {sample.name for sample in data.samples}) - held_out
    return replace(data, samples=tuple(one for one in data.samples if one.name in names), splits={})


def _choose_fold(data: DataSet, seed: int, fold: tuple[int, int]) -> Splits:
    number, count = fold
    parts = split_data_set(data, {f"fold-{one}": 1 / count for one in range(1, count + 1)}, seed)
    held_out = set(parts[f"fold-{number}"])
    return {
        TRAIN: tuple(one.name for one in data.samples if one.name not in held_out),
        VAL: tuple(one.name for one in data.samples if one.name in held_out),
    }


def leave_out(names: frozenset[str], splits: Splits, stores: dict[str, PictureStore]) -> None:
    """Train without some pictures.

    Raises:
        InputError: none would be left.
    """
    stores[TRAIN] = stores[TRAIN].without(names)
    splits[TRAIN] = tuple(name for name in splits[TRAIN] if name not in names)
    if not splits[TRAIN]:
        raise InputError("--leaks drop leaves no training picture: all of them are validation or test pictures")
