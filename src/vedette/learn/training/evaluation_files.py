"""The files that tell how good a detector is, written the same way at the end of a run and by `vedette evaluate --out`.

evaluation.json, detections.json, the curves, the confusion matrix, what scores are worth, the worst pictures.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.diagnosis.diagnose import Diagnosis, diagnose
from vedette.learn.training.diagnosis.score_plots import write_score_plots
from vedette.learn.training.diagnosis.worst_pictures import picture_of, write_worst_pictures
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.kept_detections import write_detections
from vedette.learn.training.picture_grids import VALIDATION_PICTURES, GridPicture, write_validation_grid
from vedette.learn.training.plots import write_evaluation_plots
from vedette.learn.training.report import EVALUATION_FILE

VALIDATION_BATCHES = 2  # val_batch0.jpg and so on


def write_evaluation_files(
    judged: JudgedPictures, evaluation: Evaluation, folder: Path, facts: Mapping[str, Any] | None = None
) -> Diagnosis:
    """Write all of them; `facts` are further entries of evaluation.json, such as the model and the data."""
    diagnosis = diagnose(judged, evaluation.best_score)
    document = {**evaluation.to_json(), **diagnosis.to_json(judged), **dict(facts or {})}
    write_evaluation(document, folder)
    write_detections(judged, folder)
    write_evaluation_plots(evaluation, folder)
    write_score_plots(diagnosis.scores, evaluation.best_score, folder)
    write_worst_pictures(judged, diagnosis, folder)
    for number in range(VALIDATION_BATCHES):
        start = number * VALIDATION_PICTURES
        write_validation_batch(judged.part(range(start, min(start + VALIDATION_PICTURES, len(judged)))), number, folder)
    return diagnosis


def write_evaluation(document: Mapping[str, Any], folder: Path) -> None:
    """FOLDER/evaluation.json, atomically; the report's tables are made from it."""
    text = json.dumps(dict(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(
        folder / EVALUATION_FILE,
        lambda temporary: temporary.write_text(text, encoding="utf-8", errors="surrogateescape"),
    )


def write_validation_batch(judged: JudgedPictures, number: int, folder: Path) -> None:
    """val_batchN.jpg: labels beside detections of a few pictures; those that are not there any more are left out."""
    shown = []
    for row in range(len(judged)):
        image = picture_of(judged, row)
        if image is not None:
            shown.append(GridPicture(image, judged.truths[row], judged.detections[row], judged.names[row]))
    if shown:
        write_validation_grid(shown, judged.class_names, folder / f"val_batch{number}.jpg")
