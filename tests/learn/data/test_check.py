"""Each kind of problem is found where it is, and only there; repairs change what they say and nothing else."""

import json
import re
from pathlib import Path

import pytest

from label_sets import voc_xml, write_coco, write_picture, write_voc, write_yolo
from vedette.learn.data.check import check_data_set
from vedette.learn.data.problems import SEVERITIES, Problem, ProblemKind, Severity
from vedette.learn.data.reading import inspect_data_set
from vedette.learn.data.repair import Repair, repair_data_set

GOOD = ("dog", (2, 3, 14, 15))
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "data-problems.md"


def problems(source: Path, **options: object) -> list[Problem]:
    return list(check_data_set(inspect_data_set(source, **options)).problems)


def found(source: Path, **options: object) -> list[tuple[str, str, int | None]]:
    return [(problem.kind.value, problem.file, problem.object_index) for problem in problems(source, **options)]


def test_the_documented_kinds_are_the_kinds_there_are():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", REFERENCE.read_text(), re.MULTILINE)
    assert rows == [(kind.value, SEVERITIES[kind].value) for kind in ProblemKind]


def test_a_good_data_set_has_no_problem(tmp_path):
    write_voc(tmp_path, {"a": [GOOD], "b": [("dog", (1, 1, 40, 30))]})
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((5, 5, 5, 5), "empty-box"),
        ((5, 5, 5, 12), "empty-box"),
        ((9, 5, 4, 12), "inverted-box"),
        ((9, 12, 14, 5), "inverted-box"),
        (("nan", 5, 9, 12), "non-finite-box"),
        ((5, 5, "1e999", 12), "non-finite-box"),
        ((5, 5, 6, 12), "one-pixel-box"),
        ((30, 5, 41, 12), "box-outside"),
        ((0, 5, 9, 12), "box-outside"),
        ((50, 50, 60, 60), "box-outside"),
    ],
)
def test_a_bad_voc_box_is_reported_with_file_and_object(tmp_path, box, kind):
    write_voc(tmp_path, {"a": [GOOD], "b": [GOOD, ("dog", box)]})
    assert found(tmp_path) == [(kind, "Annotations/b.xml", 1)]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0 0.2", "empty-box"),
        ("0 0.5 0.5 -0.1 0.2", "inverted-box"),
        ("0 nan 0.5 0.1 0.2", "non-finite-box"),
        ("0 0.5 0.5 0.025 0.2", "one-pixel-box"),
        ("0 0.9 0.5 0.3 0.2", "box-outside"),
        ("0 0.5 0.5 1.02 1.02", None),  # 0.4 px over the edge: rounding
        ("9 0.5 0.5 0.2 0.2", "unknown-class"),
        ("0 0.5 0.5 0.2", "bad-syntax"),
    ],
)
def test_a_bad_text_label_is_reported_with_file_and_object(tmp_path, line, kind):
    write_yolo(tmp_path, {"train": {"a": f"0 0.25 0.25 0.2 0.2\n1 0.5 0.5 0.5 0.5\n{line}\n"}})
    expected = [] if kind is None else [(kind, "labels/train/a.txt", 2)]
    assert [
        entry for entry in found(tmp_path) if not (kind == "bad-syntax" and entry[0] == "non-finite-box")
    ] == expected


def test_missing_broken_and_cut_pictures_are_told_apart(tmp_path):
    write_voc(tmp_path, {name: [GOOD] for name in "abcd"})
    pictures = tmp_path / "JPEGImages"
    (pictures / "a.jpg").unlink()
    (pictures / "b.jpg").write_bytes(b"no picture at all")
    (pictures / "c.jpg").write_bytes((pictures / "c.jpg").read_bytes()[:-2])  # the end marker alone
    assert found(tmp_path) == [
        ("missing-picture", "Annotations/a.xml", None),
        ("unreadable-picture", "JPEGImages/b.jpg", None),
        ("unreadable-picture", "JPEGImages/c.jpg", None),
    ]
    assert [problem.message.rpartition(": ")[2] for problem in problems(tmp_path)[1:]] == [
        "broken, or no picture",
        "it is cut off",
    ]


