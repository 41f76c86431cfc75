"""The check of DeepStream's YAML configurations: every trap is found in its line, good files give no finding."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.edge.deepstream.dialects import dialect
from vedette.edge.deepstream.findings import Severity
from vedette.edge.deepstream.key_tables import FileKind
from vedette.edge.deepstream.lint_yaml import check_csv, check_yaml
from vedette.edge.deepstream.targets import find_target

APP = """\
application:
  enable-perf-measurement: 1
source:
  csv-file-path: sources.csv
streammux:
  batch-size: 2  # one of each
  width: 1280
primary-gie:
  enable: 1
  gie-unique-id: 1
  config-file: infer.yml
tracker:
  enable: 1
  ll-config-file: /etc/config_tracker_NvDCF_perf.yml
  tracker-width: 640
sink0:
  enable: 1
  type: 6
  msg-conv-msg2p-new-api: 1
  msg-broker-proto-lib: /lib/libnvds_kafka_proto.so
  msg-broker-conn-str: broker;9092
"""
CSV = "# one a line\nenable,type,uri,num-sources\n1,4,rtsp://10.0.0.7/main,1\n1,2,file:///a.mp4,1\n"
NVINFER = """\
property:
  gie-unique-id: 1
  net-scale-factor: 0.0039215697906911373
  offsets: 0.0;0.0;0.0
  infer-dims: 3;416;416
  num-detected-classes: 3
  network-mode: 2
  output-blob-names: head_0;head_1
class-attrs-all:
  pre-cluster-threshold: 0.25
class-attrs-2:
  nms-iou-threshold: 0.45
"""
ANALYTICS = """\
property:
  enable: 1
  config-width: 1920
  config-height: 1080
line-crossing-stream-0:
  enable: 1
  line-crossing-door: 960;300;960;700;600;500;1300;500
  class-id: -1
