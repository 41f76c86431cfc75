"""Grids of pictures with boxes: what the network is fed, and labels beside predictions.

Every picture is scaled into its cell with its aspect kept, and drawn on after scaling, so that labels stay readable.
Ignored truths (difficult, crowd, mostly cut off) are grey and say so. Files are JPEG, written atomically.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.errors import VedetteError
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.average_precision import Truths
from vedette.vision.annotate import class_colour, draw_label

TRAINING_PICTURES = 16
VALIDATION_PICTURES = 8
PREDICTION_SCORE = 0.25
TRAINING_CELL_PX, VALIDATION_CELL_PX = (420, 420), (480, 400)  # the largest width and height of a picture in its cell
GAP_PX, CAPTION_PX, LINE_PX = 8, 30, 2
GROUND_BGR, PADDING_BGR, INK_BGR = (255, 255, 255), (238, 235, 232), (48, 37, 29)
IGNORED_BGR, IGNORED_LABEL = (150, 150, 150), "ignored"
JPEG_QUALITY = 88

Picture = NDArray[np.uint8]  # (h, w, 3) BGR


@dataclass(frozen=True, slots=True)
class GridPicture:
    """One picture for a grid. `detections` are `None` where there is nothing predicted yet (training batches)."""

    image_hwc_bgr_u8: NDArray[np.uint8]  # (h, w, 3) of any size
    truths: Truths  # boxes in this picture's pixels
    detections: Detections | None = None
    title: str = ""


def write_training_grid(pictures: Sequence[GridPicture], class_names: Sequence[str], path: Path) -> None:
    """train_batch*.jpg: up to 16 augmented pictures with their labels."""
    cells = [_with_truths(p, class_names, TRAINING_CELL_PX) for p in pictures[:TRAINING_PICTURES]]
    write_jpeg(_mosaic(_padded_alike(cells), columns=4 if len(cells) > 4 else 2), path)


def write_validation_grid(pictures: Sequence[GridPicture], class_names: Sequence[str], path: Path) -> None:
    """val_batch*.jpg: up to 8 pictures, each twice: labels on the left, predictions (score >= 0.25) on the right."""
    shown = pictures[:VALIDATION_PICTURES]
    left = [_with_truths(p, class_names, VALIDATION_CELL_PX) for p in shown]
    right = [_with_predictions(p, VALIDATION_CELL_PX) for p in shown]
    both = _padded_alike([cell for pair in zip(left, right, strict=True) for cell in pair])
    captions = [c for p in shown for c in (f"labels  {p.title}", f"predictions, score >= {PREDICTION_SCORE:g}")]
    cells = [captioned(cell, caption) for cell, caption in zip(both, captions, strict=True)]
    write_jpeg(_mosaic(cells, columns=4 if len(shown) > 1 else 2), path)


def _with_truths(picture: GridPicture, class_names: Sequence[str], cell_px: tuple[int, int]) -> Picture:
    truths = picture.truths
    pairs = list(zip(truths.class_ids.tolist(), truths.ignored.tolist(), strict=True))
    labels = [IGNORED_LABEL if ignored else class_names[i] for i, ignored in pairs]
    colours = [IGNORED_BGR if ignored else class_colour(i) for i, ignored in pairs]
    return _drawn(picture.image_hwc_bgr_u8, cell_px, truths.boxes_xyxy_px, labels, colours)


def _with_predictions(picture: GridPicture, cell_px: tuple[int, int]) -> Picture:
    found = picture.detections if picture.detections is not None else Detections.empty(())
    found = found.select(found.scores >= PREDICTION_SCORE)
    labels = [f"{name} {score:.2f}" for name, score in zip(found.names, found.scores, strict=True)]
    colours = [class_colour(class_id) for class_id in found.class_ids.tolist()]
    return _drawn(picture.image_hwc_bgr_u8, cell_px, found.boxes_xyxy_px, labels, colours)


def _drawn(
    image_hwc_bgr_u8: Picture,
    cell_px: tuple[int, int],
    boxes_xyxy_px: NDArray[np.floating[Any]],
    labels: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
) -> Picture:
    """The picture scaled to fit the cell, its boxes drawn at that size; the first box lies on top."""
    height, width = image_hwc_bgr_u8.shape[:2]
    cell, _ = scaled(image_hwc_bgr_u8, cell_px)
    size = cell.shape[1::-1]
    limits = np.array([size[0] - 1, size[1] - 1] * 2)
    corners = np.rint(np.clip(boxes_xyxy_px * np.array([size[0] / width, size[1] / height] * 2), 0, limits)).astype(int)
    for (x1, y1, x2, y2), colour in zip(corners[::-1].tolist(), colours[::-1], strict=True):
        cv2.rectangle(cell, (x1, y1), (x2, y2), colour, LINE_PX)
    for (x1, y1, _, _), label, colour in zip(corners[::-1].tolist(), labels[::-1], colours[::-1], strict=True):
        draw_label(cell, (x1, y1), label, colour)
    return cell


def scaled(image_hwc_bgr_u8: Picture, cell_px: tuple[int, int]) -> tuple[Picture, float]:
    """The picture as large as fits the cell (width, height), to be drawn on, and by how much it was scaled."""
    height, width = image_hwc_bgr_u8.shape[:2]
    scale = min(cell_px[0] / width, cell_px[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.array(cv2.resize(image_hwc_bgr_u8, size, interpolation=method), np.uint8, order="C"), scale


def beside(cells: Sequence[Picture]) -> Picture:
    """Cells of one height from left to right, with gaps between and around."""
    return _mosaic(cells, columns=len(cells))


def _padded_alike(cells: Sequence[Picture]) -> list[Picture]:
    """All cells as large as the largest, each picture in the middle."""
    height = max((cell.shape[0] for cell in cells), default=0)
    width = max((cell.shape[1] for cell in cells), default=0)
    padded = []
    for cell in cells:
        sheet = np.full((height, width, 3), PADDING_BGR, np.uint8)  # (h, w, 3)
        top, left = (height - cell.shape[0]) // 2, (width - cell.shape[1]) // 2
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        padded.append(sheet)
    return padded


def captioned(cell: Picture, text: str) -> Picture:
    """The cell with a line of text above it, cut to the cell's width."""
    strip = np.full((CAPTION_PX, cell.shape[1], 3), GROUND_BGR, np.uint8)  # (h, w, 3)
    shown = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(strip, shown, (2, CAPTION_PX - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK_BGR, 1, cv2.LINE_AA)
    return np.concatenate([strip, cell])


def _mosaic(cells: Sequence[Picture], columns: int) -> Picture:
    """Cells of one size in rows, with gaps between and around; no cell at all gives a small blank sheet."""
    height, width = cells[0].shape[:2] if cells else (CAPTION_PX, CAPTION_PX)
    rows = math.ceil(len(cells) / columns) if cells else 1
    across = min(max(columns, 1), max(len(cells), 1))
    shape = (rows * (height + GAP_PX) + GAP_PX, across * (width + GAP_PX) + GAP_PX, 3)
    sheet = np.full(shape, GROUND_BGR, np.uint8)  # (h, w, 3)
    for place, cell in enumerate(cells):
        top = GAP_PX + place // columns * (height + GAP_PX)
        left = GAP_PX + place % columns * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def write_jpeg(image_hwc_bgr_u8: NDArray[np.uint8], path: Path) -> None:
    """Encode and write atomically.

    Raises:
        VedetteError: when OpenCV cannot encode the picture.
    """
    good, data = cv2.imencode(".jpg", image_hwc_bgr_u8, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good:
        raise VedetteError(f"OpenCV could not encode {path.name}, a picture of {image_hwc_bgr_u8.shape}")
    write_atomically(path, lambda temporary: temporary.write_bytes(data.tobytes()))
