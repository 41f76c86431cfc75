"""What the tracker promises: identity, trial, class by vote, two stages, every Nth frame, time."""

import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.edge.analytics.errors import TimeOrderError
from vedette.edge.analytics.track import ByteTracker, TrackerSettings

NAMES = ("bolt", "nut", "gear")


def seen(*objects):
    """Detections of (centre x, centre y, side, score, class)."""
    best_first = sorted(objects, key=lambda o: -o[3])
    boxes = [(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s, _, _ in best_first]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([o[3] for o in best_first], np.float32),
        np.array([o[4] for o in best_first], np.int32),
        NAMES,
    )


def test_objects_of_the_first_frame_are_tracks_at_once_later_ones_after_a_second_look():
    tracker = ByteTracker()
    assert tracker.update(seen((100, 100, 50, 0.9, 0)), 0.0).track_ids.tolist() == [1]
    assert tracker.update(seen((100, 100, 50, 0.9, 0), (400, 100, 50, 0.9, 0)), 0.2).track_ids.tolist() == [1]
    tracks = tracker.update(seen((100, 100, 50, 0.9, 0), (410, 100, 50, 0.9, 0)), 0.4)
    assert tracks.track_ids.tolist() == [1, 2]
    assert tracks.previous_boxes_xyxy_px.tolist() == [[75, 75, 125, 125], [375, 75, 425, 125]]


@pytest.mark.parametrize("frames_per_s", [10, 30, 100])
def test_a_new_object_is_given_out_once_it_has_proved_itself_with_the_whole_way_it_came(frames_per_s):
    tracker = ByteTracker()
    tracker.update(seen(), 0.0)
    for frame in range(1, 200):
        time_s = frame / frames_per_s
        tracks = tracker.update(seen((100 + 60 * time_s, 100, 50, 0.9, 0)), time_s)
        seen_for_s = (frame - 1) / frames_per_s
        assert len(tracks) == (seen_for_s >= 0.15 - 1e-6)
        if len(tracks):
            break
    assert seen_for_s == pytest.approx(0.15, abs=0.051)
    began = 100 + 60 / frames_per_s
    assert tracks.previous_boxes_xyxy_px[0] == pytest.approx([began - 25, 75, began + 25, 125], abs=0.01)


def test_boxes_tremble_less_than_the_detectors_and_stay_near_them():
    random, tracker = np.random.default_rng(3), ByteTracker()
    raw, given = [], []
    for frame in range(200):
        x, y, side = 100 + 3 * frame + random.normal(0, 2.5), 200 + random.normal(0, 2.5), 60 + random.normal(0, 4)
        detections = seen((x, y, side, 0.9, 0))
        tracks = tracker.update(detections, frame / 30)
        raw.append(detections.boxes_xyxy_px[0] - [3 * frame, 0, 3 * frame, 0])
        given.append(tracks.boxes_xyxy_px[0] - [3 * frame, 0, 3 * frame, 0])
        assert np.abs(given[-1] - raw[-1]).max() < 0.3 * 60
    raw, given = np.array(raw)[20:], np.array(given)[20:]
    assert (given.std(axis=0) < 0.6 * raw.std(axis=0)).all()
    assert np.abs(given.mean(axis=0) - raw.mean(axis=0)).max() < 1.0  # it does not lag behind


def test_a_sudden_stop_is_followed_at_once():
    tracker = ByteTracker()
    for frame in range(30):
        tracker.update(seen((100 + 6 * frame, 200, 60, 0.9, 0)), frame / 30)
    for frame in range(30, 40):
        tracks = tracker.update(seen((274, 200, 60, 0.9, 0)), frame / 30)
        assert tracks.track_ids.tolist() == [1]
        assert tracks.boxes_xyxy_px[0, [0, 2]].mean() == pytest.approx(274, abs=0.1 * 60)


def test_time_that_was_held_ages_nobody():
    tracker = ByteTracker()
    for frame in range(5):
        tracker.update(seen((100, 100, 50, 0.9, 0)), frame * 0.2)
    tracker.hold(60.0)
    assert tracker.update(seen((100, 100, 50, 0.9, 0)), 61.0).track_ids.tolist() == [1]


def test_nobody_jumps_over_to_another_object_while_nothing_moves():
    """Of two that stand, a look finds one and the next look, seconds later, the other: no track went between."""
    tracker = ByteTracker()
    first = tracker.update(seen((100, 100, 50, 0.9, 0)), 0.0)
    assert first.track_ids.tolist() == [1]
    tracker.hold(4.0)
    tracks = tracker.update(seen((180, 100, 50, 0.9, 0)), 4.2)
    assert 1 not in tracks.track_ids.tolist()
    tracker.hold(4.0)
    assert 1 in tracker.update(seen((104, 100, 50, 0.9, 0), (180, 100, 50, 0.9, 0)), 8.4).track_ids.tolist()


def test_a_new_part_between_two_equal_ones_goes_the_way_of_the_belt():
    """Spacing of two lengths, one length for each detection: ahead is as far as behind."""
    tracker, side, paths = ByteTracker(), 40, {}
    for slot in range(30):
        parts = [x for n in range(30) if 0 < (x := 20.0 + side * (slot - 2 * n)) < 800]
        tracks = tracker.update(seen(*((x, 100, side, 0.9 - x / 10000, 0) for x in parts)), slot / 6)
        for track_id, box in zip(tracks.track_ids.tolist(), tracks.boxes_xyxy_px, strict=True):
            paths.setdefault(track_id, []).append(float(box[0]))
    long_paths = [path for path in paths.values() if len(path) > 5]
    assert len(long_paths) > 8
    assert all(np.allclose(np.diff(path), side, atol=6) for path in long_paths)


