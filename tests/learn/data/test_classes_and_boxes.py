"""Class names are matched by the documented rules; only usable boxes pass; pictures are read as they are stored."""

import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_sets import write_picture
from vedette.learn.data.class_names import ALIASES, match_classes
from vedette.learn.data.errors import ClassMatchError, PictureError
from vedette.learn.data.pictures import picture_size, read_picture
from vedette.learn.data.samples import LabelledObject, Sample
from vedette.learn.data.usable import usable_objects

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "class-aliases.md"


def test_the_documented_aliases_are_the_aliases_there_are():
    rows = re.findall(r"^\| ([a-z ]+) \| ([a-z ]+) \|$", REFERENCE.read_text(), re.MULTILINE)
    assert tuple(rows) == ALIASES


@pytest.mark.parametrize(("one", "other"), ALIASES)
def test_aliases_hold_in_both_directions_and_any_spelling(one, other):
    assert match_classes(["x", one], [other], {}) == {0: 1}
    assert match_classes(["x", other], [one], {}) == {0: 1}
    assert match_classes(["x", other.upper().replace(" ", "_")], [one.title()], {}) == {0: 1}


def test_exact_names_go_before_alike_ones_and_the_map_before_all():
    assert match_classes(["Dog", "dog", "tv", "tvmonitor"], ["dog", "tvmonitor"], {}) == {0: 1, 1: 3}
    assert match_classes(["Dog", "dog"], ["dog", "hund"], {"hund": "dog", "dog": "Dog"}) == {0: 0, 1: 1}
    assert match_classes(["dog"], ["Hot Dog"], {"hot_dog": "DOG"}) == {0: 0}


def test_all_unmatched_classes_are_listed_with_the_hint():
    with pytest.raises(ClassMatchError, match=r"2 of the data's 3 classes: fish, fowl \(mapped to bird\)") as caught:
        match_classes(["dog"], ["fish", "dog", "fowl"], {"fowl": "bird"})
    assert "--class-map" in str(caught.value)


def sample_with(*boxes, labels="a.txt"):
    return Sample("a", Path("a.jpg"), 40, 30, tuple(LabelledObject("dog", box) for box in boxes), Path(labels))


def test_usable_objects_are_clipped_and_the_rest_dropped():
    nan, inf = float("nan"), float("inf")
    boxes = [(30, 5, 41, 12), (5, 5, 5, 9), (9, 5, 4, 9), (nan, 5, 9, 9), (0, 0, inf, 9), (50, 5, 60, 9), (1, 2, 3, 4)]
    kept = usable_objects(sample_with(*boxes), 40, 30)
    assert [item.box_xyxy_px for item in kept] == [(30, 5, 40, 12), (1, 2, 3, 4)]


def test_a_one_pixel_box_is_empty_in_voc_where_xmin_is_xmax_and_usable_elsewhere():
    assert usable_objects(sample_with((5, 5, 6, 6), labels="a.xml"), 40, 30) == ()
    assert len(usable_objects(sample_with((5, 5, 6, 6)), 40, 30)) == 1
    assert len(usable_objects(sample_with((5, 5, 7, 7), labels="a.xml"), 40, 30)) == 1


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4))
def test_usable_boxes_lie_inside_and_have_area(box):
    for item in usable_objects(sample_with(box), 40, 30):
        left, top, right, bottom = item.box_xyxy_px
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 30


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tiff", "ppm"])
def test_sizes_are_known_without_trusting_the_suffix(tmp_path, suffix):
    path = write_picture(tmp_path / f"a.{suffix}", 37, 21)
    assert picture_size(path) == (37, 21)
    assert read_picture(path).shape == (21, 37, 3)
    assert picture_size(path.rename(tmp_path / "a.jpg")) == (37, 21)


def test_exif_orientation_is_ignored(tmp_path):
    path = write_picture(tmp_path / "a.jpg", 40, 30)
    upright = read_picture(path)
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, 6) + bytes(4)  # orientation 6: turned by 90 degrees
    exif = b"Exif\0\0" + tiff
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    assert cv2.imread(str(path)).shape == (40, 30, 3)  # OpenCV alone turns it
    assert np.array_equal(read_picture(path), upright)
    assert picture_size(path) == (40, 30)


def test_a_grey_picture_and_one_with_alpha_come_as_bgr(tmp_path):
    for name, channels in (("grey", 1), ("alpha", 4)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((6, 8, channels), 77, dtype=np.uint8))
        assert read_picture(tmp_path / f"{name}.png").shape == (6, 8, 3)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\xff\xd8" + b"\xff" * 50, b"BM", b"GIF89a"]
)
def test_what_is_no_picture_is_a_picture_error(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_picture, picture_size):
        with pytest.raises(PictureError, match=r"a\.jpg"):
            read(path)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(PictureError, match=r"gone\.jpg cannot be read: No such file"):
        read_picture(tmp_path / "gone.jpg")
