"""A small deterministic detector: one box around all bright pixels. Real arithmetic, no model, no engine."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

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
from vedette.contracts.frame import Placement, ResizeMode
from vedette.contracts.receipt import Receipt
from vedette.vision.resize import boxes_to_source_px, fit, plan_placement

BRIGHT = 170


def blob_manifest(width: int, height: int, resize: ResizeMode) -> BundleManifest:
    """A manifest of the right shape for an input of this size."""
    zeros = "0" * 64
    return BundleManifest(
        name="blob",
        classes=("blob",),
        input=InputSpec(width=width, height=height, resize=resize),
        decode=DarknetHeads(heads=(YoloHead(output="head_0", grid_width=1, grid_height=1, anchors=((1.0, 1.0),)),)),
        provenance=Provenance(
            code_version="test",
            created_utc="2026-01-01T00:00:00Z",
            source="darknet",
            weights_sha256=zeros,
            cfg_sha256=zeros,
        ),
        variants=(Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt()),),
        files={"model.onnx": FileEntry(sha256=zeros, size_bytes=0)},
    )


class BlobDetector:
    """`contracts.ports.Detector`: class 0 is whatever is brighter than `BRIGHT`; the score is its mean brightness."""

    engine_name = "blob"
    engine_description = "blob detector for tests"

    def __init__(self, width: int = 96, height: int = 64, resize: ResizeMode = ResizeMode.STRETCH) -> None:
        self.manifest = blob_manifest(width, height, resize)
        self.batch_sizes: list[int] = []

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        height, width = image_hwc_bgr_u8.shape[:2]
        spec = self.manifest.input
        placement = plan_placement(width, height, spec.width, spec.height, spec.resize)
        return self.detect_fitted(fit(image_hwc_bgr_u8, placement)[None], [placement])[0]

    def detect_fitted(self, images_nhwc_rgb_u8: NDArray[np.uint8], placements: Sequence[Placement]) -> list[Detections]:
        spec = self.manifest.input
        assert images_nhwc_rgb_u8.shape == (len(placements), spec.height, spec.width, 3)
        assert images_nhwc_rgb_u8.dtype == np.uint8
        self.batch_sizes.append(len(placements))
        return [self._find(image, placement) for image, placement in zip(images_nhwc_rgb_u8, placements, strict=True)]

    def _find(self, image: NDArray[np.uint8], placement: Placement) -> Detections:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        rows, columns = np.nonzero(grey > BRIGHT)
        if not len(rows):
            return Detections.empty(self.manifest.classes)
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        return Detections(
            boxes_to_source_px(box, placement).astype(np.float32),
            np.array([grey[grey > BRIGHT].mean() / 255], np.float32),
            np.zeros(1, np.int32),
            self.manifest.classes,
        )
