"""What detections say of a camera that its gate takes for still: has anything moved since the last ones?

A gate looks at cells of brightness; a detector sees things. Where things that were found are found elsewhere the next
time, something moved, whatever the cells said: objects too small or too like their ground for cells, or hidden in
rain. One class must have a sure box where there was none and have lost a sure box, so that a box that flickers, comes
or goes proves nothing. Which detections were made in stillness is for `camera_gate` to know.
"""

import numpy as np

from vedette.contracts.detections import Detections
from vedette.vision.boxes import iou_matrix

SURE = 0.5  # score of a box that proves something
SAME_IOU = 0.1  # a box that overlaps one of before so much is the same thing, and has not moved


class StillnessWitness:
    """One camera's, told of all its detections in order."""

    def __init__(self) -> None:
        self._before: Detections | None = None

    def has_moved(self, now: Detections, *, after_stillness: bool) -> bool:
        """Whether something that was detected the last time is elsewhere, though nothing moved in between."""
        before, self._before = self._before, now
        if not after_stillness or before is None or not len(before) or not len(now):
            return False
        same_class = before.class_ids[:, None] == now.class_ids[None, :]  # (before, now) bool
        same = same_class & (iou_matrix(before.boxes_xyxy_px, now.boxes_xyxy_px) > SAME_IOU)
        lost = (before.scores >= SURE) & ~same.any(axis=1)
        found = (now.scores >= SURE) & ~same.any(axis=0)
        return bool(np.intersect1d(before.class_ids[lost], now.class_ids[found]).size)
