"""worst/01.jpg and so on: a picture's labels beside its predictions, every error named, in the colour of its kind.

Drawn on after scaling (small pictures are enlarged), so that letters stay readable. What is right is thin and green;
what is missed stands, dashed, on the side of the predictions too.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.learn.data.errors import PictureError as UnreadablePictureError
from vedette.learn.data.pictures import read_picture
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.diagnosis.diagnose import Diagnosis
from vedette.learn.training.diagnosis.error_kinds import TOLD, ErrorKind, PictureJudgement
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.picture_grids import IGNORED_BGR, beside, captioned, scaled, write_jpeg
from vedette.vision.annotate import class_colour, draw_labels

FOLDER = "worst"
PANEL_PX = (640, 560)  # the largest width and height of a picture in its panel
LETTER_PX = 9.0  # of a capital; the page shows the picture at most a sixth smaller
RIGHT_BGR = (115, 158, 0)
# Okabe and Ito's colours, BGR: told apart by colour-blind people too
KIND_BGR = {
    ErrorKind.MISSED: (0, 94, 213),  # vermilion
    ErrorKind.WRONG_CLASS: (167, 121, 204),  # reddish purple
    ErrorKind.POORLY_PLACED: (0, 159, 230),  # orange
    ErrorKind.WRONG_CLASS_AND_PLACE: (167, 121, 204),
    ErrorKind.DOUBLE: (233, 180, 86),  # sky blue
    ErrorKind.GHOST: (66, 228, 240),  # yellow
}
Bgr = tuple[int, int, int]
Picture = NDArray[np.uint8]  # (h, w, 3) BGR
Mark = tuple[NDArray[np.float64], str, Bgr]  # box in source pixels, label, colour


def write_worst_pictures(judged: JudgedPictures, diagnosis: Diagnosis, run_folder: Path) -> None:
    """Draw the worst pictures in their order; a picture that is not there any more leaves its place empty."""
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    for place, number in enumerate(diagnosis.worst, start=1):
        image = picture_of(judged, number)
        if image is not None:
            found = judged.detections[number]
            found = found.select(found.scores >= diagnosis.score_threshold)
            drawn = draw_judgement(image, judged, number, found, diagnosis.judgements[number])
            write_jpeg(drawn, folder / f"{place:02d}.jpg")


def picture_of(judged: JudgedPictures, number: int) -> Picture | None:
    """The picture as it was judged; nothing where it is gone or another by now."""
    try:
        image = read_picture(judged.files[number])
    except UnreadablePictureError:
        return None
    return image if image.shape[1::-1] == judged.sizes_px[number] else None


def draw_judgement(
    image_hwc_bgr_u8: Picture, judged: JudgedPictures, number: int, found: Detections, judgement: PictureJudgement
) -> Picture:
    """Labels on the left, predictions with their errors on the right, one line of text above each."""
    names = judged.class_names
    left = draw_truths(image_hwc_bgr_u8, judged.truths[number], names, PANEL_PX)
    right = draw_errors(image_hwc_bgr_u8, judged.truths[number], found, judgement, PANEL_PX)
    return beside(
        [captioned(left, f"labels  {judged.names[number]}"), captioned(right, f"predictions: {in_words(judgement)}")]
    )


def in_words(judgement: PictureJudgement) -> str:
    """`2 missed, 1 ghost`, or `all right`."""
    counts = judgement.counts
    return ", ".join(f"{counts[kind]} {kind.value}" for kind in TOLD if counts[kind]) or "all right"


def draw_truths(image: Picture, truth: Truths, names: Sequence[str], panel_px: tuple[int, int]) -> Picture:
    """The labelled objects, in their classes' colours; ignored ones grey."""
    marks: list[Mark] = []
    for box, class_id, ignored in zip(truth.boxes_xyxy_px, truth.class_ids.tolist(), truth.ignored, strict=True):
        marks.append((box, "ignored", IGNORED_BGR) if ignored else (box, names[class_id], class_colour(class_id)))
    panel, scale = scaled(image, panel_px)
    _draw_boxes(panel, scale, marks, width_px=2)
    _label(panel, scale, marks)
    return panel


def draw_errors(
    image: Picture, truth: Truths, found: Detections, judgement: PictureJudgement, panel_px: tuple[int, int]
) -> Picture:
    """What is right thin and without a word, each error thick and named."""
    panel, scale = scaled(image, panel_px)
    boxes = found.boxes_xyxy_px.astype(np.float64)
    _draw_boxes(panel, scale, [(boxes[row], "", RIGHT_BGR) for row, _ in judgement.right], width_px=1)
    missed: list[Mark] = []
    wrong: list[Mark] = []
    for error in judgement.errors:
        colour = KIND_BGR[error.kind]
        if error.detection is None:
            assert error.truth is not None  # MISSED is about an object
            name = found.class_names[int(truth.class_ids[error.truth])]
            missed.append((truth.boxes_xyxy_px[error.truth], f"missed {name}", colour))
            continue
        label = f"{error.kind.value}: {found.class_names[found.class_ids[error.detection]]}"
        label += f" {found.scores[error.detection]:.2f}"
        if error.kind is ErrorKind.WRONG_CLASS and error.truth is not None:
            label += f", is {found.class_names[int(truth.class_ids[error.truth])]}"
        if error.kind is ErrorKind.POORLY_PLACED:
            label += f", IoU {error.iou:.2f}"
        wrong.append((boxes[error.detection], label, colour))
    _draw_boxes(panel, scale, missed, width_px=2, dashed=True)
    _draw_boxes(panel, scale, wrong, width_px=2)
    _label(panel, scale, [*missed, *wrong])
    return panel


def _draw_boxes(panel: Picture, scale: float, marks: Sequence[Mark], *, width_px: int, dashed: bool = False) -> None:
    for (x1, y1, x2, y2), (_, _, colour) in zip(_corners(panel, scale, marks), marks, strict=True):
        if dashed:
            _dashed(panel, (x1, y1, x2, y2), colour, width_px)
        else:
            cv2.rectangle(panel, (x1, y1), (x2, y2), colour, width_px)


def _label(panel: Picture, scale: float, marks: Sequence[Mark]) -> None:
    """After all boxes, so that none crosses a label."""
    labels, colours = [label for _, label, _ in marks], [colour for _, _, colour in marks]
    draw_labels(panel, _corners(panel, scale, marks), labels, colours, letter_px=LETTER_PX)


def _corners(panel: Picture, scale: float, marks: Sequence[Mark]) -> list[list[int]]:
    limits = np.array([panel.shape[1] - 1, panel.shape[0] - 1] * 2)
    return [np.rint(np.clip(box * scale, 0, limits)).astype(int).tolist() for box, _, _ in marks]


def _dashed(panel: Picture, box: tuple[int, int, int, int], colour: Bgr, width_px: int, dash_px: int = 8) -> None:
    x1, y1, x2, y2 = box
    for start in range(x1, x2 + 1, 2 * dash_px):
        for y in (y1, y2):
            cv2.line(panel, (start, y), (min(start + dash_px, x2), y), colour, width_px)
    for start in range(y1, y2 + 1, 2 * dash_px):
        for x in (x1, x2):
            cv2.line(panel, (x, start), (x, min(start + dash_px, y2)), colour, width_px)
