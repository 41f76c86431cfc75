"""Detectors for tests of `learn.predicting`: pictures of one grey value tell them what to do."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.predicting.outcomes import Failed, Outcome, Predict


@dataclass(frozen=True)
class GreyOpener:
    """Opens a detector that finds one box as wide as the picture is bright.

    Its process kills itself at the values of `deadly`, and the first time that it meets one of `deadly_once`; the first
    time that it meets one of `parricidal`, it kills the process that started it.
    """

    folder: Path  # where processes leave word
    deadly: tuple[int, ...] = ()
    deadly_once: tuple[int, ...] = ()
    parricidal: tuple[int, ...] = ()

    def __call__(self) -> Predict:
        (self.folder / f"worker-{os.getpid()}").touch()
        return self.predict

    def predict(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        value = int(image_hwc_bgr_u8[0, 0, 0])
        word = self.folder / f"met-{value}"
        if value in self.deadly or (value in self.deadly_once and not word.exists()):
            word.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if value in self.parricidal and not word.exists():
            word.touch()
            os.kill(os.getppid(), signal.SIGKILL)
        boxes = np.array([[0, 0, value, 1]], np.float32)  # (1, 4)
        return Detections(boxes, np.array([value / 255], np.float32), np.zeros(1, np.int32), ("grey",))


@dataclass(frozen=True)
class RefusingOpener:
    """Opens nothing: `InputError` with a message, or without one the process dies."""

    message: str = ""

    def __call__(self) -> Predict:
        if self.message:
            raise InputError(self.message)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def write_greys(folder: Path, count: int) -> list[Path]:
    """Pictures of the values 0, 1, 2, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{value:03}.png" for value in range(count)]
    for value, path in enumerate(paths):
        assert cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    return paths


def same(left: Outcome, right: Outcome) -> bool:
    """Equal to the last bit, times apart."""
    if isinstance(left, Failed) or isinstance(right, Failed):
        return left == right
    ours, theirs = left.detections, right.detections
    arrays = [
        (ours.boxes_xyxy_px, theirs.boxes_xyxy_px),
        (ours.scores, theirs.scores),
        (ours.class_ids, theirs.class_ids),
    ]
    sizes = (left.width_px, left.height_px) == (right.width_px, right.height_px)
    return sizes and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in arrays)
