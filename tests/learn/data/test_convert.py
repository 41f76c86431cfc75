"""What goes out of one layout comes back from any other; what cannot is listed; a destination is whole or not there."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_sets import write_coco, write_picture, write_voc
from vedette.contracts.errors import UsageError
from vedette.learn.data.convert import Conversion, VocOffset, convert_data_set
from vedette.learn.data.darknet_labels import parse_label_line
from vedette.learn.data.errors import DataError, DestinationError
from vedette.learn.data.number_text import relative_line
from vedette.learn.data.reading import inspect_data_set, read_data_set
from vedette.learn.data.samples import DataSet, Layout
from vedette.learn.data.writers import WRITERS

FLAGS = "<truncated>1</truncated><difficult>1</difficult>"


def convert(source: Path, destination: Path, to: Layout, offset: VocOffset = VocOffset.EXACT) -> Conversion:
    return convert_data_set(inspect_data_set(source), destination, to, offset)


def contents(data: DataSet) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    return {
        sample.name: [(o.class_name, tuple(round(value, 2) for value in o.box_xyxy_px)) for o in sample.objects]
        for sample in data.samples
    }


def some_voc(root: Path) -> Path:
    samples = {
        "a": [("dog", (1, 1, 40, 30)), ("cat & <mouse>", (7, 8, 9, 10))],
        "b": [("zebra", (13, 11, 17, 29))],
        "sub/c": [],
        "d e": [("dog", (5, 5, 7, 9))],
    }
    splits = {"train": ["a", "sub/c"], "val": ["b"], "trainval": ["a", "b", "sub/c"]}  # `d e` is in none
    write_voc(
        root, {**samples, "a": [(n.replace("&", "&amp;").replace("<", "&lt;"), b) for n, b in samples["a"]]}, splits
    )
    (root / "classes.txt").write_text("zebra\ndog\ncat & <mouse>\n")
    return root


@pytest.mark.parametrize(("first", "second"), list(itertools.product(WRITERS, WRITERS)))
def test_boxes_names_splits_and_class_order_survive_two_conversions_and_back(tmp_path, first, second):
    source = some_voc(tmp_path / "source")
    convert(source, tmp_path / "one", first)
    convert(tmp_path / "one", tmp_path / "two", second)
    convert(tmp_path / "two", tmp_path / "back", Layout.VOC)
    original = read_data_set(source)
    for place, layout in (("one", first), ("two", second), ("back", Layout.VOC)):
        data = read_data_set(tmp_path / place)
        assert data.layout is layout
        assert data.classes == original.classes
        assert contents(data) == contents(original)
        assert {name: set(members) for name, members in data.splits.items()} == {
            name: set(members) for name, members in original.splits.items()
        }
        pictures = {sample.name: sample.picture.read_bytes() for sample in data.samples}
        assert pictures == {sample.name: sample.picture.read_bytes() for sample in original.samples}


@settings(max_examples=400, deadline=None)
@given(data=st.data(), width=st.integers(1, 9000), height=st.integers(1, 9000))
def test_every_whole_voc_box_comes_back_from_a_darknet_line(data, width, height):
    xmin = data.draw(st.integers(1, width))
    ymin = data.draw(st.integers(1, height))
    xmax = data.draw(st.integers(xmin, width))
    ymax = data.draw(st.integers(ymin, height))
    line = relative_line("0", (xmin - 1, ymin - 1, xmax, ymax), width, height)
    left, top, right, bottom = parse_label_line(line, ["dog"], width, height).box_xyxy_px
    assert (round(left) + 1, round(top) + 1, round(right), round(bottom)) == (xmin, ymin, xmax, ymax)
    assert max(abs(left - round(left)), abs(bottom - round(bottom))) < 1e-4
    assert all(0 <= float(value) <= 1 for value in line.split()[1:])


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    corners=st.lists(st.tuples(*[st.floats(0, 1, width=16)] * 4), min_size=1, max_size=20),
    through=st.sampled_from([Layout.DARKNET, Layout.YOLO, Layout.COCO]),
)
def test_whole_voc_files_come_back_byte_for_byte(tmp_path_factory, size, corners, through):
    root = tmp_path_factory.mktemp("round")
    boxes = []
    for a, b, c, d in corners:
        (x1, x2), (y1, y2) = sorted((a, c)), sorted((b, d))
        xmin, ymin = 1 + int(x1 * (size[0] - 1)), 1 + int(y1 * (size[1] - 1))
        boxes.append(("dog", (xmin, ymin, max(xmin, round(x2 * size[0])), max(ymin, round(y2 * size[1])))))
    write_voc(root / "source", {"a": boxes})
    write_picture(root / "source" / "JPEGImages" / "a.jpg", *size)
    convert(root / "source", root / "voc", Layout.VOC)
    convert(root / "voc", root / "there", through)
    convert(root / "there", root / "back", Layout.VOC)
    assert (root / "back/Annotations/a.xml").read_text() == (root / "voc/Annotations/a.xml").read_text()
    assert len(read_data_set(root / "back").samples[0].objects) == len(boxes)


def test_voc_offset_darknet_writes_the_numbers_of_voc_label_py(tmp_path):
    write_picture(tmp_path / "source" / "JPEGImages" / "a.jpg", 200, 100)
    write_voc(tmp_path / "source", {"a": [("dog", (11, 21, 51, 81))]})
    write_picture(tmp_path / "source" / "JPEGImages" / "a.jpg", 200, 100)
    convert(tmp_path / "source", tmp_path / "exact", Layout.DARKNET)
    convert(tmp_path / "source", tmp_path / "script", Layout.DARKNET, VocOffset.DARKNET)
    assert (tmp_path / "script/labels/a.txt").read_text() == "0 0.15 0.5 0.2 0.6\n"  # ((11+51)/2-1)/200, (51-11)/200
    assert (tmp_path / "exact/labels/a.txt").read_text() == "0 0.1525 0.505 0.205 0.61\n"
    convert(tmp_path / "script", tmp_path / "back", Layout.VOC, VocOffset.DARKNET)
    assert read_data_set(tmp_path / "back").samples[0].objects[0].box_xyxy_px == (10, 20, 51, 81)


def test_voc_offset_darknet_skips_difficult_objects_as_the_script_does_and_says_so(tmp_path):
    write_voc(tmp_path / "source", {"a": [("dog", (11, 2, 21, 12))]}, extra=FLAGS)
    conversion = convert(tmp_path / "source", tmp_path / "out", Layout.YOLO, VocOffset.DARKNET)
    assert (tmp_path / "out/labels/a.txt").read_text() == ""
    assert conversion.left_out["difficult objects, as voc_label.py does"].count == 1


def test_voc_offset_is_refused_where_it_means_nothing(tmp_path):
    write_voc(tmp_path / "source", {"a": [("dog", (11, 2, 21, 12))]})
    with pytest.raises(UsageError, match="voc becomes coco"):
        convert(tmp_path / "source", tmp_path / "out", Layout.COCO, VocOffset.DARKNET)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("layout", "kept"), [(Layout.COCO, True), (Layout.DARKNET, False), (Layout.YOLO, False)])
def test_difficult_and_truncated_are_kept_or_listed(tmp_path, layout, kept):
    write_voc(tmp_path / "source", {"a": [("dog", (11, 2, 21, 12))]}, extra=FLAGS)
    conversion = convert(tmp_path / "source", tmp_path / "out", layout)
    convert(tmp_path / "out", tmp_path / "back", Layout.VOC)
    (item,) = read_data_set(tmp_path / "back").samples[0].objects
    assert (item.difficult, item.truncated) == (kept, kept)
    assert bool(conversion.left_out) is not kept
    assert sum(entry.count for entry in conversion.left_out.values()) == (0 if kept else 2)


def test_crowd_regions_are_no_objects_for_darknet_and_difficult_for_voc(tmp_path):
    annotation = {"id": 1, "image_id": 1, "category_id": 17, "bbox": [1, 2, 10.25, 9], "iscrowd": 1}
    image = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
    source = write_coco(tmp_path / "source", [image], [annotation, {**annotation, "id": 2, "iscrowd": 0}])
    conversion = convert(source, tmp_path / "yolo", Layout.YOLO)
    assert (conversion.objects, [entry.count for entry in conversion.left_out.values()]) == (1, [1])
    conversion = convert(source, tmp_path / "voc", Layout.VOC)
    assert [o.difficult for o in read_data_set(tmp_path / "voc").samples[0].objects] == [True, False]
    assert conversion.left_out["fractions of pixels; the boxes are rounded"].count == 2
    convert(source, tmp_path / "coco", Layout.COCO)
    assert [o.crowd for o in read_data_set(tmp_path / "coco").samples[0].objects] == [True, False]


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path):
    source = write_voc(
        tmp_path / "source",
        {"a": [("dog", (1, 1, 9, 9)), ("dog", (9, 9, 1, 1)), ("fly", (1, 1, 9, 9))], "b": [("dog", (1, 1, 9, 9))]},
    )
    (source / "classes.txt").write_text("dog\n")
    (source / "JPEGImages" / "b.jpg").unlink()
    (source / "Annotations" / "c.xml").write_text("<annotation>")
    conversion = convert(source, tmp_path / "out", Layout.DARKNET)
    assert (conversion.pictures, conversion.objects) == (1, 1)
    assert {what.split(" (")[0]: entry.count for what, entry in conversion.left_out.items()} == {
        "unreadable": 1,
        "pictures that are missing or unreadable, with their labels": 1,
        "objects with an inverted or unreadable box": 1,
        "objects of unknown classes": 1,
    }
    assert json.loads(json.dumps(conversion.as_document()))["left_out"][0]["examples"]


def test_a_destination_that_is_not_empty_is_refused_and_unchanged(tmp_path):
    source = some_voc(tmp_path / "source")
    destination = tmp_path / "out"
    destination.mkdir()
    (destination / "mine.txt").write_text("precious")
    with pytest.raises(DestinationError, match="not empty"):
        convert(source, destination, Layout.YOLO)
    assert [path.name for path in destination.iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    (destination / "mine.txt").unlink()
    convert(source, destination, Layout.YOLO)  # an empty folder is taken
    assert (destination / "data.yaml").is_file()


def test_a_failed_conversion_leaves_nothing_behind(tmp_path):
    source = write_voc(tmp_path / "source", {"a": [("dog", (1, 1, 9, 9))]})
    (source / "JPEGImages" / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="no picture that can be converted"):
        convert(source, tmp_path / "out", Layout.COCO)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


KILLED = """
import sys, time
from pathlib import Path
from vedette.learn.data.convert import convert_data_set
from vedette.learn.data.reading import inspect_data_set
from vedette.learn.data.samples import Layout

