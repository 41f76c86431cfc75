"""Draws what a camera's rules and tracks say over its picture, at whatever size the picture has been scaled to.

Guarantees: works in place on (h, w, 3) uint8 BGR; geometry comes in source pixels and is scaled here. The boxes
themselves are drawn by `vision.annotate`. The arrow on a line points in the direction `a_to_b`.
"""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Tracks
from vedette.contracts.status import PlacedLine, PlacedZone
from vedette.vision.annotate import draw_boxes

LINE_BGR = (64, 190, 255)
ZONE_BGR = (220, 200, 70)
INK_BGR = (18, 14, 10)
PAPER_BGR = (240, 240, 240)
ZONE_OPACITY = 0.16


def draw_tracks(image_hwc_bgr_u8: NDArray[np.uint8], tracks: Tracks, scale: float) -> None:
    """Boxes with class and track number; `scale` is picture pixels per source pixel."""
    labels = [
        f"{tracks.class_names[class_id]} {track_id}"
        for class_id, track_id in zip(tracks.class_ids, tracks.track_ids, strict=True)
    ]
    draw_boxes(image_hwc_bgr_u8, tracks.boxes_xyxy_px * np.float32(scale), labels, tracks.class_ids)


def draw_rules(
    image_hwc_bgr_u8: NDArray[np.uint8], lines: Sequence[PlacedLine], zones: Sequence[PlacedZone], scale: float
) -> None:
    """Zones as tinted polygons, lines with the arrow of `a_to_b`, each with its name."""
    thickness = max(2, round(image_hwc_bgr_u8.shape[1] / 400))
    for zone in zones:
        corners = np.array(zone.polygon_xy_px, np.float64) * scale  # (corners, 2)
        _tint(image_hwc_bgr_u8, np.rint(corners).astype(np.int32))
        _polyline(image_hwc_bgr_u8, np.rint(corners).astype(np.int32), thickness)
        x, y = corners.min(axis=0)
        _label(image_hwc_bgr_u8, zone.name, (x + 2 * thickness, y + 2 * thickness), ZONE_BGR)
    for line in lines:
        _draw_line(image_hwc_bgr_u8, line, scale, thickness)


def draw_counts(image_hwc_bgr_u8: NDArray[np.uint8], counts: Mapping[str, int]) -> None:
    """One row a count in the lower left corner; what does not fit is left out."""
    step = _text_height(image_hwc_bgr_u8) * 2
    y = image_hwc_bgr_u8.shape[0] - step * 1.2
    for label, count in reversed(list(counts.items())):
        if y < step:
            return
        _label(image_hwc_bgr_u8, f"{label}: {count}", (step * 0.5, y), PAPER_BGR)
        y -= step


def _draw_line(image: NDArray[np.uint8], line: PlacedLine, scale: float, thickness: int) -> None:
    start, end = np.array(line.start_xy_px) * scale, np.array(line.end_xy_px) * scale
    middle, along = (start + end) / 2, end - start
    length = math.hypot(*along)
    across = np.array([-along[1], along[0]]) / max(length, 1e-9)  # left to right of start -> end, y pointing down
    arrow = min(max(length * 0.12, 8.0 * thickness), 16.0 * thickness)
    for colour, width in ((INK_BGR, thickness + 2), (LINE_BGR, thickness)):  # the dark rim keeps it readable on white
        cv2.line(image, _point(start), _point(end), colour, width, cv2.LINE_AA)
        cv2.arrowedLine(
            image, _point(middle), _point(middle + across * arrow), colour, width, cv2.LINE_AA, tipLength=0.45
        )
    for end_point in (start, end):
        cv2.circle(image, _point(end_point), thickness * 2, INK_BGR, -1, cv2.LINE_AA)
        cv2.circle(image, _point(end_point), max(1, thickness * 2 - 2), LINE_BGR, -1, cv2.LINE_AA)
    _label(image, line.name, (start[0] + 3 * thickness, start[1] + 2 * thickness), LINE_BGR)


def _tint(image: NDArray[np.uint8], corners: NDArray[np.int32]) -> None:
    height, width = image.shape[:2]
    left, top = np.clip(corners.min(axis=0), 0, (width, height))
    right, bottom = np.clip(corners.max(axis=0) + 1, 0, (width, height))
    if right <= left or bottom <= top:
        return
    part = image[top:bottom, left:right]
    filled = part.copy()
    cv2.fillPoly(filled, [corners - np.array([left, top], np.int32)], ZONE_BGR)
    cv2.addWeighted(filled, ZONE_OPACITY, part, 1 - ZONE_OPACITY, 0, dst=part)


def _polyline(image: NDArray[np.uint8], corners: NDArray[np.int32], thickness: int) -> None:
    cv2.polylines(image, [corners], True, INK_BGR, thickness + 1, cv2.LINE_AA)
    cv2.polylines(image, [corners], True, ZONE_BGR, max(1, thickness - 1), cv2.LINE_AA)


def _text_height(image: NDArray[np.uint8]) -> float:
    return max(9.0, float(image.shape[1]) / 64)


def _label(image: NDArray[np.uint8], text: str, at: tuple[float, ...], colour: tuple[int, int, int]) -> None:
    """Text on a dark plate, pushed inside the picture."""
    text = text.replace("→", "->").encode("ascii", "replace").decode()  # OpenCV's fonts hold nothing else
    height = _text_height(image)
    size = height / 21.0  # FONT_HERSHEY_SIMPLEX capitals are 21 px high at scale 1
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    pad = round(height * 0.4)
    x = round(min(max(at[0], 0), max(image.shape[1] - width - 2 * pad, 0)))
    y = round(min(max(at[1], 0), max(image.shape[0] - height - 2 * pad, 0)))
    plate = image[y : y + round(height) + 2 * pad, x : x + width + 2 * pad]
    plate[:] = plate // 4
    cv2.putText(image, text, (x + pad, y + pad + round(height)), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _point(xy: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))
