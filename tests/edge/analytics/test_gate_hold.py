"""Stillness that nobody looked at makes nobody leave."""

import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.contracts.event import EventType
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Line, Zone
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker

YARD = Zone(name="yard", polygon=((0, 0), (100, 0), (100, 100), (0, 100)), dwell_s=8.0)
GATE = Line(name="gate", start=(100, 0), end=(100, 100))
SLOT_S = 1 / 6


class Door:
    """One camera's tracker and rules, told of stillness as a run tells them."""

    def __init__(self, hold: bool) -> None:
        self.tracker, self.rules, self.hold = ByteTracker(), CameraRules("door", [GATE], [YARD]), hold
        self.before_s = 0.0

    def see(self, time_s: float, x: float | None) -> list[tuple[EventType, float]]:
        still_s = max(time_s - self.before_s - SLOT_S, 0.0)
        if still_s > 0.01 and self.hold:
            self.tracker.hold(still_s)
            self.rules.hold(still_s)
        self.before_s = time_s
        boxes = np.zeros((0, 4), np.float32) if x is None else np.array([[x - 10, 30, x + 10, 80]], np.float32)
        count = len(boxes)
        found = Detections(boxes, np.full(count, 0.9, np.float32), np.zeros(count, np.int32), ("person",))
        tracks = self.tracker.update(found, time_s)
        stamp = FrameStamp("door", round(time_s * 30), time_s, 1.7e9 + time_s, 200, 100, still_s)
        return [(o.type, time_s) for o in self.rules.update(stamp, tracks)]


def visit(door: Door, missed: set[int]) -> list[EventType]:
    """Comes in, stands for 12 s that are looked at every 2 s (some looks miss it), and goes out through the line."""
    events = []
    for n in range(12):
        events += door.see(n * SLOT_S, 20 + 3 * n)
    start_s = 11 * SLOT_S
    for n in range(1, 7):
        events += door.see(start_s + 2.0 * n, None if n in missed else 53)
    for n in range(1, 16):
        events += door.see(start_s + 12 + n * SLOT_S, 53 + 5 * n)
    return [event for event, _ in events]


@pytest.mark.parametrize("missed", [set(), {3}, {2, 5}])
def test_who_stands_still_stays_inside_though_a_look_misses_it(missed: set[int]) -> None:
    events = visit(Door(hold=True), missed)
    assert events[:2] == [EventType.ZONE_ENTERED, EventType.ZONE_DWELLED]
    assert sorted(events[2:]) == sorted([EventType.LINE_CROSSED, EventType.ZONE_EXITED])


def test_without_being_told_of_stillness_a_missed_look_is_an_exit() -> None:
    events = visit(Door(hold=False), {3})
    assert events.count(EventType.ZONE_ENTERED) == events.count(EventType.ZONE_EXITED) == 2
