"""What is known of cameras while deepstream-app says nothing, and what a late message of an older run does."""

import json

import pytest

from simulators.deepstream_app import minimal
from vedette.apps import deepstream_watching
from vedette.apps.deepstream_watching import STALE_S, DeepStreamWatch
from vedette.apps.service_notice import Progress
from vedette.apps.watching import WatchOutlets
from vedette.contracts.event import Event
from vedette.edge.deepstream.rendered import RenderedFacts

FACTS = {
    "deepstream": "7.1",
    "board": "Jetson Orin Nano",
    "bundle": {"name": "squares", "digest": "0" * 64},
    "class_names": ["red"],
    "least_score": 0.25,
    "interval": 4,
    "camera_size_px": [1920, 1080],
    "muxer_size_px": [960, 540],
    "messages": None,
    "pipeline": {
        "bundle": "squares",
        "cameras": [{"name": "gate", "url": "rtsp://10.0.0.1/main"}],
        "zones": [{"name": "yard", "polygon": [[0, 0], [1920, 0], [1920, 1080], [0, 1080]]}],
    },
}


class Clock:
    """Stands in for the module's `time`."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1.7e9 + self.now_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deepstream_watching, "time", clock)
    return clock


def watch_of(told: list[str], events: list[Event]) -> DeepStreamWatch:
    facts = RenderedFacts.model_validate_json(json.dumps(FACTS))
    return DeepStreamWatch(facts, WatchOutlets(listeners=[events.append]), told.append)


def send(watch: DeepStreamWatch, frame: int, second: int) -> None:
    box = "0|100|100|200|200|red"
    watch.take_message(json.dumps(minimal(frame, f"2026-11-22T12:00:{second:02d}.000Z", "gate", box)).encode())


def names(events: list[Event]) -> list[str]:
    return [event.type.value.split(".")[1] for event in events]


def test_rates_that_stay_away_are_not_shown_as_running_and_do_not_stop_the_watchdog(clock: Clock) -> None:
    watch = watch_of([], [])
    progress = Progress()
    for _ in range(3):
        watch.on_rates((30.0,), 5.0)
        assert progress.goes_on(watch.statistics())
    (camera,) = watch.status().cameras
    assert (camera.state.value, camera.fps, camera.detections_per_s, camera.frames) == ("running", 30.0, 6.0, 450)

    clock.now_s += STALE_S + 1
    watch.look(True)
    (camera,) = watch.status().cameras
    assert (camera.state.value, camera.fps) == ("opening", 0.0)
    assert progress.goes_on(watch.statistics())


def test_objects_leave_when_nothing_is_told_of_a_camera_that_runs(clock: Clock) -> None:
    events: list[Event] = []
    watch = watch_of([], events)
    watch.on_rates((30.0,), 5.0)
    send(watch, 5, 1)
    clock.now_s += 4
    watch.look(False)
    assert names(events) == ["zone_entered"]  # the broker is away: nothing is known
    watch.look(True)
    assert names(events) == ["zone_entered", "zone_exited"]
    watch.look(True)
    assert len(events) == 2


def test_a_late_message_of_the_run_before_does_not_join_two_objects_of_one_number(clock: Clock) -> None:
    events: list[Event] = []
    watch = watch_of([], events)
    watch.on_start()
    send(watch, 500, 1)
    watch.on_fall("it crashed", 1.0)
    clock.now_s += 1
    watch.on_start()
    send(watch, 505, 2)  # late
    send(watch, 0, 3)

    assert names(events) == ["zone_entered", "zone_exited", "zone_entered", "zone_exited", "zone_entered"]
    assert watch.status().cameras[0].restarts == 1


def test_what_cannot_be_used_is_told_once_and_counted(clock: Clock) -> None:
    told: list[str] = []
    watch = watch_of(told, [])
    for _ in range(3):
        watch.take_message(b"\xff")
        watch.take_message(json.dumps(minimal(1, "2026-11-22T12:00:00Z", "attic")).encode())

    assert (watch.refused, len(told)) == (6, 2)


def test_facts_keep_what_the_pipeline_file_left_out() -> None:
    facts = RenderedFacts.model_validate(
        FACTS | {"pipeline": {**FACTS["pipeline"], "detect": {"fps": 5}}}  # type: ignore[dict-item]
    )
    again = RenderedFacts.model_validate_json(facts.model_dump_json(exclude_unset=True))

    assert again == facts
    assert again.pipeline.detect.fps == 5
