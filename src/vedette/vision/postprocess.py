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
from vedette.vision.yolo import decode_heads


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
    outputs: Sequence[NDArray[np.float32]], spec: Decode, input_width_px: int, input_height_px: int, score: float
) -> Candidates:
    """Every candidate of one picture, whatever the kind of its outputs.

    Raises:
        ValueError: when the outputs do not have the shapes that `spec` states.
    """
    if isinstance(spec, DecodedBoxes):
        return decode_boxes(outputs, spec, input_width_px, input_height_px, score)
    return decode_heads(outputs, spec, input_width_px, input_height_px, score)


def detections_from_heads(
    heads: Sequence[NDArray[np.float32]], rules: DetectionRules, placement: Placement
) -> Detections:
    """The detections of one picture.

    Args:
        heads: one float32 array for each of `rules.decode.outputs`, without the batch: for Darknet heads
            (anchors * (5 + classes), grid height, grid width).
    """
    found = decode_outputs(heads, rules.decode, placement.input_width_px, placement.input_height_px, rules.score)
    if not len(found):
        return Detections.empty(rules.class_names)
    boxes_px = boxes_to_source_px(found.boxes_xyxy_input_px, placement)
    width_px, height_px = placement.source_width_px, placement.source_height_px
    if isinstance(rules.decode, DecodedBoxes) and not rules.decode.needs_nms:
        keep = np.argsort(-found.scores, kind="stable")[: rules.max_detections]
    else:
        sides = np.array([width_px, height_px] * 2, np.float32)
        keep = suppress(
            boxes_px / sides, found.scores, found.class_ids, rules.nms_iou, rules.nms_kind, limit=rules.max_detections
        )
    clipped_px = clip_xyxy(boxes_px[keep], width_px, height_px)
    inside = ((clipped_px[:, 2:] - clipped_px[:, :2]) > 0).all(axis=1)
    keep = keep[inside]
    return Detections(
        clipped_px[inside].astype(np.float32, copy=False),
        found.scores[keep],
        found.class_ids[keep],
        rules.class_names,
    )
