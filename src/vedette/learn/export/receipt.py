"""Does an engine compute what the reference computes? Measured on pictures, before suppression, over every box.

The reference is torch for Darknet weights, ONNX Runtime on the file as given for an ONNX detector. Engines are opened
by the caller and passed in. What is compared is `comparison`'s; the limits are the product's promise: score 1e-3, box
0.5 input pixels.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np

from vedette.contracts.bundle import Decode, InputSpec
from vedette.contracts.frame import Pixels
from vedette.contracts.receipt import Agreement
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import DarknetWeights
from vedette.learn.export.comparison import BOX_TOLERANCE_PX, SCORE_TOLERANCE, Difference, Heads, compare
from vedette.learn.export.errors import DisagreementError
from vedette.vision.resize import network_tensor

BATCH = 4  # engines see batches, the reference single pictures: a batch must not change a result

ReferenceName: TypeAlias = Literal["torch", "onnxruntime"]


class HeadSource(Protocol):
    """Anything that turns what `vision.resize.network_pixels` gives into raw heads (n, channels, gh, gw)."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def infer(self, pixels_nhwc_rgb: Pixels) -> Heads: ...


class TorchReference:
    """The network itself, FP32, on the processor: what every engine is compared with."""

    name = "torch"

    def __init__(self, plan: NetworkPlan, weights: DarknetWeights) -> None:
        import torch

        self.version = str(torch.__version__)
        self._network = DarknetNetwork(plan)
        self._network.load_darknet(weights)
        self._network.eval()

    def infer(self, pixels_nhwc_rgb: Pixels) -> Heads:
        import torch

        with torch.inference_mode():
            heads = self._network(torch.from_numpy(network_tensor(pixels_nhwc_rgb)))
        return [np.asarray(head.numpy(), np.float32) for head in heads]


def measure_agreement(
    engine: HeadSource,
    reference: Sequence[Heads],
    fitted: Sequence[Pixels],
    decode: Decode,
    size: InputSpec,
    *,
    reference_name: ReferenceName = "torch",
) -> Agreement:
    """Compare an engine with reference heads, one batch of one for each of the pictures `fitted`.

    These are (h, w, 3), padding exact. A value that is not a number counts as an infinite difference.

    Raises:
        DisagreementError: the engine's outputs do not even have the reference's shapes.
    """
    largest = Difference(0.0, 0.0, 0)
    for number, expected in enumerate(reference):
        place = number % BATCH
        if place == 0:
            pictures = np.stack(fitted[number : number + BATCH])
            batch = _infer(engine, pictures)
        try:
            found = compare([head[0] for head in expected], [head[place] for head in batch], decode, size)
        except ValueError as error:
            raise DisagreementError(f"{engine.name} {engine.version} gives something else: {error}") from error
        largest = Difference(
            max(largest.score, found.score), max(largest.box_px, found.box_px), largest.boxes + found.boxes
        )
    return Agreement(
        reference=reference_name,
        engine=engine.name,
        engine_version=engine.version,
        pictures=len(fitted),
        boxes_compared=largest.boxes,
        max_score_difference=largest.score,
        max_box_difference_px=largest.box_px,
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
        f"{agreement.engine} {agreement.engine_version} does not compute what {agreement.reference} computes: on "
        f"{agreement.pictures} pictures scores differ by up to {agreement.max_score_difference:.2g} (limit "
        f"{SCORE_TOLERANCE:g}) and boxes by up to {agreement.max_box_difference_px:.2g} px (limit "
        f"{BOX_TOLERANCE_PX:g}); no bundle is written"
    )


def _infer(engine: HeadSource, pictures: Pixels) -> Heads:
    heads = engine.infer(pictures)
    for head in heads:
        if len(head) != len(pictures):
            raise DisagreementError(
                f"{engine.name} {engine.version} gives {len(head)} results for a batch of {len(pictures)} pictures"
            )
    return heads
