"""What decoding gives and suppression takes, whatever kind of output it was decoded from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes before suppression; `vision.yolo` and `vision.decoded_boxes` each state their order."""

    boxes_xyxy_input_px: NDArray[np.float32]  # (n, 4), not clipped
    scores: NDArray[np.float32]  # (n,)
    class_ids: NDArray[np.int32]  # (n,)

    def __len__(self) -> int:
        return len(self.scores)
