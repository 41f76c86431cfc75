"""The detector of the films with drawn objects: finds the one colour that they have, exactly, at any size."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from vedette.contracts.bundle import (
    BundleManifest,
    DarknetHeads,
    FileEntry,
    InputSpec,
    Precision,
    Provenance,
    Variant,
    YoloHead,
)
from vedette.contracts.detections import Detections
from vedette.contracts.frame import ResizeMode
from vedette.contracts.receipt import Receipt
from vedette.vision.resize import boxes_to_source_px, fit, plan_placement

INPUT_PX = 416
CLASSES = ("drawn",)


def _manifest() -> BundleManifest:
    zeros = "0" * 64
    return BundleManifest(
        name="drawn",
        classes=CLASSES,
        input=InputSpec(width=INPUT_PX, height=INPUT_PX, resize=ResizeMode.STRETCH),
        decode=DarknetHeads(heads=(YoloHead(output="head_0", grid_width=1, grid_height=1, anchors=((1.0, 1.0),)),)),
        provenance=Provenance(
            code_version="benchmark",
            created_utc="2026-01-01T00:00:00Z",
            source="darknet",
            weights_sha256=zeros,
            cfg_sha256=zeros,
        ),
        variants=(Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt()),),
        files={"model.onnx": FileEntry(sha256=zeros, size_bytes=0)},
    )


class ColourDetector:
    """`contracts.ports.Detector` for magenta."""

    engine_name = "colour"
    engine_description = "finds magenta"

    def __init__(self) -> None:
        self.manifest = _manifest()

    def __call__(self, image_hwc_bgr_u8: Any) -> Detections:
        height, width = image_hwc_bgr_u8.shape[:2]
        placement = plan_placement(width, height, INPUT_PX, INPUT_PX, ResizeMode.STRETCH)
        return self.detect_fitted(fit(image_hwc_bgr_u8, placement)[None], [placement])[0]

    def detect_fitted(self, pixels_nhwc_rgb: Any, placements: Sequence[Any]) -> list[Detections]:
        return [self._find(image, placement) for image, placement in zip(pixels_nhwc_rgb, placements, strict=True)]

    @staticmethod
    def _find(image: Any, placement: Any) -> Detections:
        red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
        mask = ((red - green > 60) & (blue - green > 60)).astype(np.uint8)
        statistics = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
        boxes = [(x, y, x + w, y + h) for x, y, w, h, area in statistics.tolist() if area >= 6]
        if not boxes:
            return Detections.empty(CLASSES)
        return Detections(
            boxes_to_source_px(np.array(boxes, np.float32), placement).astype(np.float32),
            np.full(len(boxes), 0.9, np.float32),
            np.zeros(len(boxes), np.int32),
            CLASSES,
        )
