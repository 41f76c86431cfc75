"""The real pictures from which INT8 variants learn the ranges of their tensors, made into tensors as an engine would.

Pictures pass through the one preprocessing of `vision.resize`; they are kept fitted, which is a quarter of what their
tensors take. Which pictures these are is the caller's choice: never those that accuracy is then measured on, if there
are others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import InputSpec
from vedette.contracts.frame import Pixels, Placement
from vedette.contracts.receipt import Calibration
from vedette.learn.export.errors import PackError
from vedette.vision.resize import fit, network_pixels, network_tensor, plan_placement

MOST_PICTURES = 128  # of BCCD 32, 128 and 205 gave mAP50 0.898, 0.896 and 0.896: more does not help

Picture = NDArray[np.uint8]  # (height, width, 3) BGR


@dataclass(frozen=True, slots=True)
class CalibrationPictures:
    """Fitted pictures and where they come from."""

    fitted: tuple[Pixels, ...]
    placements: tuple[Placement, ...]
    spec: InputSpec
    data_digest: str | None = None
    split: str | None = None

    def __len__(self) -> int:
        return len(self.fitted)

    def tensor(self, number: int) -> NDArray[np.float32]:
        """One picture as the network's input, (1, 3, height, width); as often as a fixed batch is long."""
        pixels = network_pixels(self.fitted[number][None], [self.placements[number]], self.spec.pad_value)
        tensor = network_tensor(pixels, self.spec.scale)
        return tensor if self.spec.batch is None else np.repeat(tensor, self.spec.batch, axis=0)

    def tensors(self) -> Iterator[NDArray[np.float32]]:
        """All of them, one after the other."""
        return (self.tensor(number) for number in range(len(self)))

    def record(self) -> Calibration:
        """What a receipt says about them."""
        return Calibration(data_digest=self.data_digest, split=self.split, pictures=len(self))


def fit_pictures(
    pictures: Sequence[Picture], spec: InputSpec, *, data_digest: str | None = None, split: str | None = None
) -> CalibrationPictures:
    """Fit pictures of any size.

    Raises:
        PackError: there is none.
    """
    if not pictures:
        raise PackError("there is no picture to calibrate INT8 with")
    placements = tuple(
        plan_placement(picture.shape[1], picture.shape[0], spec.width, spec.height, spec.resize) for picture in pictures
    )
    fitted = tuple(fit(picture, placement) for picture, placement in zip(pictures, placements, strict=True))
    return CalibrationPictures(fitted, placements, spec, data_digest, split)
