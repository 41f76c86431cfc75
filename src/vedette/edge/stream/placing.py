"""Remembers where a camera's pictures lie in the network's input; asked for every frame, it changes hardly ever."""

from vedette.contracts.frame import InputShape, Placement
from vedette.vision.resize import plan_placement


class Placing:
    """`vision.resize.plan_placement` for one camera."""

    def __init__(self, network_input: InputShape) -> None:
        self._input = network_input
        self._placement: Placement | None = None

    def place(self, width_px: int, height_px: int) -> Placement:
        """Where an upright picture of this size lies.

        Raises:
            ValueError: when a size is not positive.
        """
        placed = self._placement
        if placed is None or (placed.source_width_px, placed.source_height_px) != (width_px, height_px):
            wanted = self._input
            placed = plan_placement(width_px, height_px, wanted.width, wanted.height, wanted.resize)
            self._placement = placed
        return placed
