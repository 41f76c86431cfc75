"""Trackers of several cameras, fed together, say what each alone says, to the same bits."""

import numpy as np
import pytest

from vedette.contracts.detections import Detections, Tracks
from vedette.edge.analytics import track as track_module
from vedette.edge.analytics.errors import TimeOrderError
from vedette.edge.analytics.track import ByteTracker, TrackerSettings, update_together

CAMERAS = 5
CLASSES = ("bolt", "nut", "washer")


class Scene:
    """Objects that wander, vanish, cross and are misread; read twice at times; none of it at some moments."""

    def __init__(self, seed: int, classes: tuple[str, ...]) -> None:
        self.random = np.random.default_rng(seed)
        self.classes = classes
        count = int(self.random.integers(0, 9))
        self.centre_px = self.random.uniform(0, 400, (count, 2))
        self.speed_px = self.random.normal(0, 9, (count, 2))
        self.side_px = self.random.uniform(15, 70, (count, 1))
        self.time_s = 0.0

    def look(self) -> tuple[Detections, float]:
        self.time_s += float(self.random.choice([1 / 6, 0.2, 0.0, 0.7, 8.0], p=[0.7, 0.15, 0.05, 0.05, 0.05]))
        self.centre_px += self.speed_px
        seen = self.random.random(len(self.centre_px)) < 0.85
        corners = np.concatenate([self.centre_px - self.side_px / 2, self.centre_px + self.side_px / 2], axis=1)[seen]
        corners = np.concatenate([corners, corners[: int(self.random.integers(0, 3))]])  # second readings
        scores = np.sort(self.random.uniform(0.1, 1, len(corners)))[::-1].astype(np.float32)
        boxes = (corners + self.random.normal(0, 1.5, corners.shape)).astype(np.float32)
        class_ids = self.random.integers(0, len(self.classes), len(corners)).astype(np.int32)
        return Detections(boxes, scores, class_ids, self.classes), self.time_s


def content(tracks: Tracks) -> list[bytes]:
    assert tracks.previous_boxes_xyxy_px is not None
    arrays = (tracks.track_ids, tracks.boxes_xyxy_px, tracks.scores, tracks.class_ids, tracks.previous_boxes_xyxy_px)
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:1]])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most_pairs", [track_module.MOST_PAIRS, 60])
def test_together_is_each_alone(seed: int, classes: tuple[str, ...], most_pairs: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(track_module, "MOST_PAIRS", most_pairs)
    scenes = [Scene(10 * seed + number, classes) for number in range(CAMERAS)]
    together, alone = ([ByteTracker() for _ in scenes] for _ in range(2))
    random, shown = np.random.default_rng(seed), 0
    for _ in range(60):
        some = np.flatnonzero(random.random(CAMERAS) < 0.7).tolist()  # who has a frame now, in the order of cameras
        frames = [scenes[camera].look() for camera in some]
        if some and random.random() < 0.1:
            for trackers in (together, alone):
                trackers[some[0]].hold(1.5)
            scenes[some[0]].time_s += 1.5
            frames[0] = (frames[0][0], frames[0][1] + 1.5)
        found = update_together([together[camera] for camera in some], frames)
        expected = [alone[camera].update(*frame) for camera, frame in zip(some, frames, strict=True)]
        assert [content(one) for one in found] == [content(one) for one in expected]
        shown += sum(map(len, found))
    assert shown > 100


def test_trackers_with_other_settings_keep_them():
    frames = [Scene(3, CLASSES).look()] * 2
    strict, usual = ByteTracker(TrackerSettings(strong_score=0.99)), ByteTracker()
    few, many = update_together([strict, usual], frames)
    assert len(few) < len(many)


def test_detectors_of_other_classes_and_whole_seconds_are_no_matter():
    frames = [Scene(3, classes).look()[0] for classes in (CLASSES, CLASSES[:1])]
    trackers = [ByteTracker(), ByteTracker()]
    for second in (1, 2):
        found = update_together(trackers, [(detections, second) for detections in frames])
    assert [len(one) > 0 for one in found] == [True, True]
    assert [one.class_names for one in found] == [CLASSES, CLASSES[:1]]


def test_a_frame_from_the_past_changes_nobody():
    scene = Scene(3, CLASSES)
    trackers = [ByteTracker(), ByteTracker()]
    first = update_together(trackers, [scene.look()] * 2)
    detections, time_s = scene.look()
    with pytest.raises(TimeOrderError, match=r"-1.000 s came after"):
        update_together(trackers, [(detections, time_s + 5), (detections, -1.0)])
    again = trackers[0].update(detections, time_s)
    assert len(first[0]) and set(again.track_ids.tolist()) & set(first[0].track_ids.tolist())
    assert update_together([], []) == []
