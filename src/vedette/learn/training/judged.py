"""What is labelled in each picture of a data set, and what a detector found there: all that judging needs.

Made by `evaluate.judge_outcomes` and at the end of training; kept with a run by `kept_detections`. Boxes of both are in
source pixels, clipped to the picture; class ids of both index `class_names`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths


@dataclass(frozen=True, slots=True)
class JudgedPictures:
    """All tuples run in parallel, one entry a picture."""

    names: tuple[str, ...]
    files: tuple[Path, ...]  # where the pictures lay; they may be gone by now
    sizes_px: tuple[tuple[int, int], ...]  # width, height
    truths: tuple[Truths, ...]
    detections: tuple[Detections, ...]
    class_names: tuple[str, ...]
    ms_per_picture: float | None = None

    def __len__(self) -> int:
        return len(self.names)

    def part(self, rows: Sequence[int]) -> "JudgedPictures":
        """Some of the pictures, in the order given."""
        return JudgedPictures(
            tuple(self.names[row] for row in rows),
            tuple(self.files[row] for row in rows),
            tuple(self.sizes_px[row] for row in rows),
            tuple(self.truths[row] for row in rows),
            tuple(self.detections[row] for row in rows),
            self.class_names,
            self.ms_per_picture,
        )