def test_a_size_that_is_not_the_pictures_is_reported_and_boxes_are_judged_by_the_picture(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 38, 28))], "b": [GOOD]})
    (tmp_path / "Annotations" / "a.xml").write_text(voc_xml([("dog", (2, 3, 38, 28))], size=(80, 60)))
    (tmp_path / "Annotations" / "b.xml").write_text(voc_xml([GOOD], size=(0, 0), filename="b.jpg"))
    assert found(tmp_path) == [
        ("size-mismatch", "Annotations/a.xml", None),
        ("size-missing", "Annotations/b.xml", None),
    ]


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    write_voc(tmp_path, {"a": []})
    header = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + (100_000).to_bytes(4, "big") * 2
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(header + bytes(5))
    assert ("unreadable-picture", "JPEGImages/a.jpg", None) in found(tmp_path)


def test_duplicates_are_found_and_other_classes_on_the_same_box_are_not(tmp_path):
    write_voc(tmp_path, {"a": [GOOD, ("cat", GOOD[1]), GOOD]})
    assert found(tmp_path) == [("duplicate-object", "Annotations/a.xml", 2)]


def test_pictures_without_labels_and_labels_without_pictures_are_told(tmp_path):
    voc = write_voc(tmp_path / "voc", {"a": [GOOD], "b": []})
    write_picture(voc / "JPEGImages" / "extra.jpg")
    assert found(voc) == [
        ("unlabelled-picture", "JPEGImages/extra.jpg", None),
        ("no-objects", "Annotations/b.xml", None),
    ]
    yolo = write_yolo(tmp_path / "yolo", {"train": {"a": "0 0.5 0.5 0.5 0.5\n1 0.3 0.3 0.3 0.3\n"}})
    write_picture(yolo / "images" / "train" / "extra.jpg")
    (yolo / "labels" / "train" / "gone.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert found(yolo) == [
        ("unlabelled-picture", "images/train/extra.jpg", None),
        ("label-without-picture", "labels/train/gone.txt", None),
    ]


def test_classes_that_look_alike_or_are_not_used_are_told(tmp_path):
    write_voc(tmp_path, {"a": [GOOD, ("Dog ", (20, 3, 30, 15))]})
    assert [entry[0] for entry in found(tmp_path)] == ["similar-classes"]
    assert [entry[0] for entry in found(tmp_path, classes=["dog", "Dog", "zebra"])] == [
        "similar-classes",
        "unused-class",
    ]


def test_identical_pictures_are_reported_and_leak_when_splits_part_them(tmp_path):
    write_voc(tmp_path, {name: [GOOD] for name in "abc"}, {"train": ["a"], "val": ["b"], "test": ["c"]})
    pictures = tmp_path / "JPEGImages"
    (pictures / "b.jpg").write_bytes((pictures / "a.jpg").read_bytes())
    assert found(tmp_path) == [
        ("split-leak", "JPEGImages/a.jpg", None),
        ("identical-pictures", "JPEGImages/a.jpg", None),
    ]
    for split, name in (("train", "a\nb"), ("val", "c")):
        (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text(name)
    (tmp_path / "ImageSets" / "Main" / "test.txt").unlink()
    assert [entry[0] for entry in found(tmp_path)] == ["identical-pictures"]


def test_one_name_in_two_splits_is_a_leak_unless_one_holds_the_other_by_intent(tmp_path):
    samples = {name: [GOOD] for name in "abc"}
    write_voc(tmp_path, samples, {"train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"]})
    assert found(tmp_path) == []
    write_voc(tmp_path, samples, {"val": ["b", "c"]})
    (problem,) = problems(tmp_path)
    assert (problem.kind, problem.message) == (ProblemKind.SPLIT_LEAK, "1 pictures are in both train and val: b")
    write_voc(tmp_path, samples, {"train": ["a", "b", "c"], "val": ["a", "b", "c"]})
    assert [problem.kind for problem in problems(tmp_path)] == [ProblemKind.SPLIT_LEAK]


def test_a_class_that_a_split_lacks_is_told(tmp_path):
    write_voc(tmp_path, {"a": [GOOD, ("cat", (20, 3, 30, 15))], "b": [GOOD]}, {"train": ["a"], "val": ["b"]})
    (problem,) = problems(tmp_path)
    assert problem.kind is ProblemKind.CLASS_ABSENT_FROM_SPLIT
    assert problem.message == "no 'cat' is in the split 'val' (1 pictures)"


