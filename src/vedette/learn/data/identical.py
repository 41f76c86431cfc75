"""Pictures that are the same file byte by byte, which must never be parted by a split."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from vedette.learn.data.errors import PictureError


def identical_groups(pictures: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Groups of two or more byte-identical files, in the order given. Only files of equal size are read.

    Missing files belong to no group.

    Raises:
        PictureError: a file cannot be read.
    """
    by_size: dict[int, list[Path]] = {}
    for path in dict.fromkeys(pictures):
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    by_content: dict[tuple[int, bytes], list[Path]] = {}
    for size, paths in by_size.items():
        for path in paths if len(paths) > 1 else []:
            by_content.setdefault((size, _digest(path)), []).append(path)
    return [tuple(paths) for paths in by_content.values() if len(paths) > 1]


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise PictureError(f"picture {path} cannot be read: {error.strerror or error}") from error
    return digest.digest()
