"""Everything a run needs to go on, written as one unit: a kill at any moment leaves the old or the new one, whole.

Each checkpoint is a new folder `checkpoints/NNNNNN` (state.safetensors + state.json), made under a temporary name,
synced and renamed; then `checkpoints/latest` (a text file with the folder's name) is replaced. The checkpoint before
stays, for whoever copies the folder meanwhile, and for a resume that finds the latest damaged; older ones are removed.
The document has the tensors' digest. No pickle. What tensors and document mean is left to the training loop.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vedette.learn.data.errors import DataError
from vedette.learn.data.versions_digests import digest_file
from vedette.learn.training.errors import RunFolderError

FOLDER, POINTER = "checkpoints", "latest"
TENSORS, DOCUMENT = "state.safetensors", "state.json"
FORMAT = 1
NAME = re.compile(r"[0-9]{8,}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and a JSON document."""

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]


def save_checkpoint(run_folder: Path, number: int, checkpoint: Checkpoint) -> None:
    """Write checkpoint `number` and make it the latest; all but the one before it go.

    Raises:
        OSError: the disk does not take it; what was there before stays.
    """
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    name = f"{number:08d}"
    temporary = folder / f".{name}.{os.getpid()}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write_tensors(checkpoint.tensors, temporary / TENSORS)
        digest, size = digest_file(temporary / TENSORS)
        document = {"format": FORMAT, "tensor_bytes": size, "tensor_sha256": digest, **checkpoint.document}
        (temporary / DOCUMENT).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for path in (temporary / TENSORS, temporary / DOCUMENT, temporary):
            _sync(path)
        final = folder / name
        shutil.rmtree(final, ignore_errors=True)  # left by a run that died between rename and pointer
        temporary.rename(final)
        _sync(folder)
        before = _pointed_to(folder)
        _point_to(folder, name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_others(folder, {before, name})


def _write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, path)
    except SafetensorError as error:
        found = re.search(r"os error ([0-9]+)", str(error))  # all that it says about the disk
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def load_checkpoint(run_folder: Path) -> Checkpoint:
    """The latest checkpoint.

    Raises:
        RunFolderError: there is none, or it is damaged.
    """
    if not has_checkpoint(run_folder):
        raise RunFolderError(f"{run_folder} has no checkpoint to resume from; train without --resume")
    try:
        return _load(run_folder / FOLDER)
    except _DamageError as error:
        raise RunFolderError(
            f"{error}; train anew in another folder, maybe from what was learnt (--model {run_folder}/model.cfg "
            f"--weights {run_folder}/last.weights)"
        ) from error


def mend_checkpoints(run_folder: Path) -> str | None:
    """Make the checkpoint before the latest one the latest, if that is damaged and this is not; a line about it.

    Raises:
        RunFolderError: no checkpoint is whole.
    """
    if not has_checkpoint(run_folder):
        return None
    try:
        load_checkpoint(run_folder)
    except RunFolderError as damage:
        folder = run_folder / FOLDER
        for path in sorted(folder.iterdir(), reverse=True):
            if NAME.fullmatch(path.name) and _is_whole(path):
                _point_to(folder, path.name)
                return f"{damage.__cause__}; going on from checkpoint {path.name}"
        raise
    return None


class _DamageError(Exception):
    """Which checkpoint is not what was written, and why."""


def _load(folder: Path) -> Checkpoint:
    try:
        name = (folder / POINTER).read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise _DamageError(f"{folder / POINTER} cannot be read: {error.strerror or error}") from error
    if NAME.fullmatch(name) is None:
        raise _DamageError(f"{folder / POINTER} is damaged (it names no checkpoint)")
    return _read(folder / name)


def _read(folder: Path) -> Checkpoint:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise _DamageError(f"{folder} is of another version, or damaged")
        if document["tensor_bytes"] != (folder / TENSORS).stat().st_size:
            raise _DamageError(f"{folder} is damaged (its tensors are not whole)")
        if document.get("tensor_sha256") not in {None, digest_file(folder / TENSORS)[0]}:  # older ones have none
            raise _DamageError(f"{folder} is damaged (its tensors have been changed)")
        return Checkpoint(load_file(folder / TENSORS), document)
    except OSError as error:
        raise _DamageError(f"{folder} is damaged ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, DataError, SafetensorError) as error:
        raise _DamageError(f"{folder} is damaged ({error})") from error


def _is_whole(folder: Path) -> bool:
    try:
        _read(folder)
    except _DamageError:
        return False
    return True


def has_checkpoint(run_folder: Path) -> bool:
    """Whether there is something to resume."""
    return (run_folder / FOLDER / POINTER).is_file()


def _pointed_to(folder: Path) -> str:
    """The name of the latest; empty when there is none."""
    try:
        return (folder / POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _point_to(folder: Path, name: str) -> None:
    temporary = folder / f".{POINTER}.{os.getpid()}.partial"
    temporary.write_text(name + "\n", encoding="utf-8")
    _sync(temporary)
    temporary.replace(folder / POINTER)
    _sync(folder)


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(".partial"):  # a pointer that a killed run was writing
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
