"""Pre-labels: scores that come back exactly, boxes that VOC can hold, and a mark that a person's change breaks."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_sets import write_picture
from vedette.contracts.detections import Detections
from vedette.learn.data.reading import read_data_set
from vedette.learn.data.writers import Placed
from vedette.learn.labelling.prelabels import Maker, State, maker_of, objects_of, prelabel, state_of

MAKER = maker_of("a bundle", {"score": 0.25})
NAMES = ("cat", "dog & <co>")


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int32), NAMES
    )


def write(root: Path, found: Detections) -> Path:
    """A VOC data set of one pre-labelled picture of 40 by 30 pixels; its annotation."""
    picture = write_picture(root / "JPEGImages" / "a.jpg")
    annotation = root / "Annotations" / "a.xml"
    annotation.parent.mkdir(parents=True, exist_ok=True)
    sample = Placed("a", "a.jpg", 40, 30, objects_of(found, 40, 30, NAMES))
    annotation.write_bytes(prelabel(sample, MAKER, picture.stat().st_size))
    return annotation


@given(score=st.floats(0, 1, width=32))
def test_a_score_comes_back_as_the_same_float32(score: float) -> None:
    (item,) = objects_of(detections((1, 1, 5, 5, score, 0)), 40, 30, NAMES)
    assert item.score is not None
    assert np.float32(float(repr(item.score))) == np.float32(score)
    assert len(repr(item.score)) <= 14


def test_scores_classes_and_boxes_are_read_back(tmp_path: Path) -> None:
    write(tmp_path, detections((1.4, 2.6, 11.2, 9.5, 0.93, 1), (0, 0, 40, 30, 0.25, 0)))
    (sample,) = read_data_set(tmp_path).samples
    assert [(item.class_name, item.box_xyxy_px, item.score) for item in sample.objects] == [
        ("dog & <co>", (1.0, 3.0, 11.0, 10.0), 0.93),
        ("cat", (0.0, 0.0, 40.0, 30.0), 0.25),
    ]


def test_a_reader_that_knows_only_voc_finds_its_elements(tmp_path: Path) -> None:
    root = ElementTree.parse(write(tmp_path, detections((1, 2, 11, 9, 0.93, 1)))).getroot()
    (item,) = root.findall("object")
    assert item.findtext("name") == "dog & <co>"
    assert [item.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")] == ["2", "3", "11", "9"]


@given(
    corners=st.tuples(*(st.floats(-100, 150, width=32) for _ in range(4))).map(
        lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
    )
)
def test_boxes_lie_inside_the_picture_and_hold_a_pixel(corners: tuple[float, float, float, float]) -> None:
    objects = objects_of(detections((*corners, 0.5, 0)), 40, 30, NAMES)
    outside = corners[2] <= 0 or corners[3] <= 0 or corners[0] >= 40 or corners[1] >= 30
    assert len(objects) == (0 if outside else 1)
    for item in objects:
        left, top, right, bottom = item.box_xyxy_px
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 30
        assert all(value == round(value) for value in item.box_xyxy_px)


def test_classes_that_are_not_asked_for_are_left_out() -> None:
    found = detections((1, 1, 5, 5, 0.9, 0), (1, 1, 5, 5, 0.8, 1))
    assert [item.class_name for item in objects_of(found, 40, 30, {"cat"})] == ["cat"]


def test_a_prelabel_is_done_for_its_maker_and_picture_only(tmp_path: Path) -> None:
    annotation = write(tmp_path, detections((1, 2, 11, 9, 0.93, 1)))
    size_bytes = (tmp_path / "JPEGImages" / "a.jpg").stat().st_size
    assert state_of(annotation, MAKER, size_bytes) is State.DONE
    assert state_of(annotation, MAKER, size_bytes + 1) is State.OUTDATED
    assert state_of(annotation, Maker("a bundle", "0" * 64), size_bytes) is State.OUTDATED
    assert state_of(tmp_path / "none.xml", MAKER, size_bytes) is State.NOTHING


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<xmin>2</xmin>", b"<xmin>3</xmin>"),
        (b"\t<prelabel", b"\t<other"),
        (b"</annotation>\n", b"</annotation>"),
        (b"<difficult>0", b"<difficult>1"),
    ],
)
def test_any_change_makes_it_a_persons_work(tmp_path: Path, old: bytes, new: bytes) -> None:
    annotation = write(tmp_path, detections((1, 2, 11, 9, 0.93, 1)))
    content = annotation.read_bytes()
    assert old in content
    annotation.write_bytes(content.replace(old, new, 1))
    assert state_of(annotation, MAKER, (tmp_path / "JPEGImages" / "a.jpg").stat().st_size) is State.BY_HAND


def test_what_cannot_be_read_is_a_persons(tmp_path: Path) -> None:
    (tmp_path / "folder.xml").mkdir()
    assert state_of(tmp_path / "folder.xml", MAKER, 0) is State.BY_HAND
