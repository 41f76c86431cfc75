"""Installs, or rolls back, again and again, each time interrupted at the next thing done to the file system.

    python interrupted_install.py kill|full install|rollback BASE SOURCE SCRATCH

BASE is a folder of releases, copied for every attempt. In each attempt a forked child counts what Python's audit hooks
report (opening, renaming, linking, removing, listing ...); at the n-th it kills itself, or, with `full`, what writes is
answered by ENOSPC. Then the pair must be the old or the new one, whole, and one more attempt must bring the new one.
Writes a line of JSON: how many points there were, and after how many of them the new pair was there.
"""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vedette.apps.bundle_arrival import bring
from vedette.bundle_folder import open_bundle
from vedette.contracts.ports import SilentProgress
from vedette.edge.update.errors import UpdateError
from vedette.edge.update.releases import Releases

EVENTS = {
    "open", "os.rename", "os.mkdir", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.listdir",
    "os.scandir", "fcntl.flock",
}  # fmt: skip
WRITING = {"os.rename", "os.mkdir", "os.symlink", "os.link"}
FINISHED, REFUSED, UNHARMED, BROKEN = 0, 3, 4, 9  # unharmed: the error was of no consequence


def install(releases: Releases, source: str) -> None:
    with releases.locked(), releases.staging() as folder:
        releases.switch(releases.keep(bring(source, releases, folder, SilentProgress())))


def rollback(releases: Releases, source: str) -> None:
    with releases.locked():
        releases.roll_back()


def interrupted(work: Callable[[], None], at: int, full: bool) -> int:
    """Do the work in a child that is interrupted at the event of that number; gives its exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in EVENTS or (full and not writes(event, arguments)):
            return
        count += 1
        if count == at:
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    code = BROKEN
    try:
        work()
        code = FINISHED if count < at else UNHARMED
    except UpdateError as error:
        code = REFUSED if os.strerror(errno.ENOSPC) in str(error) else BROKEN
    finally:
        os._exit(code)


def writes(event: str, arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if event == "open" else 0
    return event in WRITING or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def pair_of(releases: Releases) -> tuple[str | None, str | None]:
    """The digests of what runs and of what a rollback goes back to, every byte verified."""
    pair = releases.running()
    digests = [None if place is None else open_bundle(place).digest for place in (pair.current, pair.previous)]
    if pair.current is not None:
        assert open_bundle(releases.link).digest == digests[0]
    return digests[0], digests[1]


def main(how: str, what: str, base: Path, source: str, scratch: Path) -> None:
    act = {"install": install, "rollback": rollback}[what]
    warm = scratch / "warm"
    shutil.copytree(base, warm, symlinks=True)
    old = pair_of(Releases(warm))
    act(Releases(warm), source)  # what is imported on the way is imported now, and counts in no child
    new = pair_of(Releases(warm))
    assert new != old
    points = came = 0
    while True:
        folder = scratch / f"{points:04d}"
        shutil.copytree(base, folder, symlinks=True)
        releases = Releases(folder)
        status = interrupted(partial(act, releases, source), points + 1, how == "full")
        found = pair_of(releases)
        assert found in (old, new), f"point {points}: {found} is neither old nor new"
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == FINISHED:
            assert found == new
            break
        ended = -signal.SIGKILL if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        expected = ended == -signal.SIGKILL if how == "kill" else ended in {REFUSED, UNHARMED}
        assert expected, f"point {points}: ended with status {status}"
        points, came = points + 1, came + (found == new)
        if found == old:
            act(releases, source)
        assert pair_of(releases) == new, f"point {points}: the next attempt did not bring the new one"
        shutil.rmtree(folder)
    sys.stdout.write(json.dumps({"points": points, "came": came}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
