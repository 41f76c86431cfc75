"""Rendered configuration: exact to the bundle, without secrets, without a finding, for every board and version."""

import itertools
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from small_bundle import make_manifest
from vedette.contracts.bundle import BundleManifest, NmsKind
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import Pipeline
from vedette.edge.analytics.line import CountingLine
from vedette.edge.deepstream.dialects import dialect
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.key_tables import FileKind, key_table
from vedette.edge.deepstream.key_values import read_integer_list
from vedette.edge.deepstream.lint import check_content
from vedette.edge.deepstream.lint_yaml import check_yaml
from vedette.edge.deepstream.render_messages import render_broker
from vedette.edge.deepstream.render_settings import Rendering
from vedette.edge.deepstream.rendering import choose_broker, render
from vedette.edge.deepstream.sizing import Demand, fit
from vedette.edge.deepstream.targets import TARGETS, find_target

PIPELINE: dict[str, Any] = {
    "bundle": "b",
    "cameras": [
        {"name": "gate", "url": "rtsp://10.0.0.1/main", "username": "admin", "password_env": "GATE_PASSWORD"},
        {"name": "hall", "url": "usb:0", "lines": [{"name": "own", "start": [5, 5], "end": [900, 700]}]},
        {"name": "film", "url": "/films/a.mp4"},
    ],
    "lines": [{"name": "door", "start": ["10%", "50%"], "end": ["90%", "50%"]}],
    "zones": [{"name": "yard", "polygon": [[0, 0], ["50%", 0], ["50%", "50%"]], "dwell_s": 5}],
    "record": "rec",
}
PAIRS = [(name, version) for name, target in TARGETS.items() for version in target.versions]


def make(
    target: str = "orin-nano", version: str = "7.1", manifest: BundleManifest | None = None, **changes: Any
) -> Rendering:
    pipeline = Pipeline.model_validate({**PIPELINE, **changes})
    demand = Demand(len(pipeline.cameras), (1280, 720), 30.0, "h264", 5.565, (64, 64), 6.0)
    return Rendering(
        pipeline,
        manifest or make_manifest(),
        "d" * 64,
        find_target(target),
        dialect(version),
        demand,
        fit(demand, find_target(target)),
        choose_broker(pipeline, dialect(version), ("broker", 9092, "events")),
        "from the bundle's model.cfg",
    )


def values(files: dict[str, bytes], name: str, group: str) -> dict[str, str]:
    return {key: entry.value for key, entry in read_key_file(files[name], name).of_group(group).items()}


@pytest.mark.parametrize(("target", "version"), PAIRS)
def test_every_board_and_version_gets_files_without_a_finding(target: str, version: str) -> None:
    rendering = make(target, version)
    files = render(rendering, b"model")

    found = [
        finding
        for name, content in files.items()
        if content.startswith(b"# ") and name.endswith(".txt")
        for finding in check_content(content, name, rendering.dialect, rendering.target)[1]
    ]
    assert found == []
    assert len([name for name in files if name.endswith(".txt")]) == 7


@pytest.mark.real_data
@pytest.mark.parametrize(("target", "version"), PAIRS)
def test_glib_itself_loads_every_key_file(glib: ModuleType, target: str, version: str) -> None:
    files = render(make(target, version), b"model")

    for name in (
        "app.txt",
        "config_infer_primary.txt",
        "config_nvdsanalytics.txt",
        "config_msgconv.txt",
        "cfg_broker.txt",
    ):
        file = glib.KeyFile(files[name].decode())
        ours = read_key_file(files[name], name)
        assert file.groups() == list(ours.groups)
        for entry in ours.entries:
            assert file.get("string", entry.group, entry.key) == entry.value


@pytest.mark.parametrize(
    ("resize", "kept"), [(ResizeMode.STRETCH, "0"), (ResizeMode.LETTERBOX, "1"), (ResizeMode.DARKNET, "0")]
)
def test_nvinfer_is_exact_to_the_bundle(resize: ResizeMode, kept: str) -> None:
    manifest = make_manifest(resize, (64, 32), score=0.3, nms_iou=0.5, max_detections=50)
    files = render(make(manifest=manifest), b"model")
    keys = values(files, "config_infer_primary.txt", "property")

    assert float(keys["net-scale-factor"]) == manifest.input.scale
    assert (keys["model-color-format"], keys["offsets"]) == ("0", "0.0;0.0;0.0")
    assert (keys["maintain-aspect-ratio"], keys["symmetric-padding"]) == (kept, kept)
    assert keys["infer-dims"] == "3;32;64"
    assert (keys["num-detected-classes"], keys["cluster-mode"]) == ("3", "2")
    assert keys["output-blob-names"] == "head_0;head_1"
    assert (keys["parse-bbox-func-name"], keys["custom-lib-path"]) == (
        "NvDsInferParseVedette",
        "libnvds_infer_vedette.so",
    )
    assert values(files, "config_infer_primary.txt", "class-attrs-all") == {
        "pre-cluster-threshold": "0.3",
        "topk": "50",
        "nms-iou-threshold": "0.5",
    }
    assert files["labels.txt"] == b"red\ngreen\nblue\n"
    assert files["model.onnx"] == b"model"


