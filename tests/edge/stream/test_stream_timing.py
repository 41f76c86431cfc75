"""Media time never runs backward, whatever the time stamps do; lateness is measured against the right clock."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.edge.stream.timing import FilePace, LivePace, MediaClock


def stamps(clock: MediaClock, times: list[float | None]) -> list[float]:
    return [clock.stamp(time) for time in times]


def test_media_time_starts_at_zero_and_follows_the_time_stamps():
    assert stamps(MediaClock(0.04, live=False), [7.0, 7.04, 7.5, 7.51]) == pytest.approx([0, 0.04, 0.5, 0.51])


def test_missing_time_stamps_advance_by_the_frame_interval():
    assert stamps(MediaClock(0.1, live=False), [None, None, None]) == pytest.approx([0, 0.1, 0.2])


def test_a_stream_without_a_rate_counts_25_frames_a_second():
    assert stamps(MediaClock(None, live=False), [None, None]) == pytest.approx([0, 0.04])


def test_a_small_step_back_holds_and_then_goes_on_in_step():
    assert stamps(MediaClock(0.04, live=False), [0.0, 0.5, 0.46, 0.54]) == pytest.approx([0, 0.5, 0.5, 0.54])


def test_a_clock_set_back_goes_on_one_interval_later():
    assert stamps(MediaClock(0.04, live=True), [100.0, 100.04, 3.0, 3.04]) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_a_gap_is_believed_in_a_file_but_not_of_a_live_camera():
    assert stamps(MediaClock(0.04, live=False), [0.0, 3600.0])[1] == 3600.0
    assert stamps(MediaClock(0.04, live=True), [0.0, 3600.0])[1] == pytest.approx(0.04)


def test_a_gap_left_on_purpose_is_believed_of_a_live_camera():
    clock = MediaClock(0.04, live=True)
    clock.stamp(0.0)
    assert clock.stamp(60.0, frames_left_out=1500) == 60.0


def test_frames_left_out_count_where_there_are_no_time_stamps():
    clock = MediaClock(0.1, live=False)
    clock.stamp(None)
    assert clock.stamp(None, frames_left_out=9) == pytest.approx(1.0)


def test_a_looped_file_goes_on_where_it_ended():
    clock = MediaClock(0.04, live=False)
    stamps(clock, [0.0, 0.04, 0.08])
    clock.restart()
    assert stamps(clock, [0.0, 0.04]) == pytest.approx([0.12, 0.16])


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=2), st.booleans())
def test_media_time_never_runs_backward(times: list[float | None], live: bool):
    got = stamps(MediaClock(0.04, live), times)
    assert got[0] == 0 and all(a <= b for a, b in itertools.pairwise(got))


def test_a_paced_file_is_early_then_late():
    pace = FilePace()
    assert pace.lateness_s(100.0, 0.0) == 0
    assert pace.lateness_s(100.1, 0.5) == pytest.approx(-0.4)
    assert pace.lateness_s(103.0, 1.0) == pytest.approx(2.0)


def test_a_live_camera_that_arrives_in_a_burst_is_late_by_its_first_frames_only():
    pace = LivePace()
    late = [pace.lateness_s(now, media) for now, media in [(10.0, 0.0), (10.01, 1.0), (10.05, 1.04), (12.0, 1.5)]]
    assert late == pytest.approx([0, 0, 0, 1.49], abs=0.01)


def test_a_live_cameras_slow_clock_is_no_lateness():
    pace = LivePace()
    late = [pace.lateness_s(second, second * (1 - 200e-6)) for second in range(0, 36_000, 10)]
    assert max(late) < 0.05


def test_a_camera_that_had_to_be_waited_for_was_not_behind():
    pace = LivePace()
    pace.lateness_s(0.0, 0.0)
    assert pace.lateness_s(5.0, 2.0) == pytest.approx(3.0, abs=0.01)
    pace.skipped(media_skipped_s=2.0, spent_s=2.0)
    assert pace.lateness_s(7.0, 4.0) == 0
    assert pace.lateness_s(9.5, 4.5) == pytest.approx(2.0, abs=0.01)
    pace.skipped(media_skipped_s=2.0, spent_s=0.05)
    assert pace.lateness_s(9.55, 6.5) == pytest.approx(0.05, abs=0.01)
