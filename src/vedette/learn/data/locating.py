"""Where files of a data set may lie: names from label files become paths below the root, or are refused.

Label files come from strangers. A name in one never leads outside the folder it is resolved below: `..` that leaves it,
absolute paths, drive letters, NUL and control characters raise `UnsafeNameError` (facts: reliability I6). Symbolic
links that the user has placed in a folder are followed: they belong to the file system, not to the labels.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vedette.learn.data.errors import DataError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
PICTURE_FOLDERS = ("jpegimages", "images")
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MAX_NAME_BYTES = 4000  # Linux PATH_MAX is 4096 with the root's own path in it
MAX_PART_BYTES = 255


class UnsafeNameError(DataError):
    """A name in a label file that must not be followed. `foreign` when it is merely another machine's absolute path."""

    def __init__(self, message: str, foreign: bool = False) -> None:
        super().__init__(message)
        self.foreign = foreign


def path_below(root: Path, name: str, start: Path | None = None) -> Path:
    """The path that `name` means when read from the folder `start` (default: `root`), never outside `root`.

    Backslashes count as separators, because label files are made on Windows too.

    Raises:
        UnsafeNameError: the name leaves the root, or no file could have it.
    """
    shown = quoted(name)
    if not name or any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in name):
        raise UnsafeNameError(f"the name {shown} is empty or holds control characters")
    plain = name.replace("\\", "/")
    encoded = plain.encode()
    if len(encoded) > MAX_NAME_BYTES or any(len(part) > MAX_PART_BYTES for part in encoded.split(b"/")):
        raise UnsafeNameError(f"the name {shown} is too long for a file")
    absolute = plain.startswith("/") or re.match(r"[A-Za-z]:", plain) is not None
    root_path = plain_path(root)
    path = plain_path(Path(plain) if absolute else (start or root) / plain)
    if not path.is_relative_to(root_path):
        raise UnsafeNameError(f"the name {shown} leads outside the data set's folder", foreign=absolute)
    return path


def plain_path(path: Path) -> Path:
    """An absolute path without `.` and `..`; symbolic links stay as they are."""
    return Path(os.path.normpath(path.absolute()))


def relocated(root: Path, name: str) -> Path | None:
    """A foreign absolute path found again below `root` by its longest tail that exists there, else None."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", "."}]
    if ".." in parts:
        return None
    for begin in range(len(parts)):
        try:
            candidate = path_below(root, "/".join(parts[begin:]))
        except UnsafeNameError:
            continue
        if candidate.is_file():
            return candidate
    return None


def quoted(text: str, limit: int = 80) -> str:
    """A name from a file as it may stand in a message: quoted, control characters escaped, shortened."""
    shown = ascii(text) if any(unicodedata.category(sign) in {"Cc", "Cf", "Cs"} for sign in text) else f"'{text}'"
    return shown if len(shown) <= limit else shown[: limit - 4] + "...'"


def shown_path(root: Path, path: Path) -> str:
    """A path as reports show it: relative to the root where it lies below, with forward slashes."""
    try:
        return path.relative_to(root).as_posix() or "."
    except ValueError:
        return str(path)


def is_picture(path: Path) -> bool:
    """Whether the file name ends like a picture's."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, hidden ones left out, in a stable order."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here, name)


def stem_below(folder: Path, path: Path) -> str:
    """`sub/name` of folder/sub/name.jpg: a sample's name."""
    return PurePosixPath(path.relative_to(folder).as_posix()).with_suffix("").as_posix()


def pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Every picture below a folder by its path without suffix."""
    found: dict[str, list[Path]] = {}
    for path in files_below(folder):
        if is_picture(path):
            found.setdefault(stem_below(folder, path), []).append(path)
    return found


def child_folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The child folder with the first of these names that is there, in any case."""
    children = {child.name.lower(): child for child in sorted(folder.iterdir(), reverse=True) if child.is_dir()}
    return next((children[name] for name in names if name in children), None)


def splits_by_folder(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Splits of a data set whose every sample lies in a folder called train, val, valid or test; else none."""
    splits: dict[str, list[str]] = {}
    for name in names:
        split = SPLIT_FOLDERS.get(name.partition("/")[0].lower()) if "/" in name else None
        if split is None:
            return {}
        splits.setdefault(split, []).append(name)
    return {split: tuple(members) for split, members in splits.items()} if len(splits) > 1 else {}
