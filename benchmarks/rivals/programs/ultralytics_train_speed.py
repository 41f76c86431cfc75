"""Ultralytics' own training loop on its own yolov3-tiny, a round whenever a line comes on standard input.

    python ultralytics_train_speed.py DATA.yaml FOLDER SIZE BATCH THREADS FIRST WARM TIMED

FIRST batches come before the first round. A round is WARM batches that are not counted and TIMED ones that are, by the
clock between the ends of two batches: loading, augmentation, forward, backward, optimiser, weight average; validation
is off. Each round is answered by one line of JSON; the end of standard input ends it. Ultralytics is AGPL-3.0: a
program of its own, for measuring only.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

DATA, FOLDER = (Path(text).resolve() for text in sys.argv[1:3])
SIZE, BATCH, THREADS, FIRST, WARM, TIMED = (int(text) for text in sys.argv[3:9])
os.environ |= {"OMP_NUM_THREADS": str(THREADS), "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(FOLDER / "settings")}
MANY_EPOCHS = 1000
ANSWERS = os.fdopen(os.dup(1), "w")  # it writes its own progress to standard output: that goes to standard error
os.dup2(2, 1)


class Rounds:
    """Counts batches; at the end of a round it answers and waits for the next line."""

    def __init__(self) -> None:
        self.batches = -FIRST
        self.began = (0.0, 0.0)

    def __call__(self, trainer: Any) -> None:
        self.batches += 1
        if self.batches in (0, WARM + TIMED):
            if self.batches:
                wall_s, cpu_s = (now - then for now, then in zip(clock(), self.began, strict=True))
                peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                answer = {"pictures": TIMED * BATCH, "wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib}
            else:
                answer = {"ready": True}
            print(json.dumps(answer), file=ANSWERS, flush=True)
            if not sys.stdin.readline():
                os._exit(0)
            self.batches = 0
        if self.batches == WARM:
            self.began = clock()


def main() -> None:
    import torch
    import torchvision_stand_in
    from ultralytics import YOLO
    from ultralytics.utils import checks

    torchvision_stand_in.provide()
    checks.check_font = lambda font="Arial.ttf": None
    model = YOLO("yolov3-tiny.yaml")
    model.add_callback("on_train_start", lambda trainer: torch.set_num_threads(THREADS))  # it has set all but one
    model.add_callback("on_train_batch_end", Rounds())
    model.train(
        data=str(DATA),
        imgsz=SIZE,
        batch=BATCH,
        epochs=MANY_EPOCHS,
        pretrained=False,
        device="cpu",
        plots=False,
        val=False,
        project=str(FOLDER),
        name="speed",
        exist_ok=True,
    )


def clock() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


if __name__ == "__main__":
    main()
