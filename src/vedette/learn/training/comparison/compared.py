"""One side of a comparison, read from its folder: a training run, the folds of one, or an evaluation.

A run that has not ended has curves only. Folds (`fold-1`, `fold-2`, ...) count as one: every picture is validated once
among them, so their detections are put together; their curves are averaged.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.errors import InputError
from vedette.learn.data.split_files import SPLIT_FILE, read_split_file
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.kept_detections import has_detections, read_detections
from vedette.learn.training.plots import read_results
from vedette.learn.training.report import EVALUATION_FILE, RESULTS_FILE, SETTINGS_FILE, meant_settings

FOLDS = "fold-*"
FACTS = ("model", "engine", "resize", "nms_iou", "nms_kind", "data", "split")  # of an evaluation, beside its figures
FIGURES = ("map50", "map50_95", "precision", "recall")
Curves = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What is known of one side; what its folder lacks is empty."""

    label: str
    path: Path
    settings: dict[str, Any]
    curves: Curves  # columns of results.csv
    figures: dict[str, float]  # FIGURES of its own pictures, as its evaluation.json has them
    fold_figures: tuple[dict[str, float], ...]
    judged: JudgedPictures | None
    score_floor: float
    trained_on: frozenset[str]  # names of pictures


def read_compared(paths: Sequence[Path]) -> tuple[Compared, ...]:
    """Read every side; labels are folder names, or paths where those are not different.

    Raises:
        InputError: a folder is none of the three, or a file in it cannot be read.
    """
    names = [path.resolve().name for path in paths]
    labels = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    if len(set(labels)) < len(labels):
        raise InputError("the same folder is given twice; a comparison is of different ones")
    return tuple(replace(_read(path), label=label) for path, label in zip(paths, labels, strict=True))


def _read(path: Path) -> Compared:
    begun = (p for p in path.glob(FOLDS) if (p / EVALUATION_FILE).is_file() or (p / RESULTS_FILE).is_file())
    folds = sorted(begun, key=lambda p: (len(p.name), p.name))
    return _together(path, [_read_one(fold) for fold in folds]) if folds else _read_one(path)


def _read_one(path: Path) -> Compared:
    if not (path / EVALUATION_FILE).is_file() and not (path / RESULTS_FILE).is_file():
        what = "holds no run and no evaluation" if path.is_dir() else "is no folder"
        raise InputError(
            f"{path} {what}: give what `vedette train --out` or `vedette evaluate --out` has left ({EVALUATION_FILE}, "
            f"{RESULTS_FILE})"
        )
    evaluation = _document(path / EVALUATION_FILE)
    settings = {key: evaluation[key] for key in FACTS if key in evaluation}
    settings |= meant_settings(_document(path / SETTINGS_FILE))
    judged, floor = read_detections(path) if has_detections(path) else (None, 0.0)
    splits = read_split_file(path / SPLIT_FILE) if (path / SPLIT_FILE).is_file() else {}
    try:
        curves = read_results(path / RESULTS_FILE)
        figures = {key: float(evaluation[key]) for key in FIGURES if evaluation.get(key) is not None}
    except (TypeError, ValueError, OSError, csv.Error) as error:
        raise InputError(f"{path}: {RESULTS_FILE} or {EVALUATION_FILE} is damaged: {error}") from error
    trained_on = frozenset(splits.get("train", ()))
    return Compared(path.name, path, settings, curves, figures, (), judged, floor, trained_on)


def _document(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no JSON object")
    return document


def _together(path: Path, folds: Sequence[Compared]) -> Compared:
    first = folds[0].settings
    settings = {key: value for key, value in first.items() if all(fold.settings.get(key) == value for fold in folds)}
    parts = [fold.judged for fold in folds if fold.judged is not None and fold.judged.class_names == _classes(folds)]
    whole = len(parts) == len(folds)
    figures = {}
    for key in FIGURES:
        known = [fold.figures[key] for fold in folds if key in fold.figures]
        if len(known) == len(folds):
            figures[key] = float(np.mean(known))
    return Compared(
        path.name,
        path,
        {**settings, "folds": len(folds)},
        _mean_curves([fold.curves for fold in folds]),
        figures,
        tuple(fold.figures for fold in folds),
        _joined(parts) if whole else None,
        max(fold.score_floor for fold in folds),
        frozenset(),  # every picture is validated by a run that has not seen it
    )


def _classes(folds: Sequence[Compared]) -> tuple[str, ...]:
    return next((fold.judged.class_names for fold in folds if fold.judged is not None), ())


def _joined(parts: Sequence[JudgedPictures]) -> JudgedPictures:
    return JudgedPictures(
        tuple(name for part in parts for name in part.names),
        tuple(file for part in parts for file in part.files),
        tuple(size for part in parts for size in part.sizes_px),
        tuple(truth for part in parts for truth in part.truths),
        tuple(found for part in parts for found in part.detections),
        parts[0].class_names,
        parts[0].ms_per_picture,
    )


def _mean_curves(curves: Sequence[Curves]) -> Curves:
    """Means over the epochs that all folds have done."""
    length = min((len(c.get("epoch", ())) for c in curves), default=0)
    names = [name for name in curves[0] if all(name in c for c in curves)]
    return {name: np.mean([c[name][:length] for c in curves], axis=0) for name in names} if length else {}
