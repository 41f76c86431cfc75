"""From model.tar.gz to a RUN folder laid out as a local one, whole or not at all.

Every name is checked before anything is written, nothing is written outside the new folder, over another file or
through a link, and sizes are bounded (`tar_members`). The packed bundle of the job is in `bundle/` of the RUN.
Hidden files are leftovers of a machine that was lost: they are left out and counted.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.ports import Progress
from vedette.learn.data.folder_publishing import published_folder
from vedette.learn.sagemaker.errors import ArtefactError
from vedette.learn.sagemaker.tar_members import Limits, Member, TarMembers
from vedette.storage.address import is_safe_name

NEEDED = ("best.weights", "model.cfg", "names.txt")  # what `vedette pack --run` cannot do without
BUNDLE = "bundle"
MOST_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out."""

    files: int
    size_bytes: int
    left_out: tuple[str, ...]  # hidden ones
    has_bundle: bool


def unpack_run(
    blocks: Iterable[bytes],
    size_bytes: int,
    run: Path,
    progress: Progress,
    complete: Callable[[Path], object] | None = None,
) -> Unpacked:
    """Write the RUN that an archive of `size_bytes` holds; `run` must not exist, or be an empty folder.

    `complete` may add to the folder before it appears; what it raises leaves nothing.

    Raises:
        ArtefactError: the archive is truncated, damaged, hostile, or holds no run; nothing is left of it.
        DestinationError: the folder is taken or cannot be written.
    """
    with published_folder(run) as folder:
        progress.start("fetching", size_bytes, "bytes")
        unpacked = _unpack(_counted(blocks, progress), folder)
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise ArtefactError(f"the archive holds no run of Vedette: {missing[0]} is not at its root")
        if complete is not None:
            complete(folder)
        return unpacked


def _unpack(blocks: Iterable[bytes], folder: Path, limits: Limits | None = None) -> Unpacked:
    members = TarMembers(blocks, limits)
    files = size = 0
    left_out: list[str] = []
    for member in members:
        name = _checked_name(member)
        if not name:  # the root itself
            continue
        if any(part.startswith(".") for part in name.split("/")):
            left_out += [] if member.is_folder else [name]
            continue
        place = folder / name
        try:
            if member.is_folder:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        except (FileExistsError, NotADirectoryError) as error:
            raise ArtefactError(f"'{name}' is in the archive twice, or is both file and folder") from error
        with os.fdopen(handle, "wb") as file:
            for piece in members.content():
                file.write(piece)
        files, size = files + 1, size + member.size_bytes
    return Unpacked(files, size, tuple(left_out), (folder / BUNDLE).is_dir())


def _checked_name(member: Member) -> str:
    """The name below the root, without `./` before it and `/` behind it; empty for the root."""
    name = member.name.rstrip("/") if member.is_folder else member.name
    while name.startswith("./"):
        name = name[2:]
    if name in {"", "."} and member.is_folder and not member.name.startswith("/"):
        return ""
    if not is_safe_name(name) or name.count("/") >= MOST_DEPTH:
        raise ArtefactError(f"{member.name!r:.200} can be no name in a run; nothing was unpacked")
    return name


def _counted(blocks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for block in blocks:
        progress.advance(len(block))
        yield block
