"""RUN/tensorboard: the figures of every epoch and the pictures of a run, as TensorBoard's event files.

The step of every figure is the epoch, from 1. A resumed run tells TensorBoard which epochs it repeats (`purge_step`),
so that curves have no loops. The package `tensorboard` writes them and is imported here alone, when it is wanted.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from vedette.contracts.errors import UnavailableError
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.run_folder import Row

FOLDER = "tensorboard"
TAGS = {
    "train_box_loss": "train/box_loss",
    "train_objectness_loss": "train/objectness_loss",
    "train_class_loss": "train/class_loss",
    "learning_rate": "train/learning_rate",
    "pictures_per_s": "train/pictures_per_s",
    "val_map50": "val/mAP50",
    "val_map50_95": "val/mAP50-95",
    "val_precision": "val/precision",
    "val_recall": "val/recall",
}
PICTURES = ("train_batch0.jpg", "val_batch0.jpg", "labels.png")


class EventFiles:
    """Writes them; does nothing where they are not wanted."""

    def __init__(self, run_folder: Path, settings: Mapping[str, Any], epochs_done: int, *, wanted: bool) -> None:
        self._run_folder, self._writer = run_folder, None
        if not wanted:
            return
        purge = epochs_done + 1 if (run_folder / FOLDER).exists() else None
        self._writer = _summary_writer()(str(run_folder / FOLDER), purge_step=purge)
        if purge is None:
            shown = json.dumps(dict(settings), indent=2, ensure_ascii=False)
            self._writer.add_text("settings", "    " + shown.replace("\n", "\n    "), 0)  # Markdown's code

    def write_epoch(self, row: Row, evaluation: Evaluation | None) -> None:
        """One epoch's figures, those of each class too if it was validated."""
        if self._writer is None:
            return
        epoch = int(row["epoch"] or 0)
        for column, tag in TAGS.items():
            value = row.get(column)
            if value is not None:
                self._writer.add_scalar(tag, value, epoch)
        for one in evaluation.classes if evaluation is not None else ():
            for name, figure in (("AP50", one.ap50), ("AP50-95", one.ap50_95)):
                if figure is not None:
                    self._writer.add_scalar(f"{name} by class/{one.name}", figure, epoch)
        self._writer.flush()

    def write_pictures(self, epoch: int) -> None:
        """The pictures that lie in the run folder now."""
        if self._writer is None:
            return
        for name in PICTURES:
            image = cv2.imread(str(self._run_folder / name))
            if image is not None:
                self._writer.add_image(Path(name).stem, image[..., ::-1].copy(), epoch, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def check_available(wanted: bool) -> None:
    """Refuse event files that nothing here can write.

    Raises:
        UnavailableError: the package is not installed.
    """
    if wanted:
        _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnavailableError(
            "--tensorboard needs the package tensorboard: pip install 'vedette[tensorboard]', or train without it"
        ) from error
    return SummaryWriter