def test_errors_come_first_and_the_document_counts_everything(tmp_path):
    write_voc(tmp_path, {"a": [GOOD, GOOD], "b": [("cat", (5, 5, 5, 5))], "c": []}, {"train": ["a", "b"], "val": ["c"]})
    result = check_data_set(inspect_data_set(tmp_path))
    ranks = [list(Severity).index(problem.severity) for problem in result.problems]
    assert ranks == sorted(ranks)
    document = result.as_document()
    assert json.loads(json.dumps(document)) == document
    assert document["classes"] == {"cat": 1, "dog": 2}
    counts = document["counts"]
    assert (counts["pictures"], counts["objects"], counts["errors"]) == (3, 3, 1)
    assert counts["kinds"] == {"class-absent-from-split": 2, "duplicate-object": 1, "empty-box": 1, "no-objects": 1}
    assert counts["splits"] == {"train": 2, "val": 1}


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_voc_repair_changes_the_bad_boxes_and_keeps_everything_else(tmp_path):
    bad = [GOOD, ("dog", (30, 5, 41, 12)), ("dog", (5, 5, 5, 5)), ("cat", (0, 0, 9, 9)), ("cat", (9, 5, 4, 12))]
    write_voc(tmp_path, {"a": bad, "b": [GOOD]}, extra="<pose>Left</pose><occluded>1</occluded>")
    before = files_of(tmp_path)
    changes = repair_data_set(inspect_data_set(tmp_path).data, [Repair.CLIP, Repair.DROP_EMPTY])
    assert [(c.file, c.object_index, c.repair, c.after_xyxy_px) for c in changes] == [
        ("Annotations/a.xml", 1, Repair.CLIP, (29, 4, 40, 12)),
        ("Annotations/a.xml", 2, Repair.DROP_EMPTY, None),
        ("Annotations/a.xml", 3, Repair.CLIP, (0, 0, 9, 9)),
    ]
    after = files_of(tmp_path)
    text = after.pop("Annotations/a.xml").decode()
    assert after.pop(".before-repair-1/Annotations/a.xml") == before.pop("Annotations/a.xml")
    assert after == before  # nothing else was touched, no temporary file is left
    assert re.findall(r"<xm(?:in|ax)>(-?\d+)<", text) == ["2", "14", "30", "40", "1", "9", "9", "4"]
    assert text.count("<pose>Left</pose><occluded>1</occluded>") == 4
    assert [entry[0] for entry in found(tmp_path)] == ["inverted-box"]  # left for a person
    assert repair_data_set(inspect_data_set(tmp_path).data, list(Repair)) == []
    assert not (tmp_path / ".before-repair-2").exists()


def test_only_the_repairs_that_were_asked_for_are_made(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (30, 5, 41, 12)), ("dog", (5, 5, 5, 5)), ("dog", (50, 5, 60, 9))]})
    assert [c.object_index for c in repair_data_set(inspect_data_set(tmp_path).data, [Repair.CLIP])] == [0]
    changes = repair_data_set(inspect_data_set(tmp_path).data, [Repair.DROP_EMPTY])
    assert [c.object_index for c in changes] == [1, 2]  # the one outside has nothing left to clip
    assert (tmp_path / ".before-repair-2").is_dir()


def test_text_and_coco_labels_are_repaired_too(tmp_path):
    yolo = write_yolo(
        tmp_path / "yolo", {"train": {"a": "0 0.9 0.5 0.3 0.2\n\n1 0.5 0.5 0 0.2\n1 0.5 0.5 0.25 0.25\n"}}
    )
    assert len(repair_data_set(inspect_data_set(yolo).data, list(Repair))) == 2
    assert (yolo / "labels/train/a.txt").read_text() == "0 0.875 0.5 0.25 0.2\n1 0.5 0.5 0.25 0.25\n"
    coco = write_coco(
        tmp_path / "coco",
        [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}],
        [
            {"id": 1, "image_id": 7, "category_id": 17, "bbox": [30, 5, 20, 5], "iscrowd": 0, "mine": "stays"},
            {"id": 2, "image_id": 7, "category_id": 18, "bbox": [3, 5, 0, 5], "iscrowd": 0},
        ],
    )
    assert len(repair_data_set(inspect_data_set(coco).data, list(Repair))) == 2
    (annotation,) = json.loads((coco / "instances.json").read_text())["annotations"]
    assert annotation == {
        "id": 1,
        "image_id": 7,
        "category_id": 17,
        "bbox": [30, 5, 10, 5],
        "iscrowd": 0,
        "mine": "stays",
    }
