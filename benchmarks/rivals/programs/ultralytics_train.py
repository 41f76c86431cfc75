"""Ultralytics' own yolov3-tiny, trained from scratch with its defaults, and what it then finds in some pictures.

    python ultralytics_train.py DATA.yaml LIST.txt FOLDER SIZE BATCH EPOCHS THREADS SEED

Writes FOLDER/run (its own files), and FOLDER/best.json and FOLDER/last.json: for each picture that LIST.txt names, the
boxes found by its best and its last weights, `[x1, y1, x2, y2, score, class]` in pixels, down to a score of 0.001; and
FOLDER/training.json with seconds, CPU seconds, pictures, peak memory. Ultralytics is AGPL-3.0: this is a program of
its own that is run in an environment of its own, by whoever installs it there; nothing imports it and nothing depends
on it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

DATA, LIST, FOLDER = (Path(text).resolve() for text in sys.argv[1:4])
SIZE, BATCH, EPOCHS, THREADS, SEED = (int(text) for text in sys.argv[4:9])
os.environ |= {"OMP_NUM_THREADS": str(THREADS), "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(FOLDER / "settings")}

SCORE_FLOOR, NMS_IOU, MOST = 0.001, 0.7, 300  # its own validation's


def main() -> None:
    import torch
    import torchvision_stand_in
    from ultralytics import YOLO
    from ultralytics.utils import checks

    suppression = torchvision_stand_in.provide()
    checks.check_font = lambda font="Arial.ttf": None  # would fetch one, for plots that nobody draws
    epochs: list[list[float]] = []
    epoch_began: list[tuple[float, float]] = []
    model = YOLO("yolov3-tiny.yaml")
    model.add_callback("on_train_start", lambda trainer: torch.set_num_threads(THREADS))  # it has set all but one
    model.add_callback("on_train_epoch_start", lambda trainer: epoch_began.append(clock()))
    model.add_callback("on_train_epoch_end", lambda trainer: epochs.append(since(epoch_began[-1])))
    began = clock()
    model.train(
        data=str(DATA),
        imgsz=SIZE,
        batch=BATCH,
        epochs=EPOCHS,
        pretrained=False,
        device="cpu",
        plots=False,
        project=str(FOLDER),
        name="run",
        exist_ok=True,
        seed=SEED,
    )
    spent = since(began)
    pictures = [line.strip() for line in LIST.read_text(encoding="utf-8").splitlines() if line.strip()]
    paths = [str(path if path.is_absolute() else LIST.parent / path) for path in map(Path, pictures)]
    for name in ("best", "last"):
        found = detect(YOLO(FOLDER / "run" / "weights" / f"{name}.pt"), paths)
        (FOLDER / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    told = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "suppression": suppression,
        "wall_s": spent[0],
        "cpu_s": spent[1],
        "epochs_wall_cpu_s": epochs,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (FOLDER / "training.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    print(json.dumps(told))


def clock() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def since(began: tuple[float, float]) -> list[float]:
    return [round(now - then, 3) for now, then in zip(clock(), began, strict=True)]


def detect(model: Any, paths: list[str]) -> dict[str, list[list[float]]]:
    """As its validation does: a box may be of several classes, which helps rare ones; its prediction gives it one."""
    from ultralytics.utils import nms

    given, found = nms.non_max_suppression, {}
    nms.non_max_suppression = lambda *args, **named: given(*args, **(named | {"multi_label": True}))
    for path in paths:
        (result,) = model.predict(
            path, imgsz=SIZE, conf=SCORE_FLOOR, iou=NMS_IOU, max_det=MOST, device="cpu", verbose=False
        )
        found[Path(path).stem] = result.boxes.data.tolist()
    nms.non_max_suppression = given
    return found


if __name__ == "__main__":
    main()
