"""report.html of a training run: one page beside its pictures that opens without any network, also while training."""

from collections.abc import Mapping
from pathlib import Path

from vedette.learn.training.evaluate import Evaluation

RESULTS_COLUMNS = (
    "epoch",  # from 1
    "time_s",  # since the start of the run, resumed runs add up
    "train_box_loss",
    "train_objectness_loss",
    "train_class_loss",
    "val_map50",
    "val_map50_95",
    "val_precision",
    "val_recall",
    "learning_rate",
    "pictures_per_s",
)
SETTINGS_FILE = "settings.json"  # flat JSON object: setting -> string, number or boolean; written by the trainer
EVALUATION_FILE = "evaluation.json"  # Evaluation.to_json() of the best weights so far; by write_evaluation


def write_evaluation(evaluation: Evaluation, run_folder: Path) -> None:
    """Write RUN/evaluation.json atomically, for the report's table of classes."""
    raise NotImplementedError


def write_report(run_folder: Path, *, epochs: int, finished: bool, facts: Mapping[str, str] | None = None) -> Path:
    """Write RUN/report.html from what lies in RUN: results.csv, settings.json, evaluation.json, pictures. Cheap.

    While not `finished` the page reloads itself every few seconds. `epochs` is how many the run shall have. `facts`
    are further lines for its head, such as {"data digest": ..., "device": ...}. Missing files are left out.
    """
    raise NotImplementedError
