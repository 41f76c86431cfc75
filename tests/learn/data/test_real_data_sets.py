"""The real data sets hold exactly the problems that their provenance states, and survive conversion whole."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from vedette.learn.data.check import check_data_set
from vedette.learn.data.class_names import match_classes
from vedette.learn.data.convert import convert_data_set
from vedette.learn.data.label_text import read_names
from vedette.learn.data.reading import inspect_data_set, read_data_set
from vedette.learn.data.samples import DataSet, Layout
from vedette.learn.data.split import split_data_set

pytestmark = pytest.mark.real_data


def whole_boxes(data: DataSet) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    return {s.name: [(o.class_name, tuple(round(v) for v in o.box_xyxy_px)) for o in s.objects] for s in data.samples}


def test_bccd_has_two_zero_size_boxes_and_nothing_else(real_data):
    result = check_data_set(inspect_data_set(real_data / "bccd"))
    assert [(p.kind.value, p.file, p.object_index) for p in result.problems] == [
        ("empty-box", "Annotations/BloodImage_00338.xml", 12),
        ("empty-box", "Annotations/BloodImage_00343.xml", 3),
    ]
    document = result.as_document()
    assert document["classes"] == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    assert document["counts"]["splits"] == {"train": 205, "val": 87, "test": 72, "trainval": 292}
    edge = [
        item
        for sample in result.data.samples
        for item in sample.objects
        if item.box_xyxy_px[2] == sample.width_px or item.box_xyxy_px[3] == sample.height_px
    ]
    assert len(edge) == 545  # valid: VOC counts from 1


def test_mask_has_its_known_problems(real_data):
    result = check_data_set(inspect_data_set(real_data / "mask"))
    assert Counter(problem.kind.value for problem in result.problems) == {
        "box-outside": 12,
        "one-pixel-box": 3,
        "identical-pictures": 5,
    }
    outside = [problem.message for problem in result.problems if problem.kind.value == "box-outside"]
    assert all("runs 1 px outside" in message for message in outside)


def test_a_split_of_mask_keeps_its_identical_pictures_together(real_data):
    data = read_data_set(real_data / "mask")
    splits = split_data_set(data, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=0)
    parted = replace(data, splits=splits)
    whole = Counter(item.class_name for sample in data.samples for item in sample.objects)
    for split, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        seen = Counter(item.class_name for sample in parted.subset(split).samples for item in sample.objects)
        for name, count in whole.items():
            assert seen[name] == pytest.approx(count * share, abs=2)
    pictures = {sample.picture.stem: split for split in splits for sample in parted.subset(split).samples}
    for one, other in (("690", "656"), ("219", "146"), ("410", "428"), ("775", "653"), ("13", "737")):
        assert pictures[f"maksssksksss{one}"] == pictures[f"maksssksksss{other}"]


def test_coco_has_no_errors_and_its_classes_match_darknets_names(real_data):
    result = check_data_set(inspect_data_set(real_data / "coco"))
    assert result.as_document()["counts"]["errors"] == 0
    assert len(result.data.samples) == 150
    assert sum(len(sample.objects) for sample in result.data.samples) == 1000
    darknet = read_names(real_data / "darknet" / "names" / "coco.names")
    assert match_classes(darknet, result.data.classes, {}) == {number: number for number in range(80)}


@pytest.mark.parametrize("name", ["bccd", "mask"])
@pytest.mark.parametrize("through", [Layout.DARKNET, Layout.COCO])
def test_every_box_of_the_real_sets_comes_back(real_data, tmp_path: Path, name, through):
    source = inspect_data_set(real_data / name)
    convert_data_set(source, tmp_path / "there", through)
    convert_data_set(inspect_data_set(tmp_path / "there"), tmp_path / "back", Layout.VOC)
    back = read_data_set(tmp_path / "back")
    assert whole_boxes(back) == whole_boxes(source.data)
    assert {k: set(v) for k, v in back.splits.items()} == {k: set(v) for k, v in source.data.splits.items()}