class Slow:
    def start(self, stage, total, unit): pass
    def say(self, line): pass
    def advance(self, count=1, **figures): print("one", flush=True); time.sleep(0.2)

convert_data_set(inspect_data_set(Path(sys.argv[1])), Path(sys.argv[2]), Layout.YOLO, progress=Slow())
"""


def test_a_killed_conversion_leaves_no_destination_and_the_next_one_succeeds(tmp_path):
    source = write_voc(tmp_path / "source", {f"p{i}": [("dog", (1, 1, 9, 9))] for i in range(60)})
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(source), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "one\n"
        with pytest.raises(DestinationError, match="another process"):
            convert(source, out, Layout.YOLO)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    assert (tmp_path / ".out.partial").is_dir()
    convert(source, out, Layout.YOLO)
    assert len(list((out / "labels").iterdir())) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_an_interrupted_conversion_cleans_up_after_itself(tmp_path):
    source = write_voc(tmp_path / "source", {f"p{i}": [("dog", (1, 1, 9, 9))] for i in range(60)})
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_darknet_finds_the_labels_it_writes_by_its_own_rule(tmp_path):
    convert(some_voc(tmp_path / "source"), tmp_path / "out", Layout.DARKNET)
    for line in (tmp_path / "out" / "train.txt").read_text().splitlines():
        alexeyab = line.replace("/JPEGImages/", "/labels/").rsplit(".", 1)[0] + ".txt"
        assert (tmp_path / "out" / alexeyab).is_file()
        redmon = line.replace("images", "labels", 1).replace("JPEGImages", "labels", 1).rsplit(".", 1)[0] + ".txt"
        assert (tmp_path / "out" / redmon).is_file()


def test_scores_stay_in_voc_and_are_listed_where_the_target_has_no_place_for_them(tmp_path):
    source = write_voc(tmp_path / "source", {"a": [("dog", (2, 3, 14, 15))]}, extra="<score>0.875</score>")
    convert(source, tmp_path / "voc", Layout.VOC)
    assert [item.score for item in read_data_set(tmp_path / "voc").samples[0].objects] == [0.875]
    done = convert(source, tmp_path / "coco", Layout.COCO)
    assert {what: entry.count for what, entry in done.left_out.items()} == {"scores; the objects are kept": 1}


@pytest.mark.parametrize("text", ["", "high", "1.5", "nan", "-0.1"])
def test_a_score_of_another_meaning_is_passed_over(tmp_path, text):
    source = write_voc(tmp_path / "source", {"a": [("dog", (2, 3, 14, 15))]}, extra=f"<score>{text}</score>")
    assert [item.score for item in read_data_set(source).samples[0].objects] == [None]
