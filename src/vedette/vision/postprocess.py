"""From the heads of one picture to its detections: decode, back to the source picture, suppress, cut, clip.

The order is Darknet's: overlap is judged on whole boxes, then they are clipped to the picture. A box of which nothing
lies inside the picture (possible with letterbox only) is left out. `max_detections` cuts after suppression, which is
not done for a model that does its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, Decode, DecodedBoxes, NmsKind
from vedette.contracts.detections import Detections
from vedette.contracts.frame import Placement
from vedette.vision.boxes import clip_xyxy
from vedette.vision.candidates import Candidates
from vedette.vision.decoded_boxes import decode_boxes
from vedette.vision.nms import suppress
from vedette.vision.resize import boxes_to_source_px
from vedette.vision.yolo import decode_pictures

MOST_TOGETHER = 2048  # candidates: from there on their number decides, not the number of calls


@dataclass(frozen=True, slots=True)
class DetectionRules:
    """What turns heads into detections: the decode parameters and the thresholds."""

    decode: Decode
    class_names: tuple[str, ...]
    score: float
    nms_iou: float
    nms_kind: NmsKind = NmsKind.IOU
    max_detections: int = 300

    @classmethod
    def of(
        cls,
        manifest: BundleManifest,
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int | None = None,
    ) -> "DetectionRules":
        """The bundle's own, but for what is given."""
        own = manifest.thresholds
        return cls(
            decode=manifest.decode,
            class_names=manifest.classes,
            score=own.score if score is None else score,
            nms_iou=own.nms_iou if nms_iou is None else nms_iou,
            nms_kind=own.nms_kind,
            max_detections=own.max_detections if max_detections is None else max_detections,
        )


def decode_outputs(
    pictures: Sequence[Sequence[NDArray[np.float32]]],
    spec: Decode,
    input_width_px: int,
    input_height_px: int,
    score: float,
) -> tuple[Candidates, NDArray[np.intp]]:
    """Every candidate of some pictures, whatever the kind of their outputs, and each candidate's picture.

    Raises:
        ValueError: when the outputs do not have the shapes that `spec` states.
    """
    if not isinstance(spec, DecodedBoxes):
        return decode_pictures(pictures, spec, input_width_px, input_height_px, score)
    parts = [decode_boxes(outputs, spec, input_width_px, input_height_px, score) for outputs in pictures]
    found = Candidates(
        np.concatenate([part.boxes_xyxy_input_px for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
    )
    return found, np.arange(len(parts)).repeat([len(part) for part in parts])


def detections_from_heads(
    heads: Sequence[NDArray[np.float32]], rules: DetectionRules, placement: Placement
) -> Detections:
    """The detections of one picture.

    Args:
        heads: one float32 array for each of `rules.decode.outputs`, without the batch: for Darknet heads
            (anchors * (5 + classes), grid height, grid width).
    """
    return detections_from_pictures([heads], rules, [placement])[0]


def detections_from_pictures(
    pictures: Sequence[Sequence[NDArray[np.float32]]], rules: DetectionRules, placements: Sequence[Placement]
) -> list[Detections]:
    """As `detections_from_heads` of each picture, to the same bits, in half the time for four alike."""
    alike: dict[Placement, list[int]] = {}
    for number, placement in enumerate(placements):
        alike.setdefault(placement, []).append(number)
    found: dict[int, Detections] = {}
    for placement, numbers in alike.items():
        found.update(zip(numbers, _of_alike([pictures[number] for number in numbers], rules, placement), strict=True))
    return [found[number] for number in range(len(placements))]


def _of_alike(
    pictures: Sequence[Sequence[NDArray[np.float32]]], rules: DetectionRules, placement: Placement
) -> list[Detections]:
    """Of pictures that lie alike in the network's input."""
    size = (placement.input_width_px, placement.input_height_px)
    found, numbers = decode_outputs(pictures, rules.decode, *size, rules.score)
    if len(found) > MOST_TOGETHER and len(pictures) > 1:
        return [one for heads in pictures for one in _of_alike([heads], rules, placement)]
    if not len(found):
        return [Detections.empty(rules.class_names)] * len(pictures)
    boxes_px = boxes_to_source_px(found.boxes_xyxy_input_px, placement)
    width_px, height_px = placement.source_width_px, placement.source_height_px
    sides_px = np.array([width_px, height_px] * 2, np.float32)
    keep = _keep(found, np.asarray(boxes_px / sides_px, np.float32), numbers, rules)
    whose = numbers.take(keep)
    order = whose.argsort(kind="stable")  # picture after picture, best first in each
    keep = keep.take(order)
    clipped_px = clip_xyxy(boxes_px.take(keep, axis=0), width_px, height_px).astype(np.float32, copy=False)
    scores, class_ids = found.scores.take(keep), found.class_ids.take(keep)
    ends = np.bincount(whose, minlength=len(pictures)).cumsum().tolist()
    return [
        _inside(clipped_px[start:end], scores[start:end], class_ids[start:end], rules)
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def _keep(
    found: Candidates, boxes_in_sides: NDArray[np.float32], numbers: NDArray[np.intp], rules: DetectionRules
) -> NDArray[np.intp]:
    """The candidates that stay, best first; those of different pictures have nothing to do with each other."""
    count, most = int(numbers[-1]) + 1, rules.max_detections
    if isinstance(rules.decode, DecodedBoxes) and not rules.decode.needs_nms:
        keep = np.argsort(-found.scores, kind="stable")
    else:
        agnostic = rules.nms_kind is NmsKind.AGNOSTIC
        groups = numbers if agnostic else found.class_ids + numbers * len(rules.class_names)
        kind = NmsKind.IOU if agnostic else rules.nms_kind
        limit = most if count == 1 else None
        keep = suppress(boxes_in_sides, found.scores, groups, rules.nms_iou, kind, limit=limit)
    if len(keep) <= most:
        return keep
    whose = numbers.take(keep)
    return keep.take(np.sort(np.concatenate([(whose == one).nonzero()[0][:most] for one in range(count)])))


def _inside(
    boxes_px: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int32], rules: DetectionRules
) -> Detections:
    """The detections of one picture, but for those of which nothing lies inside."""
    has_area = ((boxes_px[:, 2:] - boxes_px[:, :2]) > 0).all(axis=1)
    if not has_area.all():
        boxes_px, scores, class_ids = boxes_px[has_area], scores[has_area], class_ids[has_area]
    return Detections(boxes_px, scores, class_ids, rules.class_names)
