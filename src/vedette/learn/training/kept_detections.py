"""detections.json: what was labelled and what was found in each picture, kept so that runs can be compared later.

Bounded: of more than DETECTIONS_KEPT the ones with the lowest scores are dropped, in all pictures alike, and
`score_floor` says below which score nothing was kept. Numbers are written so that they read back to the same float32:
figures made from the file are those of the run. Pictures are not copied; the file says where they lay.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import SCORE_FLOOR
from vedette.learn.training.judged import JudgedPictures

DETECTIONS_FILE = "detections.json"
FORMAT = 1
DETECTIONS_KEPT = 200_000  # about 50 bytes each


def write_detections(judged: JudgedPictures, folder: Path, at_most: int = DETECTIONS_KEPT) -> None:
    """Write FOLDER/detections.json, whole or not at all."""
    floor = _floor(judged, at_most)
    document = {
        "format": FORMAT,
        "classes": list(judged.class_names),
        "score_floor": floor,
        "ms_per_picture": judged.ms_per_picture,
        "pictures": [_picture_to_json(judged, number, floor) for number in range(len(judged))],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    path = folder / DETECTIONS_FILE
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="surrogateescape"))


def _floor(judged: JudgedPictures, at_most: int) -> float:
    """The score from which on detections are kept."""
    scores = np.concatenate([np.zeros(0, np.float32), *(found.scores for found in judged.detections)])  # (n,)
    if len(scores) <= at_most:
        return SCORE_FLOOR
    lowest = np.partition(scores, -at_most)[-at_most]  # there may be more that score the same: drop all of those
    kept = scores[scores > lowest] if (scores >= lowest).sum() > at_most else scores[scores >= lowest]
    return float(str(kept.min())) if len(kept) else 1.0


def _picture_to_json(judged: JudgedPictures, number: int, floor: float) -> dict[str, Any]:
    truth, found = judged.truths[number], judged.detections[number]
    found = found.select(found.scores >= np.float32(floor))
    width_px, height_px = judged.sizes_px[number]
    truths = zip(truth.boxes_xyxy_px.tolist(), truth.class_ids.tolist(), truth.ignored.tolist(), strict=True)
    boxes, scores = _exact(found.boxes_xyxy_px), _exact(found.scores)
    return {
        "name": judged.names[number],
        "file": str(judged.files[number].absolute()),
        "size_px": [width_px, height_px],
        "labelled": [[*box, class_id, int(ignored)] for box, class_id, ignored in truths],
        "found": [[*b, s, c] for b, s, c in zip(boxes, scores, found.class_ids.tolist(), strict=True)],
    }


def _exact(values: NDArray[np.float32]) -> Any:
    """As lists of the shortest decimals that read back to the same float32."""
    return values.astype(str).astype(np.float64).tolist()


def has_detections(folder: Path) -> bool:
    """Whether they were kept (runs of older versions have none)."""
    return (folder / DETECTIONS_FILE).is_file()


def read_detections(folder: Path) -> tuple[JudgedPictures, float]:
    """What `write_detections` kept, and the score below which nothing was.

    Raises:
        InputError: the file cannot be read, or is not such a file.
    """
    path = folder / DETECTIONS_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        if document["format"] != FORMAT:
            raise InputError(f"{path} is of format {document['format']}, this version reads {FORMAT}")
        return _from_json(document), float(document["score_floor"])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged ({error!r}); delete it, and only figures are compared") from error


def _from_json(document: dict[str, Any]) -> JudgedPictures:
    classes = tuple(str(name) for name in document["classes"])
    truths, detections = [], []
    for picture in document["pictures"]:
        labelled = np.array(picture["labelled"], np.float64).reshape(-1, 6)  # (n, 6) box, class, ignored
        truths.append(Truths(labelled[:, :4], labelled[:, 4].astype(np.int32), labelled[:, 5] > 0))
        found = np.array(picture["found"], np.float64).reshape(-1, 6)  # (n, 6) box, score, class
        boxes, scores = found[:, :4].astype(np.float32), found[:, 4].astype(np.float32)
        detections.append(Detections(boxes, scores, found[:, 5].astype(np.int32), classes))
    pictures = document["pictures"]
    ms = document["ms_per_picture"]
    return JudgedPictures(
        names=tuple(str(p["name"]) for p in pictures),
        files=tuple(Path(p["file"]) for p in pictures),
        sizes_px=tuple((int(p["size_px"][0]), int(p["size_px"][1])) for p in pictures),
        truths=tuple(truths),
        detections=tuple(detections),
        class_names=classes,
        ms_per_picture=None if ms is None else float(ms),
    )
