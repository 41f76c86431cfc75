"""Lines and zones of a camera over its tracks, from the tracker's trial to the final counts."""

import numpy as np
import pytest

from vedette.contracts.detections import Detections, Tracks
from vedette.contracts.event import BundleReference, Direction, Event, EventType
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Anchor, Line, Zone
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.analytics.events import EventMaker, format_utc
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker

NAMES = ("bolt", "nut")
GATE = Line(name="gate", start=("50%", 0), end=("50%", "100%"))  # facing down: a is on the right of the picture
YARD = Zone(name="yard", polygon=((0, 0), ("50%", 0), ("50%", "100%"), (0, "100%")), dwell_s=1.0)


def stamp(time_s, width=200, height=100):
    return FrameStamp("door", round(time_s * 30), time_s, 1_700_000_000.0 + time_s, width, height)


def tracks(*objects):
    """(id, centre x, bottom y, class) of boxes 10 px wide and 20 high."""
    return Tracks(
        np.array([o[0] for o in objects], np.int64),
        np.array([(x - 5, y - 20, x + 5, y) for _, x, y, _ in objects], np.float32).reshape(-1, 4),
        np.full(len(objects), 0.875, np.float32),
        np.array([o[3] for o in objects], np.int32),
        NAMES,
    )


def test_crossings_are_told_and_counted_by_class_and_direction():
    rules, found = CameraRules("door", [GATE], []), []
    for n in range(5):
        found += rules.update(stamp(n * 0.2), tracks((1, 60 + 20 * n, 50, 0), (2, 140 - 20 * n, 80, 1)))
    assert [(o.type, o.track_id, o.class_name, o.line, o.direction) for o in found] == [
        (EventType.LINE_CROSSED, 1, "bolt", "gate", Direction.B_TO_A),
        (EventType.LINE_CROSSED, 2, "nut", "gate", Direction.A_TO_B),
    ]
    assert found[0].box_xyxy_px == (95, 30, 105, 50)
    assert rules.counts.to_json() == {
        "lines": {"gate": {"bolt": {"a_to_b": 0, "b_to_a": 1}, "nut": {"a_to_b": 1, "b_to_a": 0}}},
        "zones": {},
    }
    assert rules.counts.crossings("gate", "nut", Direction.A_TO_B) == 1
    assert rules.counts.labels() == {"gate a→b": 1, "gate a→b nut": 1, "gate b→a": 1, "gate b→a bolt": 1}


def test_a_crossing_between_the_first_two_detections_of_a_track_is_counted():
    rules, tracker = CameraRules("door", [GATE], []), ByteTracker()
    found = []
    for n, x in enumerate([None, 92, 112, 132]):
        boxes = np.array([] if x is None else [(x - 10, 30, x + 10, 50)], np.float32).reshape(-1, 4)
        count = len(boxes)
        detections = Detections(boxes, np.full(count, 0.9, np.float32), np.zeros(count, np.int32), NAMES)
        found += rules.update(stamp(n / 6), tracker.update(detections, n / 6))
    assert [o.direction for o in found] == [Direction.B_TO_A]
    assert found[0].stamp.media_time_s == pytest.approx(2 / 6)


@pytest.mark.parametrize(("anchor", "crosses"), [(Anchor.BOTTOM_CENTRE, True), (Anchor.CENTRE, False)])
def test_the_anchor_decides(anchor, crosses):
    low = Line(name="low", start=(0, 60), end=(200, 60))
    rules = CameraRules("door", [low], [], anchor)
    rules.update(stamp(0), tracks((1, 50, 50, 0)))
    assert bool(rules.update(stamp(0.2), tracks((1, 50, 66, 0)))) is crosses


def test_whose_feet_the_edge_cuts_off_passes_no_line_and_no_zone_that_ends_there():
    rules, found = CameraRules("door", [GATE], [YARD]), []
    path = [(160, 106), (130, 103), (70, 108), (40, 99), (70, 120), (130, 104), (160, 97), (170, 110), (180, 110)]
    for n, (x, bottom) in enumerate(path):
        found += rules.update(stamp(n * 0.2), tracks((1, x, bottom, 0)))
    assert [(o.type, o.direction) for o in found] == [
        (EventType.LINE_CROSSED, Direction.A_TO_B),
        (EventType.ZONE_ENTERED, None),
        (EventType.LINE_CROSSED, Direction.B_TO_A),
        (EventType.ZONE_EXITED, None),
    ]
    aside = CameraRules("door", [Line(name="top", start=(0, "50%"), end=("100%", "50%"))], [YARD])
    assert not aside.update(stamp(0), tracks((1, 204, 30, 0)))
    assert [o.type for o in aside.update(stamp(0.2), tracks((1, 203, 70, 0)))] == [EventType.LINE_CROSSED]
    assert [o.type for o in aside.update(stamp(0.4), tracks((1, -3, 70, 0)))] == [EventType.ZONE_ENTERED]


def test_enter_dwell_and_exit_of_a_zone():
    rules, found = CameraRules("door", [], [YARD]), []
    for n, x in enumerate([150, 90, 80, 70, 80, 150, 160]):
        found += rules.update(stamp(n * 0.4), tracks((7, x, 50, 0)))
    assert [(o.type, o.zone, o.dwell_s if o.dwell_s is None else round(o.dwell_s, 3)) for o in found] == [
        (EventType.ZONE_ENTERED, "yard", None),
        (EventType.ZONE_DWELLED, "yard", 1.2),
        (EventType.ZONE_EXITED, "yard", 1.2),
    ]
    assert rules.counts.to_json()["zones"] == {"yard": {"inside": 0, "entered": 1, "exited": 1, "dwelled": 1}}


