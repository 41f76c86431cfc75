"""`vedette train --out s3://BUCKET/PREFIX`: trained in a working folder here, whose run is sent when it is finished.

The working folder is below $XDG_STATE_HOME/vedette/runs (~/.local/state without it): one for each address, kept until
all of the run is stored and verified. `--resume` goes on there; without it, with what is stored at the address.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError, UsageError, VedetteError

if TYPE_CHECKING:
    from vedette.apps.folder_upload import Uploaded
    from vedette.storage.store import Store

FINISHED = "finished"  # beside the run: nothing is left to do but to send it
BROUGHT = "brought"  # beside a run that came from the address, and goes over it
LAST_SENT = "checkpoints/latest"  # what it names is there by then


def train_into_s3(
    out: Path, train: Callable[[Path], int], *, resume: bool, told: Callable[[str, Uploaded], None]
) -> int:
    """Train in the working folder and send the run; the command's exit code. `told` gets the address and what is there.

    Raises:
        UsageError: something is at the address, or in the working folder, and it is not to be gone on with.
        VedetteError: training failed, or the run cannot be sent; it stays in the working folder.
    """
    from vedette.apps.console import ConsoleProgress, warn
    from vedette.apps.folder_upload import refuse_taken, upload_folder
    from vedette.apps.object_storage import open_place

    if os.environ.get("WORLD_SIZE", "1") not in {"", "1"}:
        raise UsageError("--out: several processes train into a folder on this computer, not into S3")
    store = open_place(out)
    address = str(store.address)
    home = working_home(store)
    folder, finished = home / "run", home / FINISHED
    again = f"vedette train --out {address} --resume"
    if resume:
        _find(store, home)
    else:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds a run for {address} already; go on with it: {again}; or remove {home}")
        refuse_taken(store)
    try:
        if not finished.exists():
            warn(f"training in {folder}; the run goes to {address} when it is finished")
            if code := train(folder):
                return code
            _mark(finished)
        with ConsoleProgress() as progress:
            sent = upload_folder(store, folder, progress, last=LAST_SENT, replace=(home / BROUGHT).exists())
    except KeyboardInterrupt:
        warn(f"the run is in {folder}; to go on and send it: {again}")
        raise
    except VedetteError:
        if finished.exists():
            warn(f"the run is whole in {folder}, but not in S3; to send it, without training again: {again}")
        raise
    shutil.rmtree(home, ignore_errors=True)
    told(address, sent)
    return 0


def working_home(store: Store) -> Path:
    """Where the run for an address is worked on."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = given if given.is_absolute() else Path.home() / ".local" / "state"
    key = hashlib.sha256(f"{store.endpoint_url}\n{store.address}".encode()).hexdigest()[:8]
    return state / "vedette" / "runs" / f"{store.address.path.rpartition('/')[2] or store.address.bucket}-{key}"


def _find(store: Store, home: Path) -> None:
    """What is to be gone on with: the run that lies here, or else that at the address.

    Raises:
        VedetteError: there is none, or it cannot be brought.
    """
    from vedette.apps.object_storage import local_folder
    from vedette.learn.data.folder_publishing import published_folder

    folder = home / "run"
    if folder.is_dir() and any(folder.iterdir()):
        return
    brought = local_folder(Path(str(store.address)))
    _mark(home / BROUGHT)
    with published_folder(folder) as partial:
        shutil.copytree(brought, partial, dirs_exist_ok=True)


def _mark(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from error
