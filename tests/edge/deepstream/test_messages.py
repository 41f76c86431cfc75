"""NVIDIA's messages, as nvmsgconv writes them and as they should not be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.deepstream_app import UNTRACKED, full, minimal
from vedette.edge.deepstream.errors import MessageError
from vedette.edge.deepstream.messages import Message, SeenObject, read_message

TIME, TIME_S = "2018-04-11T04:59:59.828Z", 1523422799.828


def read(document: object, labels: tuple[str, ...] = ()) -> Message:
    return read_message(json.dumps(document).encode(), labels)


def test_a_minimal_message_is_read() -> None:
    message = read(minimal(252, TIME, "gate", "7|10.5|20|110.5|220|person", f"{UNTRACKED}|0|0|1e+02|50|car"))

    assert (message.sensor, message.frame, message.refused) == ("gate", 252, 0)
    assert message.time_unix_s == pytest.approx(TIME_S, abs=1e-6)
    assert message.objects == (
        SeenObject(7, "person", (10.5, 20.0, 110.5, 220.0), None),
        SeenObject(None, "car", (0.0, 0.0, 100.0, 50.0), None),
    )


def test_a_confidence_is_read_where_a_classifier_ran_and_a_label_may_hold_bars() -> None:
    message = read(minimal(1, TIME, "gate", "7|0|0|9|9|car|#|Bugatti|M|blue|CA||0.75", "8|0|0|9|9|a|b|#|0.5"))

    assert [(one.class_name, one.score) for one in message.objects] == [("car", 0.75), ("a|b", 0.5)]


@pytest.mark.parametrize(
    "entry",
    ["", "7|0|0|9|9", "7|0|0|9|9|", "x|0|0|9|9|car", "7|9|0|9|9|car", "7|0|nan|9|9|car", "7|0|0|inf|9|car", 5, None],
)
def test_an_object_that_makes_no_sense_is_left_out_and_counted(entry: object) -> None:
    message = read(minimal(1, TIME, "gate", "1|0|0|9|9|car") | {"objects": [entry, "1|0|0|9|9|car"]})

    assert (len(message.objects), message.refused) == (1, 1)


def test_a_full_message_is_read() -> None:
    message = read(full(TIME, "hall", 3, "person", (1, 2, 30, 40), age=45, confidence=0.9), ("person",))

    assert (message.sensor, message.frame) == ("hall", None)
    assert message.objects == (SeenObject(3, "person", (1.0, 2.0, 30.0, 40.0), 0.9),)


def test_the_class_of_a_full_message_may_be_its_type() -> None:
    document = full(TIME, "hall", 3, "vehicle", (1, 2, 30, 40), type="truck")

    assert read(document, ("truck",)).objects[0].class_name == "truck"
    assert read(document, ("car",)).objects[0].class_name == "vehicle"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b'{"objects": [',
        b"[]",
        b"{}",
        json.dumps(minimal(1, "yesterday", "gate")).encode(),
        json.dumps(minimal(1, "2018-02-31T04:59:59Z", "gate")).encode(),
        json.dumps(minimal(1, TIME, "")).encode(),
        json.dumps(minimal(1, TIME, "gate") | {"id": "x"}).encode(),
        json.dumps({"specversion": "1.0", "data": {"camera": "gate"}}).encode(),
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(part=st.sampled_from(["id", "@timestamp", "sensorId", "objects", "sensor", "object"]), value=json_values)
def test_any_value_gives_a_message_or_a_refusal(part: str, value: object) -> None:
    for document in (minimal(1, TIME, "gate", "1|0|0|9|9|car"), full(TIME, "gate", 1, "car", (0, 0, 9, 9))):
        try:
            message = read(document | {part: value})
        except MessageError:
            continue
        assert message.sensor
        assert all(one.box_xyxy_mux_px[0] < one.box_xyxy_mux_px[2] for one in message.objects)
