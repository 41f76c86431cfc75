"""Splits as files: `split.json`, which says which samples train, validate and test, by name, for any layout.

    {"train": ["name", ...], "val": [...], "test": [...]}

A `split.json` in a data set's root counts before the layout's own lists; `--split-file` names another one.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import read_text
from vedette.learn.data.locating import quoted
from vedette.learn.data.problems import Problem, ProblemKind, Report

SPLIT_FILE = "split.json"
UNSPLIT = "unsplit"  # how a layout that lists its pictures lists those of no split
SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def read_split_file(path: Path) -> dict[str, tuple[str, ...]]:
    """The splits that a file names.

    Raises:
        DataError: not JSON of the form above.
    """
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or not document:
        raise DataError(f'{path} must hold an object such as {{"train": ["name", ...], "val": [...]}}')
    splits: dict[str, tuple[str, ...]] = {}
    for split, names in document.items():
        if SPLIT_NAME.fullmatch(split) is None:
            raise DataError(f"{path}: {quoted(split)} is no name for a split (letters, digits, _ and -)")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{path}: '{split}' must be a list of sample names")
        splits[split] = tuple(names)
    return splits


def write_split_file(path: Path, splits: Mapping[str, Sequence[str]]) -> None:
    """Write the file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({split: list(names) for split, names in splits.items()}, indent=1, ensure_ascii=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def known_entries(
    splits: Mapping[str, Sequence[str]], names: Sequence[str], where: str, report: Report
) -> dict[str, tuple[str, ...]]:
    """The splits without repeated names and names that the data set does not have; those are reported."""
    known = set(names)
    kept: dict[str, tuple[str, ...]] = {}
    for split, members in splits.items():
        kept[split] = tuple(dict.fromkeys(name for name in members if name in known))
        for name in dict.fromkeys(members):
            if name not in known:
                message = f"split '{split}' names {quoted(name)}, which is no sample of this data set"
                report(Problem(ProblemKind.SPLIT_ENTRY_UNKNOWN, where, message))
    return kept
