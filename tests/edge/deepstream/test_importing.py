"""Existing configurations as pipeline files: what is carried over, what is told, and that secrets are not copied."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rendering import make

from vedette.apps.cli import run_command
from vedette.contracts.pipeline import Pipeline
from vedette.edge.deepstream.errors import DeepStreamError, KeyFileError
from vedette.edge.deepstream.import_rules import import_rules
from vedette.edge.deepstream.import_settings import Imported, camera_name
from vedette.edge.deepstream.importing import import_app
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.render_rules import render_rules
from vedette.edge.deepstream.rendering import render

APP = """\
[application]
enable-perf-measurement=1
[source0]
enable=1
type=4
uri=rtsp://admin:p%40ss@10.0.0.1:554/main
smart-record=2
[source1]
enable=1
type=3
uri=file://films/clip_%d.mp4
num-sources=2
[source2]
enable=0
type=2
uri=file:///nothing.mp4
[source3]
enable=1
type=1
camera-v4l2-dev-node=2
[source4]
enable=1
type=8
[sink0]
enable=1
type=6
msg-conv-config=conv.txt
msg-broker-proto-lib=/x/libnvds_mqtt_proto.so
msg-broker-conn-str=broker;1884
msg-broker-config=mqtt.txt
topic=site/cars
[sink1]
enable=1
type=2
[sink2]
enable=0
type=3
[primary-gie]
enable=1
interval=4
config-file=infer.txt
[secondary-gie0]
enable=1
[tracker]
enable=1
[tests]
file-loop=1
"""
INFER = """\
[property]
interval=9
onnx-file=model.onnx
labelfile-path=names.txt
maintain-aspect-ratio=1
num-detected-classes=2
[class-attrs-all]
pre-cluster-threshold=0.4
nms-iou-threshold=0.5
topk=20
[class-attrs-1]
pre-cluster-threshold=0.9
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.txt").write_text(APP)
    (tmp_path / "infer.txt").write_text(INFER)
    (tmp_path / "conv.txt").write_text("[sensor0]\nenable=1\nid=Gate 1\n[sensor3]\nenable=1\nid=Gate 1\n")
    (tmp_path / "mqtt.txt").write_text("[message-broker]\nusername=box\npassword=hunter2\nenable-tls=1\n")
    return tmp_path / "app.txt"


def document(path: Path) -> dict[str, Any]:
    imported = import_app(path, None)
    Pipeline.model_validate(imported.document)
    return imported.document


def test_what_a_pipeline_file_can_say_is_carried_over(app: Path) -> None:
    folder = app.parent

    assert document(app) == {
        "version": 1,
        "bundle": "bundle",
        "cameras": [
            {
                "name": "Gate-1",
                "url": "rtsp://10.0.0.1:554/main",
                "username": "admin",
                "password_env": "GATE_1_PASSWORD",
            },
            {"name": "clip_0", "url": str(folder / "films/clip_0.mp4"), "loop": True},
            {"name": "clip_1", "url": str(folder / "films/clip_1.mp4"), "loop": True},
            {"name": "Gate-1-2", "url": "usb:2"},
        ],
        "detect": {"every": 5, "score": 0.4, "nms_iou": 0.5, "max_detections": 20},
        "events": [
            {
                "kind": "mqtt",
                "host": "broker",
                "port": 1884,
                "topic": "site/cars",
                "tls": True,
                "username": "box",
                "password_env": "MQTT_PASSWORD",
            }
        ],
        "show": {},
    }


def test_what_is_left_out_is_told_with_file_and_line(app: Path) -> None:
    notes = import_app(app, None).notes
    told = "\n".join(notes)

    for line, words in [
        (3, "smart-record left out"),
        (6, "put it into $GATE_1_PASSWORD"),
        (21, "[source4] reads a sound card"),
        (32, "the live page takes the place"),
        (42, "[secondary-gie0] left out"),
        (44, "[tracker] left out"),
    ]:
        assert any(note.startswith(f"{app}:{line}: ") and words in note for note in notes), (line, words, told)
    assert "[class-attrs-1]" in told
    assert f"vedette pack --onnx {app.parent / 'model.onnx'}" in told
    assert "--resize letterbox" in told
    assert "source2" not in told


