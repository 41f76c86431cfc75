"""The flags of `vedette run` say what a pipeline file says."""

from pathlib import Path

import pytest

from vedette.apps.pipeline_flags import flags_to_pipeline
from vedette.contracts.errors import UsageError
from vedette.contracts.pipeline import Anchor, EngineChoice, FileTarget, Isolation, KafkaTarget, MqttTarget, Show


def flags(**more):
    return flags_to_pipeline(**{"bundle": Path("b"), "cameras": ["a.mp4"], **more})


def test_names_are_taken_or_made_up_and_never_twice():
    cameras = ["a.mp4", "x/a.mp4", "gate=rtsp://h:8554/s?x=1", "usb:0", "rtsp://cam.site/1", "./n=1.mp4", "a-2=b.mp4"]
    named = [(camera.name, camera.url) for camera in flags(cameras=cameras).cameras]
    assert named == [
        ("a", "a.mp4"),
        ("a-3", "x/a.mp4"),
        ("gate", "rtsp://h:8554/s?x=1"),
        ("usb-0", "usb:0"),
        ("cam.site", "rtsp://cam.site/1"),
        ("n-1", "./n=1.mp4"),
        ("a-2", "b.mp4"),
    ]
    lines = flags(lines=["0,0,1,1", "1,1,2,2", "gate=50%,0,50%,100%"]).lines
    assert [line.name for line in lines] == ["line", "line-2", "gate"]
    assert (lines[2].start, lines[2].end) == (("50%", 0), ("50%", "100%"))


def test_zones_settings_and_pacing():
    pipeline = flags(
        zones=["yard=0,0;10.5,0;50%,-5"],
        every=3,
        engine="openvino",
        score=0.4,
        anchor="centre",
        loop=True,
        record=Path("r"),
    )
    assert pipeline.zones[0].polygon == ((0, 0), (10.5, 0), ("50%", -5))
    assert (pipeline.detect.every, pipeline.detect.engine, pipeline.detect.score) == (3, EngineChoice.OPENVINO, 0.4)
    assert (pipeline.anchor, pipeline.cameras[0].loop, pipeline.record) == (Anchor.CENTRE, True, "r")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("out/e.jsonl", FileTarget(kind="file", path="out/e.jsonl")),
        ("mqtt://h/a/b", MqttTarget(kind="mqtt", host="h", topic="a/b")),
        ("mqtt://h:1884/a", MqttTarget(kind="mqtt", host="h", port=1884, topic="a")),
        ("kafka://h/a.b", KafkaTarget(kind="kafka", brokers=("h:9092",), topic="a.b")),
        ("kafkas://h:1,i/a", KafkaTarget(kind="kafka", brokers=("h:1", "i:9092"), topic="a", tls=True)),
        ("mqtts://h/a", MqttTarget(kind="mqtt", host="h", port=8883, topic="a", tls=True)),
    ],
)
def test_events_go_to_a_file_or_a_broker(text, target):
    assert flags(events=[text]).events == (target,)


