"""A model that takes exactly so many pictures at once, behind an engine that takes any number.

Pictures go through in portions of that size; the last one is filled up with its last picture, and what comes of the
filling is dropped. Results are those of the model: whether they depend on the neighbours in a portion is `vedette
pack`'s to find out.
"""

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import Pixels
from vedette.edge.engines.detector import HeadEngine


class FixedBatchEngine:
    """A `HeadEngine` around one that takes portions of `batch` pictures only."""

    def __init__(self, engine: HeadEngine, batch: int) -> None:
        self._engine, self._batch = engine, batch
        self.name, self.version, self.description = engine.name, engine.version, engine.description

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        """(n, height, width, 3) in; for each output, in the manifest's order, (n, ...) float32 out."""
        portions: list[list[NDArray[np.float32]]] = []
        for start in range(0, len(pixels_nhwc_rgb), self._batch):
            portion = pixels_nhwc_rgb[start : start + self._batch]
            filled = np.concatenate([portion, np.repeat(portion[-1:], self._batch - len(portion), axis=0)])
            portions.append([output[: len(portion)] for output in self._engine.infer(filled)])
        return [np.concatenate(outputs) for outputs in zip(*portions, strict=True)]