def test_a_ghost_of_one_frame_never_becomes_a_track():
    tracker = ByteTracker()
    tracker.update(seen(), 0.0)
    tracker.update(seen((400, 100, 50, 0.9, 0)), 0.2)
    tracker.update(seen(), 0.4)
    assert len(tracker.update(seen((400, 100, 50, 0.9, 0)), 0.6)) == 0


def test_weak_detections_continue_a_track_but_start_none():
    tracker = ByteTracker(TrackerSettings(strong_score=0.5))
    tracker.update(seen((100, 100, 50, 0.9, 0)), 0.0)
    tracks = tracker.update(seen((105, 100, 50, 0.2, 0), (400, 100, 50, 0.2, 0)), 0.2)
    assert tracks.track_ids.tolist() == [1]
    assert tracks.scores.tolist() == pytest.approx([0.2])
    assert tracker.update(seen((110, 100, 50, 0.2, 0), (400, 100, 50, 0.2, 0)), 0.4).track_ids.tolist() == [1]


def test_a_strong_detection_is_preferred_to_a_nearer_weak_one():
    tracker = ByteTracker(TrackerSettings(strong_score=0.5))
    tracker.update(seen((100, 100, 50, 0.9, 0)), 0.0)
    tracks = tracker.update(seen((100, 100, 50, 0.3, 0), (110, 100, 50, 0.8, 0)), 0.2)
    assert tracks.scores.tolist() == pytest.approx([0.8])


def test_a_hidden_object_comes_back_under_its_id_for_a_while_and_not_later():
    for hidden_s, same in [(0.8, True), (1.2, True), (1.7, False)]:
        tracker = ByteTracker()
        for frame in range(6):
            tracker.update(seen((100 + 20 * frame, 100, 50, 0.9, 0)), frame * 0.1)
        back_s = 0.5 + hidden_s
        for time_s in np.arange(0.6, back_s - 0.01, 0.1):
            assert len(tracker.update(seen(), float(time_s))) == 0
        at = 100 + 200 * back_s
        tracks = [tracker.update(seen((at + 20 * n, 100, 50, 0.9, 0)), back_s + n * 0.1) for n in range(2)][-1]
        assert (tracks.track_ids.tolist() == [1]) is same


def test_one_misread_frame_changes_neither_identity_nor_class():
    tracker = ByteTracker()
    for frame in range(5):
        tracker.update(seen((100 + 10 * frame, 100, 50, 0.8, 1)), frame / 6)
    tracks = tracker.update(seen((150, 100, 50, 0.95, 2)), 5 / 6)
    assert tracks.track_ids.tolist() == [1]
    assert tracks.class_ids.tolist() == [1]


def test_two_readings_of_one_object_are_one_track():
    tracker = ByteTracker()
    for frame in range(4):
        tracks = tracker.update(seen((100, 100, 50, 0.8, 0), (101, 100, 50, 0.6, 1)), frame / 6)
        assert tracks.track_ids.tolist() == [1]


@pytest.mark.parametrize("lengths_per_detection", [0.3, 0.7, 1.0])
def test_small_fast_objects_keep_their_ids_although_their_boxes_never_overlap(lengths_per_detection):
    tracker, side = ByteTracker(), 40
    for frame in range(20):
        way_px = lengths_per_detection * side * frame
        tracks = tracker.update(seen((100 + way_px, 100, side, 0.9, 0), (300 - way_px, 160, side, 0.9, 0)), frame / 6)
        assert tracks.track_ids.tolist() == [1, 2]
    assert tracks.boxes_xyxy_px[0, 0] > 200 > tracks.boxes_xyxy_px[1, 0]  # they have passed each other


def test_ids_are_never_used_again():
    tracker, ids = ByteTracker(), []
    for frame in range(10):
        ids += tracker.update(seen((100, 100, 50, 0.9, 0)), frame * 10.0).track_ids.tolist()
        ids += tracker.update(seen((100, 100, 50, 0.9, 0)), frame * 10.0 + 0.2).track_ids.tolist()
    assert len(set(ids)) == 10
    assert ids == sorted(ids)


def test_detections_two_seconds_apart_still_follow_what_hardly_moves():
    tracker = ByteTracker()
    for frame in range(4):
        tracks = tracker.update(seen((100 + 4 * frame, 100, 50, 0.9, 0)), frame * 2.0)
    assert tracks.track_ids.tolist() == [1]


def test_time_that_runs_backward_is_refused():
    tracker = ByteTracker()
    tracker.update(seen(), 1.0)
    with pytest.raises(TimeOrderError, match=r"0\.500"):
        tracker.update(seen(), 0.5)


@pytest.mark.parametrize("shift_s", [0.0, 5000.25])
def test_only_differences_of_time_matter(shift_s):
    random, plain, shifted = np.random.default_rng(7), ByteTracker(), ByteTracker()
    for frame in range(40):
        objects = [
            (50 + 30 * i + 3 * frame + random.normal(0, 2), 80 * (i % 5) + 60, 40, 0.8, i % 3) for i in range(12)
        ]
        detections = seen(*objects)
        one, other = plain.update(detections, frame * 0.25), shifted.update(detections, shift_s + frame * 0.25)
        assert one.track_ids.tolist() == other.track_ids.tolist()
        assert (one.boxes_xyxy_px == other.boxes_xyxy_px).all()
