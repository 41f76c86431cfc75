"""The loop that most people write: OpenCV reads the cameras, OpenCV's DNN runs Darknet's files, `trackers` tracks.

    python opencv_loop.py CFG WEIGHTS EVERY CLIP...

A thread a camera grabs frames and retrieves (converts) only those that are detected on; the main thread detects and
tracks. A program of its own, run by benchmarks/rivals in its own environment; nothing imports it.
"""

import json
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision as sv
from trackers import ByteTrackTracker

SCORE, NMS_IOU = 0.25, 0.45
WAITING_FRAMES = 4  # full 1080p pictures, for all cameras together


def read_camera(number: int, clip: str, every: int, frames: "queue.Queue") -> None:
    capture = cv2.VideoCapture(clip)
    count = 0
    while capture.grab():
        if count % every == 0:
            frames.put((number, capture.retrieve()[1]))
        count += 1
    frames.put((number, count))


def detect(net: Any, picture: np.ndarray, size: tuple[int, int]) -> sv.Detections:
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, size, swapRB=True)
    net.setInput(blob)
    rows = np.concatenate(net.forward(net.getUnconnectedOutLayersNames()))  # (boxes, 5 + classes) float32
    rows = rows[rows[:, 4] > SCORE]
    class_ids = rows[:, 5:].argmax(axis=1)
    scores = rows[np.arange(len(rows)), 5 + class_ids]  # OpenCV has multiplied them by the objectness already
    good = scores > SCORE
    rows, class_ids, scores = rows[good], class_ids[good], scores[good]
    height, width = picture.shape[:2]
    boxes = rows[:, :4] * np.array([width, height, width, height], np.float32)
    boxes[:, :2] -= boxes[:, 2:] / 2  # (n, 4) left, top, width, height
    if not len(boxes):
        return sv.Detections.empty()
    kept = cv2.dnn.NMSBoxesBatched(boxes, scores, class_ids, SCORE, NMS_IOU)
    boxes[:, 2:] += boxes[:, :2]
    return sv.Detections(xyxy=boxes[kept], confidence=scores[kept], class_id=class_ids[kept])


def main() -> None:
    cfg, weights, every, clips = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    net = cv2.dnn.readNetFromDarknet(cfg, weights)
    lines = Path(cfg).read_text().splitlines()
    options = dict(line.split("=", 1) for line in lines if line.startswith(("width=", "height=")))
    size = int(options["width"]), int(options["height"])
    frames = queue.Queue(WAITING_FRAMES)
    for number, clip in enumerate(clips):
        threading.Thread(target=read_camera, args=(number, clip, every, frames), daemon=True).start()
    trackers = [ByteTrackTracker(frame_rate=30 / every) for _ in clips]
    total = slots = objects = tracked = 0
    running = len(clips)
    while running:
        number, picture = frames.get()
        if isinstance(picture, int):
            total += picture
            running -= 1
            continue
        found = detect(net, picture, size)
        tracks = trackers[number].update(found)
        if slots == 0:
            print(json.dumps({"first_result_monotonic_s": time.monotonic()}), flush=True)
        slots += 1
        objects += len(found)
        tracked += int((tracks.tracker_id >= 0).sum())
    print(json.dumps({"frames": total, "slots": slots, "objects": objects, "tracked": tracked}))


if __name__ == "__main__":
    main()