def test_thresholds_of_the_pipeline_file_win() -> None:
    files = render(make(detect={"score": 0.6, "nms_iou": 0.2, "max_detections": 7}), b"")

    assert values(files, "config_infer_primary.txt", "class-attrs-all") == {
        "pre-cluster-threshold": "0.6",
        "topk": "7",
        "nms-iou-threshold": "0.2",
    }


def test_the_parser_is_told_the_heads() -> None:
    assert render(make(), b"")["vedette_decode.txt"].decode().splitlines() == [
        "vedette-decode 1",
        "kind darknet_yolo_heads",
        "classes 3",
        "input 64 64",
        "output head_0 4 4 1.0 0 16.0 16.0",
        "output head_1 2 2 1.0 0 32.0 32.0",
    ]


def test_what_nvinfer_does_otherwise_is_told() -> None:
    manifest = make_manifest(ResizeMode.LETTERBOX, nms_kind=NmsKind.DIOU)
    text = render(make(manifest=manifest), b"")["README.md"].decode()

    assert "pads with black" in text
    assert "suppresses by DIoU" in text
    assert "pads with black" not in render(make(), b"")["README.md"].decode()
    assert "where they were on the machine that rendered" in text


def test_the_readme_tells_the_expected_rate() -> None:
    nano = make("jetson-nano", "6.0.1", cameras=[{"name": f"c{n}", "url": f"rtsp://10.0.0.{n}/m"} for n in range(8)])
    text = render(nano, b"")["README.md"].decode()

    assert "**3.0 detections a second of each camera** (every 10th frame)" in text
    assert "the pipeline asks for 6, which does not fit" in text
    assert "25.5/s x 5.565 BFLOPs" in text


def test_sources_follow_the_cameras() -> None:
    files = render(make(), b"")

    assert values(files, "app.txt", "source0")["type"] == "4"
    assert values(files, "app.txt", "source1")["camera-v4l2-dev-node"] == "0"
    assert values(files, "app.txt", "source2")["uri"] == "file:///films/a.mp4"
    assert values(files, "app.txt", "streammux")["batch-size"] == "3"
    assert values(files, "config_msgconv.txt", "sensor1")["id"] == "hall"


def test_a_recording_on_a_board_without_an_encoder_is_made_in_software() -> None:
    assert values(render(make("orin-nano"), b""), "app.txt", "sink1")["enc-type"] == "1"
    assert values(render(make("agx-orin"), b""), "app.txt", "sink1")["enc-type"] == "0"


def test_messages_are_sent_at_all_and_one_a_detection() -> None:
    files = render(make(), b"")
    sink, detector = values(files, "app.txt", "sink2"), values(files, "app.txt", "primary-gie")

    assert (sink["type"], sink["msg-conv-msg2p-new-api"]) == ("6", "1")
    assert int(sink["msg-conv-frame-interval"]) == int(detector["interval"]) + 1
    assert sink["msg-broker-conn-str"] == "broker;9092"


def test_mqtt_is_refused_where_there_is_no_adaptor() -> None:
    pipeline = Pipeline.model_validate({**PIPELINE, "events": [{"kind": "mqtt", "host": "h", "topic": "t"}]})

    with pytest.raises(DeepStreamError, match=r"6\.0\.1 has no MQTT adaptor.*--kafka"):
        choose_broker(pipeline, dialect("6.0.1"), None)
    found = choose_broker(pipeline, dialect("7.1"), None)
    assert found is not None
    assert found.library == "libnvds_mqtt_proto.so"


def test_a_kafka_target_is_rendered_without_its_password() -> None:
    target = {"kind": "kafka", "brokers": ["one:9093", "two:9093"], "topic": "cars", "tls": True}
    pipeline = Pipeline.model_validate({**PIPELINE, "events": [{"kind": "file", "path": "e"}, target]})
    found = choose_broker(pipeline, dialect("6.0.1"), None)
    secret = {**target, "username": "u", "password_env": "P"}

    assert found is not None
    assert (found.kind, found.host, found.port, found.topic) == ("kafka", "one", 9093, "cars")
    assert b"bootstrap.servers=one:9093,two:9093;" in render_broker(found)
    assert b"security.protocol=ssl" in render_broker(found)
    with_user = choose_broker(Pipeline.model_validate({**PIPELINE, "events": [secret]}), dialect("7.1"), None)
    assert with_user is not None
    assert b"security.protocol=sasl_ssl" in render_broker(with_user)
    assert b"sasl.mechanism=PLAIN;sasl.username=u" in render_broker(with_user)
    assert b"password" not in render_broker(with_user).partition(b"[message-broker]")[2]
    with pytest.raises(DeepStreamError, match="one broker"):
        choose_broker(Pipeline.model_validate({**PIPELINE, "events": [target, target]}), dialect("7.1"), None)


