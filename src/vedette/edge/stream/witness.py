"""What detections say to a camera's gate: has anything moved though it took the camera for still; is anything new?

A gate looks at cells of brightness; a detector sees things. Where things that were found are found elsewhere the next
time, something moved, whatever the cells said: objects too small or too like their ground for cells, or hidden in
rain. One class must have a sure box where there was none and have lost a sure box, so that a box that flickers, comes
or goes proves nothing. Which detections were made in stillness is for `camera_gate` to know. And where detections find
what they found before, in its place, or nothing at all, whatever moves in the picture is none of it: no news.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.vision.boxes import iou_matrix

SURE = 0.5  # score of a box that proves something
SAME_IOU = 0.1  # a box that overlaps one of before so much is the same thing, and has not moved
IN_PLACE_IOU = 0.7  # boxes of what stands still tremble by less: by a sixth of their width


class Answer(NamedTuple):
    """What a detection says to the gate."""

    moved: bool  # something is elsewhere, though nothing was seen to move
    news: bool  # something is there that was not there, in this place


class StillnessWitness:
    """One camera's, told of all its detections in order."""

    def __init__(self) -> None:
        self._before: Detections | None = None

    def compare(self, now: Detections, *, after_stillness: bool) -> Answer:
        """With what was detected the last time."""
        before, self._before = self._before, now
        if before is None or not len(before) or not len(now):
            return Answer(False, len(now) > 0)
        same_class = before.class_ids[:, None] == now.class_ids[None, :]  # (before, now) bool
        overlap = np.where(same_class, iou_matrix(before.boxes_xyxy_px, now.boxes_xyxy_px), 0.0)
        news = not (overlap >= IN_PLACE_IOU).any(axis=0).all()
        return Answer(after_stillness and self._is_elsewhere(before, now, overlap > SAME_IOU), news)

    @staticmethod
    def _is_elsewhere(before: Detections, now: Detections, same: NDArray[np.bool_]) -> bool:
        """Whether a sure box is gone and another of its class is where none was; `same` is (before, now)."""
        lost = (before.scores >= SURE) & ~same.any(axis=1)
        found = (now.scores >= SURE) & ~same.any(axis=0)
        return bool(np.intersect1d(before.class_ids[lost], now.class_ids[found]).size)
