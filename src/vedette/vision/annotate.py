"""Boxes and labels drawn into a picture, readable from 200 to 8000 pixels wide.

Colours are Okabe and Ito's, told apart by colour-blind people too; they repeat after seven classes, so the label always
names the class. Line and letter sizes follow the picture's size. Hershey fonts have ASCII only: other letters show as
`?` on the picture (never in data).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[int, int, int]
Area = tuple[int, int, int, int]  # left, top, right, bottom, pixels

# Okabe & Ito, "Color Universal Design" (2008), BGR, without black: orange, sky blue, bluish green, yellow, blue,
# vermilion, reddish purple
PALETTE: tuple[Bgr, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT_PX = 22  # a capital of this font at scale 1


def class_colour(class_id: int) -> Bgr:
    """The colour of a class, BGR 0..255; the same in every picture and on every page."""
    return PALETTE[class_id % len(PALETTE)]


def draw_boxes(
    image_hwc_bgr_u8: NDArray[np.uint8],
    boxes_xyxy_px: NDArray[np.floating[Any]],
    labels: Sequence[str],
    class_ids: NDArray[np.integer[Any]],
) -> None:
    """Draw boxes with their labels into the picture; earlier ones lie on top and choose their label's place first.

    Raises:
        ValueError: when the numbers of boxes, labels and classes differ.
    """
    count = len(boxes_xyxy_px)
    if len(labels) != count or len(class_ids) != count:
        raise ValueError(f"{count} boxes, {len(labels)} labels, {len(class_ids)} classes: the numbers must be equal")
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    line_px = max(1, round(max(width_px, height_px) / 640))
    corners = np.rint(np.clip(boxes_xyxy_px, 0, [width_px - 1, height_px - 1] * 2)).astype(int).tolist()
    colours = [class_colour(int(class_id)) for class_id in class_ids]
    for (x1, y1, x2, y2), colour in zip(reversed(corners), reversed(colours), strict=True):
        if line_px > 1:  # a dark edge, to be seen on any ground; in small pictures it would hide too much
            cv2.rectangle(image_hwc_bgr_u8, (x1, y1), (x2, y2), (0, 0, 0), line_px + 2)
        cv2.rectangle(image_hwc_bgr_u8, (x1, y1), (x2, y2), colour, line_px)
    draw_labels(image_hwc_bgr_u8, corners, labels, colours)


def draw_labels(
    image_hwc_bgr_u8: NDArray[np.uint8],
    corners_px: Sequence[Sequence[int]],
    labels: Sequence[str],
    colours: Sequence[Bgr],
    *,
    letter_px: float | None = None,
) -> None:
    """Filled labels at boxes (x1, y1, x2, y2), clear of each other where there is room; earlier ones choose first and
    lie on top. `letter_px` is the height of a capital; by the picture's size when left out.
    """
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    style = _LabelStyle.for_picture(width_px, height_px) if letter_px is None else _LabelStyle.of_height(letter_px)
    taken: list[Area] = []
    for box, label in zip(corners_px, labels, strict=True):
        taken.append(_place_label(style.size_px(label), box, (width_px, height_px), taken))
    for area, label, colour in zip(reversed(taken), reversed(labels), reversed(colours), strict=True):
        style.draw(image_hwc_bgr_u8, area, label, colour)


def draw_label(image_hwc_bgr_u8: NDArray[np.uint8], box_corner_px: tuple[int, int], text: str, colour: Bgr) -> None:
    """One filled label above a box's top left corner, pushed inside where it would leave the picture."""
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    style = _LabelStyle.for_picture(width_px, height_px)
    area = _place_label(style.size_px(text), (*box_corner_px, *box_corner_px), (width_px, height_px), [])
    style.draw(image_hwc_bgr_u8, area, text, colour)


@dataclass(frozen=True, slots=True)
class _LabelStyle:
    scale: float
    stroke_px: int
    pad_px: int

    @classmethod
    def for_picture(cls, width_px: int, height_px: int) -> "_LabelStyle":
        return cls.of_height(min(max(8.0, max(width_px, height_px) / 85), 60.0))

    @classmethod
    def of_height(cls, letter_px: float) -> "_LabelStyle":
        return cls(letter_px / FONT_HEIGHT_PX, max(1, round(letter_px / 12)), max(2, round(letter_px / 5)))

    def size_px(self, text: str) -> tuple[int, int]:
        (width_px, height_px), drop_px = cv2.getTextSize(_ascii(text), FONT, self.scale, self.stroke_px)
        return width_px + 2 * self.pad_px, height_px + drop_px // 2 + 2 * self.pad_px

    def draw(self, image_hwc_bgr_u8: NDArray[np.uint8], area: Area, text: str, colour: Bgr) -> None:
        left, top, right, bottom = area
        (_, text_height_px), _ = cv2.getTextSize(_ascii(text), FONT, self.scale, self.stroke_px)
        cv2.rectangle(image_hwc_bgr_u8, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)
        baseline = (left + self.pad_px, top + self.pad_px + text_height_px)
        ink = text_colour(colour)
        cv2.putText(image_hwc_bgr_u8, _ascii(text), baseline, FONT, self.scale, ink, self.stroke_px, cv2.LINE_AA)


def _place_label(
    size_px: tuple[int, int], box_xyxy_px: Sequence[int], picture_px: tuple[int, int], taken: Sequence[Area]
) -> Area:
    """Above the box where that is free, else in its top, below it or in its bottom; always inside the picture."""
    width_px, height_px = size_px
    x1, y1, x2, y2 = box_xyxy_px
    corners = [(x1, y1 - height_px), (x1, y1), (x2 - width_px, y1 - height_px), (x1, y2), (x1, y2 - height_px)]
    places = []
    for x, y in corners:
        left = max(0, min(x, picture_px[0] - width_px))
        top = max(0, min(y, picture_px[1] - height_px))
        places.append((left, top, left + width_px, top + height_px))
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def text_colour(ground: Bgr) -> Bgr:
    """Black or white, whichever is easier to read on a ground (ITU-R BT.601 luma)."""
    luma = 0.114 * ground[0] + 0.587 * ground[1] + 0.299 * ground[2]
    return (0, 0, 0) if luma > 110 else (255, 255, 255)
