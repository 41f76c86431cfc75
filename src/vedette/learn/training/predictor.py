"""A Darknet network in torch (FP32, on the processor) as something that detects in pictures, one at a time.

The same preprocessing, decoding and suppression as on the edge, so that weights can be judged before they are packed.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from vedette.contracts.bundle import InputSpec
from vedette.contracts.detections import Detections
from vedette.contracts.frame import ResizeMode
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import DarknetWeights
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import network_tensor, prepare


class DarknetPredictor:
    """Callable: a BGR picture of any size in, detections out, by the rules given."""

    def __init__(self, plan: NetworkPlan, weights: DarknetWeights, rules: DetectionRules, resize: ResizeMode) -> None:
        self._input = InputSpec(width=plan.input_width, height=plan.input_height, resize=resize)
        self._rules = rules
        self._network = DarknetNetwork(plan)
        self._network.load_darknet(weights)
        self._network.eval()

    @property
    def description(self) -> str:
        return f"torch {torch.__version__} fp32, {torch.get_num_threads()} threads"

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        pixels, placement = prepare(image_hwc_bgr_u8, self._input)
        with torch.inference_mode():
            heads = self._network(torch.from_numpy(network_tensor(pixels)))
        return detections_from_heads([head[0].numpy() for head in heads], self._rules, placement)
