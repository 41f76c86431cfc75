"""The loop that somebody who knows OpenVINO writes: OpenCV grabs, OpenVINO runs INT8 asynchronously, `trackers` tracks.

    python openvino_loop.py MODEL.xml ANCHORS.json EVERY CLIP...

A thread a camera grabs frames, converts and resizes those that are due, starts their inference and goes on grabbing;
when the next one is due it takes the results: decode, suppression, tracking. Conversion to floats is compiled in. A
program of its own, run by benchmarks/rivals in its own environment; nothing imports it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import supervision as sv
from trackers import ByteTrackTracker

SCORE, NMS_IOU = 0.25, 0.45
LOGIT = float(np.log(SCORE / (1 - SCORE)))


def compile_model(path: str) -> Any:
    core = ov.Core()
    steps = ov.preprocess.PrePostProcessor(core.read_model(path))
    picture = steps.input()
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(
        ov.preprocess.ColorFormat.BGR
    )
    picture.model().set_layout(ov.Layout("NCHW"))
    picture.preprocess().convert_color(ov.preprocess.ColorFormat.RGB).convert_element_type(ov.Type.f32).scale(255.0)
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": os.cpu_count(), "ENABLE_CPU_PINNING": False}
    return core.compile_model(steps.build(), "CPU", settings)


def decode(heads: Sequence[np.ndarray], anchors: Any, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Boxes (n, 4) as fractions, left top width height; scores (n,); class ids (n,)."""
    width, height = size
    found = []
    for head, sizes in zip(heads, anchors, strict=True):
        raw = head[0].reshape(len(sizes), -1, *head.shape[2:])  # (anchors, 5 + classes, rows, columns)
        anchor, row, column = np.nonzero(raw[:, 4] > LOGIT)
        cells = raw[anchor, :, row, column]  # (n, 5 + classes)
        certain = 1 / (1 + np.exp(-cells[:, 4:]))
        class_ids = certain[:, 1:].argmax(axis=1)
        scores = certain[:, 0] * certain[np.arange(len(cells)), 1 + class_ids]
        centres = 1 / (1 + np.exp(-cells[:, :2])) + np.stack([column, row], axis=1)
        centres /= np.array(raw.shape[:1:-1])
        sides = np.exp(cells[:, 2:4]) * np.asarray(sizes)[anchor] / (width, height)
        found.append(np.column_stack([centres - sides / 2, sides, scores, class_ids]))
    rows = np.concatenate(found)
    rows = rows[rows[:, 4] > SCORE]
    return rows[:, :4], rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int32)


class Camera(threading.Thread):
    first = threading.Lock()

    def __init__(self, clip: str, every: int, compiled: Any, anchors: Any) -> None:
        super().__init__()
        self.clip, self.every, self.anchors = clip, every, anchors
        _, self.height, self.width, _ = compiled.input().shape
        self.request = compiled.create_infer_request()
        self.outputs = list(compiled.outputs)
        self.tracker = ByteTrackTracker(frame_rate=30 / every)
        self.frames = self.slots = self.objects = self.tracked = 0

    def run(self) -> None:
        capture = cv2.VideoCapture(self.clip)
        source = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        waiting = False
        while capture.grab():
            if self.frames % self.every == 0:
                if waiting:
                    self.finish(source)
                picture = cv2.resize(capture.retrieve()[1], (self.width, self.height), interpolation=cv2.INTER_LINEAR)
                self.request.set_input_tensor(ov.Tensor(picture[None]))
                self.request.start_async()
                waiting = True
            self.frames += 1
        if waiting:
            self.finish(source)

    def finish(self, source: tuple[float, float]) -> None:
        self.request.wait()
        heads = [self.request.get_tensor(output).data for output in self.outputs]
        boxes, scores, class_ids = decode(heads, self.anchors, (self.width, self.height))
        boxes = (boxes * np.array([*source, *source])).astype(np.float32)
        found = sv.Detections.empty()
        if len(boxes):
            kept = cv2.dnn.NMSBoxesBatched(boxes, scores, class_ids, SCORE, NMS_IOU)
            boxes[:, 2:] += boxes[:, :2]
            found = sv.Detections(xyxy=boxes[kept], confidence=scores[kept], class_id=class_ids[kept])
        tracks = self.tracker.update(found)
        if self.slots == 0 and Camera.first.acquire(blocking=False):
            print(json.dumps({"first_result_monotonic_s": time.monotonic()}), flush=True)
        self.slots += 1
        self.objects += len(found)
        self.tracked += int((tracks.tracker_id >= 0).sum())


def main() -> None:
    model, anchors_path, every, clips = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    anchors = json.loads(Path(anchors_path).read_text())
    compiled = compile_model(model)
    cameras = [Camera(clip, every, compiled, anchors) for clip in clips]
    for camera in cameras:
        camera.start()
    for camera in cameras:
        camera.join()
    names = ("frames", "slots", "objects", "tracked")
    print(json.dumps({name: sum(getattr(camera, name) for camera in cameras) for name in names}))


if __name__ == "__main__":
    main()
