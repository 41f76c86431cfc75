"""One picture as all sides see it: the labels, then each side's predictions with its errors drawn, as JPEG bytes."""

import base64
from collections.abc import Sequence

import cv2

from vedette.contracts.errors import VedetteError
from vedette.learn.training.diagnosis.diagnose import Diagnosis
from vedette.learn.training.diagnosis.worst_pictures import draw_errors, draw_truths, in_words, picture_of
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.picture_grids import beside, captioned

PANEL_PX = (460, 420)
QUALITY = 82


def draw_sides(
    sides: Sequence[JudgedPictures], diagnoses: Sequence[Diagnosis], labels: Sequence[str], number: int
) -> str | None:
    """A data: address of the picture; None where it is not there any more on this computer."""
    found = (picture_of(side, number) for side in sides)
    image = next((one for one in found if one is not None), None)
    if image is None:
        return None
    panels = [captioned(draw_truths(image, sides[0].truths[number], sides[0].class_names, PANEL_PX), "labels")]
    for side, diagnosis, label in zip(sides, diagnoses, labels, strict=True):
        detections = side.detections[number]
        detections = detections.select(detections.scores >= diagnosis.score_threshold)
        judgement = diagnosis.judgements[number]
        panel = draw_errors(image, side.truths[number], detections, judgement, PANEL_PX)
        panels.append(captioned(panel, f"{label}: {in_words(judgement)}"))
    good, data = cv2.imencode(".jpg", beside(panels), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise VedetteError(f"OpenCV could not encode the picture {sides[0].names[number]}")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