def test_an_object_that_is_lost_inside_leaves():
    rules = CameraRules("door", [], [YARD])
    rules.update(stamp(0), tracks((7, 50, 50, 0)))
    rules.update(stamp(0.5), tracks((7, 55, 50, 0)))
    assert rules.counts.inside("yard") == 1
    assert rules.update(stamp(1.9), tracks()) == []
    (gone,) = rules.update(stamp(2.1), tracks())
    assert (gone.type, gone.track_id, gone.dwell_s) == (EventType.ZONE_EXITED, 7, 0.5)
    assert gone.box_xyxy_px == (50, 30, 60, 50)
    assert rules.counts.inside("yard") == 0


def test_per_cent_follows_the_picture_size_and_a_new_size_starts_afresh():
    rules = CameraRules("door", [GATE], [YARD])
    assert rules.placed_lines == ()
    rules.update(stamp(0), tracks((1, 60, 50, 0)))
    assert rules.placed_lines[0].start_xy_px == (100, 0)
    assert rules.placed_zones[0].polygon_xy_px[2] == (100, 100)
    found = rules.update(stamp(0.2, 800, 400), tracks((1, 300, 50, 0)))
    assert [o.type for o in found] == [EventType.ZONE_EXITED, EventType.ZONE_ENTERED]  # no crossing of 100 or 400
    assert rules.placed_lines[0].end_xy_px == (400, 400)
    assert [o.direction for o in rules.update(stamp(0.4, 800, 400), tracks((1, 500, 50, 0)))][:1] == [Direction.B_TO_A]


def test_a_line_that_shrinks_to_a_point_is_refused_with_its_camera_and_name():
    line = Line(name="gate", start=("50%", 0), end=(100, "0%"))
    with pytest.raises(GeometryError, match=r"camera 'door', line 'gate'.*200x100"):
        CameraRules("door", [line], [], width=200, height=100)


def random_occurrences(shift_s):
    random, rules, found = np.random.default_rng(3), CameraRules("door", [GATE], [YARD]), []
    place = random.uniform([0, 20], [200, 100], (8, 2))
    for n in range(200):
        place = np.clip(place + random.normal(0, 12, (8, 2)), 0, [200, 100])
        visible = [i for i in range(8) if random.random() > 0.1]
        found += rules.update(stamp(shift_s + n * 0.25), tracks(*((i, *place[i], i % 2) for i in visible)))
    return rules, found


def test_only_differences_of_time_matter():
    plain, shifted = random_occurrences(0.0)[1], random_occurrences(4096.0)[1]
    assert len(plain) > 100
    assert [(o.type, o.track_id, o.direction, o.dwell_s) for o in plain] == [
        (o.type, o.track_id, o.direction, o.dwell_s) for o in shifted
    ]


def test_counts_equal_what_was_told_and_inside_is_entered_less_exited():
    rules, found = random_occurrences(0.0)
    document = rules.counts.to_json()
    crossings = [o for o in found if o.type is EventType.LINE_CROSSED]
    assert sum(sum(c.values()) for c in document["lines"]["gate"].values()) == len(crossings)
    yard = document["zones"]["yard"]
    assert yard["entered"] == sum(o.type is EventType.ZONE_ENTERED for o in found)
    assert yard["inside"] == yard["entered"] - yard["exited"] >= 0


def test_occurrences_become_events_that_can_be_read_back():
    rules = CameraRules("door", [GATE], [YARD])
    bundle = BundleReference(name="parts", digest="ab" * 32)
    maker = EventMaker("box-1", bundle, run="r1")
    events = []
    for n, x in enumerate([60, 110]):
        events += [maker.make(o) for o in rules.update(stamp(n * 0.2), tracks((3, x, 50, 0)))]
    entered, crossed = events
    assert (entered.id, crossed.id) == ("r1-000001", "r1-000002")
    assert crossed.source == "vedette/box-1/door"
    assert (crossed.time, crossed.subject) == ("2023-11-14T22:13:20.200Z", "gate")
    assert Event.from_json(crossed.to_json()) == crossed
    assert crossed.data.model_dump(by_alias=True, exclude_none=True, mode="json") == {
        "camera": "door",
        "media_time_s": 0.2,
        "wall_time": "2023-11-14T22:13:20.200Z",
        "track_id": 3,
        "class": "bolt",
        "score": 0.875,
        "box_xyxy_px": [105.0, 30.0, 115.0, 50.0],
        "line": "gate",
        "direction": "b_to_a",
        "bundle": {"name": "parts", "digest": "ab" * 32},
    }


def test_event_numbers_are_each_cameras_own():
    maker, rules = EventMaker("b", BundleReference(name="p", digest="0"), "r"), CameraRules("door", [], [YARD])
    (one,) = rules.update(stamp(0), tracks((1, 50, 50, 0)))
    (other,) = CameraRules("gate", [], [YARD]).update(FrameStamp("gate", 0, 0.0, 0.0, 200, 100), tracks((1, 50, 50, 0)))
    assert [maker.make(o).id for o in (one, other, one)] == ["r-000001", "r-000001", "r-000002"]


@pytest.mark.parametrize(
    ("unix_s", "text"), [(0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.9996, "2023-11-14T22:13:21.000Z")]
)
def test_wall_time_is_rfc_3339_with_milliseconds(unix_s, text):
    assert format_utc(unix_s) == text
