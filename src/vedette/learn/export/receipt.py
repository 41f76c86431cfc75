"""Does an engine compute what torch computes? Measured on pictures, before suppression, over every cell and class.

Engines are opened by the caller and passed in. Scores (objectness * class probability) are compared for every cell,
anchor and class; boxes wherever either side's best score reaches `RELEVANT_SCORE`, the floor of COCO's evaluation:
below it a box is noise that nobody sees. The limits are the product's promise: score 1e-3, box 0.5 input pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import Agreement, DarknetDecode, InputSpec
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import DarknetWeights
from vedette.learn.export.errors import DisagreementError
from vedette.vision.yolo import decode_heads

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.5
RELEVANT_SCORE = 1e-3
EVERY_CELL = -1.0  # a score that everything is above
BATCH = 4  # engines see batches, the reference single pictures: a batch must not change a result

Heads = list[NDArray[np.float32]]


class HeadSource(Protocol):
    """Anything that turns fitted pictures (n, height, width, 3) uint8 RGB into raw heads (n, channels, gh, gw)."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def infer(self, images_nhwc_rgb_u8: NDArray[np.uint8]) -> Heads: ...


class TorchReference:
    """The network itself, FP32, on the processor: what every engine is compared with."""

    name = "torch"

    def __init__(self, plan: NetworkPlan, weights: DarknetWeights) -> None:
        import torch

        self.version = str(torch.__version__)
        self._network = DarknetNetwork(plan)
        self._network.load_darknet(weights)
        self._network.eval()

    def infer(self, images_nhwc_rgb_u8: NDArray[np.uint8]) -> Heads:
        import torch

        planes = np.ascontiguousarray(images_nhwc_rgb_u8.transpose(0, 3, 1, 2))
        with torch.inference_mode():
            heads = self._network(torch.from_numpy(planes).to(torch.float32) / 255)
        return [np.asarray(head.numpy(), np.float32) for head in heads]


@dataclass(frozen=True, slots=True)
class _Decoded:
    scores: NDArray[np.float32]  # (boxes, classes)
    boxes_xyxy_px: NDArray[np.float32]  # (boxes, 4)


def measure_agreement(
    engine: HeadSource,
    reference: Sequence[Heads],
    fitted: Sequence[NDArray[np.uint8]],
    decode: DarknetDecode,
    size: InputSpec,
) -> Agreement:
    """Compare an engine with reference heads, one batch of one for each picture of `fitted` ((h, w, 3) RGB).

    A value that is not a number counts as an infinite difference.
    """
    score_difference = box_difference_px = 0.0
    boxes_compared = 0
    for number, expected_heads in enumerate(reference):
        place = number % BATCH
        if place == 0:
            batch = engine.infer(np.stack(fitted[number : number + BATCH]))
        expected = _decode([head[0] for head in expected_heads], decode, size)
        given = _decode([head[place] for head in batch], decode, size)
        relevant = np.maximum(expected.scores.max(axis=1), given.scores.max(axis=1)) >= RELEVANT_SCORE
        boxes_compared += int(relevant.sum())
        score_difference = max(score_difference, _largest(expected.scores, given.scores))
        box_difference_px = max(
            box_difference_px, _largest(expected.boxes_xyxy_px[relevant], given.boxes_xyxy_px[relevant])
        )
    return Agreement(
        engine=engine.name,
        engine_version=engine.version,
        pictures=len(fitted),
        boxes_compared=boxes_compared,
        max_score_difference=score_difference,
        max_box_difference_px=box_difference_px,
    )


def require_agreement(agreement: Agreement) -> None:
    """Refuse an engine whose differences are above the product's limits.

    Raises:
        DisagreementError: names the engine, both differences and both limits.
    """
    if (
        agreement.max_score_difference <= SCORE_TOLERANCE  # written so that a NaN is refused too
        and agreement.max_box_difference_px <= BOX_TOLERANCE_PX
    ):
        return
    raise DisagreementError(
        f"{agreement.engine} {agreement.engine_version} does not compute what torch computes: on {agreement.pictures} "
        f"pictures scores differ by up to {agreement.max_score_difference:.2g} (limit {SCORE_TOLERANCE:g}) and boxes "
        f"by up to {agreement.max_box_difference_px:.2g} px (limit {BOX_TOLERANCE_PX:g}); no bundle is written"
    )


def _decode(heads: Heads, decode: DarknetDecode, size: InputSpec) -> _Decoded:
    """Every cell and anchor of one picture."""
    found = decode_heads(heads, decode, size.width, size.height, EVERY_CELL)
    classes = int(found.class_ids.max()) + 1 if len(found) else 1
    expected = sum(head.grid_width * head.grid_height * len(head.anchors) for head in decode.heads)
    if len(found) != expected * classes:  # a comparison with NaN is false, so a NaN leaves a gap
        return _Decoded(np.full((expected, 1), np.nan, np.float32), np.full((expected, 4), np.nan, np.float32))
    return _Decoded(found.scores.reshape(-1, classes), found.boxes_xyxy_input_px[::classes])


def _largest(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if not a.size:
        return 0.0
    largest = float(np.abs(a.astype(np.float64) - b).max())
    return largest if np.isfinite(largest) else float("inf")
