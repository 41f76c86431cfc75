"""A packed model on any engine as `contracts.ports.Detector`: resizing before, decoding and suppression after.

An engine is a `HeadEngine`: a batch of fitted pictures in, raw heads out. All of them share this module, so that two
engines can differ only in their arithmetic. Letterboxed pictures reach them with grey of exactly `pad_value`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest
from vedette.contracts.detections import Detections
from vedette.contracts.frame import Pixels, Placement
from vedette.vision.postprocess import DetectionRules, detections_from_pictures
from vedette.vision.resize import fit, network_pixels, plan_placement


class HeadEngine(Protocol):
    """Runs the network. Not thread-safe: one caller at a time."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def description(self) -> str:
        """`openvino 2026.4.1 fp32, 2 threads`"""
        ...

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        """For each head, in the manifest's order, (n, channels, gh, gw) float32.

        Args:
            pixels_nhwc_rgb: (n, height, width, 3) as `vision.resize.network_pixels` gives them: uint8 always fits,
                float32 fits an engine opened for a bundle that letterboxes or has Darknet's resize.

        Raises:
            EngineError: the engine failed.
            ValueError: float32 for an engine opened for 8-bit pictures.
        """
        ...


class PackedDetector:
    """A `contracts.ports.Detector`. Results do not depend on which pictures share a batch."""

    def __init__(self, manifest: BundleManifest, engine: HeadEngine, rules: DetectionRules) -> None:
        self._manifest = manifest
        self._engine = engine
        self._rules = rules

    @property
    def manifest(self) -> BundleManifest:
        return self._manifest

    @property
    def rules(self) -> DetectionRules:
        """The decode parameters and thresholds in force."""
        return self._rules

    @property
    def engine_name(self) -> str:
        return self._engine.name

    @property
    def engine_version(self) -> str:
        return self._engine.version

    @property
    def engine_description(self) -> str:
        return self._engine.description

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        """Detect in one picture of any size, as OpenCV reads it.

        Raises:
            ValueError: when the array is not (height, width, 3) uint8.
        """
        # cv2.imread gives None, which has neither, for a file that it cannot read
        shape, dtype = np.shape(image_hwc_bgr_u8), getattr(image_hwc_bgr_u8, "dtype", None)
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
            raise ValueError(
                "a picture must be a uint8 array (height, width, 3) in BGR order, as cv2.imread gives it; "
                f"got {type(image_hwc_bgr_u8).__name__ if dtype is None else f'{dtype} {shape}'}"
            )
        placement = self.place(image_hwc_bgr_u8.shape[1], image_hwc_bgr_u8.shape[0])
        return self.detect_fitted(fit(image_hwc_bgr_u8, placement)[None], [placement])[0]

    def place(self, source_width_px: int, source_height_px: int) -> Placement:
        """Where a source of this size lies in this network's input."""
        spec = self._manifest.input
        return plan_placement(source_width_px, source_height_px, spec.width, spec.height, spec.resize)

    def detect_fitted(self, pixels_nhwc_rgb: Pixels, placements: Sequence[Placement]) -> list[Detections]:
        """Detect in a batch already resized to the network's input, (n, height, width, 3) as `fit` gives it. Blocks.

        Raises:
            ValueError: when shapes or counts do not fit.
        """
        if len(pixels_nhwc_rgb) != len(placements):
            raise ValueError(f"{len(pixels_nhwc_rgb)} pictures, {len(placements)} placements")
        if not len(placements):
            return []
        self._require_input_size(pixels_nhwc_rgb)
        heads = self._engine.infer(network_pixels(pixels_nhwc_rgb, placements, self._manifest.input.pad_value))
        return self._detections(heads, placements)

    def _detections(self, heads: Sequence[NDArray[np.float32]], placements: Sequence[Placement]) -> list[Detections]:
        """What a batch's heads say, picture by picture."""
        pictures = [[head[number] for head in heads] for number in range(len(placements))]
        return detections_from_pictures(pictures, self._rules, placements)

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        """The raw heads of a batch, each (n, anchors * (5 + classes), grid height, grid width).

        Args:
            pixels_nhwc_rgb: as they are, padding too: `vision.resize.prepare` and `network_pixels` make it exact.

        Raises:
            ValueError: when the pictures do not have the network's input size.
        """
        self._require_input_size(pixels_nhwc_rgb)
        return self._engine.infer(pixels_nhwc_rgb)

    def _require_input_size(self, pixels_nhwc_rgb: Pixels) -> None:
        expected = (self._manifest.input.height, self._manifest.input.width, 3)
        if pixels_nhwc_rgb.shape[1:] != expected or pixels_nhwc_rgb.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"expected (n, {expected[0]}, {expected[1]}, 3) uint8 or float32; "
                f"got {pixels_nhwc_rgb.dtype} {pixels_nhwc_rgb.shape}"
            )
