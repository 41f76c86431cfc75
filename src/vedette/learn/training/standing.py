"""The best epoch of a run so far, and whether waiting for a better one is over.

The best is that with the highest mean of mAP50 and mAP50-95; of equals the earlier. Only epochs that were validated are
judged, so patience never ends a run between two validations, nor before the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.evaluate import Evaluation


def best_row(results: Mapping[str, NDArray[np.float64]]) -> int | None:
    """Which row of results.csv is that of best.weights; None while nothing was validated."""
    scores = results.get("val_map50", np.zeros(0))
    fitness = (scores + results.get("val_map50_95", scores)) / 2  # (epochs,)
    return int(np.nanargmax(fitness)) if np.isfinite(fitness).any() else None


@dataclass(slots=True)
class Standing:
    """Epochs count from 1; 0 while there is none."""

    patience: int | None
    fitness: float = -1.0
    best_epoch: int = 0
    judged_epoch: int = 0  # the last that was validated

    def judge(self, epoch: int, evaluation: Evaluation) -> bool:
        """Whether this epoch is the best so far."""
        self.judged_epoch = epoch
        fitness = (evaluation.map50 + evaluation.map50_95) / 2
        if fitness <= self.fitness:
            return False
        self.fitness, self.best_epoch = fitness, epoch
        return True

    def is_out_of_patience(self) -> bool:
        """Whether so many epochs brought nothing better."""
        return self.patience is not None and 0 < self.best_epoch <= self.judged_epoch - self.patience
