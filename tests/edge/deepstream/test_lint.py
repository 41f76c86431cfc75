"""The check of DeepStream configurations: every trap is found in its line, good files give no finding."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.edge.deepstream.dialects import DIALECTS, dialect
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.findings import Severity
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.key_tables import FileKind, key_table
from vedette.edge.deepstream.lint import YAML_ENDINGS, check_content, check_path
from vedette.edge.deepstream.targets import TARGETS, check_version, find_target

GOOD_APP = """\
[application]
enable-perf-measurement=1

[source0]
enable=1
type=4
uri=rtsp://10.0.0.7/main

[streammux]
batch-size=1
width=1280
height=720

[primary-gie]
enable=1
gie-unique-id=1
config-file=config_infer.txt

[tracker]
enable=1
tracker-width=640
tracker-height=384
ll-lib-file=/opt/nvidia/deepstream/deepstream/lib/libnvds_nvmultiobjecttracker.so
ll-config-file=/etc/config_tracker_NvDCF_perf.yml

[sink0]
enable=1
type=6
msg-conv-msg2p-new-api=1
msg-broker-proto-lib=/opt/nvidia/deepstream/deepstream/lib/libnvds_kafka_proto.so
msg-broker-conn-str=broker;9092
"""
GOOD_NVINFER = """\
[property]
gie-unique-id=1
net-scale-factor=0.0039215697906911373
model-color-format=0
num-detected-classes=3
network-mode=2
maintain-aspect-ratio=1
symmetric-padding=1

[class-attrs-all]
pre-cluster-threshold=0.25

[class-attrs-2]
nms-iou-threshold=0.45
"""
GOOD_ANALYTICS = """\
[property]
enable=1
config-width=1920
config-height=1080

[line-crossing-stream-0]
enable=1
line-crossing-door=960;300;960;700;600;500;1300;500
class-id=-1
mode=loose

