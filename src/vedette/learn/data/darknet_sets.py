"""Darknet data sets: a .data file with its lists and names, or a folder of pictures with .txt labels and a names file.

Lists that come from another machine hold absolute paths, or paths relative to where Darknet was started; an entry is
looked for beside its list, in the root, and then by its longest tail below the root. Nothing outside the root is opened
for an entry of a list.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from vedette.learn.data.darknet_labels import TextLabelReader, darknet_label_paths, sample_name
from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import find_names_file, read_lines, read_names
from vedette.learn.data.locating import (
    UnsafeNameError,
    files_below,
    is_picture,
    path_below,
    plain_path,
    quoted,
    relocated,
    shown_path,
    splits_by_folder,
)
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import DataSet, Layout
from vedette.learn.data.split_files import UNSPLIT

LISTS = {"train": "train", "valid": "val", "test": "test", UNSPLIT: UNSPLIT}  # key of the .data file -> split


def find_darknet(source: Path) -> Path | None:
    """The .data file of a data set, or the folder itself when its pictures have .txt labels, else None."""
    if source.is_file():
        return source if source.suffix.lower() == ".data" else None
    data_files = sorted(source.glob("*.data"))
    if len(data_files) == 1 and "train" in _options(data_files[0]):
        return data_files[0]
    pictures = (path for path in files_below(source) if is_picture(path))
    labelled = any(path.is_file() for picture in pictures for path in darknet_label_paths(source, picture))
    return source if labelled else None


def read_darknet(place: Path, classes: Sequence[str] | None, report: Report, bounded: bool) -> DataSet:
    """Read the data set that `find_darknet` found; `bounded` when nothing may lead out of the .data file's folder.

    Raises:
        DataError: no names, or lists that are not there.
    """
    if place.is_file():
        return _read_data_file(place, classes, report, bounded)
    if classes is None:
        folders = [place, *sorted(child for child in place.iterdir() if child.is_dir())]
        names_file = next((found for folder in folders if (found := find_names_file(folder))), None)
        if names_file is None:
            raise DataError(
                f"{place}: Darknet labels carry only class numbers; put classes.txt (one name a line) there, "
                "or give the names with --classes"
            )
        classes = read_names(names_file)
    pictures = [path for path in files_below(place) if is_picture(path)]
    samples = TextLabelReader(place, classes, yolo=False, report=report).read(pictures)
    splits = splits_by_folder([sample.name for sample in samples])
    return DataSet(place, Layout.DARKNET, tuple(classes), tuple(samples), splits)


def _options(path: Path) -> dict[str, str]:
    """key = value lines as Darknet reads them: blanks vanish, # and ; begin comments, the first of two keys counts."""
    options: dict[str, str] = {}
    for line in read_lines(path):
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            options.setdefault(key.strip(), value.strip())
    return options


def _read_data_file(path: Path, classes: Sequence[str] | None, report: Report, bounded: bool) -> DataSet:
    options = _options(path)
    base = path.parent.parent if path.parent.name.lower() in {"cfg", "data"} and not bounded else path.parent
    lists = {key: _named_file(path, base, options[key], key, bounded) for key in LISTS if options.get(key)}
    if "train" not in lists:
        raise DataError(f"{path} names no train list (a line `train = train.txt`)")
    if classes is None:
        if not options.get("names"):
            raise DataError(f"{path} names no class list (a line `names = obj.names`); give one with --classes")
        classes = read_names(_named_file(path, base, options["names"], "names", bounded))
    root = base if bounded else _root_of(base, list(lists.values()))
    members: dict[str, list[Path]] = {}
    for key, list_file in lists.items():
        entries = [line for line in read_lines(list_file) if line]
        found = [list_entry(root, [list_file.parent, path.parent, root], entry, list_file, report) for entry in entries]
        members[LISTS[key]] = [picture for picture in found if picture is not None]
    every = [picture for pictures in members.values() for picture in pictures]
    samples = TextLabelReader(root, classes, yolo=False, report=report).read(every)
    splits = {split: _names(root, pictures) for split, pictures in members.items() if split != UNSPLIT}
    if set(members) == {"train"}:
        splits = {}  # a lone list of everything is no split
    return DataSet(root, Layout.DARKNET, tuple(classes), tuple(samples), splits)


def _names(root: Path, pictures: Sequence[Path]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sample_name(root, picture) for picture in pictures))


def _named_file(data_file: Path, base: Path, value: str, key: str, bounded: bool) -> Path:
    """The file that a .data file names: beside it, in the folder above cfg or data, or found again by its tail."""
    if not bounded and Path(value).is_absolute() and Path(value).is_file():
        return Path(value)  # the user has named the .data file, and that is what it says
    for start in (data_file.parent, base):
        try:
            candidate = path_below(base, value, start)
        except UnsafeNameError:
            continue
        if candidate.is_file():
            return candidate
    found = relocated(base, value)
    if found is None:
        raise DataError(f"{data_file}: {key} = {quoted(value)} is not found in {base}; correct the line")
    return found


def _root_of(base: Path, lists: list[Path]) -> Path:
    """The folder that holds the .data file and its lists, unless they have nothing but the disk in common."""
    common = Path(os.path.commonpath([plain_path(path) for path in (base, *(found.parent for found in lists))]))
    if len(common.parts) >= 3:
        return common
    return Path(os.path.commonpath([plain_path(found.parent) for found in lists]))


def list_entry(root: Path, starts: Sequence[Path], entry: str, list_file: Path, report: Report) -> Path | None:
    """The picture that one line of a list names; reported and None when it must not be followed."""
    where = shown_path(root, list_file)
    first: Path | None = None
    unsafe: UnsafeNameError | None = None
    for start in dict.fromkeys(starts):
        try:
            candidate = path_below(root, entry, start)
        except UnsafeNameError as error:
            unsafe = error
            continue
        first = first or candidate
        if candidate.is_file():
            return candidate
    found = relocated(root, entry)
    if found is not None:
        return found
    if first is not None:
        return first  # below the root, but not there: check reports it as missing
    foreign = unsafe is not None and unsafe.foreign
    if foreign:
        report(
            Problem(ProblemKind.MISSING_PICTURE, where, f"{quoted(entry)} lies outside {root} and is not found in it")
        )
    else:
        report(Problem(ProblemKind.UNSAFE_NAME, where, str(unsafe)))
    return None
