"""What a job leaves: the run's files and the bundle in /opt/ml/model, or the reason why there are none.

The archive that SageMaker makes of /opt/ml/model has at its root what `vedette train` writes (best.weights, model.cfg,
names.txt, results.csv, report.html, ...), and the packed model in `bundle/`. Checkpoints stay out of it.
"""

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path

from vedette.learn.sagemaker.container.checkpoints import BEST_FILE
from vedette.learn.sagemaker.container.folders import Folders
from vedette.learn.sagemaker.container.supervising import Say
from vedette.learn.sagemaker.errors import ContractError
from vedette.learn.sagemaker.metrics import metrics_line

LAST_FILE, RESULTS_FILE = "last.weights", "results.csv"
BUNDLE = "bundle"
FOLDERS = ("tensorboard", "worst")  # event files, and the worst pictures that the report shows
MOST_REASON = 1024  # characters of FailureReason


def clear_leftovers(folders: Folders) -> None:
    """Empty the places of results: in a rehearsal, or on a warm machine, an earlier job's must not pass for this one's.

    Raises:
        ContractError: they cannot be written.
    """
    try:
        folders.failure.parent.mkdir(parents=True, exist_ok=True)
        folders.failure.unlink(missing_ok=True)
        folders.model.mkdir(parents=True, exist_ok=True)
        for path in folders.model.iterdir():  # the folder itself may be a mount
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise ContractError(f"{error.filename} cannot be written: {error.strerror or error}") from error


def copy_run(run: Path, to: Path) -> bool:
    """Copy a run's files, not its checkpoints; whether there are weights among them that were judged best."""
    to.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        if (run / name).is_dir():
            shutil.copytree(run / name, to / name, dirs_exist_ok=True)
    for path in sorted(run.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, to / path.name)
    return (to / BEST_FILE).is_file()


def take_last_for_best(folder: Path) -> bool:
    """Where no epoch was judged yet, the last weights are the best there are; False where there are none either."""
    if not (folder / LAST_FILE).is_file():
        return False
    shutil.copyfile(folder / LAST_FILE, folder / BEST_FILE)
    return True


def put_bundle(bundle: Path, model: Path) -> None:
    """Put a packed bundle beside the weights, whole."""
    temporary = model / f".{BUNDLE}.partial"
    shutil.copytree(bundle, temporary)
    temporary.rename(model / BUNDLE)


def write_failure(folders: Folders, reason: str) -> None:
    """Say why there is no model, within what SageMaker shows of it."""
    text = reason if len(reason) <= MOST_REASON else reason[: MOST_REASON - 4] + " ..."
    folders.failure.parent.mkdir(parents=True, exist_ok=True)
    folders.failure.write_text(text, encoding="utf-8")


class EpochLines:
    """A metrics line for each epoch that comes into results.csv; those of an earlier attempt are not repeated."""

    def __init__(self, run: Path, say: Say) -> None:
        self._path, self._say = run / RESULTS_FILE, say
        self._told = set(self._rows())
        self._seen_ns = 0

    def __call__(self) -> None:
        changed_ns = self._path.stat().st_mtime_ns if self._path.is_file() else 0
        if changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns
        for row in self._rows():
            if row not in self._told:
                self._told.add(row)
                self._say(metrics_line({column: float(text) for column, text in row if text}))

    def _rows(self) -> list[tuple[tuple[str, str], ...]]:
        if not self._path.is_file():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return [tuple(row.items()) for row in csv.DictReader(file)]


def best_line(result: Mapping[str, object]) -> str:
    """The metrics line of best.weights, from what `vedette train --json` printed."""
    evaluation = result.get("evaluation")
    figures: dict[str, object] = {"best_epoch": result.get("best_epoch")}
    if isinstance(evaluation, dict):
        figures |= {f"best_{name}": evaluation.get(name) for name in ("map50", "map50_95", "precision", "recall")}
    return metrics_line({name: float(value) for name, value in figures.items() if isinstance(value, int | float)})
