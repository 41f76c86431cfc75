"""The data that `vedette pack` measures on and calibrates INT8 with, read and judged before anything is measured.

Labelled data come in parts by splits of their own, else by the split of the run that is packed, where that names their
pictures: what the run trained with calibrates, what it held back measures. Data that the run does not know are taken
whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from vedette.apps.pack_evidence import Evidence, Labelled
    from vedette.apps.pack_variants import VariantWish
    from vedette.contracts.bundle import BundleManifest
    from vedette.contracts.ports import Progress
    from vedette.learn.data.problems import Problem
    from vedette.learn.data.samples import DataSet
    from vedette.learn.export.calibration import CalibrationPictures


@dataclass(frozen=True, slots=True)
class SplitData:
    """Labelled data with their own splits, or the run's, or none; `why` it is the run's or none, in words."""

    data: DataSet
    why: str = ""
    partly_known: bool = False  # the run's split names some pictures of the data, and some that are not there

    def describe(self, split: str | None) -> str:
        """Which part of the data it is, in brackets."""
        return f"({split or 'all of it'}{self.why and ': '}{self.why})"


def read_labelled(source: Path, evidence: Evidence, manifest: BundleManifest, progress: Progress) -> Labelled:
    """The labelled pictures to measure on: the split asked for, else test, else val, else all.

    Raises:
        InputError: they cannot be read, hold nothing to measure, or are partly what the run trained with.
    """
    from vedette.apps.evaluate import read_class_map
    from vedette.apps.pack_evidence import Labelled
    from vedette.learn.data.pictures import picture_size
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.training.evaluate import choose_split, match_data

    class_map = {} if evidence.class_map is None else read_class_map(evidence.class_map)
    found, split = _with_splits(read_data_set(source), evidence.split_file), evidence.split
    if found.partly_known:
        raise InputError(
            f"{source}: {found.why}, among others that it does not name: whether those were trained with cannot be "
            f"told. Give {source} a split.json of its own, or measure on the data as they were when the run was trained"
        )
    if not found.data.classes:
        raise InputError(
            f"{source}: no object is labelled, so that nothing can be measured; --pictures needs no labels"
        )
    if split is None:
        split = next((name for name in ("test", "val") if found.data.splits.get(name)), None)
    chosen = choose_split(found.data, split)
    if not chosen.samples:
        raise InputError(f"{source}: split '{split}' holds no picture")
    match_data(manifest.classes, chosen, class_map)
    for sample in chosen.samples:
        picture_size(sample.picture)
    progress.say(f"measuring on {len(chosen.samples)} pictures of {source} {found.describe(split)}")
    if split is None and found.why and found.data.splits:
        progress.say("the run held none of them back: on pictures that were trained with, mAP says more than is true")
    return Labelled(chosen, split, class_map)


def is_labelled(source: Path) -> bool:
    """Whether a --calibration is labelled data; a folder with no labels is one of pictures.

    Raises:
        InputError: it is neither, or its labels cannot be used.
    """
    return _labels_of(source) is not None


def read_calibration(
    wish: VariantWish, manifest: BundleManifest, labelled: Labelled | None, progress: Progress
) -> CalibrationPictures:
    """The pictures of the train split, else all: evenly taken, as many as calibration wants.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    from vedette.apps.detect import find_pictures
    from vedette.learn.data.pictures import read_picture
    from vedette.learn.export.calibration import MOST_PICTURES, fit_pictures

    source = wish.calibration
    assert source is not None
    data = _labels_of(source)
    split, digest, said = None, None, "(as a folder of pictures)"
    if data is None:
        paths = list(find_pictures((str(source),)))
    else:
        found = _with_splits(data, wish.split_file)
        split = "train" if found.data.splits.get("train") else None
        digest, said = data.digest(), found.describe(split)
        paths = [sample.picture for sample in (data if split is None else found.data.subset(split)).samples]
    count = min(MOST_PICTURES, len(paths))
    chosen = [paths[number * len(paths) // count] for number in range(count)]
    measured = set() if labelled is None else {sample.picture.resolve() for sample in labelled.data.samples}
    both = sum(path.resolve() in measured for path in chosen)
    progress.say(f"calibrating INT8 on {count} pictures of {source} {said}")
    if both:
        progress.say(f"{both} of them are measured on too: a split of their own would make the receipt fairer")
    return fit_pictures([read_picture(path) for path in chosen], manifest.input, data_digest=digest, split=split)


def _labels_of(source: Path) -> DataSet | None:
    """The labelled data, or nothing where a folder holds pictures and no labels at all; never for labels that are bad.

    Raises:
        InputError: neither labels that can be used nor pictures.
    """
    from vedette.learn.data.errors import DataError
    from vedette.learn.data.reading import inspect_data_set, read_data_set

    try:
        data = read_data_set(source)
    except DataError:
        if not _has_pictures(source):
            raise
        try:
            inspect_data_set(source)
        except DataError:
            return None  # not even labels with mistakes
        raise
    if not data.samples:
        raise InputError(f"{source}: no label has its picture; `vedette data check {source}` lists what is wrong")
    return data


def _has_pictures(source: Path) -> bool:
    from vedette.apps.detect import find_pictures

    if not source.is_dir():
        return False
    try:
        return bool(find_pictures((str(source),)))
    except InputError:
        return False


def _with_splits(data: DataSet, split_file: Path | None) -> SplitData:
    """Splits for data that have none: the run's, where it names nothing but data, or the data are nothing but named."""
    from vedette.learn.data.split_files import known_entries, read_split_file

    if data.splits or split_file is None or not split_file.is_file():
        return SplitData(data)
    unknown: list[Problem] = []
    names = [sample.name for sample in data.samples]
    splits = known_entries(read_split_file(split_file), names, str(split_file), unknown.append)
    known = sum(map(len, splits.values()))
    if not known:
        return SplitData(data, f"{split_file} names none of it")
    if unknown and known < len(names):
        return SplitData(data, f"of {known + len(unknown)} pictures that {split_file} names, {known} are here", True)
    return SplitData(replace(data, splits=splits), f"by {split_file}")
