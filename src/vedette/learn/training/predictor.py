"""A Darknet network in torch (FP32, on the processor) as something that detects in pictures, one at a time.

The same resizing, decoding and suppression as on the edge, so that weights can be judged before they are packed; only
`ResizeMode.DARKNET` keeps its fractions here, as in Darknet, where engines get 8-bit values.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from vedette.contracts.bundle import ResizeMode
from vedette.contracts.detections import Detections
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import DarknetWeights
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import fit_unrounded, plan_placement


class DarknetPredictor:
    """Callable: a BGR picture of any size in, detections out, by the rules given."""

    def __init__(self, plan: NetworkPlan, weights: DarknetWeights, rules: DetectionRules, resize: ResizeMode) -> None:
        self._plan, self._rules, self._resize = plan, rules, resize
        self._network = DarknetNetwork(plan)
        self._network.load_darknet(weights)
        self._network.eval()

    @property
    def description(self) -> str:
        return f"torch {torch.__version__} fp32, {torch.get_num_threads()} threads"

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        height_px, width_px = image_hwc_bgr_u8.shape[:2]
        plan = self._plan
        placement = plan_placement(width_px, height_px, plan.input_width, plan.input_height, self._resize)
        fitted = np.ascontiguousarray(fit_unrounded(image_hwc_bgr_u8, placement).transpose(2, 0, 1))  # (3, h, w) RGB
        with torch.inference_mode():
            heads = self._network(torch.from_numpy(fitted)[None])
        return detections_from_heads([head[0].numpy() for head in heads], self._rules, placement)
