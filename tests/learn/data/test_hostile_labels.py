"""Label files from strangers: nothing outside the root is opened, nothing hangs, memory stays small."""

import json
import resource
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_sets import voc_xml, write_coco, write_picture, write_voc, write_yolo
from vedette.learn.data.errors import DataError
from vedette.learn.data.locating import UnsafeNameError, path_below, relocated
from vedette.learn.data.problems import ProblemKind
from vedette.learn.data.reading import inspect_data_set
from vedette.learn.data.voc_xml import parse_annotation

OPENED: list[str] = []
HOOKED = False


@pytest.fixture
def opened():
    """Every path that Python opens during the test."""
    global HOOKED  # noqa: PLW0603  (audit hooks cannot be taken away)
    if not HOOKED:
        sys.addaudithook(lambda event, args: OPENED.append(str(args[0])) if event == "open" else None)
        HOOKED = True
    OPENED.clear()
    return OPENED


HOSTILE_NAMES = [
    "../../secret.jpg",
    "..\\..\\secret.jpg",
    "/etc/passwd",
    "C:\\secret.jpg",
    "a\0.jpg",
    "a\n.jpg",
    "x" * 5000 + ".jpg",
    "sub/../../../secret.jpg",
    "",
    "\u202egpj.exe",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_in_a_voc_file_leads_outside(tmp_path, opened, name):
    root = tmp_path / "set"
    secret = write_picture(tmp_path / "secret.jpg")
    (root / "JPEGImages").mkdir(parents=True)
    (root / "Annotations").mkdir()
    shown = name.replace("\0", "&#0;").replace("\n", "&#10;")
    (root / "Annotations" / "a.xml").write_text(voc_xml([("dog", (2, 3, 4, 5))], filename=shown))
    opened.clear()
    data = inspect_data_set(root).data
    assert all(root in sample.picture.parents for sample in data.samples)
    assert str(root / "Annotations" / "a.xml") in opened  # the hook sees what is read
    assert not [path for path in opened if path == str(secret) or path.startswith("/etc/passwd")]


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "/etc/hostname.jpg"])
@pytest.mark.parametrize("layout", ["yolo", "darknet", "coco"])
def test_no_name_in_a_list_or_coco_file_leads_outside(tmp_path, opened, name, layout):
    root = tmp_path / "set"
    secret = write_picture(tmp_path / "secret.jpg")
    (tmp_path / "secret.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    if layout == "coco":
        write_coco(root, [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}], [])
        text = (root / "instances.json").read_text()
        (root / "instances.json").write_text(text.replace('"a.jpg"', json.dumps(name)))
    else:
        write_yolo(root, {"train": {"a": "0 0.5 0.5 0.1 0.1\n"}})
        (root / "train.txt").write_text(f"images/train/a.jpg\n{name}\n", encoding="utf-8")
        if layout == "darknet":
            (root / "data.yaml").unlink()
            (root / "obj.names").write_text("cat\n")
            (root / "obj.data").write_text("train = train.txt\nnames = obj.names\n")
        else:
            (root / "data.yaml").write_text("train: train.txt\nnames: [cat]\n")
    opened.clear()
    data = inspect_data_set(root).data
    assert all(root in sample.picture.parents for sample in data.samples)
    assert str(root / ("instances.json" if layout == "coco" else "train.txt")) in opened  # the hook sees what is read
    assert all(sample.labels is None or root in sample.labels.parents for sample in data.samples)
    outside = {str(secret), str(tmp_path / "secret.txt"), "/etc/passwd", "/etc/passwd.txt", "/etc/hostname.txt"}
    assert not outside & set(opened)


def test_a_data_file_or_yaml_of_a_folder_does_not_name_files_outside_it(tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    root = write_yolo(tmp_path / "set", {"train": {"a": ""}})
    (root / "data.yaml").unlink()
    (root / "train.txt").write_text("images/train/a.jpg\n")
    (root / "obj.data").write_text("train = train.txt\nnames = ../names.txt\n")
    with pytest.raises(DataError, match="is not found in"):
        inspect_data_set(root)
    (root / "obj.data").unlink()
    write_picture(tmp_path / "private" / "secret.jpg")
    (root / "data.yaml").write_text("path: ../private\ntrain: .\nnames: [cat]\n")
    inspection = inspect_data_set(root)
    assert all(root in sample.picture.parents for sample in inspection.data.samples)
    assert [problem.kind for problem in inspection.problems if problem.kind is ProblemKind.FOREIGN_PATH]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(name=st.text(alphabet=st.sampled_from("ab./\\:~\0\n %"), max_size=24))
def test_path_below_never_leaves_its_root(tmp_path, name):
    root = tmp_path / "root"
    try:
        found = path_below(root, name, root / "sub")
    except UnsafeNameError:
        return
    assert found == root or root in found.parents
    assert ".." not in found.parts


def test_relocation_needs_an_existing_file_below_the_root(tmp_path):
    write_picture(tmp_path / "images" / "a.jpg")
    assert relocated(tmp_path, "/home/x/data/images/a.jpg") == tmp_path / "images" / "a.jpg"
    assert relocated(tmp_path, "/home/x/data/images/b.jpg") is None
    assert relocated(tmp_path / "images", "/x/../images/a.jpg") is None


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><annotation><object><name>&j;</name></object></annotation>"
)
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'
DTD = '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/x.dtd"><annotation/>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "DTD or an entity"),
        (EXTERNAL, "DTD or an entity"),
        (DTD, "DTD or an entity"),
        ("<annotation>" + "<a>" * 50_000, "nested deeper than 16"),
        ("<annotation>" + "<a/>" * 500_000 + "</annotation>", "more than 400000 elements"),
        ("<annotation>" + "<object/>" * 100_001 + "</annotation>", "more than 100000 objects"),
        (f"<annotation><filename>{'x' * 100_000}</filename></annotation>", "longer than 8000"),
        ("<annotation>" + " " * 10_000_000 + "</annotation>", "larger than 10 MB"),
        ("<html><annotation/></html>", "root element is <html>"),
        ("<annotation><object></annotation>", "no well-formed XML"),
        ("", "no well-formed XML"),
        ("\0\0\0\0", "no well-formed XML"),
        ('<?xml version="1.0" encoding="utf-7"?><annotation/>', "no well-formed XML"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "no well-formed XML"),
    ],
)
def test_hostile_xml_is_refused_quickly_with_one_clear_message(tmp_path, opened, text, message):
    path = tmp_path / "a.xml"
    path.write_text(text)
    opened.clear()
    began = time.monotonic()
    with pytest.raises(DataError, match=message):
        parse_annotation(path)
    assert time.monotonic() - began < 5  # 1 s on an idle machine; the runners are shared
    assert [name for name in opened if name.startswith("/etc")] == []


