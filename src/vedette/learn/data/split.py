"""Parts a data set by class: each keeps its share in every split, identical pictures stay together, a seed does the
rest.

Iterative stratification by the rarest class first (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label
Data, 2011), over groups of byte-identical pictures, with objects counted.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.learn.data.errors import DataError, FractionsError
from vedette.learn.data.identical import identical_groups
from vedette.learn.data.samples import DataSet, Sample
from vedette.learn.data.split_files import SPLIT_NAME

DEFAULT_NAMES = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class _Group:
    """Pictures that must stay together, and how many objects of each class they hold."""

    names: tuple[str, ...]
    counts: Counter[str]


def split_data_set(data: DataSet, fractions: Mapping[str, float], seed: int) -> dict[str, tuple[str, ...]]:
    """Sample names by split, in the data set's order. The same data, fractions and seed give the same splits.

    Raises:
        DataError: fractions that are not positive or do not add up to 1, or fewer pictures than splits.
    """
    check_fractions(fractions)
    chance = random.Random(seed)
    groups = _groups(data.samples)
    if len(groups) < len(fractions):
        raise DataError(f"{len(groups)} different pictures cannot be parted into {len(fractions)} splits")
    groups.sort(key=lambda group: group.names)
    order = {id(group): chance.random() for group in groups}
    groups.sort(key=lambda group: order[id(group)])
    chosen = _stratify(groups, fractions)
    _fill_empty(chosen, fractions)
    position = {sample.name: index for index, sample in enumerate(data.samples)}
    return {
        split: tuple(sorted((name for group in members for name in group.names), key=position.__getitem__))
        for split, members in chosen.items()
    }


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Refuse fractions that cannot part anything.

    Raises:
        FractionsError: none, not positive, not adding up to 1, or a name that no list file may have.
    """
    if not fractions or not all(math.isfinite(share) and share > 0 for share in fractions.values()):
        raise FractionsError("fractions must be positive numbers, such as 0.8,0.2 or train=0.7,val=0.2,test=0.1")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise FractionsError(f"fractions add up to {sum(fractions.values()):g}, not to 1")
    for name in fractions:
        if SPLIT_NAME.fullmatch(name) is None:
            raise FractionsError(f"'{name[:40]}' is no name for a split (letters, digits, _ and -)")


def parse_fractions(text: str) -> dict[str, float]:
    """`0.8,0.2` (train, val, test in this order) or `train=0.7,val=0.2,test=0.1`.

    Raises:
        FractionsError: neither of the two, or fractions that cannot part anything.
    """
    fractions: dict[str, float] = {}
    parts = text.split(",")
    for number, part in enumerate(parts):
        name, equals, value = part.rpartition("=")
        if not equals and number >= len(DEFAULT_NAMES):
            raise FractionsError("more than three fractions need names: train=0.7,val=0.1,test=0.1,extra=0.1")
        name = name.strip() if equals else DEFAULT_NAMES[number]
        if name in fractions:
            raise FractionsError(f"the split '{name}' is given twice")
        try:
            fractions[name] = float(value)
        except ValueError as error:
            raise FractionsError(f"'{part.strip()[:40]}' is no fraction; write 0.8,0.2 or train=0.7,val=0.3") from error
    check_fractions(fractions)
    return fractions


def _groups(samples: Sequence[Sample]) -> list[_Group]:
    together = {
        path: number for number, paths in enumerate(identical_groups(s.picture for s in samples)) for path in paths
    }
    members: dict[object, list[Sample]] = {}
    for sample in samples:
        members.setdefault(together.get(sample.picture, sample.picture), []).append(sample)
    return [
        _Group(
            tuple(sample.name for sample in group),
            Counter(item.class_name for sample in group for item in sample.objects),
        )
        for group in members.values()
    ]


def _stratify(groups: Sequence[_Group], fractions: Mapping[str, float]) -> dict[str, list[_Group]]:
    """Rarest class first, each of its groups to the split that lacks most of that class's share."""
    totals = sum((group.counts for group in groups), Counter[str]())
    lacking = {split: {name: share * count for name, count in totals.items()} for split, share in fractions.items()}
    pictures = sum(len(group.names) for group in groups)
    room = {split: share * pictures for split, share in fractions.items()}
    chosen: dict[str, list[_Group]] = {split: [] for split in fractions}
    left = list(groups)
    remaining = Counter(totals)

    def need(split: str, name: str | None) -> tuple[float, float]:
        """Relative to the share, so that crowded and empty pictures are dealt out alike."""
        lack = lacking[split][name] / fractions[split] if name is not None else 0.0
        return lack, room[split] / fractions[split]

    while left:
        present = [name for name in remaining if remaining[name] > 0]
        rarest = min(present, key=lambda name: (remaining[name], name), default=None)
        batch = [group for group in left if rarest is None or group.counts[rarest]]
        left = [group for group in left if rarest is not None and not group.counts[rarest]]
        batch.sort(key=lambda group: -group.counts[rarest] if rarest is not None else 0)  # stable: chance decides ties
        for group in batch:
            split = max(fractions, key=lambda name: need(name, rarest))
            chosen[split].append(group)
            room[split] -= len(group.names)
            for name, count in group.counts.items():
                lacking[split][name] -= count
                remaining[name] -= count
    return chosen


def _fill_empty(chosen: dict[str, list[_Group]], fractions: Mapping[str, float]) -> None:
    """A split that got nothing takes the last group of the largest one."""
    for split in fractions:
        if not chosen[split]:
            largest = max(chosen, key=lambda name: len(chosen[name]))
            chosen[split].append(chosen[largest].pop())
