"""Which labelled objects training and evaluation may take: finite, not empty, clipped to the picture.

The one definition of a box's extent that `check`, `repair` and training share. VOC numbers are inclusive, yet labelling
tools write a click without a drag as xmin == xmax: such a box is one pixel in VOC's arithmetic and nothing in the
labeller's. Vedette calls it empty.
"""

import math
from dataclasses import replace

from vedette.learn.data.samples import LabelledObject, Sample


def usable_objects(sample: Sample, width_px: int, height_px: int) -> tuple[LabelledObject, ...]:
    """The objects clipped to a picture of this size, without those that are empty, inverted, outside or not finite.

    Flags (difficult, crowd) are left to the caller.
    """
    kept = []
    for item in sample.objects:
        if not is_finite(item) or min(written_extent_px(sample, item)) <= 0:
            continue
        clipped = clipped_box(item.box_xyxy_px, width_px, height_px)
        if clipped[0] < clipped[2] and clipped[1] < clipped[3]:
            kept.append(replace(item, box_xyxy_px=clipped))
    return tuple(kept)


def is_finite(item: LabelledObject) -> bool:
    """Whether all four numbers are ordinary numbers."""
    return all(math.isfinite(value) for value in item.box_xyxy_px)


def written_extent_px(sample: Sample, item: LabelledObject) -> tuple[float, float]:
    """(width, height) as the label file's own numbers give it: xmax - xmin in VOC, the width itself elsewhere."""
    inclusive = 1.0 if sample.labels is not None and sample.labels.suffix.lower() == ".xml" else 0.0
    left, top, right, bottom = item.box_xyxy_px
    return right - left - inclusive, bottom - top - inclusive


def clipped_box(
    box_xyxy_px: tuple[float, float, float, float], width_px: int, height_px: int
) -> tuple[float, float, float, float]:
    """The part of a box inside the picture; empty or inverted when there is none."""
    left, top, right, bottom = box_xyxy_px
    return max(left, 0.0), max(top, 0.0), min(right, float(width_px)), min(bottom, float(height_px))
