"""What a run is resumed from, after S3 has brought /opt/ml/checkpoints back.

The folder travels to S3 file by file while the run goes on, so a machine that is lost at once can leave a checkpoint in
part. Then the one before is taken; when there is no whole one, the run begins again. Nothing of this happens silently.
The files are those of `learn.training.checkpoint` and `run_folder`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from vedette.learn.sagemaker.container.supervising import Say
from vedette.learn.sagemaker.errors import ContractError

RUN_NAME = "run"  # below /opt/ml/checkpoints
CHECKPOINTS, POINTER = "checkpoints", "latest"
TENSORS, DOCUMENT = "state.safetensors", "state.json"
BEGINNING = ("settings.json", "model.cfg", "names.txt", "split.json")
BEST_FILE = "best.weights"


def settle_run(run: Path, say: Say) -> bool:
    """Make a restored run folder one that can be resumed; False when the run begins anew.

    Raises:
        ContractError: the folder cannot be worked in.
    """
    try:
        if not run.exists():
            return False
        if any(not (run / name).is_file() for name in BEGINNING):
            say(f"{run} holds only the first files of a run: it begins anew")
            shutil.rmtree(run)
            return False
        point_to_whole(run, say)
    except OSError as error:
        raise ContractError(f"{run} cannot be read and written: {error.strerror or error}") from error
    return True


def point_to_whole(run: Path, say: Say) -> None:
    """Make the newest whole checkpoint the latest; without one there is no latest."""
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        say(f"{run} has no checkpoint yet: the run begins again")
        return
    pointer = folder / POINTER
    named = pointer.read_text(encoding="utf-8", errors="replace").strip() if pointer.is_file() else ""
    names = sorted((path.name for path in folder.iterdir() if path.name.isdigit()), reverse=True)
    whole = next((name for name in names if _is_whole(run, folder / name)), None)
    if whole is None:
        say(f"{run} has no whole checkpoint, for the machine was lost before its files had reached S3: it begins again")
        pointer.unlink(missing_ok=True)
        return
    if whole != named:
        say(f"checkpoint {named or 'of no name'} is not whole or not there: going on from {whole}")
        temporary = folder / f".{POINTER}.settled.partial"
        temporary.write_text(whole + "\n", encoding="utf-8")
        temporary.replace(pointer)


def _is_whole(run: Path, checkpoint: Path) -> bool:
    """Whether all its bytes are there, and the best weights that it counts on."""
    try:
        document: Any = json.loads((checkpoint / DOCUMENT).read_text(encoding="utf-8"))
        size = (checkpoint / TENSORS).stat().st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    if not isinstance(document, dict) or document.get("tensor_bytes") != size:
        return False
    return not document.get("best_epoch") or (run / BEST_FILE).is_file()
