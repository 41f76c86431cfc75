"""Every layout is found and read to the same samples; what cannot be relied on is refused with one clear message."""

import json
import math
from pathlib import Path

import pytest

from label_sets import voc_xml, write_coco, write_picture, write_voc, write_yolo
from vedette.learn.data.errors import DataError
from vedette.learn.data.problems import ProblemKind
from vedette.learn.data.reading import inspect_data_set, read_data_set
from vedette.learn.data.samples import Layout


def kinds(source: Path, **options: object) -> list[ProblemKind]:
    return [problem.kind for problem in inspect_data_set(source, **options).problems]


@pytest.mark.parametrize(
    "folders",
    [
        ("Annotations", "JPEGImages"),
        ("annotations", "images"),
        ("ANNOTATIONS", "Images"),
        ("annotations", "JPEGImages"),
    ],
)
def test_voc_is_read_whatever_its_folders_are_called(tmp_path, folders):
    write_voc(tmp_path, {"a": [("dog", (1, 1, 40, 30))], "b": [("cat", (11, 6, 20, 12))]}, folders=folders)
    data = read_data_set(tmp_path)
    assert data.layout is Layout.VOC
    assert data.classes == ("cat", "dog")
    assert [sample.name for sample in data.samples] == ["a", "b"]
    assert data.samples[0].objects[0].box_xyxy_px == (0, 0, 40, 30)  # 1-based and inclusive: the whole picture
    assert data.samples[1].objects[0].box_xyxy_px == (10, 5, 20, 12)
    assert data.samples[1].picture == tmp_path / folders[1] / "b.jpg"
    assert (data.samples[1].width_px, data.samples[1].height_px) == (40, 30)


def test_one_voc_data_set_further_down_is_found_and_several_are_named(tmp_path):
    year = write_voc(tmp_path / "VOCdevkit" / "VOC2007", {"a": [("dog", (1, 1, 40, 30))]}, {"train": ["a"]})
    data = read_data_set(tmp_path)
    assert (data.root, data.samples[0].picture) == (year, year / "JPEGImages" / "a.jpg")
    assert data.splits == {"train": ("a",)}
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", {"b": [("dog", (1, 1, 40, 30))]})
    with pytest.raises(DataError, match=r"holds 2 VOC data sets, VOCdevkit/VOC2007, VOCdevkit/VOC2012; name one"):
        read_data_set(tmp_path)


def test_the_picture_of_an_unreadable_annotation_is_no_second_picture(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (1, 1, 40, 30))], "b": []})
    (tmp_path / "Annotations" / "b.xml").write_text("<annotation>")
    assert kinds(tmp_path) == [ProblemKind.BAD_SYNTAX]


def test_voc_flags_are_read_and_parts_of_an_object_are_not_taken_for_it(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    write_voc(tmp_path, {"a": [("dog", (2, 3, 4, 5))]}, extra=f"<difficult>1</difficult><truncated>1</truncated>{part}")
    (item,) = read_data_set(tmp_path).samples[0].objects
    assert (item.class_name, item.box_xyxy_px, item.difficult, item.truncated) == ("dog", (1, 2, 4, 5), True, True)


def test_one_voc_file_and_a_mixed_folder_are_read(tmp_path):
    write_voc(tmp_path / "set", {"a": [("dog", (2, 3, 4, 5))], "b": []})
    single = read_data_set(tmp_path / "set" / "Annotations" / "a.xml")
    assert [sample.name for sample in single.samples] == ["a"]
    assert single.samples[0].picture.is_file()
    mixed = tmp_path / "mixed"
    write_picture(mixed / "x.png")
    (mixed / "x.xml").write_text(voc_xml([("dog", (2, 3, 4, 5))], filename="x.png"))
    assert read_data_set(mixed).samples[0].picture == mixed / "x.png"


def test_image_sets_become_splits_and_lists_of_one_class_do_not(tmp_path):
    samples = {name: [("dog", (2, 3, 14, 15))] for name in "abc"}
    write_voc(tmp_path, samples, {"train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"]})
    (tmp_path / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\nb -1\n")
    assert dict(read_data_set(tmp_path).splits) == {"train": ("a", "b"), "val": ("c",), "trainval": ("a", "b", "c")}


def test_an_image_set_entry_without_annotation_is_refused_with_its_name(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 14, 15))]}, {"train": ["a", "gone"]})
    with pytest.raises(DataError, match=r"train\.txt: the list names 'gone', which has no annotation"):
        read_data_set(tmp_path)


