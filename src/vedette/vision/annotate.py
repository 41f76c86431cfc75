"""Boxes and labels drawn into a picture, readable from 200 to 8000 pixels wide.

Colours are Okabe and Ito's, told apart by colour-blind people too; they repeat after seven classes, so the label always
names the class. Line and letter sizes follow the picture's size. Hershey fonts have ASCII only: other letters show as
`?` on the picture (never in data).
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[int, int, int]

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
    """Draw boxes with their labels into the picture; the first is drawn last, so that the best one lies on top.

    Raises:
        ValueError: when the numbers of boxes, labels and classes differ.
    """
    count = len(boxes_xyxy_px)
    if len(labels) != count or len(class_ids) != count:
        raise ValueError(f"{count} boxes, {len(labels)} labels, {len(class_ids)} classes: the numbers must be equal")
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    line_px = max(1, round(max(width_px, height_px) / 640))
    corners = np.rint(np.clip(boxes_xyxy_px, 0, [width_px - 1, height_px - 1] * 2)).astype(int)  # (n, 4)
    for box, class_id in zip(corners[::-1], class_ids[::-1], strict=True):
        start, end = (int(box[0]), int(box[1])), (int(box[2]), int(box[3]))
        cv2.rectangle(image_hwc_bgr_u8, start, end, (0, 0, 0), line_px * 2 + 1, cv2.LINE_AA)  # an edge on any ground
        cv2.rectangle(image_hwc_bgr_u8, start, end, class_colour(int(class_id)), line_px, cv2.LINE_AA)
    for box, label, class_id in zip(corners[::-1], labels[::-1], class_ids[::-1], strict=True):
        draw_label(image_hwc_bgr_u8, (int(box[0]), int(box[1])), label, class_colour(int(class_id)))


def draw_label(image_hwc_bgr_u8: NDArray[np.uint8], box_corner_px: tuple[int, int], text: str, colour: Bgr) -> None:
    """A filled label above a box's top left corner, pushed inside where it would leave the picture."""
    height_px, width_px = image_hwc_bgr_u8.shape[:2]
    letter_px = min(max(8.0, max(width_px, height_px) / 85), 60.0)
    scale = letter_px / FONT_HEIGHT_PX
    stroke_px = max(1, round(letter_px / 10))
    shown = text.encode("ascii", "replace").decode("ascii")
    (text_width_px, text_height_px), drop_px = cv2.getTextSize(shown, FONT, scale, stroke_px)
    pad_px = max(2, round(letter_px / 5))
    label_width_px, label_height_px = text_width_px + 2 * pad_px, text_height_px + drop_px // 2 + 2 * pad_px
    left = max(0, min(box_corner_px[0], width_px - label_width_px))
    top = min(max(box_corner_px[1] - label_height_px, 0), max(0, height_px - label_height_px))
    cv2.rectangle(image_hwc_bgr_u8, (left, top), (left + label_width_px, top + label_height_px), colour, cv2.FILLED)
    baseline = (left + pad_px, top + pad_px + text_height_px)
    cv2.putText(image_hwc_bgr_u8, shown, baseline, FONT, scale, text_colour(colour), stroke_px, cv2.LINE_AA)


def text_colour(ground: Bgr) -> Bgr:
    """Black or white, whichever is easier to read on a ground (ITU-R BT.601 luma)."""
    luma = 0.114 * ground[0] + 0.587 * ground[1] + 0.299 * ground[2]
    return (0, 0, 0) if luma > 110 else (255, 255, 255)