@pytest.mark.parametrize(
    ("text", "show"),
    [
        (":8080", Show(host="127.0.0.1", port=8080)),
        ("8081", Show(host="127.0.0.1", port=8081)),
        ("0.0.0.0:80", Show(host="0.0.0.0", port=80)),
        ("[::1]:8080", Show(host="::1", port=8080)),
    ],
)
def test_the_page_stays_on_this_machine_unless_a_host_is_given(text, show):
    assert flags(show=text).show == show


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bundle": None}, "--bundle: name"),
        ({"cameras": []}, "--camera: give at least one"),
        ({"cameras": ["rtsp://u:hidden@h/"]}, r"--camera \(1\.\): .*pipeline file"),
        ({"cameras": ["a="]}, r"--camera \(1\.\): give"),
        ({"lines": ["1,2,3"]}, r"--line \(1\.\): give"),
        ({"lines": ["1,2,3,4", "1,2,3,x"]}, r"--line \(2\.\): 'x' is no coordinate"),
        ({"lines": ["1,2,1,2"]}, "same point"),
        ({"lines": ["l=1,2,3,nan"]}, "no coordinate"),
        ({"zones": ["0,0;1,1;2,0"]}, r"--zone \(1\.\): give NAME="),
        ({"zones": ["z=0,0;1,1"]}, "three points"),
        ({"events": ["http://h/x"]}, "no place for events"),
        ({"events": ["mqtt://u:hidden@h/t"]}, "password_env"),
        ({"events": ["kafka://u:hidden@h/t"]}, "password_env"),
        ({"events": ["kafka://h"]}, "brokers and a topic"),
        ({"events": ["kafka://h/a/b"]}, "letters, digits"),
        ({"events": ["kafka://h:99999/a"]}, "a port is a number from 1 to 65535"),
        ({"events": ["mqtt://h"]}, "a host and a topic"),
        ({"events": ["mqtt://h/a/#"]}, "no '#'"),
        ({"events": ["mqtt://h:x/t"]}, "no address"),
        ({"show": "8080x"}, r"--show \(1\.\): give"),
        ({"show": ":70000"}, "--show"),
        ({"every": 0}, r"\n  --every: "),
        ({"engine": "cuda"}, "must be 'auto'"),
        ({"cameras": ["usb:0"], "loop": True}, "live already"),
        ({"anchor": "top"}, r"\n  --anchor: must be 'bottom_centre' or 'centre'"),
        ({"cameras": ["a=1.mp4", "a=2.mp4"]}, "'a' is the name of"),
        ({"fps": "often"}, r"\n  --detect-fps: give a number above 0, at most 1000, or auto$"),
        ({"fps": "0"}, "--detect-fps: give a number above 0"),
        ({"fps": "nan"}, "--detect-fps: give a number above 0"),
        ({"fps": "5", "every": 5}, "--every, --detect-fps: give 'every' .* or 'fps' .*, not both"),
        ({"fps": "auto"}, "'auto' a second need cameras that are live or paced; a is read as fast"),
    ],
)
def test_a_wrong_flag_is_wrong_usage_and_named(change, message):
    with pytest.raises(UsageError, match=message) as caught:
        flags(**change)
    assert "hidden" not in str(caught.value)


def test_isolation_is_by_processes_or_threads_or_left_to_the_system():
    assert flags(isolation="threads").isolation is Isolation.THREADS
    assert flags(isolation="processes").isolation is Isolation.PROCESSES
    assert flags().isolation is None
    with pytest.raises(UsageError, match=r"\n  --isolation: must be 'processes' or 'threads'"):
        flags(isolation="cells")


def test_a_rate_of_detection_is_a_number_or_auto():
    assert flags(fps="7.5").detect.fps == 7.5
    assert flags(fps="auto", realtime=True).detect.fps == "auto"
    assert flags(fps="auto", cameras=["rtsp://h/s"]).detect.fps == "auto"
    assert flags().detect.fps is None


def test_all_wrong_flags_are_named_at_once():
    with pytest.raises(UsageError) as caught:
        flags_to_pipeline(
            cameras=["rtsp://a:b@c/"],
            lines=["1,2,3"],
            zones=["a=1,2"],
            events=["http://x"],
            show="x",
            every=0,
            engine="abacus",
            anchor="top",
        )
    flagged = [line.split()[0].rstrip(":") for line in str(caught.value).splitlines()[1:]]
    assert sorted(flagged) == sorted(
        ["--bundle", "--camera", "--line", "--zone", "--events", "--show", "--every", "--engine", "--anchor"]
    )


def test_loop_and_realtime_are_for_the_files_among_the_cameras():
    cameras = flags(cameras=["a.mp4", "rtsp://h/s"], loop=True, realtime=True).cameras
    assert [(camera.loop, camera.realtime) for camera in cameras] == [(True, True), (False, False)]