def test_voc_picture_is_found_by_the_annotations_name_before_filename(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 14, 15))], "b": []})
    xml = tmp_path / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("a.jpg", "b.jpg"))
    inspection = inspect_data_set(tmp_path)
    assert inspection.data.samples[0].picture.name == "a.jpg"
    assert [problem.kind for problem in inspection.problems] == [ProblemKind.FILENAME_DIFFERS]
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    assert inspect_data_set(tmp_path).data.samples[0].picture.name == "b.jpg"


def test_class_order_comes_from_a_list_in_the_root_or_from_the_caller(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 14, 15)), ("cat", (2, 3, 14, 15))]})
    assert read_data_set(tmp_path, classes=["dog", "cat"]).classes == ("dog", "cat")
    (tmp_path / "classes.txt").write_text("zebra\ndog\ncat\n")
    assert read_data_set(tmp_path).classes == ("zebra", "dog", "cat")
    (tmp_path / "classes.txt").write_text("zebra\ndog\n")
    with pytest.raises(DataError, match="class cat is none of the 2 known classes"):
        read_data_set(tmp_path)


def test_yolo_data_yaml_is_read_with_names_as_list_and_as_map(tmp_path):
    text = "1 0.5 0.5 0.5 0.2\n0 0.25 0.5 0.1 0.2\n"
    write_yolo(tmp_path, {"train": {"a": text}, "val": {"b": ""}})
    data = read_data_set(tmp_path)
    assert (data.layout, data.classes) == (Layout.YOLO, ("cat", "dog"))
    assert dict(data.splits) == {"train": ("train/a",), "val": ("val/b",)}
    assert data.samples[0].objects[0].class_name == "dog"
    assert data.samples[0].objects[0].box_xyxy_px == pytest.approx((10, 12, 30, 18))
    write_yolo(tmp_path, {"train": {"a": text}, "val": {"b": ""}}, names={"0": "no", "1": "yes"})
    assert read_data_set(tmp_path / "data.yaml").classes == ("no", "yes")  # not False and True


@pytest.mark.parametrize("path_line", ["path: /content/datasets/gone", "path: .", "path: ../elsewhere"])
def test_yolo_path_of_another_machine_falls_back_to_the_files_folder(tmp_path, path_line):
    write_yolo(tmp_path, {"train": {"a": "0 0.5 0.5 0.5 0.2\n"}, "val": {"b": ""}}, yaml_extra=path_line)
    assert len(read_data_set(tmp_path).samples) == 2


def test_yolo_export_that_says_one_folder_up_is_found(tmp_path):
    write_picture(tmp_path / "train" / "images" / "a.jpg")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("train: ../train/images\nnc: 1\nnames: ['cat']\n")
    data = read_data_set(tmp_path)
    assert [(sample.name, len(sample.objects)) for sample in data.samples] == [("train/a", 1)]


def test_yolo_list_files_are_followed(tmp_path):
    write_yolo(tmp_path, {"train": {"a": "0 0.5 0.5 0.5 0.5\n", "b": ""}})
    (tmp_path / "val.txt").write_text("./images/train/b.jpg\n")
    (tmp_path / "train.txt").write_text(f"{tmp_path}/images/train/a.jpg\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [cat]\n")
    assert dict(read_data_set(tmp_path).splits) == {"train": ("train/a",), "val": ("train/b",)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"0": "cat", "2": "dog"}, "must number its 2 classes from 0 to 1"),
        (["cat", "cat"], "names a class twice: cat"),
        ("cat", "must be a list, or a map"),
        ([["cat"]], "must be a list, or a map"),
    ],
)
def test_yolo_names_that_are_none_are_refused(tmp_path, names, message):
    write_yolo(tmp_path, {"train": {"a": ""}}, names=names)
    with pytest.raises(DataError, match=message):
        read_data_set(tmp_path)


def write_darknet_folder(root: Path, folder: str = "JPEGImages", labels: str = "labels") -> Path:
    write_picture(root / folder / "a.jpg", seed=1)
    write_picture(root / folder / "b.JPG", seed=2)
    (root / labels).mkdir(parents=True, exist_ok=True)
    (root / labels / "a.txt").write_text("1 0.5 0.5 0.5 0.2\n")
    (root / labels / "b.txt").write_text("0 0.5 0.5 1 1\n")
    (root / "obj.names").write_text("cat\ndog\n")
    return root


