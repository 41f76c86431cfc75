"""Tracks, lines and zones over a gap in which a camera was away: time goes on, nothing is made up, counts stay."""

import numpy as np

from vedette.contracts.detections import Detections
from vedette.contracts.event import Direction, EventType
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Line, Zone
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker

NAMES = ("bolt",)
GATE = Line(name="gate", start=("50%", 0), end=("50%", "100%"))
YARD = Zone(name="yard", polygon=((0, 0), (200, 0), (200, 100), (0, 100)))
STEP_S = 0.2


class Watched:
    """A camera with one object, or none, at a place on the x axis."""

    def __init__(self) -> None:
        self.rules, self.tracker = CameraRules("door", [GATE], [YARD]), ByteTracker()
        self.index, self.time_s, self.found = 0, 0.0, []

    def see(self, *places: float | None) -> "Watched":
        for x in places:
            boxes = np.array([] if x is None else [(x - 10, 30, x + 10, 50)], np.float32).reshape(-1, 4)
            count = len(boxes)
            seen = Detections(boxes, np.full(count, 0.9, np.float32), np.zeros(count, np.int32), NAMES)
            stamp = FrameStamp("door", self.index, self.time_s, 1.7e9 + self.time_s, 200, 100)
            self.found += self.rules.update(stamp, self.tracker.update(seen, self.time_s))
            self.index, self.time_s = self.index + 5, self.time_s + STEP_S
        return self

    def away(self, seconds: float) -> "Watched":
        self.time_s += seconds - STEP_S
        return self

    def types(self) -> list[EventType]:
        return [occurrence.type for occurrence in self.found]


def test_who_was_in_a_zone_leaves_it_with_the_first_frame_after_a_long_gap_and_counts_stay():
    watched = Watched().see(60, 75, 90, 105, 120, 135, 150)
    crossed = watched.rules.counts.crossings("gate", "bolt", Direction.B_TO_A)
    before = watched.types()
    assert crossed == 1 and before.count(EventType.ZONE_ENTERED) == 1 and EventType.ZONE_EXITED not in before
    watched.away(3600).see(None, None, None)
    assert watched.types()[len(before) :] == [EventType.ZONE_EXITED]
    assert watched.rules.counts.crossings("gate", "bolt", Direction.B_TO_A) == 1
    assert watched.rules.counts.to_json()["zones"]["yard"]["inside"] == 0


def test_what_stands_on_the_other_side_after_a_long_gap_is_somebody_else_and_has_not_crossed():
    watched = Watched().see(60, 60, 60, 60).away(8).see(140, 140, 140, 140)
    assert EventType.LINE_CROSSED not in watched.types()
    entered = [occurrence.track_id for occurrence in watched.found if occurrence.type is EventType.ZONE_ENTERED]
    assert len(set(entered)) == 2


def test_who_stands_still_through_a_hiccup_stays_the_same():
    watched = Watched().see(60, 60, 60, 60).away(1.0).see(60, 60, 60)
    assert watched.types() == [EventType.ZONE_ENTERED]