[roi-filtering-stream-0]
enable=1
roi-yard=10;10;500;10;500;400
class-id=0
"""


def findings(text: str, version: str | None = None, target: str | None = None) -> list[tuple[int, str, str]]:
    found = check_content(
        text.encode(),
        "app.txt",
        None if version is None else dialect(version),
        None if target is None else find_target(target),
    )[1]
    return [(one.line, one.severity.value, one.message) for one in found]


@pytest.mark.parametrize(
    ("text", "kind"),
    [(GOOD_APP, FileKind.APP), (GOOD_NVINFER, FileKind.NVINFER), (GOOD_ANALYTICS, FileKind.ANALYTICS)],
)
def test_good_files_give_no_finding(text: str, kind: FileKind) -> None:
    assert check_content(text.encode(), "x", dialect("7.1"), find_target("orin-nano")) == (kind, [])


@pytest.mark.parametrize(
    ("good", "bad", "line", "severity", "words"),
    [
        ("config_infer.txt\n", "config_infer.txt \n", 17, "error", "blanks behind 'config_infer.txt'"),
        ("config_infer.txt\n", "config_infer.txt # ours\n", 17, "error", "'#' starts a comment"),
        ("height=720\n", "height=720 # HD\n", 12, "warning", "read as 720"),
        ("enable=1\ntype=4", "enable=True\ntype=4", 5, "error", "'True' is no integer; write 1"),
        ("api=1", "api=True", 29, "error", "'True' is no boolean"),
        ("[streammux]\n", "; muxer\n[streammux]\n", 9, "error", "'; muxer' is no comment here"),
        ("[streammux]", "[streammux ]", 9, "warning", "'[streammux ]' is not '[streammux]'"),
        ("[streammux]", "[streamux]", 9, "warning", "did you mean '[streammux]'"),
        ("gie-unique-id=1", "gie-uniqe-id=1", 16, "warning", "did you mean 'gie-unique-id'"),
        ("type=6", "type=7", 28, "error", "type=7 means nothing"),
        ("width=1280", "width=1280\nwidth=1920", 12, "warning", "stands in line 11 too"),
        ("type=4\n", "type=4\nnum-sources=4\n", 11, "warning", "batch-size=1 is less than the 4 sources"),
        ("batch-size=1", "batch-size=0x1", 10, "error", "'0x1' is no integer"),
        ("tracker-height=384", "tracker-height=368", 22, "warning", "NvDCF wants multiples of 32"),
        ("libnvds_nvmultiobjecttracker", "libnvds_mot_klt", 23, "error", "ended with DeepStream 5.1"),
        ("msg-conv-msg2p-new-api=1\n", "", 28, "warning", "sends no message at all"),
        ("broker;9092", "broker:9092", 31, "error", "write host;port"),
        ("//10.0.0.7", "//admin:secret@10.0.0.7", 7, "warning", "user name and password"),
        ("[sink0]", "[secondary-gie0]\nenable=1\ngie-unique-id=1\n[sink0]", 28, "error", "is that of [primary-gie]"),
        ("batch-size=1", "batch-size[de]=1", 10, "error", "marks a translation"),
    ],
)
def test_a_trap_is_found_in_its_line(good: str, bad: str, line: int, severity: str, words: str) -> None:
    assert GOOD_APP.count(good) == 1
    found = findings(GOOD_APP.replace(good, bad), "7.1")

    assert [(at, how) for at, how, message in found if words in message] == [(line, severity)]
    assert len(found) == 1


def test_a_secret_is_not_repeated() -> None:
    text = GOOD_APP.replace("//10", "//admin:hunter2@10") + "[message-converter]\n"

    assert "hunter2" not in str(findings(text))
    assert "hunter2" not in str(findings("[message-broker]\nusername=a\npassword=hunter2\n"))
    assert findings("[message-broker]\npassword=hunter2\n")[0][:2] == (2, "warning")
    kafka = findings('[message-broker]\nproto-cfg="sasl.username=a;sasl.password=hunter2"\n')
    assert kafka == [(2, "warning", "[message-broker] 'proto-cfg' holds a password; others may read the file")]


@pytest.mark.parametrize(
    ("good", "bad", "line", "words"),
    [
        ("[class-attrs-2]", "[class-attrs-3]", 13, "there are 3 classes, 0 to 2"),
        ("network-mode=2", "network-mode=4", 6, "network-mode=4 means nothing"),
        ("symmetric-padding=1", "symmetric-padding=yes", 8, "write 1"),
        ("0.0039215697906911373", "0.0039215697906911373 ", 3, "remove the blanks behind it"),
        ("0.0039215697906911373", "0,0039", 3, "is no number"),
        ("0.25", "0.25f", 11, "is no number"),
    ],
)
def test_a_trap_of_nvinfer_is_an_error_in_its_line(good: str, bad: str, line: int, words: str) -> None:
    assert GOOD_NVINFER.count(good) == 1
    [(at, severity, message)] = findings(GOOD_NVINFER.replace(good, bad))

    assert (at, severity) == (line, "error")
    assert words in message


def test_padding_on_both_sides_without_the_ratio_kept_has_no_effect() -> None:
    [(line, severity, message)] = findings(GOOD_NVINFER.replace("maintain-aspect-ratio=1", "maintain-aspect-ratio=0"))

    assert (line, severity) == (8, "warning")
    assert "does nothing" in message


@pytest.mark.parametrize(
    ("good", "bad", "line", "words"),
    [
        (";1300;500", ";1300", 8, "needs 8 numbers, it has 7"),
        ("10;10;500;10;500;400", "10;10;500;10", 14, "at least three corners"),
        ("10;10;500;10;500;400", "-1;10;500;10;500;400", 14, "below 0"),
        ("config-width=1920\n", "", 1, "needs 'config-width'"),
    ],
)
def test_a_trap_of_nvdsanalytics_is_an_error_in_its_line(good: str, bad: str, line: int, words: str) -> None:
    found = findings(GOOD_ANALYTICS.replace(good, bad))

    assert [(at, severity) for at, severity, message in found if words in message] == [(line, "error")]


def test_what_a_version_or_board_lacks_is_told_only_when_it_is_named() -> None:
    mqtt = GOOD_APP.replace("kafka", "mqtt")
    recorded = (
        GOOD_APP.replace("type=6", "type=3")
        .replace("msg-conv-msg2p-new-api", "enc-type")
        .replace("enc-type=1", "enc-type=0")
    )

    assert findings(mqtt) == []
    assert "no MQTT adaptor" in findings(mqtt, "6.0.1", "jetson-nano")[0][2]
    assert "no MQTT adaptor" in findings(mqtt, "6.2", "orin-nano")[0][2]
    assert findings(mqtt, "6.3") == []
    assert findings(recorded) == []
    assert "no video encoder" in findings(recorded, "7.1", "orin-nano")[0][2]
    assert findings(recorded, "7.1", "orin-nano")[0][0] == 29
    assert findings(recorded, "7.1", "agx-orin") == []


def test_a_key_of_a_later_version_is_told() -> None:
    text = GOOD_NVINFER.replace("network-mode=2", "network-mode=2\nstrongly-typed=1")

    assert findings(text, "9.1") == []
    assert findings(text, "6.3")[0][:2] == (7, "warning")


def test_a_sink_for_jetson_only_is_refused_on_a_pc() -> None:
    text = GOOD_APP.replace("type=6", "type=5")

    assert "Jetson only" in findings(text, "6.0.1", "x86")[0][2]
    assert findings(text, "7.1", "x86") == []


def test_every_table_says_where_it_comes_from_and_rows_agree() -> None:
    for kind in FileKind:
        if kind is not FileKind.OTHER:
            assert "DeepStream 9.1" in key_table(kind).source or "deepstream-app 9.1" in key_table(kind).source
    assert all(row.sources for row in [*DIALECTS.values(), *TARGETS.values()])
    assert [row.version for row in DIALECTS.values()] == sorted(DIALECTS, key=lambda name: DIALECTS[name].order)
    for target in TARGETS.values():
        assert set(target.versions) <= set(DIALECTS)


def test_a_version_that_a_board_cannot_run_is_refused() -> None:
    with pytest.raises(
        DeepStreamError, match=r"7\.1 does not run on the Jetson Nano 4 GB; give --deepstream 6\.0, 6\.0"
    ):
        check_version(find_target("jetson-nano"), "7.1")
    with pytest.raises(DeepStreamError, match="known are"):
        dialect("5.1")
    with pytest.raises(DeepStreamError, match="known are"):
        find_target("toaster")


def test_a_folder_is_checked_with_what_its_files_name(tmp_path: Path) -> None:
    (tmp_path / "app.txt").write_text(GOOD_APP)
    (tmp_path / "readme.txt").write_text("nothing of interest\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "infer.txt").write_text(GOOD_NVINFER.replace("[property]", "[property]\nlabelfile-path=l.txt"))
    (tmp_path / "sub" / "l.txt").write_text("one\ntwo\n")

    checked = {path.name: found for path, (_, found) in check_path(tmp_path).items()}

    assert set(checked) == {"app.txt", "infer.txt"}
    assert [(one.line, one.severity) for one in checked["app.txt"]] == [(17, Severity.WARNING)]  # config_infer.txt
    assert [(one.line, one.message) for one in checked["infer.txt"]] == [
        (2, "[property] l.txt names 2 classes, num-detected-classes=3")
    ]


def test_a_folder_without_configurations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeepStreamError, match="holds no DeepStream configuration"):
        check_path(tmp_path)


@pytest.mark.parametrize("number", range(0, len(GOOD_APP), 37))
def test_a_file_cut_anywhere_never_ends_in_a_traceback(number: int) -> None:
    check_content(GOOD_APP.encode()[:number], "x", dialect("6.0"), find_target("x86"))


def test_public_configurations_known_to_be_good_give_no_error() -> None:
    """A folder of the configurations of NVIDIA's sample repositories; they are not ours to keep here."""
    named = os.environ.get("VEDETTE_DS_CORPUS")
    if not named:
        pytest.skip("VEDETTE_DS_CORPUS names no folder of public DeepStream configurations")
    checked = check_path(Path(named))

    errors = [str(one) for _, found in checked.values() for one in found if one.severity is Severity.ERROR]
    assert len(checked) > 20
    assert errors == []


