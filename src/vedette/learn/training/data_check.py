"""What is looked for in the data before the first epoch: broken pictures, pictures that leak from train into val or
test, labels that teach nothing, classes that only one split has.

Refused is what makes every figure of the run wrong, with the way out: broken pictures, classes that one of train and
val has and the other has not (`split_classes`), and leaks from one validation picture in a hundred on (fewer move mAP
by less than a point, about what another seed does). The rest is told by name, and stands in full in
RUN/data-check.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vedette.contracts.errors import InputError
from vedette.contracts.ports import Progress
from vedette.learn.data.check import object_problems
from vedette.learn.data.identical import identical_groups
from vedette.learn.data.problems import Problem
from vedette.learn.data.samples import DataSet
from vedette.learn.data.usable import usable_objects
from vedette.learn.training.leaks import LeakChoice, Pair, Print, print_of, same_pictures, similar_pictures
from vedette.learn.training.loading import PictureStore, StoredPicture, refuse_broken
from vedette.learn.training.split_classes import TRAIN, VAL, objects_by_class

FALSIFYING_SHARE = 0.01  # of the validation pictures
TINY_PX = 3.0  # of the network's input: less than a feature of its first stages
SHOWN_NAMES = 8
SHOWN_CLASSES = 12
CHECK_FILE = "data-check.json"


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a picture that was read."""

    print: Print
    size_px: tuple[int, int]  # of the source
    input_px: tuple[int, int]
    tiny: int


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What was found. `lines` tell it."""

    objects: Mapping[str, tuple[int, int]]  # by class: in train, in val; those that count
    same: tuple[Pair, ...]
    same_val: int  # validation pictures among them
    similar: tuple[Pair, ...]
    in_other_splits: Mapping[str, tuple[Pair, ...]]  # training pictures that are another split's too, byte by byte
    labels: tuple[tuple[str, Problem], ...]  # with the picture's name
    unusable: int  # labelled objects that are left out
    tiny: int
    warnings: tuple[str, ...] = ()  # about classes
    pictures: tuple[int, int] = (0, 0)
    input_px: tuple[int, int] = (0, 0)
    leaking: frozenset[str] = field(default=frozenset())  # training pictures that are somebody else's as well

    def lines(self) -> list[str]:
        """The block for people, one finding a line."""
        found = [f"  {text}" for text in (*self.warnings, *self._leak_lines(), *self._label_lines())]
        clean = "no picture leaks, none is broken, no label is useless"
        return [f"data: {self._heading()}", *(found or [f"  {clean}"])]

    def as_document(self) -> dict[str, object]:
        """RUN/data-check.json."""
        return {
            "pictures": dict(zip((TRAIN, VAL), self.pictures, strict=True)),
            "objects": {name: dict(zip((TRAIN, VAL), counts, strict=True)) for name, counts in self.objects.items()},
            "same_in_train_and_val": _documents(self.same, VAL),
            "almost_the_same_in_train_and_val": _documents(self.similar, VAL),
            **{f"same_in_train_and_{split}": _documents(pairs, split) for split, pairs in self.in_other_splits.items()},
            "labels": [{"picture": name, **problem.as_document()} for name, problem in self.labels],
            "objects_left_out": self.unusable,
            "tiny_objects": self.tiny,
            "classes": list(self.warnings),
        }

    def refuse_leaks(self, choice: LeakChoice) -> None:
        """Refuse figures that would be flattered.

        Raises:
            InputError: enough of val is in train, and nobody said that it is meant.
        """
        share = self.same_val / max(self.pictures[1], 1)
        if choice is not LeakChoice.REFUSE or share < FALSIFYING_SHARE:
            return
        raise InputError(
            f"{self.same_val} of the {self.pictures[1]} validation pictures, seen in training too, would flatter every "
            f"figure of the run: {_shown(self.same)}; part the data anew (vedette data split), train "
            "without those pictures (--leaks drop), or say that it is meant (--leaks keep)"
        )

    def _heading(self) -> str:
        total = tuple(sum(counts[part] for counts in self.objects.values()) for part in (0, 1))
        shown = ""
        if len(self.objects) <= SHOWN_CLASSES:
            shown = ": " + ", ".join(f"{name} {one} + {other}" for name, (one, other) in self.objects.items())
        return (
            f"{self.pictures[0]} pictures to train on, {self.pictures[1]} to validate; {total[0]} + {total[1]} objects "
            f"of {_counted(len(self.objects), 'class', 'classes')}{shown}"
        )

    def _leak_lines(self) -> list[str]:
        lines = []
        if self.same:
            these = _counted(len(self.same), "training picture is", "training pictures are")
            lines.append(f"{these} in val too: {_shown(self.same)}")
        if self.similar:
            these = _counted(len(self.similar), "training picture looks", "training pictures look")
            lines.append(
                f"{these} almost like a validation picture: {_shown(self.similar)}; "
                "where they are copies, the figures are too good"
            )
        for split, pairs in self.in_other_splits.items():
            if pairs:
                these = _counted(len(pairs), "training picture is", "training pictures are")
                lines.append(
                    f"{these} in {split} too, byte by byte: {_shown(pairs)}; figures on {split} will be too good"
                )
        return lines

    def _label_lines(self) -> list[str]:
        lines = []
        if self.unusable:
            lines.append(f"{_counted(self.unusable, 'object', 'objects')} cannot be used and left out")
        by_kind: dict[str, list[str]] = {}
        for name, problem in self.labels:
            by_kind.setdefault(problem.kind.value, []).append(f"{name} (object {problem.object_index})")
        for kind, places in by_kind.items():
            lines.append(f"{len(places)} x {kind}: {_listed(places)}; `vedette data check` explains")
        if self.tiny:
            size = f"{self.input_px[0]}x{self.input_px[1]}"
            lines.append(
                f"{_counted(self.tiny, 'object', 'objects')} less than {TINY_PX:.0f} px wide or high at {size}: hardly "
                "to be learnt; a larger --size shows more of them"
            )
        return lines


def check_data(
    data: DataSet, stores: Mapping[str, PictureStore], warnings: tuple[str, ...], progress: Progress, readers: int
) -> DataCheck:
    """Read every picture of train and val, and look for what is wrong.

    Raises:
        PictureError: pictures are broken; some of them are named.
    """
    looks = _look_over(stores, progress, readers)
    prints = {part: [(name, look.print) for name, look in found.items()] for part, found in looks.items()}
    same = same_pictures(prints[TRAIN], prints[VAL])
    in_train = {one.pixels for _, one in prints[TRAIN]}
    labels, unusable = _judge_labels(data, {**looks[TRAIN], **looks[VAL]})
    others = _in_other_splits(data, looks)
    return DataCheck(
        objects=objects_by_class(data, {part: list(found) for part, found in looks.items()}),
        same=tuple(same),
        same_val=sum(one.pixels in in_train for _, one in prints[VAL]),
        similar=tuple(similar_pictures(prints[TRAIN], prints[VAL])),
        in_other_splits=others,
        labels=labels,
        unusable=unusable,
        tiny=sum(look.tiny for found in looks.values() for look in found.values()),
        warnings=warnings,
        pictures=(len(looks[TRAIN]), len(looks[VAL])),
        input_px=next((look.input_px for look in looks[TRAIN].values()), (0, 0)),
        leaking=frozenset(pair.train for pairs in (same, *others.values()) for pair in pairs),
    )


def _look_over(stores: Mapping[str, PictureStore], progress: Progress, readers: int) -> dict[str, dict[str, _Look]]:
    """By split and name, in the order of the split."""
    looks: dict[str, dict[str, _Look]] = {}
    broken: list[str] = []
    for part, store in stores.items():
        found: dict[int, _Look] = {}

        def look(index: int, picture: StoredPicture, found: dict[int, _Look] = found) -> None:
            found[index] = _kept_of(picture)

        broken += store.look_through(progress, readers, look)
        looks[part] = {store.samples[index].name: found[index] for index in sorted(found)}
    refuse_broken(list(dict.fromkeys(broken)))
    return looks


def _kept_of(picture: StoredPicture) -> _Look:
    labelled, placement = picture.labelled, picture.placement
    boxes = labelled.boxes_xyxy_px[labelled.class_ids >= 0]
    shortest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)  # (objects,)
    size_px = (placement.source_width_px, placement.source_height_px)
    input_px = (placement.input_width_px, placement.input_height_px)
    return _Look(print_of(labelled.image_hwc_rgb_u8), size_px, input_px, int((shortest < TINY_PX).sum()))


def _judge_labels(data: DataSet, looks: Mapping[str, _Look]) -> tuple[tuple[tuple[str, Problem], ...], int]:
    problems, unusable = [], 0
    for number, sample in enumerate(data.samples):
        look = looks.get(sample.name)
        if look is not None:
            problems += [(sample.name, one) for one in object_problems(data, number, look.size_px)]
            unusable += len(sample.objects) - len(usable_objects(sample, *look.size_px))
    return tuple(problems), unusable


def _in_other_splits(data: DataSet, looks: Mapping[str, Mapping[str, _Look]]) -> dict[str, tuple[Pair, ...]]:
    """Pictures of splits that training leaves alone are not decoded: compared byte by byte."""
    paths = {sample.name: sample.picture for sample in data.samples}
    found = {}
    for split, members in data.splits.items():
        if split in {TRAIN, VAL, "trainval"}:
            continue
        there = {paths[name]: name for name in members if name in paths}
        here = {paths[name]: name for name in looks[TRAIN]}
        pairs = [Pair(here[path], there[path]) for path in here if path in there]
        for group in identical_groups([*here, *there]):
            other = next((there[path] for path in group if path in there), None)
            pairs += [Pair(here[path], other) for path in group if other and path in here and path not in there]
        found[split] = tuple(pairs)
    return found


def _documents(pairs: Sequence[Pair], split: str) -> list[dict[str, str]]:
    return [{TRAIN: pair.train, split: pair.val} for pair in pairs]


def _shown(pairs: Sequence[Pair]) -> str:
    return _listed([pair.train if pair.train == pair.val else f"{pair.train} = {pair.val}" for pair in pairs])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
