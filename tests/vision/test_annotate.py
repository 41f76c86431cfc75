"""Boxes and labels can be seen at any picture size, and every class has its colour."""

import numpy as np
import pytest

from vedette.vision.annotate import PALETTE, _overlap, _place_label, class_colour, draw_boxes, draw_label, text_colour


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 720), (4000, 3000), (40, 30)])
def test_a_box_and_its_label_are_drawn_inside_the_picture(width: int, height: int) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    draw_boxes(image, np.array([[width * 0.2, height * 0.5, width * 0.8, height * 0.9]]), ["dog 0.98"], np.array([0]))
    drawn = (image == class_colour(0)).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert rows.max() == pytest.approx(height * 0.9, abs=height * 0.02 + 1)
    assert rows.min() < height * 0.5  # the label stands above
    assert columns.min() == pytest.approx(width * 0.2, abs=width * 0.02 + 1) or width == 40
    assert (image[int(height * 0.7), int(width * 0.5)] == 90).all()  # the inside stays to be seen


def test_line_width_follows_the_picture() -> None:
    widths = []
    for width in (320, 1280, 4000):
        image = np.zeros((width, width, 3), np.uint8)
        draw_boxes(image, np.array([[width * 0.1, width * 0.5, width * 0.9, width * 0.9]]), ["a"], np.array([1]))
        widths.append(int((image[int(width * 0.7), : width // 2] != 0).any(axis=1).sum()))
    assert widths[0] < widths[1] < widths[2]


def test_labels_of_equal_boxes_do_not_hide_each_other() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(3):
        taken.append(_place_label((50, 12), (100, 100, 200, 200), (640, 480), taken))
    assert not any(_overlap(a, b) for i, a in enumerate(taken) for b in taken[i + 1 :])
    assert taken[0] == (100, 88, 150, 100)


@pytest.mark.parametrize("box", [(0, 0, 639, 479), (600, 0, 639, 20), (0, 470, 20, 479)])
def test_labels_stay_inside(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = _place_label((90, 14), box, (640, 480), [])
    assert left >= 0 and top >= 0 and right <= 640 and bottom <= 480


def test_letters_that_the_font_lacks_do_not_stop_the_drawing() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    draw_label(image, (10, 50), "véhicule 車", class_colour(2))
    assert image.any()


def test_colours_repeat_and_their_text_can_be_read() -> None:
    assert len(set(PALETTE)) == len(PALETTE) and class_colour(len(PALETTE) + 1) == class_colour(1)
    assert text_colour((66, 228, 240)) == (0, 0, 0)  # on yellow
    assert text_colour((178, 114, 0)) == (255, 255, 255)  # on blue


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        draw_boxes(np.zeros((10, 10, 3), np.uint8), np.zeros((1, 4)), [], np.array([0]))