def test_mistakes_planted_in_public_configurations_are_found() -> None:
    named = os.environ.get("VEDETTE_DS_CORPUS")
    if not named:
        pytest.skip("VEDETTE_DS_CORPUS names no folder of public DeepStream configurations")
    planted = 0
    for path, (kind, _) in check_path(Path(named)).items():
        if kind not in {FileKind.APP, FileKind.NVINFER, FileKind.ANALYTICS} or path.suffix in YAML_ENDINGS:
            continue
        lines = path.read_text("utf-8").splitlines()
        for entry in read_key_file(path.read_bytes(), "x").entries:
            mistake, number = PLANTED.get(entry.key), entry.line
            if mistake is None or not entry.value or key_table(kind).pattern_of(entry.group) is None:
                continue
            line = lines[number - 1]
            text = "\n".join([*lines[: number - 1], mistake(line), *lines[number:]])
            found = check_content(text.encode(), "x")[1]
            assert [one for one in found if (one.line, one.severity) == (number, Severity.ERROR)], (path, mistake(line))
            planted += 1
    assert planted > 200, planted


PLANTED = {
    "config-file": lambda line: line.rstrip() + " ",
    "labelfile-path": lambda line: line.rstrip() + " # ours",
    "batch-size": lambda line: line.partition("=")[0] + "=four",
    "net-scale-factor": lambda line: line.rstrip() + "f",
    "extended": lambda line: line.partition("=")[0] + "=True",
    "network-mode": lambda line: line.partition("=")[0] + "=9",
    "enable": lambda line: ";" + line.partition("=")[0],
}


