"""Small text that label formats share: capped reading, numbers, class names, lists. Nothing here trusts the file."""

import re
from collections import Counter
from pathlib import Path

from vedette.learn.data.errors import DataError

MAX_TEXT_BYTES = 64 * 1024 * 1024  # a list of a million pictures fits
MAX_CLASS_NAME = 200
SHOWN_NAMES = 5  # in a message
NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
CLASS_FILES = ("classes.txt", "names.txt", "labels.txt", "_darknet.labels")


def read_bytes(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The whole file, unless it is larger than `limit` bytes.

    Raises:
        DataError: missing, unreadable or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > limit:
        raise DataError(f"{path} is larger than {limit // 1_000_000} MB, more than a label file may be")
    return content


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """The file as UTF-8 text, a byte order mark dropped.

    Raises:
        DataError: missing, unreadable, too large or not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def read_lines(path: Path) -> list[str]:
    """Lines without blanks around them; empty ones stay, so that line numbers hold."""
    return [line.strip() for line in re.split(r"\r\n|\n|\r", read_text(path))]


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in index order (Darknet's .names). Blank lines are skipped.

    Raises:
        DataError: no names, a name twice, or a name that is none.
    """
    return check_names([line for line in read_lines(path) if line], str(path))


def check_names(names: list[str], where: str) -> tuple[str, ...]:
    """The names as a tuple, when they can name classes.

    Raises:
        DataError: no names, a name twice, or a name that is none.
    """
    if not names:
        raise DataError(f"{where} holds no class names")
    for name in names:
        if not is_class_name(name):
            raise DataError(f"{where}: {name[:40]!r} is no class name (1 to {MAX_CLASS_NAME} printable characters)")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        more = f" and {len(twice) - SHOWN_NAMES} more" if len(twice) > SHOWN_NAMES else ""
        raise DataError(f"{where} names a class twice: {', '.join(twice[:SHOWN_NAMES])}{more}")
    return tuple(names)


def is_class_name(name: str) -> bool:
    """Whether a text can stand in a names file: printable, not blank, not endless."""
    return bool(name.strip()) and len(name) <= MAX_CLASS_NAME and name.isprintable()


def parse_number(text: str) -> float:
    """A decimal number, `nan` and `inf` included: what is not finite is judged later.

    Raises:
        ValueError: anything else.
    """
    stripped = text.strip()
    if len(stripped) > 64 or NUMBER.fullmatch(stripped) is None:
        raise ValueError(f"'{stripped[:40]}' is no number")
    return float(stripped)


def find_names_file(folder: Path) -> Path | None:
    """The class list of a folder: classes.txt and the like, or its only *.names file."""
    for name in CLASS_FILES:
        if (folder / name).is_file():
            return folder / name
    names_files = sorted(folder.glob("*.names"))
    return names_files[0] if len(names_files) == 1 else None