@pytest.mark.parametrize(
    ("folder", "labels"),
    [
        ("JPEGImages", "labels"),
        ("images/train2017", "labels/train2017"),
        ("images", "labels"),
        ("obj_train_data", "obj_train_data"),
        ("VOC2007/JPEGImages", "VOC2007/labels"),
    ],
)
def test_darknet_labels_are_found_by_the_forks_rules(tmp_path, folder, labels):
    write_darknet_folder(tmp_path, folder, labels)
    (tmp_path / "train.txt").write_text(f"{folder}/a.jpg\n")
    (tmp_path / "valid.txt").write_text(f"/home/pjreddie/data/{folder}/b.JPG\n")  # another machine's path
    (tmp_path / "obj.data").write_text("classes= 2\ntrain  = train.txt\nvalid = valid.txt\nnames = obj.names\n")
    for source in (tmp_path, tmp_path / "obj.data"):
        data = read_data_set(source)
        assert (data.layout, data.classes) == (Layout.DARKNET, ("cat", "dog"))
        assert [len(sample.objects) for sample in data.samples] == [1, 1]
        assert data.samples[0].objects[0].box_xyxy_px == pytest.approx((10, 12, 30, 18))
        assert [len(names) for names in data.splits.values()] == [1, 1]
        assert set(data.splits) == {"train", "val"}


def test_darknet_folder_without_data_file_is_read_and_without_names_refused(tmp_path):
    write_darknet_folder(tmp_path)
    data = read_data_set(tmp_path)
    assert [(sample.name, sample.objects[0].class_name) for sample in data.samples] == [("a", "dog"), ("b", "cat")]
    (tmp_path / "obj.names").unlink()
    with pytest.raises(DataError, match="--classes"):
        read_data_set(tmp_path)
    assert read_data_set(tmp_path, classes=["x", "y"]).classes == ("x", "y")


def test_data_file_in_a_cfg_folder_names_files_from_the_folder_above(tmp_path):
    write_darknet_folder(tmp_path / "darknet")
    (tmp_path / "darknet" / "cfg").mkdir()
    (tmp_path / "darknet" / "train.txt").write_text("JPEGImages/a.jpg\nJPEGImages/b.JPG\n")
    data_file = tmp_path / "darknet" / "cfg" / "my.data"
    data_file.write_text("train = train.txt\nnames = obj.names\n")
    data = read_data_set(data_file)
    assert [sample.name for sample in data.samples] == ["a", "b"]
    assert dict(data.splits) == {}  # a lone list is no split


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.2 0.3", "line 2: 4 values"),
        ("x 0.1 0.2 0.3 0.4", "line 2: 'x' is no number"),
        ("0 0.1 0.2 0.3 abc", "line 2: 'abc' is no number"),
        ("1.5 0.1 0.2 0.3 0.1", "line 2: '1.5' is no class number"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8", "polygon"),
        ("7 0.1 0.2 0.3 0.4", "class #7 is none of the 2 known classes"),
    ],
)
def test_bad_label_line_is_named_with_file_and_line(tmp_path, line, message):
    write_yolo(tmp_path, {"train": {"a": f"0 0.5 0.5 0.1 0.1\n{line}\n"}})
    with pytest.raises(DataError, match=message) as caught:
        read_data_set(tmp_path)
    assert "labels/train/a.txt" in str(caught.value)


COCO_IMAGES = [
    {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
    {"id": 9, "file_name": "b.jpg", "width": 40, "height": 30},
]


def coco_annotation(**changes: object) -> dict[str, object]:
    return {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10.5, 5, 4, 3.25], "iscrowd": 0, **changes}


def test_coco_is_read_in_category_order_with_crowd_flags(tmp_path):
    write_coco(tmp_path, COCO_IMAGES, [coco_annotation(), coco_annotation(id=2, category_id=17, iscrowd=1)])
    for source in (tmp_path, tmp_path / "instances.json"):
        data = read_data_set(source)
        assert (data.layout, data.classes) == (Layout.COCO, ("cat", "dog"))
        assert [(o.class_name, o.box_xyxy_px, o.crowd) for o in data.samples[0].objects] == [
            ("dog", (10.5, 5, 14.5, 8.25), False),
            ("cat", (10.5, 5, 14.5, 8.25), True),
        ]
        assert data.samples[1].objects == ()


