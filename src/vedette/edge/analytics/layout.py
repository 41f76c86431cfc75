"""What belongs to several cameras, laid out so that one operation works on all of them, each with its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.edge.analytics.association import Flags, Indices

FIRST = np.zeros(1, np.intp)


class Layout:
    """How what belongs to cameras, one behind the other, is laid out as a row for each, filled up to the longest."""

    def __init__(self, whose: Indices, cameras: int) -> None:
        """`whose` (n,) is the camera of each entry; there is at least one."""
        self.real: Flags | None = None  # (cameras, longest), where some rows are filled up
        self._places: Indices | None = None
        if cameras == 1:
            self.starts = FIRST  # (cameras,)
            return
        counts = np.bincount(whose, minlength=cameras)
        self.starts = counts.cumsum() - counts
        across = np.arange(counts.max())
        self._places = np.minimum(self.starts[:, None] + across, len(whose) - 1)
        if counts.min() < len(across):
            self.real = across < counts[:, None]

    def lay(self, values: NDArray[Any]) -> NDArray[Any]:
        """(..., n) as (..., cameras, longest)."""
        return values[..., None, :] if self._places is None else values[..., self._places]

    def whereabouts(self, cameras: Indices, places: Indices) -> Indices:
        """Which entries lie in these places of these cameras' rows."""
        return places if self._places is None else self.starts[cameras] + places
