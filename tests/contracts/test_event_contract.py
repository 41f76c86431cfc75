"""Events as sent: CloudEvents 1.0, one schema, and the published file equals it."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from vedette.contracts.event import (
    BundleReference,
    Direction,
    Event,
    EventData,
    EventType,
    RecordingData,
    RecordingEvent,
    RecordingEventType,
    json_schema,
    parse_event,
)

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
WALL = "2026-11-22T12:00:00.000Z"


def an_event(event_type=EventType.LINE_CROSSED, **more):
    data = EventData(
        camera="door",
        media_time_s=1.5,
        wall_time=WALL,
        track_id=4,
        score=0.5,
        box_xyxy_px=(1, 2, 3, 4.5),
        bundle=BundleReference(name="parts", digest="00" * 32),
        **{"class": "bolt", **more},
    )
    return Event(id="r-1", source="vedette/box/door", type=event_type, time=WALL, data=data)


@pytest.mark.parametrize(
    "event",
    [
        an_event(line="gate", direction=Direction.A_TO_B),
        an_event(EventType.ZONE_ENTERED, zone="yard"),
        an_event(EventType.ZONE_EXITED, zone="yard", dwell_s=3.25),
        an_event(EventType.ZONE_DWELLED, zone="yard", dwell_s=2.0),
    ],
)
def test_every_type_of_event_fits_the_schema_and_comes_back_the_same(event):
    text = event.to_json()
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(text))
    assert Event.from_json(text) == event
    assert "\n" not in text
    assert "null" not in text


def test_the_envelope_is_cloud_events_1_0():
    document = json.loads(an_event(line="gate").to_json())
    required = {name: document[name] for name in ("specversion", "id", "source", "type", "datacontenttype")}
    assert required == {
        "specversion": "1.0",
        "id": "r-1",
        "source": "vedette/box/door",
        "type": "vedette.line_crossed.v1",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize("event_type", list(RecordingEventType))
def test_what_becomes_of_a_recording_fits_the_same_schema(event_type):
    counts = {"free_bytes": 0, "files": 1, "bytes": 2, "dropped": 3}
    data = RecordingData(what="clips", wall_time=WALL, folder="clips", disk_full=True, message="no", **counts)
    event = RecordingEvent(id="r-1", source="vedette/box", type=event_type, time=WALL, subject="clips", data=data)
    document = json.loads(event.to_json())
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(document)
    assert parse_event(event.to_json()) == event and event.order_key == "clips"
    other = an_event(line="gate")
    assert parse_event(other.to_json()) == other and other.order_key == "door"
    assert not validator.is_valid({**document, "type": "vedette.line_crossed.v1"})
    with pytest.raises(ValidationError):
        Event.from_json(event.to_json())


@pytest.mark.parametrize(
    "change",
    [{"specversion": "0.3"}, {"type": "vedette.unknown.v1"}, {"id": ""}, {"surprise": 1}, {"data": {}}],
)
def test_what_is_no_event_is_refused_by_schema_and_parser_alike(change):
    document = {**json.loads(an_event(line="gate").to_json()), **change}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)
    with pytest.raises(ValidationError):
        Event.from_json(json.dumps(document))


@pytest.mark.parametrize("what", ["event", "pipeline"])
def test_the_published_schema_is_the_one_of_the_code(what):
    from vedette.contracts import pipeline

    published = json.loads((REFERENCE / f"{what}.schema.json").read_text())
    assert published == (json_schema() if what == "event" else pipeline.json_schema()), (
        f"write it anew: vedette schema {what} > docs/reference/{what}.schema.json"
    )


def test_types_and_directions_print_as_they_stand_on_the_wire():
    assert f"{Direction.A_TO_B} {EventType.LINE_CROSSED}" == "a_to_b vedette.line_crossed.v1"
    assert str(Direction.B_TO_A) == "b_to_a"