def test_coco_with_one_file_for_each_split_gives_splits(tmp_path):
    write_coco(tmp_path, COCO_IMAGES, [coco_annotation()])
    document = json.loads((tmp_path / "instances.json").read_text())
    (tmp_path / "instances.json").unlink()
    (tmp_path / "annotations").mkdir()
    for split, image in zip(("train2017", "val2017"), COCO_IMAGES, strict=True):
        part = {**document, "images": [image], "annotations": document["annotations"] if image["id"] == 7 else []}
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(part))
    assert dict(read_data_set(tmp_path).splits) == {"train": ("a",), "val": ("b",)}


@pytest.mark.parametrize(
    "annotation",
    [coco_annotation(bbox=[1, 2, 3]), coco_annotation(bbox=None), coco_annotation(image_id=99), {"id": 5}],
)
def test_broken_coco_annotation_is_reported_not_skipped(tmp_path, annotation):
    write_coco(tmp_path, COCO_IMAGES, [annotation])
    assert ProblemKind.BAD_SYNTAX in kinds(tmp_path)
    with pytest.raises(DataError):
        read_data_set(tmp_path)


def test_split_json_in_the_root_counts_before_the_formats_own(tmp_path):
    write_voc(tmp_path, {name: [("dog", (2, 3, 14, 15))] for name in "abc"}, {"train": ["a", "b", "c"]})
    (tmp_path / "split.json").write_text('{"train": ["c"], "val": ["a", "b"]}')
    assert dict(read_data_set(tmp_path).splits) == {"train": ("c",), "val": ("a", "b")}
    other = tmp_path / "other.json"
    other.write_text('{"test": ["a"]}')
    assert dict(read_data_set(tmp_path, split_file=other).splits) == {"test": ("a",)}
    other.write_text('{"test": ["a", "gone"]}')
    with pytest.raises(DataError, match="'gone', which is no sample"):
        read_data_set(tmp_path, split_file=other)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"a b": []}', '{"train": "a"}', '{"train": [1]}', "[" * 100_000])
def test_a_split_file_of_another_form_is_refused(tmp_path, text):
    write_voc(tmp_path, {"a": []})
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"mine\.json"):
        read_data_set(tmp_path, split_file=path)


def test_what_is_no_data_set_is_refused_with_what_is_known(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_data_set(tmp_path / "gone")
    with pytest.raises(DataError, match="is neither a folder nor a file"):
        read_data_set(Path("/dev/null"))
    with pytest.raises(DataError, match=r"VOC .*Darknet .*YOLO .*COCO"):
        read_data_set(tmp_path)
    write_voc(tmp_path, {"a": []})
    with pytest.raises(DataError, match="is no data set in coco format"):
        read_data_set(tmp_path, Layout.COCO)


def test_a_missing_number_keeps_the_index_of_the_objects_behind_it(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (2, 3, 14, 15)), ("cat", (5, 5, 9, 9))]})
    xml = tmp_path / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("<xmin>2</xmin>", "<xmin>two</xmin>"))
    inspection = inspect_data_set(tmp_path)
    assert [(problem.kind, problem.object_index) for problem in inspection.problems] == [(ProblemKind.BAD_SYNTAX, 0)]
    first, second = inspection.data.samples[0].objects
    assert math.isnan(first.box_xyxy_px[0])
    assert second.class_name == "cat"


def test_pictures_with_one_name_and_two_types_are_not_mixed_up(tmp_path):
    write_yolo(tmp_path, {"train": {"a": "0 0.5 0.5 0.5 0.5\n"}})
    write_picture(tmp_path / "images" / "train" / "a.png")
    assert kinds(tmp_path) == [ProblemKind.DUPLICATE_NAME]


def test_folders_called_train_and_valid_are_splits(tmp_path):
    for split in ("train", "valid"):
        write_picture(tmp_path / split / "a.jpg")
        (tmp_path / split / "a.xml").write_text(voc_xml([("dog", (2, 3, 14, 15))]))
    assert dict(read_data_set(tmp_path).splits) == {"train": ("train/a",), "val": ("valid/a",)}