"""


def findings(text: str, folder: Path | None = None, version: str | None = None) -> list[tuple[int, str, str]]:
    found = check_yaml(text.encode(), "x.yml", None if version is None else dialect(version), None, folder)[1]
    return [(one.line, one.severity.value, one.message) for one in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sources.csv").write_text(CSV)
    (tmp_path / "infer.yml").write_text(NVINFER)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind"), [(APP, FileKind.APP), (NVINFER, FileKind.NVINFER), (ANALYTICS, FileKind.ANALYTICS)]
)
def test_good_files_give_no_finding(text: str, kind: FileKind, folder: Path) -> None:
    assert check_yaml(text.encode(), "x.yml", dialect("7.1"), find_target("orin-nano"), folder) == (kind, [])
    converter = b"sensor0:\n  enable: 1\n  type: Camera\n  id: gate\n  coordinate: 5.2;10.1;11.2\n"
    assert check_yaml(converter, "x.yml") == (FileKind.CONVERTER, [])


@pytest.mark.parametrize(
    ("good", "bad", "line", "severity", "words"),
    [
        ("enable: 1\n  gie", "enable: true\n  gie", 9, "error", "'true' is no integer; write 1 or 0"),
        ("new-api: 1", "new-api: True", 19, "error", "'True' is no integer; write 1 or 0"),
        ("batch-size: 2", "batch-size: two", 6, "error", "'two' is no integer"),
        ("batch-size: 2", "batch-size: [2]", 6, "error", "'batch-size' is a YAML list"),
        ("batch-size: 2", "batch-size: 1", 6, "warning", "less than the 2 sources"),
        ("width: 1280", "width:1280", 8, "error", "is no YAML"),
        ("  width: 1280", "\twidth: 1280", 7, "error", "YAML allows no tab here"),
        ("width: 1280", "widht: 1280", 7, "warning", "did you mean 'width'"),
        ("width: 1280", "width: 1280\n  width: 1920", 8, "warning", "stands in line 7 too; this last one counts"),
        ("streammux:", "streamux:", 5, "warning", "did you mean '[streammux]'"),
        ("sink0:", "source0:\n  enable: 1\nsink0:", 16, "error", "is not read in YAML: sources are lines of a CSV"),
        ("type: 6", "type: 7", 18, "error", "type=7 means nothing"),
        ("msg-conv-msg2p-new-api: 1\n  ", "", 18, "warning", "sends no message at all"),
        ("broker;9092", "broker:9092", 21, "error", "write host;port"),
        ("sources.csv", "others.csv", 4, "error", "others.csv: cannot be read"),
        ("infer.yml", "other.yml", 11, "warning", "other.yml is not there"),
        ("tracker-width: 640", "tracker-width: 600", 15, "warning", "NvDCF wants multiples of 32"),
        ("  csv-file-path: sources.csv", "  type: 4", 3, "error", "names no sources"),
        ("sink0:", "streammux:\n  width: 1\nsink0:", 16, "error", "stands in line 5 too; the first one counts"),
    ],
)
def test_a_trap_is_found_in_its_line(good: str, bad: str, line: int, severity: str, words: str, folder: Path) -> None:
    assert APP.count(good) == 1
    found = findings(APP.replace(good, bad), folder, "7.1")

    assert [(at, how) for at, how, message in found if words in message] == [(line, severity)], found
    if severity == "warning":
        assert [how for _, how, _ in found if how == "error"] == []


@pytest.mark.parametrize(
    ("text", "good", "bad", "line", "words"),
    [
        (NVINFER, "network-mode: 2", "network-mode: 4", 7, "network-mode=4 means nothing"),
        (NVINFER, "0.0039215697906911373", "0.0039f", 3, "'0.0039f' is no number"),
        (NVINFER, "0.0;0.0;0.0", "0.0, 0.0, 0.0", 4, ""),
        (NVINFER, "0.0;0.0;0.0", "[0.0, 0.0, 0.0]", 4, "is a YAML list; one value is read, lists as 1;2;3"),
        (NVINFER, "3;416;416", "3;w;416", 5, "'w' is no number"),
        (NVINFER, "class-attrs-2", "class-attrs-3", 11, "there are 3 classes, 0 to 2"),
        (ANALYTICS, ";1300;500", ";1300", 7, "needs 8 numbers, it has 7"),
    ],
)
def test_a_trap_of_the_plugins_is_an_error_in_its_line(text: str, good: str, bad: str, line: int, words: str) -> None:
    assert text.count(good) == 1
    found = findings(text.replace(good, bad))
    if words:
        assert [(at, how) for at, how, message in found if words in message] == [(line, "error")]
    else:  # std::stod reads the first number and leaves the rest: no end, and so no finding
        assert found == []


def test_yaml_came_with_6_1() -> None:
    assert findings(NVINFER, version="6.1") == []
    assert findings(NVINFER, version="6.0.1") == [(1, "error", "DeepStream 6.0.1 reads no YAML; that came with 6.1")]


@pytest.mark.parametrize(
    ("good", "bad", "line", "words"),
    [
        ("1,4,rtsp", "True,4,rtsp", 3, "enable: 'True' is no integer"),
        ("/main,1\n", "/main\n", 3, "3 fields for 4 columns"),
        ("/main,1\n", "/main,1\n\n", 4, "1 fields for 4 columns"),  # deepstream-app reads a number from nothing
        ("num-sources", "num_sources", 2, "'num_sources' is no key of a source"),
        ("enable,type", "enable, type", 2, "' type' is no key of a source"),
    ],
)
def test_a_trap_in_the_sources_is_found_in_its_line(good: str, bad: str, line: int, words: str, folder: Path) -> None:
    assert CSV.count(good) == 1
    (folder / "sources.csv").write_text(CSV.replace(good, bad))
    found = check_yaml(APP.encode(), str(folder / "app.yml"), folder=folder)[1]

    assert [(one.line, one.severity) for one in found if words in one.message] == [(line, Severity.ERROR)], found
    assert found[0].file == str(folder / "sources.csv")


def test_line_ends_of_windows_in_the_sources_are_found() -> None:
    count, found = check_csv(CSV.replace("\n", "\r\n").encode(), "s.csv", "x.yml")

    assert count == 2
    assert [one.line for one in found] == [2]  # the last column's name ends with one


def test_other_programs_files_are_left_alone() -> None:
    for text in ("source:\n  location: a.mp4\nstreammux:\n  speed: yes\n", "property:\n  network-type: 4\n"):
        assert check_yaml(text.encode(), "x.yml") == (FileKind.OTHER, [])


def corpus() -> list[Path]:
    named = os.environ.get("VEDETTE_DS_CORPUS")
    if not named:
        pytest.skip("VEDETTE_DS_CORPUS names no folder of public DeepStream configurations")
    files = sorted(one for one in Path(named).rglob("*") if one.suffix in {".yml", ".yaml"} and one.is_file())
    known = [one for one in files if check_yaml(one.read_bytes(), "x")[0] is not FileKind.OTHER]
    if not known:
        pytest.skip("the folder has no YAML configuration")
    return known


TRACKER = """\
%YAML:1.0
TargetManagement:
  probationAge: 4
  maxTargetsPerStream: 150
