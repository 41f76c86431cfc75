"""Messages of a camera as frames: scaled, gathered, in order, each once."""

import numpy as np

from vedette.edge.deepstream.frames import CameraFormat, CameraFrames, MediaClock, from_signed, to_signed
from vedette.edge.deepstream.messages import Message, SeenObject

FORMAT = CameraFormat("gate", (1920, 1080), (960, 540), ("car", "person"), 0.25)
NOON_S = 1.7e9


def seen(track: int | None, name: str = "car", box: tuple[float, ...] = (10, 20, 110, 220)) -> SeenObject:
    return SeenObject(track, name, (box[0], box[1], box[2], box[3]), None)


def message(at_s: float, frame: int | None, *objects: SeenObject) -> Message:
    return Message("gate", NOON_S + at_s, frame, objects)


def test_boxes_become_pixels_of_the_camera_and_scores_the_least() -> None:
    ((stamp, tracks),) = CameraFrames(FORMAT).take(
        message(0, 5, seen(7), seen(8, "bolt", (-5, 0, 2000, 540)), SeenObject(9, "person", (0, 0, 1, 1), 0.75)), 100.0
    )

    assert (stamp.camera, stamp.width_px, stamp.height_px, stamp.captured_unix_s) == ("gate", 1920, 1080, NOON_S)
    assert tracks.track_ids.tolist() == [7, 8, 9]
    assert tracks.boxes_xyxy_px.tolist() == [[20, 40, 220, 440], [0, 0, 1920, 1080], [0, 0, 2, 2]]
    assert tracks.scores.tolist() == [0.25, 0.25, 0.75]
    assert [tracks.class_names[number] for number in tracks.class_ids] == ["car", "bolt", "person"]


def test_a_message_that_comes_twice_counts_once() -> None:
    frames = CameraFrames(FORMAT)
    first, second = message(0, 5, seen(7)), message(0.2, 10, seen(7))

    taken = [len(frames.take(one, 100.0)) for one in (first, second, second, first, message(0.4, 15))]

    assert (taken, frames.repeated) == ([1, 1, 0, 0, 1], 2)


def test_frames_numbered_anew_are_of_another_run() -> None:
    frames = CameraFrames(FORMAT)
    assert not frames.is_new_run(message(0, 5))
    frames.take(message(0, 5), 100.0)

    given = [message(1, 10), message(0, 5), message(-1, 4), message(1, None), message(1, 0)]
    assert [frames.is_new_run(one) for one in given] == [False, False, False, False, True]


def test_objects_of_one_time_are_one_frame_of_the_full_payload() -> None:
    frames = CameraFrames(FORMAT)

    assert frames.take(message(0, None, seen(1)), 100.0) == []
    assert frames.take(message(0, None, seen(2)), 100.0) == []
    assert frames.take(message(0, None, seen(2)), 100.0) == []
    ((stamp, tracks),) = frames.take(message(0.2, None, seen(1)), 100.2)
    assert (tracks.track_ids.tolist(), stamp.media_time_s, frames.repeated) == ([1, 2], 0.0, 1)
    assert frames.flush(100.3, 0.5) == []
    ((stamp, tracks),) = frames.flush(100.8, 0.5)
    assert (tracks.track_ids.tolist(), round(stamp.media_time_s, 6)) == ([1], 0.2)
    assert frames.flush(101.0) == []


def test_what_is_not_tracked_is_counted_and_kept_out() -> None:
    frames = CameraFrames(FORMAT)
    ((_, tracks),) = frames.take(message(0, 1, seen(None), seen(3)), 100.0)

    assert (tracks.track_ids.tolist(), frames.untracked) == ([3], 1)


def test_time_never_runs_backward_when_a_clock_is_set() -> None:
    clock = MediaClock()
    times = [
        clock.at(unix_s, now_s) for unix_s, now_s in ((5.0, 100), (5.2, 100.2), (1.7e9, 100.4), (1.7e9 + 1, 101.4))
    ]
    back = [clock.at(unix_s, now_s) for unix_s, now_s in ((6.4, 101.6), (6.3, 101.7), (6.6, 101.8))]

    np.testing.assert_allclose([*times, *back], [0, 0.2, 0.4, 1.4, 1.6, 1.6, 1.8], atol=1e-6)


def test_after_a_rest_time_goes_on_from_there() -> None:
    frames = CameraFrames(FORMAT)
    frames.take(message(0, 500, seen(1)), 100.0)
    stamp, tracks = frames.rest(3.0, 160.0, NOON_S + 60)
    ((after, _),) = frames.take(message(61, 0, seen(1)), 161.0)

    assert (stamp.media_time_s, len(tracks), after.media_time_s) == (60.0, 0, 61.0)
    assert frames.rest(3.0, 161.5, NOON_S + 62)[0].media_time_s == 64.0


def test_track_numbers_of_64_bits_are_kept() -> None:
    for number in (0, 1, 2**63 - 1, 2**63, 2**64 - 2):
        assert from_signed(int(np.array([to_signed(number)], np.int64)[0])) == number
