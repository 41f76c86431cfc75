"""Copies of plain files below an S3 prefix, kept in the cache: what has the same size and ETag is not brought again.

One process at a time works on a copy; another one waits. Hidden files are left out, as every reader of data does.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.apps.console import ConsoleProgress
from vedette.contracts.errors import InputError
from vedette.storage.address import is_safe_name
from vedette.storage.errors import AddressError, ObjectNotFoundError
from vedette.storage.parallel import in_parallel
from vedette.storage.store import Store, StoredObject

State = dict[str, list[int | str | None]]  # name: size in bytes, ETag


def mirror(store: Store, cache: Path, wanted: Callable[[str], bool] = lambda name: True) -> Path:
    """A folder with copies of the objects whose names are wanted, and of nothing else.

    Raises:
        ObjectNotFoundError: nothing is stored there.
        AddressError: a name there cannot be a file's.
        InputError: the cache cannot be written.
        StorageError: the store cannot be reached; the same call goes on from there.
    """
    key = hashlib.sha256(f"{store.endpoint_url}\n{store.address}".encode()).hexdigest()[:16]
    home = cache / key
    folder = home / (store.address.path.rpartition("/")[2] or store.address.bucket)
    found = [one for one in store.list() if not _is_hidden(one.name)]
    if not found:
        raise ObjectNotFoundError(f"{store.address}: nothing is stored there")
    objects = [one for one in found if wanted(one.name)]
    unsafe = [one.name for one in objects if not is_safe_name(one.name)]
    if unsafe:
        raise AddressError(f"{store.address}: holds a name that no file can have: {unsafe[0]!r:.120}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(home / "lock"):
            _bring(store, objects, folder, home / "state.json")
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
    return folder


def _bring(store: Store, objects: list[StoredObject], folder: Path, state_file: Path) -> None:
    before = _read_state(state_file)
    now: State = {one.name: [one.size_bytes, one.etag] for one in objects}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in now:
            path.unlink()
    kept = {name: now[name] for name in now if before.get(name) == now[name] and _has_size(folder / name, now[name][0])}
    missing = [one for one in objects if one.name not in kept]
    try:
        with ConsoleProgress() as progress:
            if missing:
                progress.start("fetching", len(missing), "files")
            for name in in_parallel(lambda one: _fetch(store, one, folder), missing):
                kept[name] = now[name]
                progress.advance()
    finally:
        temporary = state_file.with_suffix(".part")
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(state_file)


def _fetch(store: Store, one: StoredObject, folder: Path) -> str:
    place = folder / one.name
    place.parent.mkdir(parents=True, exist_ok=True)
    store.download(one.name, place, one.size_bytes)
    return one.name


def _read_state(path: Path) -> State:
    try:
        state = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _has_size(path: Path, size_bytes: object) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in name.split("/"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
