"""Pipeline files: read safely, every mistake at once with its path, secrets only named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.apps.pipeline_file import PipelineError, camera_specs, parse_pipeline, read_pipeline, read_secret
from vedette.contracts.errors import InputError, VedetteError

GOOD = """
bundle: parts.bundle
cameras:
  - {name: door, url: video/door.mp4, realtime: true}
  - {name: gate, url: "rtsp://10.0.0.5/s", username: u, password_file: secrets/gate}
lines:
  - {name: count, start: [50%, 0], end: [50%, 100%]}
events:
  - {kind: file, path: events.jsonl}
  - {kind: mqtt, host: broker, topic: site/events}
record: clips
"""

BAD = """
bundel: x
cameras:
  - {name: a, url: "rtsp://u:hidden@h/x", loop: true}
  - {name: b b, url: f.mp4, lines: [{name: l, start: [0, x], end: [1, 2, 3]}]}
  - {name: a, url: usb:0, realtime: true, zones: [{name: l, polygon: [[1, 2], [3, 4]], dwell: 3}]}
lines: [{name: gate, start: [1, 1], end: [1, 1]}, {name: gate, start: [1, 1], end: [1, 2]}]
detect: {every: 0, engine: cuda}
events: [{kind: mqtt, hots: a, topic: "a/#"}, {path: x}, 7]
show: yes
"""


def test_relative_paths_are_below_the_files_folder(tmp_path):
    (tmp_path / "site.yaml").write_text(GOOD)
    pipeline = read_pipeline(tmp_path / "site.yaml")
    assert pipeline.bundle == str(tmp_path / "parts.bundle")
    assert pipeline.cameras[0].url == str(tmp_path / "video" / "door.mp4")
    assert pipeline.cameras[1].url == "rtsp://10.0.0.5/s"
    assert pipeline.cameras[1].password_file == str(tmp_path / "secrets" / "gate")
    assert pipeline.events[0].path == str(tmp_path / "events.jsonl")
    assert pipeline.record == str(tmp_path / "clips")


def test_every_mistake_is_reported_at_once_with_its_path():
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(BAD, "site.yaml")
    paths = [mistake.partition(": ")[0] for mistake in caught.value.mistakes]
    assert sorted(paths) == sorted(
        [
            "bundel",
            "bundle",
            "cameras[0].url",
            "cameras[1].name",
            "cameras[1].lines[0].start[1]",
            "cameras[1].lines[0].end",
            "cameras[2].zones[0].polygon",
            "cameras[2].zones[0].dwell",
            "cameras[2].name",
            "lines[0]",
            "lines[1].name",
            "detect.every",
            "detect.engine",
            "events[0].hots",
            "events[0].host",
            "events[0].topic",
            "events[1]",
            "events[2]",
            "show",
        ]
    )
    text = str(caught.value)
    assert text.startswith("site.yaml: 19 mistakes\n")
    assert "bundel: unknown key; did you mean 'bundle'?" in text
    assert "cameras[2].zones[0].dwell: unknown key; did you mean 'dwell_s'?" in text
    assert "detect.engine: must be 'auto', 'openvino', 'onnxruntime' or 'tensorrt'" in text
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bundle: a\nbundle: b\n", r"line 2, column 1: the key 'bundle' is given twice"),
        ("bundle: [a\ncameras: b", r"line 2"),
        ("", "the whole: write 'bundle"),
        ("- a\n- b\n", "the whole: write 'bundle"),
        ("bundle: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: &a [*a]\n", "contains itself"),
        ("[" * 5000, "nested too deep|line 1"),
        (
            "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "values",
        ),
        ("a: \x00", "no YAML text"),
        ("? [a]\n: b\n", "unhashable|unknown|the whole"),
    ],
    ids=["twice", "syntax", "empty", "list", "object", "recursive", "deep", "bomb", "nul", "list key"],
)
def test_what_is_no_pipeline_is_refused_in_one_message(text, message):
    with pytest.raises(PipelineError, match=message):
        parse_pipeline(text)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('bundle: "b\\0"\ncameras: [{name: a, url: "x\\0"}]\nrecord: "r\\0"\n', ["bundle", "cameras[0].url", "record"]),
        ('bundle: b\ncameras: [{name: a, url: x}]\nevents: [{kind: file, path: "e\\0"}]\n', ["events[0].path"]),
        (
            "bundle: b\ncameras: [{name: a, url: x}]\nlines: [{name: l, start: [.nan, 0], end: [1, .inf]}]\n",
            ["lines[0].start[0]", "lines[0].end[1]"],
        ),
        (
            "bundle: b\ncameras: [{name: a, url: x}]\nzones: [{name: z, polygon: [[0, 0], [1, 0], [1, 1]], "
            "dwell_s: .inf}]",
            ["zones[0].dwell_s"],
        ),
    ],
    ids=["nul", "nul in a target", "not a number", "endless dwell"],
)
def test_paths_with_nul_and_numbers_without_end_are_refused(text, paths):
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(text)
    assert [mistake.partition(": ")[0] for mistake in caught.value.mistakes] == paths


@given(st.text(alphabet=" \n:-[]{}&*!?'\"ab1%,", max_size=60) | st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_at_all_brings_a_traceback(text):
    with pytest.raises(VedetteError):
        parse_pipeline(text)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        read_pipeline(tmp_path / "nowhere.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(InputError, match="larger than"):
        read_pipeline(tmp_path / "large.yaml")


def test_camera_specs_carry_the_secret_but_do_not_show_it(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "gate").write_text("s3cret\nsecond line\n")
    (tmp_path / "site.yaml").write_text(GOOD)
    door, gate = camera_specs(read_pipeline(tmp_path / "site.yaml"))
    assert (door.name, door.realtime, door.password) == ("door", True, None)
    assert (gate.username, gate.password) == ("u", "s3cret")
    assert "s3cret" not in repr(gate)


def test_secrets_come_from_a_file_or_the_environment_and_are_never_empty(tmp_path):
    (tmp_path / "empty").write_text("\nsecret\n")
    assert read_secret(None, None) is None
    assert read_secret(None, "DOOR", {"DOOR": "x y"}) == "x y"
    for password_file, password_env, named in [
        (None, "DOOR", "DOOR"),
        (str(tmp_path / "empty"), None, "empty"),
        (str(tmp_path / "none"), None, "none"),
    ]:
        with pytest.raises(InputError, match=named):
            read_secret(password_file, password_env, {})