@given(st.binary(max_size=200))
def test_any_bytes_are_checked_without_a_traceback(content: bytes) -> None:
    check_content(content, "x", dialect("6.0.1"), find_target("x86"), Path("/nowhere"))


@settings(deadline=None)
@given(
    st.sampled_from([GOOD_APP, GOOD_NVINFER, GOOD_ANALYTICS]),
    st.lists(st.tuples(st.integers(0, 45), st.text(st.characters(codec="utf-8"), max_size=12)), max_size=4),
)
def test_any_values_are_checked_without_a_traceback(good: str, changes: list[tuple[int, str]]) -> None:
    lines = good.splitlines()
    for number, value in changes:
        at = number % len(lines)
        lines[at] = lines[at].partition("=")[0] + "=" + value
    check_content("\n".join(lines).encode(), "x", dialect("6.0.1"), find_target("x86"), Path("/nowhere"))


@pytest.mark.real_data
def test_the_table_of_deepstream_app_holds_every_key_that_it_reads(real_data: Path) -> None:
    """Against the list that was read from the source of deepstream-app 9.1."""
    path = real_data.parent / "oracles" / "deepstream_app_keys_9.1.json"
    if not path.is_file():
        pytest.skip(f"no list of keys: {path} is no file")
    listed = json.loads(path.read_text("utf-8"))
    groups = key_table(FileKind.APP).groups
    readers = {
        "application": "app:parse_app",
        "source-list": "app:parse_source_list",
        "source%d": "common:parse_source",
        "streammux": "common:parse_streammux",
        "primary-gie": "common:parse_gie",
        "secondary-gie%d": "common:parse_gie",
        "tracker": "common:parse_tracker",
        "sink%d": "common:parse_sink",
        "tiled-display": "common:parse_tiled_display",
        "message-converter": "common:parse_msgconv",
    }
    for group, reader in readers.items():
        kinds = {key: kind.value for key, kind in groups[group].items() if not key.endswith("*")}
        expected = {key: kind.replace("string path", "path") for key, kind in listed[reader].items()}
        assert set(kinds) == set(expected)
        assert {key: kinds[key] for key, kind in expected.items() if kind.isidentifier()} == {
            key: kind for key, kind in expected.items() if kind.isidentifier()
        }


@pytest.mark.parametrize(
    "content",
    [
        f"[source0]\nenable=1\n[primary-gie]\nenable=1\nconfig-file={'a' * 300}\n",
        f"[property]\nnet-scale-factor=1\nnum-detected-classes=2\nlabelfile-path={'a' * 300}\n",
        f"[property]\nnet-scale-factor=1\nnum-detected-classes=2\n[class-attrs-{'9' * 5000}]\nthreshold=1\n",
        "[property]\nnet-scale-factor=0x1p99999\ngpu-id=0\n",
    ],
)
def test_names_and_numbers_of_any_length_are_checked(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.txt"
    path.write_text(content)
    (_, findings) = check_path(path)[path]
    assert all(len(str(finding)) > len(str(path)) for finding in findings)


def test_a_large_file_beside_configurations_is_none(tmp_path: Path) -> None:
    (tmp_path / "app.txt").write_text(GOOD_APP)
    for name in ("log.txt", "log.yml"):
        (tmp_path / name).write_bytes(b"[source0]\n" * 500_000)
    assert set(check_path(tmp_path)) == {tmp_path / "app.txt"}
