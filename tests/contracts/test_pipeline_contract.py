"""What a pipeline may say, and what it may not."""

import jsonschema
import pytest
from pydantic import ValidationError

from vedette.contracts.pipeline import MqttTarget, Pipeline, json_schema

CAMERA = {"name": "door", "url": "door.mp4"}
WHOLE = {
    "version": 1,
    "bundle": "parts",
    "cameras": [
        {"name": "door", "url": "rtsps://10.0.0.5/stream", "username": "u", "password_env": "DOOR"},
        {"name": "belt", "url": "belt.mp4", "loop": True, "lines": [{"name": "l", "start": [1, "2%"], "end": [3, 4]}]},
    ],
    "detect": {"every": 3, "engine": "onnxruntime", "precision": "bf16"},
    "zones": [{"name": "yard", "polygon": [[0, 0], [1, 0], ["50%", "99.5%"]], "dwell_s": 10}],
    "anchor": "centre",
    "events": [{"kind": "file", "path": "e.jsonl"}, {"kind": "mqtt", "host": "h", "topic": "a/b"}],
    "show": {"port": 0},
    "record": "clips",
    "box": "box-1",
}


def test_a_whole_pipeline_fits_the_schema_and_the_parser():
    jsonschema.Draft202012Validator(json_schema()).validate(WHOLE)
    assert Pipeline.model_validate(WHOLE).cameras[1].lines[0].start == (1, "2%")


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"url": "rtsp://u:hidden@h/s"}, "password_file"),
        ({"url": "rtsp://u@h/s"}, "password_file"),
        ({"url": "ftp://h/x.mp4"}, "no camera address"),
        ({"url": "rtsp:///x"}, "needs a host"),
        ({"url": "rtsp://cam..local/s"}, "no name of a host"),
        ({"url": f"http://{'a' * 64}.local/s"}, "no name of a host"),
        ({"url": "rtsp://h:99999/s"}, "up to 65535"),
        ({"url": "rtsp://h:port/s"}, "up to 65535"),
        ({"url": "usb:one"}, "usb:N"),
        ({"url": "rtsp://h/s", "loop": True}, "live already"),
        ({"url": "usb:0", "username": "u"}, "rtsp"),
        ({"url": "rtsp://h/s", "password_env": "P"}, "needs a 'username'"),
        ({"url": "rtsp://h/s", "username": "u", "password_env": "P", "password_file": "f"}, "not both"),
        ({"name": "a b"}, "name"),
    ],
)
def test_contradictions_of_a_camera_are_refused_without_showing_a_password(camera, message):
    with pytest.raises(ValidationError, match=message) as caught:
        Pipeline.model_validate({"bundle": "b", "cameras": [{**CAMERA, **camera}]})
    assert "hidden" not in str(caught.value.errors(include_input=False, include_context=False))


def test_a_host_that_nothing_can_be_asked_for_is_refused_before_anything_runs():
    for host in ("broker..local", "a" * 64, ".local"):
        with pytest.raises(ValidationError, match="no name of a host"):
            MqttTarget(kind="mqtt", host=host, topic="t")
    for host in ("broker.local", "broker.local.", "::1", "fe80::1%eth0", "my_box", "Küche.local", "10.0.0.7"):
        assert MqttTarget(kind="mqtt", host=host, topic="t").host == host


def test_several_contradictions_of_one_camera_are_said_together():
    camera = {**CAMERA, "username": "u", "password_env": "P", "password_file": "f"}
    with pytest.raises(ValidationError, match=r"not both; 'username' is for"):
        Pipeline.model_validate({"bundle": "b", "cameras": [camera]})


def test_a_name_may_stand_at_two_cameras_but_not_twice_at_one():
    line = {"name": "l", "start": [0, 0], "end": [1, 1]}
    two = [{**CAMERA, "lines": [line]}, {"name": "belt", "url": "b.mp4", "lines": [line]}]
    assert len(Pipeline.model_validate({"bundle": "b", "cameras": two}).cameras) == 2
    with pytest.raises(ValidationError, match="used twice"):
        Pipeline.model_validate({"bundle": "b", "cameras": two, "lines": [line]})