VisualTracker:
  useHog: 0
  somethingOfAnotherVersion: 1
ReID:
  inferDims: [256, 128, 3]
"""


@pytest.mark.parametrize(
    ("good", "wrong", "line", "told"),
    [
        ("probationAge", "probatoinAge", 3, "did you mean 'probationAge'"),
        ("VisualTracker", "VisualTraker", 5, "did you mean 'VisualTracker'"),
        ("useHog: 0", "useHog: false", 6, "'false' is no integer|'false' is no number"),
        ("  maxTargetsPerStream", "\tmaxTargetsPerStream", 4, "no tab"),
    ],
)
def test_mistakes_in_a_trackers_file_are_found(good: str, wrong: str, line: int, told: str) -> None:
    for version in ("6.0", "9.1"):
        assert check_yaml(TRACKER.encode(), "x", dialect(version)) == (FileKind.TRACKER, [])
    found = check_yaml(TRACKER.replace(good, wrong).encode(), "x")[1]
    assert [one.line for one in found] == [line]
    assert re.search(told, found[0].message)


def test_public_yaml_configurations_give_no_error() -> None:
    files = corpus()
    found = [one for path in files for one in check_yaml(path.read_bytes(), str(path), folder=path.parent)[1]]

    assert [str(one) for one in found if one.severity is Severity.ERROR] == []
    assert len(files) > 20


PLANTED: dict[str, Callable[[str], str]] = {
    "batch-size": lambda line: line.partition(":")[0] + ": four",
    "net-scale-factor": lambda line: line.rstrip() + "f",
    "network-mode": lambda line: line.partition(":")[0] + ": 9",
    "enable": lambda line: line.partition(":")[0] + ": true",
    "gie-unique-id": lambda line: line.partition(":")[0] + ": [1]",
    "gpu-id": lambda line: line.partition(":")[0] + ":",
}


def test_mistakes_planted_in_public_yaml_configurations_are_found() -> None:
    planted = 0
    for path in corpus():
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            mistake = PLANTED.get(line.partition(":")[0].strip())
            if mistake is None or not line.startswith((" ", "\t")) or not line.partition(":")[2].strip():
                continue
            text = "\n".join([*lines[: number - 1], mistake(line.partition("#")[0].rstrip()), *lines[number:]])
            if not is_read(text, number):
                continue
            found = check_yaml(text.encode(), "x")[1]
            assert [one for one in found if (one.line, one.severity) == (number, Severity.ERROR)], (path, line)
            planted += 1
    assert planted > 200, planted


def is_read(text: str, number: int) -> bool:
    """Whether the line's group is one that these programs read; others' groups are passed over."""
    warned = {one.message for one in check_yaml(text.encode(), "x")[1] if "is no group" in one.message}
    for line in reversed(text.splitlines()[:number]):
        if line[:1].isalpha():
            return not any(f"'[{line.partition(':')[0]}]'" in message for message in warned)
    return False


@given(st.binary(max_size=200))
def test_any_bytes_are_checked_without_a_traceback(content: bytes) -> None:
    check_yaml(content, "x", dialect("7.1"), find_target("x86"), Path("/nowhere"))
    check_csv(content, "x", "y")


@settings(deadline=None)
@given(st.sampled_from([APP, NVINFER, ANALYTICS]), st.integers(0, 30), st.text(max_size=12))
def test_any_values_are_checked_without_a_traceback(good: str, number: int, value: str) -> None:
    lines = good.splitlines()
    at = number % len(lines)
    lines[at] = lines[at].partition(":")[0] + ": " + yaml.safe_dump(value, default_style='"').strip()
    check_yaml("\n".join(lines).encode(), "x", dialect("7.1"), find_target("x86"), Path("/nowhere"))
