"""YOLO's data.yaml: path, train, val, test and names (a list or a map), with labels found from the pictures' paths.

A value is a folder of pictures, a list file, or several of them. Exports say `../train/images` for a folder that lies
beside the file, and `path` of another machine: what is not there is looked for in the file's own folder. YAML is read
without any tag: all is text.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vedette.learn.data.darknet_labels import TextLabelReader, sample_name
from vedette.learn.data.darknet_sets import list_entry
from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import check_names, read_lines, read_text
from vedette.learn.data.locating import UnsafeNameError, files_below, is_picture, path_below, plain_path, quoted
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import DataSet, Layout
from vedette.learn.data.split_files import UNSPLIT

MAX_YAML_BYTES = 1_000_000
KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test", UNSPLIT: UNSPLIT}


def find_yolo(source: Path) -> Path | None:
    """The data.yaml of a data set, or None."""
    if source.is_file():
        return source if source.suffix.lower() in {".yaml", ".yml"} else None
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (source / name).is_file():
            return source / name
    others = [path for path in sorted(source.glob("*.y*ml")) if path.suffix in {".yaml", ".yml"}]
    described = [path for path in others if "names" in (document := _load(path)) and "train" in document]
    return described[0] if len(described) == 1 else None


def read_yolo(path: Path, classes: Sequence[str] | None, report: Report, bounded: bool) -> DataSet:
    """Read the data set of a data.yaml; `bounded` when nothing may lead out of the file's folder.

    Raises:
        DataError: not the keys of a data.yaml, or pictures that are not there.
    """
    document = _load(path)
    if classes is None:
        classes = _class_names(document.get("names"), path)
    root = _root(path, document.get("path"), report, bounded)
    members: dict[str, list[Path]] = {}
    for key, split in KEYS.items():
        for value in _values(document.get(key), path, key):
            members.setdefault(split, []).extend(_pictures(path, root, value, key, report))
    if not members:
        raise DataError(f"{path} names no pictures: it needs `train`, `val` or `test`")
    every = [picture for pictures in members.values() for picture in pictures]
    samples = TextLabelReader(root, classes, yolo=True, report=report).read(every)
    splits = {
        split: tuple(dict.fromkeys(sample_name(root, picture) for picture in pictures))
        for split, pictures in members.items()
        if split != UNSPLIT
    }
    if set(members) == {"train"}:
        splits = {}  # a lone list of everything is no split
    return DataSet(root, Layout.YOLO, tuple(classes), tuple(samples), splits)


def _load(path: Path) -> dict[str, Any]:
    text = read_text(path, MAX_YAML_BYTES)
    try:
        document = yaml.load(text, Loader=yaml.BaseLoader)  # BaseLoader makes nothing but text, lists and maps
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} is no YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is no data.yaml: it must hold the keys train, val and names")
    return document


def _class_names(names: Any, path: Path) -> tuple[str, ...]:
    if isinstance(names, dict):
        if not all(isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10 for key in names):
            raise DataError(f"{path}: the keys of `names` must be class numbers")
        by_number = {int(key): value for key, value in names.items()}
        if sorted(by_number) != list(range(len(names))):
            raise DataError(f"{path}: `names` must number its {len(names)} classes from 0 to {len(names) - 1}")
        names = [by_number[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: `names` must be a list, or a map from class numbers to names")
    return check_names([str(name).strip() for name in names], str(path))


def _root(path: Path, stated: Any, report: Report, bounded: bool) -> Path:
    """`path` where it is there (and allowed), else the file's folder."""
    home = plain_path(path.parent)
    if not isinstance(stated, str) or not stated.strip():
        return home
    try:
        below = path_below(home, stated)
    except UnsafeNameError as error:
        outside = Path(os.path.normpath(home / stated)) if stated.isprintable() else home
        if not bounded and len(outside.parts) > 1 and outside.is_dir():
            return outside  # the user has named the file, and that is what it says
        report(Problem(ProblemKind.FOREIGN_PATH, path.name, f"path: {error}; the file's own folder is used"))
        return home
    return below if below.is_dir() else home


def _values(value: Any, path: Path, key: str) -> list[str]:
    values = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(item, str) for item in values):
        raise DataError(f"{path}: `{key}` must name a folder, a list file, or several of them")
    return [item for item in values if item]


def _pictures(path: Path, root: Path, value: str, key: str, report: Report) -> list[Path]:
    found = _existing(root, plain_path(path.parent), value)
    if found is None:
        raise DataError(f"{path}: `{key}: {quoted(value)}` is not found in {root}; correct `path` or `{key}`")
    if found.is_dir():
        return [picture for picture in files_below(found) if is_picture(picture)]
    if is_picture(found):
        return [found]
    entries = [line for line in read_lines(found) if line]
    pictures = [list_entry(root, [found.parent, root], entry, found, report) for entry in entries]
    return [picture for picture in pictures if picture is not None]


def _existing(root: Path, home: Path, value: str) -> Path | None:
    """What a value names: in the root, beside the file, or without the `../` that exports put before it."""
    plain = value.replace("\\", "/")
    while plain.startswith("../"):
        plain = plain[3:]
    for folder in dict.fromkeys((root, home)):
        for name in dict.fromkeys((value, plain)):
            try:
                candidate = path_below(root, name, folder)
            except UnsafeNameError:
                continue
            if candidate.exists():
                return candidate
    return None
