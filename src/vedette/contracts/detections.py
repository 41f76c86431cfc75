"""What a detector found in one picture, and what a tracker made of it: structs of arrays, checked once when made.

Boxes are corners `x1, y1, x2, y2` in source pixels, continuous coordinates: (0, 0) is the outer corner of the top left
pixel, so a full-picture box of a 640x480 picture is (0, 0, 640, 480).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Detections of one picture, highest score first. Several classes may share one box, as in Darknet.

    For Roboflow's supervision: `supervision.Detections(xyxy=d.boxes_xyxy_px, confidence=d.scores,
    class_id=d.class_ids, data={"class_name": d.names})`.
    """

    boxes_xyxy_px: NDArray[np.float32]  # (n, 4)
    scores: NDArray[np.float32]  # (n,) in 0..1
    class_ids: NDArray[np.int32]  # (n,) index into class_names
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes_xyxy_px.shape != (count, 4) or self.scores.shape != (count,) or self.class_ids.shape != (count,):
            raise ValueError(
                f"Detections need boxes (n, 4), scores (n,), class_ids (n,); got {self.boxes_xyxy_px.shape}, "
                f"{self.scores.shape}, {self.class_ids.shape}"
            )
        if count and not 0 <= int(self.class_ids.min()) <= int(self.class_ids.max()) < len(self.class_names):
            raise ValueError(
                f"class ids {self.class_ids.tolist()} do not all index the {len(self.class_names)} class names"
            )

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> "Detections":
        """No detection at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), class_names)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> NDArray[np.str_]:
        """The class name of each detection, (n,)."""
        return np.array([self.class_names[i] for i in self.class_ids], dtype=np.str_)

    def select(self, keep: NDArray[Any]) -> "Detections":
        """The detections that a boolean mask (n,) or an index array names, in that order."""
        return Detections(self.boxes_xyxy_px[keep], self.scores[keep], self.class_ids[keep], self.class_names)

    def to_json(self) -> list[dict[str, Any]]:
        """`[{"class", "class_id", "score", "box_xyxy_px"}]`: scores with 6 decimals, boxes with 3."""
        return [
            {
                "class": self.class_names[class_id],
                "class_id": int(class_id),
                "score": round(float(score), 6),
                "box_xyxy_px": [round(float(v), 3) for v in box],
            }
            for box, score, class_id in zip(self.boxes_xyxy_px, self.scores, self.class_ids, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The objects that a tracker holds to be present in one frame of one camera.

    `track_ids` are unique within a camera for the life of the process and are never used again. Boxes are those of the
    detections matched in this frame (not predictions), less their tremor, in source pixels. `previous_boxes_xyxy_px`
    are those given out before; for a track given out for the first time, where its trial began.
    """

    track_ids: NDArray[np.int64]  # (n,)
    boxes_xyxy_px: NDArray[np.float32]  # (n, 4)
    scores: NDArray[np.float32]  # (n,)
    class_ids: NDArray[np.int32]  # (n,)
    class_names: tuple[str, ...]
    previous_boxes_xyxy_px: NDArray[np.float32] | None = None  # (n, 4)

    def __post_init__(self) -> None:
        count = len(self.track_ids)
        shapes = (self.boxes_xyxy_px.shape, self.scores.shape, self.class_ids.shape)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"Tracks need boxes (n, 4), scores (n,), class_ids (n,) for n={count}; got {shapes}")
        if self.previous_boxes_xyxy_px is not None and self.previous_boxes_xyxy_px.shape != (count, 4):
            raise ValueError(f"previous boxes must be ({count}, 4); got {self.previous_boxes_xyxy_px.shape}")

    def __len__(self) -> int:
        return len(self.track_ids)
