"""Releases side by side in one folder, and one link that says which of them runs.

    DIR/current                  -> switches/NUMBER/bundle: give this to `vedette run`
    DIR/switches/NUMBER/bundle   -> ../../releases/DIGEST
    DIR/switches/NUMBER/previous -> ../../releases/OTHER; absent after the first installation
    DIR/releases/DIGEST/         a bundle as it was packed; never changed, never replaced
    DIR/staging/                 what is being fetched; emptied by the next installation

Guarantees: what runs and what a rollback goes back to change together, in one rename; a process killed, a disk full or
the power cut at any point leaves the old pair or the new one, and the next installation clears up the rest. Every file
and folder is flushed to the disk before the link points at it, and the link before success is reported.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vedette.bundle_folder import BundleError, OpenBundle, open_bundle
from vedette.edge.update.errors import BusyError, NoReleaseError, ReleasesError

CURRENT = "current"
SPARE_BYTES = 16 << 20  # a file system that is filled to the last byte serves nobody


@dataclass(frozen=True, slots=True)
class Running:
    """Which releases the link stands for; None where there is none."""

    current: Path | None
    previous: Path | None


class Releases:
    """The releases in one folder. Reading needs no lock; everything that writes is done inside `locked`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def link(self) -> Path:
        """What a pipeline names as its bundle."""
        return self.folder / CURRENT

    def running(self) -> Running:
        """The present pair, as the link says; a release that is gone counts as none."""
        switch = self._switch()
        if switch is None:
            return Running(None, None)
        return Running(self._release_at(switch / "bundle"), self._release_at(switch / "previous"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One installation at a time; clears up what an interrupted one left.

        Raises:
            BusyError: another process has the lock.
            ReleasesError: the folder cannot be written.
        """
        with self._translated():
            for name in ("releases", "switches", "staging"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(f"another process installs into {self.folder} right now; wait for it") from error
            with self._translated():
                self._clear_up()
            yield
        finally:
            os.close(handle)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder to fetch into, on the same file system; it is gone afterwards.

        Raises:
            ReleasesError: it cannot be written.
        """
        place = self.folder / "staging" / "fetched"
        with self._translated():
            place.mkdir()
        try:
            with self._translated():
                yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)  # what cannot be taken away now is by the next installation

    def require_room(self, wanted_bytes: int) -> None:
        """Raise unless so much fits, with some to spare.

        Raises:
            ReleasesError: it does not.
        """
        with self._translated():
            found = os.statvfs(self.folder)
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes < wanted_bytes + SPARE_BYTES:
            raise ReleasesError(
                f"{self.folder}: {(wanted_bytes + SPARE_BYTES) / 1e6:.0f} MB are needed and {free_bytes / 1e6:.0f} MB "
                "are free; make room, or give another folder with --to. What is installed goes on running"
            )

    def keep(self, staged: OpenBundle) -> Path:
        """Put a staged bundle, flushed to the disk, among the releases; a good one of the same digest is kept as it is.

        Raises:
            ReleasesError: it cannot be written.
        """
        number = 1
        while (place := self._release(staged.digest, number)).exists():
            if _is_good(place, staged.digest):
                return place
            number += 1  # damaged, and perhaps running: left alone, and taken away once nothing points at it
        with self._translated():
            for child in staged.path.iterdir():
                _flush(child)
                child.chmod(0o444)
            staged.path.chmod(0o755)
            _flush(staged.path)
            staged.path.rename(place)
            _flush(place.parent)
        return place

    def switch(self, release: Path) -> None:
        """Let `current` stand for a release, and its predecessor be the previous one; no change where it does already.

        Raises:
            ReleasesError: it cannot be written; nothing has changed then.
        """
        now = self.running()
        if now.current == release:
            return
        self._point(release, now.current)
        with self._translated():
            self._clear_up()

    def roll_back(self) -> Running:
        """Let `current` stand for the previous release, and the present one be the previous; gives the new pair.

        Raises:
            NoReleaseError: there is none, or it is damaged.
            ReleasesError: it cannot be written; nothing has changed then.
        """
        now = self.running()
        if now.previous is None:
            raise NoReleaseError(f"{self.folder}: there is no previous release to go back to")
        try:
            open_bundle(now.previous)
        except BundleError as error:
            raise NoReleaseError(f"the previous release is damaged and nothing was changed: {error}") from error
        self._point(now.previous, now.current)
        return self.running()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _point(self, release: Path, previous: Path | None) -> None:
        """The one step that counts is the last rename."""
        with self._translated():
            numbers = [int(one.name) for one in (self.folder / "switches").iterdir() if one.name.isdecimal()]
            number = max(numbers, default=0) + 1
            made = self.folder / "staging" / "switch"
            made.mkdir()
            (made / "bundle").symlink_to(Path("..", "..", "releases", release.name))
            if previous is not None:
                (made / "previous").symlink_to(Path("..", "..", "releases", previous.name))
            _flush(made)
            made.rename(self.folder / "switches" / str(number))
            _flush(self.folder / "switches")
            link = self.folder / "staging" / "link"
            link.symlink_to(Path("switches", str(number), "bundle"))
            link.replace(self.link)
            _flush(self.folder)

    def _clear_up(self) -> None:
        """Take away what nothing points at: leftovers, old switches, releases older than the previous one."""
        for child in (self.folder / "staging").iterdir():
            _remove(child)
        switch, pair = self._switch(), self.running()
        for child in (self.folder / "switches").iterdir():
            if child != switch:
                _remove(child)
        for child in (self.folder / "releases").iterdir():
            if child not in {pair.current, pair.previous}:
                _remove(child)

    def _switch(self) -> Path | None:
        """The folder with the present pair."""
        try:
            target = self.link.readlink()
        except OSError:
            return None
        return (self.folder / target).parent

    def _release_at(self, link: Path) -> Path | None:
        """The release that a link of a switch names; below `folder` as that is written, with `..` in it or not."""
        try:
            place = self.folder / "releases" / link.readlink().name
        except OSError:
            return None
        return place if place.is_dir() else None

    def _release(self, digest: str, number: int) -> Path:
        return self.folder / "releases" / (digest if number == 1 else f"{digest}-{number}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReleasesError(
                f"{error.filename or self.folder}: cannot be written: {error.strerror or error}; what is installed "
                "goes on running"
            ) from error


def _is_good(place: Path, digest: str) -> bool:
    try:
        return open_bundle(place).digest == digest
    except BundleError:
        return False


def _flush(path: Path) -> None:
    """The content of a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