def test_the_largest_xml_that_is_let_in_stays_small_in_memory(tmp_path):
    path = tmp_path / "a.xml"
    objects = [("dog", (1, 2, 3, 4))] * 60_000
    path.write_text(voc_xml(objects))
    assert path.stat().st_size < 10_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="more than 400000 elements"):
        parse_annotation(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 256  # MB


def test_utf_16_is_read_as_xml_allows(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0" encoding="UTF-16"?>' + voc_xml([("naïve", (1, 2, 3, 4))]), encoding="utf-16")
    assert parse_annotation(path).objects[0]["name"] == "naïve"


@pytest.mark.parametrize("number", ["nan", "-inf", "1e999", "9" * 60, "-5", "1_000", "٣", "0x10", "9" * 5000, ""])
def test_strange_numbers_are_kept_or_reported_never_a_crash(tmp_path, number):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 14, 15))]})
    xml = tmp_path / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace(">14<", f">{number}<").replace(">40<", f">{number}<"))
    inspection = inspect_data_set(tmp_path)
    assert len(inspection.data.samples[0].objects) == 1
    readable = number in {"nan", "-inf", "1e999", "9" * 60, "-5"}
    assert (ProblemKind.BAD_SYNTAX in [problem.kind for problem in inspection.problems]) is not readable


YAML_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch /tmp/owned']",
        YAML_BOMB + "train: *j\nnames: *j\n",
        "[" * 5000,
        "{",
        "train: [[x]]\nnames: [a]",
        "names: {a: b}",
        "names: [a]\n",
        "- a\n",
        "\0",
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"data\.yaml"):
        inspect_data_set(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"images": 1, "annotations": [], "categories": []}',
        '{"images": [1], "annotations": [], "categories": []}',
        '{"images": [], "annotations": [], "categories": []',
        '{"images": [], "annotations": [' + "[" * 50_000,
        '{"images": [], "annotations": [], "categories": [{"id": ' + "9" * 5000 + "}]}",
        '["images", "annotations", {"categories": 0}]',
    ],
)
def test_hostile_json_is_refused(tmp_path, text):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DataError):
        inspect_data_set(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(content=st.binary(max_size=200), kind=st.sampled_from(["xml", "json", "yaml", "txt", "data"]))
def test_any_bytes_end_in_a_data_set_or_a_data_error(tmp_path, content, kind):
    write_picture(tmp_path / "images" / "a.jpg", 8, 8)
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "classes.txt").write_text("cat\n")
    path = tmp_path / ("labels/a.txt" if kind == "txt" else f"mine.{kind}")
    starts = {
        "xml": b"<annotation><object><name>",
        "json": b'{"images": [], "categories": [], "annotations": [',
        "yaml": b"names: [a]\ntrain: ",
        "txt": b"0 0.5 ",
        "data": b"names = classes.txt\ntrain = ",
    }
    path.write_bytes(starts[kind] + content)
    try:
        inspect_data_set(tmp_path if kind == "txt" else path)
    except DataError as error:
        assert "\n" not in str(error).strip()
    finally:
        path.unlink()


def test_a_symbolic_link_that_the_user_made_is_followed(tmp_path):
    pictures = tmp_path / "big-disk"
    write_picture(pictures / "a.jpg")
    root = tmp_path / "set"
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").symlink_to(pictures)
    (root / "Annotations" / "a.xml").write_text(voc_xml([("dog", (2, 3, 4, 5))]))
    assert inspect_data_set(root).data.samples[0].picture == Path(root / "JPEGImages" / "a.jpg")


@pytest.mark.parametrize("size", [10**400, float("nan"), float("inf"), -3, "wide"])
def test_a_size_that_is_none_in_a_coco_file_is_read_as_unknown(tmp_path, size):
    write_coco(tmp_path / "set", [{"id": 1, "file_name": "a.jpg", "width": size, "height": 30}], [])
    write_picture(tmp_path / "set" / "a.jpg")
    (sample,) = inspect_data_set(tmp_path / "set").data.samples
    assert sample.picture.name == "a.jpg" and (sample.width_px, sample.height_px) == (0, 30)