def test_one_broker_of_kafka_needs_no_list_and_too_long_a_list_is_refused() -> None:
    def rendered(*brokers: str) -> bytes:
        target = {"kind": "kafka", "brokers": brokers, "topic": "cars"}
        found = choose_broker(Pipeline.model_validate({**PIPELINE, "events": [target]}), dialect("7.1"), None)
        assert found is not None
        return render_broker(found)

    assert b"bootstrap.servers" not in rendered("one:9093")
    assert b"bootstrap.servers=b0.example:9092,b1.example:9092" in rendered(*(f"b{n}.example:9092" for n in range(50)))
    with pytest.raises(DeepStreamError, match="name fewer"):
        rendered(*(f"b{n}.example:9092" for n in range(80)))


@pytest.mark.parametrize("target", ["jetson-nano", "agx-orin"])
def test_every_key_of_the_tracker_is_known(target: str) -> None:
    content = render(make(target), b"")["config_tracker.yml"]
    table = key_table(FileKind.TRACKER).groups
    groups = yaml.safe_load(content.partition(b"\n")[2])

    assert check_yaml(content, "config_tracker.yml") == (FileKind.TRACKER, [])
    assert [(group, key) for group, keys in groups.items() for key in keys if key not in table[group]] == []


def test_no_broker_means_no_message_sink() -> None:
    rendering = make()
    files = render(Rendering(**{**{f: getattr(rendering, f) for f in rendering.__slots__}, "broker": None}), b"")

    assert "config_msgconv.txt" not in files
    assert "sink2" not in read_key_file(files["app.txt"], "app.txt").groups


def test_a_line_counts_the_directions_that_vedette_counts() -> None:
    """The arrow of `a_to_b`, laid across the line, is a passage from a to b for Vedette's own counting."""
    corners = [(0, 0), (1279, 0), (1279, 719), (0, 719), (640, 5), (640, 360), (3, 300)]
    for start, end in itertools.permutations(corners, 2):
        line = {"name": "l", "start": start, "end": end}
        file = read_key_file(render(make(lines=[line], zones=[]), b"")["config_nvdsanalytics.txt"], "x")
        entries = file.of_group("line-crossing-stream-0")
        tail_x, tail_y, head_x, head_y, *drawn = read_integer_list(entries["line-crossing-l-a_to_b"].value)
        back = read_integer_list(entries["line-crossing-l-b_to_a"].value)

        assert drawn == [*start, *end]
        assert back == [head_x, head_y, tail_x, tail_y, *drawn]
        assert min(tail_x, head_x, tail_y, head_y) >= 0
        assert max(tail_x, head_x) <= 1279
        assert max(tail_y, head_y) <= 719
        middle_x, middle_y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        step_x, step_y = head_x - tail_x, head_y - tail_y
        assert step_x**2 + step_y**2 > 50**2
        counting = CountingLine("l", start, end)
        passage = counting.begin(middle_x - step_x, middle_y - step_y, 1.0)
        assert [way.value for way in counting.move(passage, middle_x + step_x, middle_y + step_y, 1.0)] == ["a_to_b"]


def test_a_line_outside_the_picture_is_refused() -> None:
    with pytest.raises(DeepStreamError, match=r"line 'far' leaves the picture of 1280x720"):
        render(make(lines=[{"name": "far", "start": [0, 0], "end": [1900, 10]}]), b"")


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ({"name": "c", "url": "/films/a b.mp4"}, "has %, \\?, # or a blank"),
        ({"name": "c", "url": "csi:0"}, "Jetson boards only"),
    ],
)
def test_a_source_that_cannot_be_is_refused(camera: dict[str, str], words: str) -> None:
    with pytest.raises(DeepStreamError, match=words):
        render(make("x86", cameras=[camera]), b"")


def test_a_class_name_that_would_be_split_is_refused() -> None:
    manifest = make_manifest().model_copy(update={"classes": ("a;b", "c", "d")})

    with pytest.raises(DeepStreamError, match="'a;b'"):
        render(make(manifest=manifest), b"")


def test_the_trackers_file_is_opencvs_yaml_and_its_pictures_are_multiples_of_32() -> None:
    files = render(make(), b"")
    first, _, rest = files["config_tracker.yml"].decode().partition("\n")
    tracker = values(files, "app.txt", "tracker")

    assert first == "%YAML:1.0"
    document = yaml.safe_load(rest)
    assert document["VisualTracker"]["visualTrackerType"] == 1
    assert document["BaseConfig"]["minDetectorConfidence"] == 0.25
    assert int(tracker["tracker-width"]) % 32 == int(tracker["tracker-height"]) % 32 == 0


def test_old_trackers_are_asked_for_batches_and_new_ones_have_no_such_key() -> None:
    assert values(render(make("jetson-nano", "6.0.1"), b""), "app.txt", "tracker")["enable-batch-process"] == "1"
    assert "enable-batch-process" not in values(render(make(), b""), "app.txt", "tracker")


def test_scripts_are_valid_bash(tmp_path: Path) -> None:
    for name, content in render(make(), b"").items():
        if name.endswith(".sh"):
            path = tmp_path / name
            path.write_bytes(content)
            assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
