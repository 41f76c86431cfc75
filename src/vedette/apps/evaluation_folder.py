"""The folder that `vedette evaluate --out` leaves: figures, charts, worst pictures, one page; whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.learn.training.evaluate import Evaluation
    from vedette.learn.training.judged import JudgedPictures


def check_free(folder: Path) -> None:
    """Refuse a place where something lies already, before any work.

    Raises:
        InputError: it does, or nothing can be made there.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"--out: {folder} is not empty; choose another folder")
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be looked into: {error.strerror or error}") from error


def write_folder(folder: Path, judged: JudgedPictures, evaluation: Evaluation, facts: Mapping[str, Any]) -> None:
    """Write everything beside its place, then move it there.

    Raises:
        InputError: it cannot be written.
    """
    from vedette.learn.training.evaluation_files import write_evaluation_files
    from vedette.learn.training.report import write_evaluation_report

    whole = folder.absolute()
    partial = whole.with_name(f".{whole.name}.partial.{id(judged):x}")
    try:
        partial.mkdir(parents=True)
        write_evaluation_files(judged, evaluation, partial, facts)
        shown = {key: "–" if value is None else str(value) for key, value in facts.items()}
        write_evaluation_report(partial, shown, name=str(facts.get("model", folder.name)))
        if whole.is_dir():
            whole.rmdir()  # it is empty
        partial.rename(whole)
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
