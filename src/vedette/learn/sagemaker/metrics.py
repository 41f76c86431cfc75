"""The figures of a job: printed as lines `metrics: epoch=3; train_box_loss=0.412; ...`, and the regexes that find them.

A job is created with `METRIC_DEFINITIONS` (CreateTrainingJob, AlgorithmSpecification.MetricDefinitions: at most 40, a
name up to 255 and a regex up to 500 characters, one group). `read_metrics_line` is for whoever follows the log.
Columns are those of a run's results.csv; what an epoch has no value for is left out of its line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

MARK = "metrics:"
NUMBER = r"([-+0-9.eE]+)"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One figure: what CloudWatch calls it, and what it is called in the log."""

    name: str
    column: str

    @property
    def regex(self) -> str:
        """Finds the figure in a line; the sign before it keeps `map50` from being found in `val_map50`."""
        return rf"{MARK}.* {self.column}={NUMBER};"


METRIC_DEFINITIONS = (
    MetricDefinition("epoch", "epoch"),
    MetricDefinition("train:box_loss", "train_box_loss"),
    MetricDefinition("train:objectness_loss", "train_objectness_loss"),
    MetricDefinition("train:class_loss", "train_class_loss"),
    MetricDefinition("train:learning_rate", "learning_rate"),
    MetricDefinition("train:pictures_per_s", "pictures_per_s"),
    MetricDefinition("train:time_s", "time_s"),
    MetricDefinition("train:left_s", "left_s"),
    MetricDefinition("val:map50", "val_map50"),
    MetricDefinition("val:map50_95", "val_map50_95"),
    MetricDefinition("val:precision", "val_precision"),
    MetricDefinition("val:recall", "val_recall"),
    # of best.weights, once, at the end: what tuning jobs compare
    MetricDefinition("best:epoch", "best_epoch"),
    MetricDefinition("best:map50", "best_map50"),
    MetricDefinition("best:map50_95", "best_map50_95"),
    MetricDefinition("best:precision", "best_precision"),
    MetricDefinition("best:recall", "best_recall"),
)


def metrics_line(figures: Mapping[str, float]) -> str:
    """The line that tells these figures, by column; those that are not finite are left out."""
    shown = [f" {column}={value:.9g};" for column, value in figures.items() if math.isfinite(value)]
    return MARK + "".join(shown)


def read_metrics_line(line: str) -> dict[str, float]:
    """The figures of a line by column; empty when it tells none."""
    _, mark, rest = line.partition(MARK)
    found: dict[str, float] = {}
    for part in rest.split(";") if mark else ():
        column, sign, text = part.strip().partition("=")
        try:
            value = float(text)
        except ValueError:
            continue
        if sign and math.isfinite(value):
            found[column] = value
    return found
