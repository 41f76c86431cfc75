"""Ultralytics' own way with many cameras: a `.streams` file, `track`, its ByteTrack, every frame that is due.

    python ultralytics_track.py MODEL STREAMS_FILE EVERY IMGSZ

MODEL is a .pt (its default form: PyTorch) or the folder of an OpenVINO export. Ultralytics is AGPL-3.0: this is a
program of its own for measuring, run in an environment of its own by whoever installs it there; nothing imports it and
nothing depends on it.
"""

import json
import sys
import time

import torchvision_stand_in
from ultralytics import YOLO


def main() -> None:
    model_path, streams, every, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    suppression = torchvision_stand_in.provide()
    model = YOLO(model_path, task="detect")
    slots = tracked = 0
    for result in model.track(
        streams, stream=True, vid_stride=every, stream_buffer=True, imgsz=size, tracker="bytetrack.yaml", verbose=False
    ):
        if slots == 0:
            print(json.dumps({"first_result_monotonic_s": time.monotonic()}), flush=True)
        slots += 1
        tracked += len(result.boxes)
    frames = sum(int(count) for count in model.predictor.dataset.frames)
    print(json.dumps({"frames": frames, "slots": slots, "tracked": tracked, "suppression": suppression}))


if __name__ == "__main__":
    main()
