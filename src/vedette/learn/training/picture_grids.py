"""Grids of pictures with boxes: what the network is fed, and labels beside predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths


@dataclass(frozen=True, slots=True)
class GridPicture:
    """One picture for a grid. `detections` are `None` where there is nothing predicted yet (training batches)."""

    image_hwc_bgr_u8: NDArray[np.uint8]  # (h, w, 3) of any size
    truths: Truths  # boxes in this picture's pixels
    detections: Detections | None = None
    title: str = ""


def write_training_grid(pictures: Sequence[GridPicture], class_names: Sequence[str], path: Path) -> None:
    """train_batch*.jpg: up to 16 augmented pictures with their labels."""
    raise NotImplementedError


def write_validation_grid(pictures: Sequence[GridPicture], class_names: Sequence[str], path: Path) -> None:
    """val_batch*.jpg: up to 8 pictures, each twice: labels on the left, predictions (score >= 0.25) on the right."""
    raise NotImplementedError
