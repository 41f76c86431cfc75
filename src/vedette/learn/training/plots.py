"""Charts of a training run: what people look at before they read. Matplotlib figures without global state."""

from pathlib import Path

from vedette.learn.data.samples import DataSet
from vedette.learn.training.evaluate import Evaluation


def write_results_plot(results_csv: Path, path: Path) -> None:
    """results.png: losses, mAP, precision and recall, learning rate over epochs, from a results.csv (RESULTS_COLUMNS)."""
    raise NotImplementedError


def write_labels_plot(data: DataSet, path: Path) -> None:
    """labels.png: objects by class, where box centres lie, widths against heights."""
    raise NotImplementedError


def write_evaluation_plots(evaluation: Evaluation, folder: Path) -> None:
    """PR_curve.png, F1_curve.png and confusion_matrix.png in `folder`."""
    raise NotImplementedError