def test_secrets_are_nowhere(app: Path) -> None:
    imported = import_app(app, None)

    assert "p%40ss" not in str(imported)
    assert "p@ss" not in str(imported)
    assert "hunter2" not in str(imported)


def test_the_interval_of_nvinfers_file_counts_where_the_application_has_none(app: Path) -> None:
    app.write_text(APP.replace("interval=4\n", ""))

    assert document(app)["detect"]["every"] == 10


def test_files_that_are_missing_are_told_and_the_rest_is_carried_over(app: Path) -> None:
    (app.parent / "infer.txt").unlink()
    (app.parent / "mqtt.txt").write_text("; no key file\n")
    imported = import_app(app, "mine")

    assert imported.document["detect"] == {"every": 5}
    assert imported.document["bundle"] == "mine"
    assert any("infer.txt: cannot be read" in note for note in imported.notes)
    assert any("mqtt.txt:1: '; no key file' is no comment" in note for note in imported.notes)


def test_kafka_is_carried_over_and_triton_is_told(app: Path) -> None:
    text = APP.replace("libnvds_mqtt", "libnvds_kafka").replace("site/cars", "cars")
    app.write_text(text.replace("interval=4", "plugin-type=1"))
    imported = import_app(app, None)

    assert imported.document["events"] == [{"kind": "kafka", "brokers": ["broker:1884"], "topic": "cars"}]
    assert any("runs on Triton" in note for note in imported.notes)


def test_every_broker_of_kafka_is_carried_over(app: Path) -> None:
    app.write_text(APP.replace("libnvds_mqtt", "libnvds_kafka").replace("site/cars", "cars"))
    listed = 'proto-cfg="bootstrap.servers=one:9093, two;enable.idempotence=true"'
    (app.parent / "mqtt.txt").write_text(f"[message-broker]\n{listed}\n")

    imported = import_app(app, None)
    assert imported.document["events"] == [{"kind": "kafka", "brokers": ["one:9093", "two:9092"], "topic": "cars"}]
    assert not [note for note in imported.notes if "librdkafka" in note]


def test_kafkas_user_is_carried_over_and_its_password_is_not(app: Path) -> None:
    app.write_text(APP.replace("libnvds_mqtt", "libnvds_kafka").replace("site/cars", "cars"))
    (app.parent / "mqtt.txt").write_text(
        '[message-broker]\nproto-cfg="security.protocol=sasl_ssl;sasl.mechanism=SCRAM-SHA-256;sasl.username=u;'
        'sasl.password=hunter2;ssl.ca.location=/ca.pem"\n'
    )
    imported = import_app(app, None)

    (target,) = imported.document["events"]
    assert target == {
        "kind": "kafka", "brokers": ["broker:1884"], "topic": "cars", "tls": True, "username": "u",
        "mechanism": "SCRAM-SHA-256", "password_env": "KAFKA_PASSWORD",
    }  # fmt: skip
    assert any("mqtt.txt:2: settings of librdkafka not carried over: ssl.ca.location" in one for one in imported.notes)
    assert any("put it into $KAFKA_PASSWORD" in note for note in imported.notes)
    assert "hunter2" not in str(imported)


def test_other_brokers_are_told(app: Path) -> None:
    app.write_text(APP.replace("libnvds_mqtt", "libnvds_amqp"))
    imported = import_app(app, None)

    assert "events" not in imported.document
    assert any("[sink0]: amqp at 'broker' is not carried over" in note for note in imported.notes)


