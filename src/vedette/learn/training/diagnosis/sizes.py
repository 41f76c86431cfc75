"""Average precision of small, medium and large objects, measured in pixels and as a share of the picture.

In pixels as COCO does (areas up to 32 x 32, up to 96 x 96, above; pycocotools' `areaRng` and its rules for what is of
another size), with the box's area where COCO takes the mask's. Where pictures differ in size, pixels say little: the
relative limits are COCO's in a picture of 640 x 480, so 1/300 and 3/100 of the picture.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vedette.learn.training.average_precision import interpolated_precision, match_class
from vedette.learn.training.judged import JudgedPictures

SMALL_PX2, MEDIUM_PX2 = 32.0**2, 96.0**2
SMALL_SHARE, MEDIUM_SHARE = SMALL_PX2 / (640 * 480), MEDIUM_PX2 / (640 * 480)  # 1/300, 3/100
SIZES = ("small", "medium", "large")


class Measure(str, Enum):
    """What a size is told by."""

    PIXELS = "pixels"
    SHARE = "share of the picture"


@dataclass(frozen=True, slots=True)
class SizeResult:
    """Means over the classes that have objects of this size; `None` where no class has."""

    measure: Measure
    size: str
    smallest: float  # areas: pixels, or share of the picture
    largest: float  # may be infinite
    objects: int
    map50: float | None
    map50_95: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.measure.value,
            "size": self.size,
            "from": round(self.smallest, 6),
            "to": None if math.isinf(self.largest) else round(self.largest, 6),
            "objects": self.objects,
            "map50": None if self.map50 is None else round(self.map50, 6),
            "map50_95": None if self.map50_95 is None else round(self.map50_95, 6),
        }


def precision_by_size(judged: JudgedPictures) -> tuple[SizeResult, ...]:
    """Small, medium and large in pixels, then as shares of the picture."""
    results = []
    for measure, limits in ((Measure.PIXELS, (SMALL_PX2, MEDIUM_PX2)), (Measure.SHARE, (SMALL_SHARE, MEDIUM_SHARE))):
        edges = (0.0, *limits, math.inf)
        for size, smallest, largest in zip(SIZES, edges[:-1], edges[1:], strict=True):
            areas = list(_areas_px2(judged, measure, smallest, largest))
            results.append(SizeResult(measure, size, smallest, largest, *_mean(judged, areas)))
    return tuple(results)


def _areas_px2(
    judged: JudgedPictures, measure: Measure, smallest: float, largest: float
) -> Iterator[tuple[float, float]]:
    for width_px, height_px in judged.sizes_px:
        unit = 1.0 if measure is Measure.PIXELS else float(width_px * height_px)
        yield smallest * unit, largest * unit


def _mean(judged: JudgedPictures, areas_px2: Sequence[tuple[float, float]]) -> tuple[int, float | None, float | None]:
    objects, at_50, at_all = 0, [], []
    for class_id in range(len(judged.class_names)):
        matches = match_class(judged.truths, judged.detections, class_id, areas_px2)
        objects += matches.objects
        if matches.objects:
            precision = interpolated_precision(matches)  # (10, 101)
            at_50.append(float(precision[0].mean()))
            at_all.append(float(precision.mean()))
    if not at_50:
        return 0, None, None
    return objects, sum(at_50) / len(at_50), sum(at_all) / len(at_all)
