"""Counting in drawn factories whose crossings are known: what a detector would say of a scene, and what is counted.

The noise is that of the demo's own detector on its clips (yolov3-tiny 320x192, 180 s of training), measured on 720
frames, but with many more misses: it missed one part in 9638, misread 0.3 % and saw 0.67 ghosts a frame, mostly parts
so far behind a pipe or the picture's edge that they are not labelled.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vedette.contracts.detections import Detections
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Line
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker, TrackerSettings
from vedette.learn.data.scenes.factory import FPS, Factory

CLASSES = ("defective", "gear", "plate", "ring")
STRONG_SCORE = 0.25  # the demo's

Counts = Counter[tuple[str, str]]  # by direction and class


@dataclass(frozen=True)
class Noise:
    """How a detector errs. Boxes by a share of their side, per corner coordinate; shares of parts; ghosts a frame."""

    jitter: float = 0.027
    missed: float = 0.02
    misread: float = 0.003
    weak: float = 0.01
    ghosts: float = 0.67


def detect(factory: Factory, frame: int, random: np.random.Generator, noise: Noise) -> Detections:
    """What a detector with that noise says of one frame."""
    boxes, scores, class_ids = [], [], []
    for labelled in factory.objects(frame):
        if random.random() < noise.missed:
            continue
        box = np.array(labelled.box_xyxy_px)
        box += random.normal(0, noise.jitter, 4) * (box[2:] - box[:2]).mean()
        class_id = CLASSES.index(labelled.class_name)
        boxes.append(box)
        class_ids.append((class_id + 1) % len(CLASSES) if random.random() < noise.misread else class_id)
        scores.append(random.uniform(0.1, STRONG_SCORE) if random.random() < noise.weak else random.uniform(0.75, 0.98))
    for _ in range(random.poisson(noise.ghosts)):
        corner = random.uniform([0, 0], [factory.width_px - 40, factory.height_px - 40])
        boxes.append(np.concatenate([corner, corner + random.uniform(30, 120, 2)]))
        class_ids.append(int(random.integers(len(CLASSES))))
        scores.append(random.uniform(0.1, 0.9))
    order = np.argsort(-np.array(scores))
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4)[order],
        np.array(scores, np.float32)[order],
        np.array(class_ids, np.int32)[order],
        CLASSES,
    )


def count(factory: Factory, frames: range, detections: Callable[[int], Detections]) -> Counts:
    """What tracker and rules count when they see only those frames."""
    x1, y1, x2, y2 = factory.line_xyxy_px
    lines = [Line(name="count", start=(x1, y1), end=(x2, y2))]
    size = {"width": factory.width_px, "height": factory.height_px}
    tracker, rules = ByteTracker(TrackerSettings(strong_score=STRONG_SCORE)), CameraRules("belt", lines, [], **size)
    counted: Counts = Counter()
    for frame in frames:
        tracks = tracker.update(detections(frame), frame / FPS)
        stamp = FrameStamp("belt", frame, frame / FPS, 0.0, factory.width_px, factory.height_px)
        for occurrence in rules.update(stamp, tracks):
            assert occurrence.direction is not None
            counted[occurrence.direction.value, occurrence.class_name] += 1
    return counted


def true_counts(factory: Factory, frames: range) -> Counts:
    """The crossings between the first and the last of those frames."""
    seen = [crossing for crossing in factory.crossings() if frames[0] < crossing.frame <= frames[-1]]
    return Counter((crossing.direction, crossing.class_name) for crossing in seen)


def errors(counted: Counts, true: Counts) -> int:
    """Crossings too many and too few, each direction and class by itself."""
    return sum(abs(counted[key] - true[key]) for key in counted.keys() | true.keys())