@pytest.mark.parametrize("protocol", ["mqtt", "kafka"])
def test_a_topic_that_cannot_be_is_told(app: Path, protocol: str) -> None:
    app.write_text(APP.replace("libnvds_mqtt", f"libnvds_{protocol}").replace("topic=site/cars", "topic=<your #1>"))
    imported = import_app(app, None)

    assert "events" not in imported.document
    assert any(f"no topic or address of {protocol}" in note for note in imported.notes)


def test_source_lists_are_cameras_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "app.txt"
    path.write_text(
        "[source-list]\nlist=rtsp://h/a;file:///b.mp4\nsensor-name-list=one;two words\n[source-attr-all]\nenable=1\n"
        "[primary-gie]\nenable=0\n"
    )

    assert document(path)["cameras"] == [{"name": "one", "url": "rtsp://h/a"}, {"name": "two-words", "url": "/b.mp4"}]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("[property]\nonnx-file=a\n", DeepStreamError, "is no configuration of deepstream-app"),
        ("[application]\n[source0]\nenable=0\n", DeepStreamError, "has no source that is enabled"),
        ("; hello\n", KeyFileError, "is no comment here"),
    ],
)
def test_what_is_no_application_is_refused(text: str, error: type[Exception], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)

    with pytest.raises(error, match=words):
        import_app(tmp_path / "a.txt", None)


def test_what_was_rendered_comes_back(tmp_path: Path) -> None:
    rendering = make()
    for name, content in render(rendering, b"").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    back = Pipeline.model_validate(import_app(tmp_path / "app.txt", "b").document)

    assert [camera.name for camera in back.cameras] == ["gate", "hall", "film"]
    assert [camera.url for camera in back.cameras] == [camera.url for camera in rendering.pipeline.cameras]
    assert back.detect.every == rendering.sizing.interval + 1
    assert (back.detect.score, back.detect.nms_iou) == (rendering.score, rendering.nms_iou)
    assert [line.name for line in back.cameras[1].lines] == ["door", "own"]
    assert back.cameras[0].lines[0].start == ("10%", "50%")
    assert [zone.name for zone in back.cameras[2].zones] == ["yard"]


def write_yaml(path: Path) -> Path:
    """A key file as the YAML file that says the same, sources in their CSV file."""
    file = read_key_file(path.read_bytes(), "x")
    groups = {group: {key: one.value for key, one in file.of_group(group).items()} for group in file.groups}
    sources = [groups.pop(name) for name in list(groups) if name.startswith("source")]
    text = "".join(
        f"{group}:\n" + "".join(f"  {key}: {value.replace('.txt', '.yml')}\n" for key, value in keys.items())
        for group, keys in groups.items()
    )
    if sources:
        headers = sorted({key for source in sources for key in source})
        rows = [",".join(source.get(key, "0") for key in headers) for source in sources]
        path.with_name("sources.csv").write_text("\n".join([",".join(headers), *rows]) + "\n")
        text += "source:\n  csv-file-path: sources.csv\n"
    path.with_suffix(".yml").write_text(text.replace("broker-config: mqtt.yml", "broker-config: mqtt.txt"))
    return path.with_suffix(".yml")


def test_yaml_files_say_the_same_as_key_files(app: Path) -> None:
    (app.parent / "mqtt.txt").write_text("[message-broker]\nusername=box\npassword=hunter2\nenable-tls=1\n")
    for name in ("infer.txt", "conv.txt"):
        write_yaml(app.parent / name)
    told = import_app(write_yaml(app), None)

    assert told.document == document(app)
    assert any("infer.yml:" in note for note in told.notes)
    assert "hunter2" not in str(told)


def test_sources_that_cannot_be_read_are_refused(app: Path) -> None:
    path = write_yaml(app)
    (app.parent / "sources.csv").unlink()

    with pytest.raises(DeepStreamError, match="cannot be read"):
        import_app(path, None)


