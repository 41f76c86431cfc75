"""Everything a run needs to go on, written as one unit: a kill at any moment leaves the old or the new one, whole.

Each checkpoint is a new folder `checkpoints/NNNNNN` (state.safetensors + state.json), made under a temporary name,
synced and renamed; then `checkpoints/latest` (a text file with the folder's name) is replaced. The checkpoint before
stays, for whoever copies the folder meanwhile; older ones are removed. No pickle. What the tensors and the document
mean is left to the training loop.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vedette.learn.training.errors import RunFolderError

FOLDER, POINTER = "checkpoints", "latest"
TENSORS, DOCUMENT = "state.safetensors", "state.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and a JSON document."""

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]


def save_checkpoint(run_folder: Path, number: int, checkpoint: Checkpoint) -> None:
    """Write checkpoint `number` and make it the latest; all but the one before it go."""
    from safetensors.torch import save_file

    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    name = f"{number:08d}"
    temporary = folder / f".{name}.{os.getpid()}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        save_file(
            {key: tensor.detach().cpu().contiguous() for key, tensor in checkpoint.tensors.items()}, temporary / TENSORS
        )
        size = (temporary / TENSORS).stat().st_size
        document = {"format": FORMAT, "tensor_bytes": size, **checkpoint.document}
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


def load_checkpoint(run_folder: Path) -> Checkpoint:
    """The latest checkpoint.

    Raises:
        RunFolderError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    pointer = run_folder / FOLDER / POINTER
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise RunFolderError(f"{run_folder} has no checkpoint to resume from; train without --resume") from error
    folder = run_folder / FOLDER / name
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["tensor_bytes"] != (folder / TENSORS).stat().st_size:
            raise RunFolderError(f"{folder} is damaged or of another version; train anew in another folder")
        return Checkpoint(load_file(folder / TENSORS), document)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunFolderError(f"{folder} is damaged ({error}); train anew in another folder") from error


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
