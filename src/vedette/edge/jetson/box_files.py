"""The files of a box below a root folder: `/` of this machine, a mounted SD card, or an image unpacked for a look.

Guarantees: links, absolute ones too, stay below the root; what is missing, not permitted or no text is None; reading is
bounded. Nothing is written.
"""

import os
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 64 << 20  # dpkg's status of a full JetPack is about 5 MB
PIECE_BYTES = 1 << 16  # /proc/sys refuses to fill a buffer of megabytes
MOST_LINKS = 40  # as Linux


class BoxFiles:
    """Reads below `root`; paths are given as on the box, `/proc/meminfo`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_this_machine(self) -> bool:
        """Whether these are the files of the machine that looks."""
        return self.root.resolve() == Path("/")

    def text(self, path: str) -> str | None:
        """A file's text without NULs and white space at its end; None when there is none to be had."""
        place = self.find(path)
        if place is None:
            return None
        try:
            content = _read(place)
        except OSError:  # some files of /sys refuse, by the sensor's mood
            return None
        return content.decode("utf-8", "replace").rstrip("\0 \t\r\n")

    def number(self, path: str) -> int | None:
        """The whole number that a file of /proc or /sys holds."""
        text = self.text(path)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def words(self, path: str) -> tuple[str, ...]:
        """The strings of a file that parts them by NULs, as the device tree does."""
        text = self.text(path)
        return () if not text else tuple(word for word in text.split("\0") if word)

    def exists(self, path: str) -> bool:
        """Whether something is there, links followed below the root."""
        return self.find(path) is not None

    def names(self, folder: str, pattern: str) -> list[str]:
        """Paths, as on the box, of what matches below a folder; sorted, numbers by their value."""
        place = self.find(folder)
        if place is None:
            return []
        try:
            found = [f"{folder.rstrip('/')}/{one.relative_to(place)}" for one in place.glob(pattern)]
        except OSError:
            return []
        return sorted(found, key=_natural)

    def find(self, path: str) -> Path | None:
        """Where a path of the box is on this machine; None when nothing is there."""
        waiting, place, links = [part for part in reversed(path.split("/")) if part], self.root, 0
        while waiting:
            part = waiting.pop()
            if part == ".":
                continue
            if part == "..":
                place = self.root if place == self.root else place.parent
                continue
            place = place / part
            try:
                target = os.readlink(place)  # noqa: PTH115 - the text itself
            except OSError:
                continue  # no link, or nothing: seen below
            links += 1
            if links > MOST_LINKS:
                return None
            place = self.root if target.startswith("/") else place.parent
            waiting += [one for one in reversed(target.split("/")) if one]
        return place if os.path.lexists(place) else None


def _read(place: Path) -> bytes:
    with place.open("rb", buffering=0) as file:
        content = bytearray()
        while len(content) < MOST_BYTES and (piece := file.read(PIECE_BYTES)):
            content += piece
    return bytes(content)


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(run), "") if run.isdecimal() else (-1, run) for run in _runs(path)]


def _runs(text: str) -> Iterator[str]:
    run = ""
    for sign in text:
        if run and sign.isdecimal() != run[-1].isdecimal():
            yield run
            run = ""
        run += sign
    if run:
        yield run