@given(st.tuples(*[st.integers(0, 700)] * 4).filter(lambda ends: ends[:2] != ends[2:]))
def test_a_line_comes_back_with_the_same_sides(ends: tuple[int, int, int, int]) -> None:
    line = {"name": "l", "start": ends[:2], "end": ends[2:]}
    content = render_rules(make(lines=[line], zones=[], cameras=[{"name": "c", "url": "usb:0"}]))
    cameras: list[dict[str, Any]] = [{"name": "c", "url": "usb:0"}]
    import_rules(read_key_file(content, "x"), cameras, Imported({}))

    [back] = cameras[0]["lines"]
    points = [
        round(float(value[:-1]) / 100 * side)
        for point in (back["start"], back["end"])
        for value, side in zip(point, (1280, 720), strict=True)
    ]
    assert tuple(points) == ends


def test_an_arrow_from_right_to_left_turns_the_line_round() -> None:
    text = (
        b"[property]\nenable=1\nconfig-width=100\nconfig-height=100\n[line-crossing-stream-0]\nenable=1\n"
        b"line-crossing-up=50;60;50;40;10;50;90;50\nline-crossing-along=10;50;90;50;10;50;90;50\nclass-id=2\n"
    )
    cameras: list[dict[str, Any]] = [{"name": "c", "url": "usb:0"}]
    imported = Imported({})
    import_rules(read_key_file(text, "x"), cameras, imported)

    assert cameras[0]["lines"] == [{"name": "up", "start": ["90%", "50%"], "end": ["10%", "50%"]}]
    assert [note.partition(" ")[0] for note in imported.notes] == ["x:9:", "x:8:"]


def test_rules_that_vedette_lacks_are_told() -> None:
    text = (
        b"[property]\nenable=1\n[overcrowding-stream-0]\nenable=1\nroi-a=1;1;9;1;9;9\n"
        b"[roi-filtering-stream-7]\nenable=1\n"
    )
    cameras: list[dict[str, Any]] = [{"name": "c", "url": "usb:0"}]
    imported = Imported({})
    import_rules(read_key_file(text, "x"), cameras, imported)

    assert cameras == [{"name": "c", "url": "usb:0"}]
    assert [note[:5] for note in imported.notes] == ["x:3: ", "x:6: "]


@given(st.lists(st.text(max_size=80), max_size=6))
def test_any_words_become_names_that_a_pipeline_takes(words: list[str]) -> None:
    taken: set[str] = set()
    cameras = [{"name": camera_name(word, taken), "url": "usb:0"} for word in words]

    if cameras:
        Pipeline.model_validate({"bundle": "b", "cameras": cameras})


def test_sources_and_groups_of_any_number_are_no_trap(app: Path) -> None:
    rules = app.with_name("rules.txt")
    rules.write_text(f"[property]\nenable=1\n[roi-filtering-stream-{'9' * 5000}]\nenable=1\nroi-a=1;2;3;4;5;6\n")
    app.with_name("conv.txt").write_text(f"[sensor{'9' * 5000}]\nenable=1\nid=Gate 1\n")
    many = "[source9]\nenable=1\ntype=3\nuri=file:///films/%d.mp4\nnum-sources=2000000000\n"
    app.write_text(f"{APP}[nvds-analytics]\nenable=1\nconfig-file={rules.name}\n{many}")
    imported = import_app(app, None)
    assert any("2000000000 sources are too many; left out" in note for note in imported.notes)
    assert not any(camera["url"].startswith("/films/") for camera in imported.document["cameras"])


def test_an_address_that_is_none_is_refused_without_being_shown(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text("[source0]\nenable=1\ntype=4\nuri=rtsp://user:hunter2@[bad/stream\n[application]\n")
    assert run_command(["deepstream", "import", str(app)]) == 1
    told = capsys.readouterr()
    assert "cameras[0]" in told.err and "Traceback" not in told.err
    assert "hunter2" not in told.out + told.err
