"""Whether the splits are of one kind: what validation has training must have, and what is learnt must be judged.

Refused, before any picture is read: a class that validation has and training has not (its AP is 0 whatever happens);
and, unless it is said to be meant, a class that is in so many training pictures that a validation split drawn like
them would have some, and has none. No figure speaks of such a class, and it usually means that the splits were made by
hand, or that one of them spells the class otherwise. Rare classes, which chance keeps out, are told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum

from vedette.contracts.errors import InputError
from vedette.learn.data.class_names import spelling
from vedette.learn.data.samples import DataSet, LabelledObject

TRAIN, VAL = "train", "val"
EXPECTED_PICTURES = 5.0  # that validation would have of a class; chance leaves none of them once in 150 times
SHOWN_NAMES = 8


class UnjudgedChoice(str, Enum):
    """What becomes of classes that only training has, though validation should have them by their number."""

    REFUSE = "refuse"
    KEEP = "keep"


def check_classes(
    data: DataSet, splits: Mapping[str, Sequence[str]], choice: UnjudgedChoice = UnjudgedChoice.REFUSE
) -> tuple[str, ...]:
    """Warnings about classes that not every split has, before any picture is read.

    Raises:
        InputError: validation has a class that training has not, or the other way round and not by chance.
    """
    counts = objects_by_class(data, splits)
    unlearnable = [name for name, (train, val) in counts.items() if val and not train]
    if unlearnable:
        names = [f"'{name}' ({counts[name][1]} objects{_alike(name, counts)})" for name in unlearnable]
        raise InputError(
            f"classes of the val split are in no training picture, so they can never be learnt: {_listed(names)}. "
            f"Make the names the same, or choose other splits ({data.root} names its own, or else --seed does)"
        )
    unjudged = [name for name, (train, val) in counts.items() if train and not val]
    if choice is UnjudgedChoice.REFUSE:
        _refuse_unjudged(data, splits, unjudged)
    warnings = []
    if unjudged:
        warnings.append(f"no validation picture has {_quoted(unjudged)}: no epoch is judged by it")
    nowhere = [name for name, found in counts.items() if not any(found)]
    if nowhere:
        warnings.append(f"no picture of train or val has {_quoted(nowhere)}")
    warnings += _elsewhere(data, counts)
    alike: dict[str, list[str]] = {}
    for name in data.classes:
        alike.setdefault(spelling(name), []).append(name)
    warnings += [f"classes that differ in spelling only: {_quoted(names)}" for names in alike.values() if names[1:]]
    return tuple(warnings)


def _refuse_unjudged(data: DataSet, splits: Mapping[str, Sequence[str]], unjudged: Sequence[str]) -> None:
    names = set(splits[TRAIN])
    pictures = Counter(
        name
        for sample in data.samples
        if sample.name in names
        for name in {item.class_name for item in sample.objects if _counts(item)}
    )
    share = len(splits[VAL]) / max(len(splits[TRAIN]), 1)
    odd = [name for name in unjudged if pictures[name] * share >= EXPECTED_PICTURES]
    if not odd:
        return
    told = [f"'{name}' (in {pictures[name]} training pictures)" for name in odd]
    raise InputError(
        f"no validation picture has {_listed(told)}, though some should by their number: train and val are not of one "
        "kind, and no figure would speak of it. Make the names the same, part the data anew (vedette data split), or "
        "say that it is meant (--unjudged keep)"
    )


def _elsewhere(data: DataSet, counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Classes that a split which training leaves alone has, and training has not."""
    lines = []
    for split, members in data.splits.items():
        if split in {TRAIN, VAL, "trainval"}:
            continue
        there = _count(data, members)
        missing = [f"'{name}' ({there[name]} objects{_alike(name, counts)})" for name in there if not counts[name][0]]
        if missing:
            lines.append(f"the {split} split has {_listed(missing)}, train has not: its AP there will be 0")
    return lines


def objects_by_class(data: DataSet, splits: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, int]]:
    """Objects that count (not difficult, not a crowd) in train and in val, for every class of the data."""
    train, val = _count(data, splits[TRAIN]), _count(data, splits[VAL])
    return {name: (train[name], val[name]) for name in data.classes}


def _count(data: DataSet, members: Sequence[str]) -> Counter[str]:
    names = set(members)
    own = (sample for sample in data.samples if sample.name in names)
    return Counter(item.class_name for sample in own for item in sample.objects if _counts(item))


def _counts(item: LabelledObject) -> bool:
    return not (item.difficult or item.crowd)


def _alike(name: str, counts: Mapping[str, tuple[int, int]]) -> str:
    others = [other for other, (train, _) in counts.items() if train and spelling(other) == spelling(name)]
    return f"; train has '{others[0]}', spelt otherwise" if others else ""


def _quoted(names: Sequence[str]) -> str:
    return _listed([f"'{name}'" for name in names])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
