"""Augmented boxes stay on their objects, and everything random comes from the generator."""

import numpy as np
import pytest

from vedette.learn.training.augment import IGNORED_CLASS, AugmentSettings, LabelledPicture, augment

WIDTH, HEIGHT = 160, 96
STILL = AugmentSettings(mosaic=0, zoom=0, stretch=0, shift=0, flip=0, hue=0, saturation=0, brightness=0)
RED, BLUE = (220, 20, 20), (20, 20, 220)


def picture_with(box: tuple[int, int, int, int], colour: tuple[int, int, int], class_id: int) -> LabelledPicture:
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = colour
    return LabelledPicture(image, np.array([box], np.float32), np.array([class_id], np.int64))


def is_coloured(image: np.ndarray) -> np.ndarray:
    """Pixels that are neither the grey ground nor padding."""
    return np.ptp(image.astype(int), axis=2) > 60


def test_nothing_to_change_leaves_picture_and_boxes_as_they_are() -> None:
    picture = picture_with((30, 20, 70, 50), RED, 1)
    same = augment([picture], STILL, np.random.default_rng(0))
    assert np.abs(same.image_hwc_rgb_u8.astype(int) - picture.image_hwc_rgb_u8).max() <= 2  # there and back from HSV
    np.testing.assert_array_equal(same.boxes_xyxy_px, picture.boxes_xyxy_px)
    np.testing.assert_array_equal(same.class_ids, picture.class_ids)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("seed", range(25))
def test_boxes_stay_on_their_objects_to_the_pixel(count: int, seed: int) -> None:
    settings = AugmentSettings(hue=0, saturation=0, brightness=0.2)
    pictures = [picture_with((30 + 9 * n, 20, 70 + 9 * n, 50), RED, n) for n in range(count)]
    done = augment(pictures, settings, np.random.default_rng(seed))
    coloured = is_coloured(done.image_hwc_rgb_u8)
    outside = coloured.copy()
    for x1, y1, x2, y2 in done.boxes_xyxy_px:
        inner = coloured[int(y1) + 2 : max(int(y2) - 1, 0), int(x1) + 2 : max(int(x2) - 1, 0)]
        assert inner.all(), "the box covers something that is not the object"
        outside[max(int(y1) - 1, 0) : int(y2) + 2, max(int(x1) - 1, 0) : int(x2) + 2] = False
    assert outside.sum() <= 2 * (WIDTH + HEIGHT) // 10, "a part of an object lies in no box"


@pytest.mark.parametrize("size_px", [(128, 128), (224, 96)])
@pytest.mark.parametrize("count", [1, 4])
def test_boxes_stay_on_their_objects_at_other_sizes(count: int, size_px: tuple[int, int]) -> None:
    settings = AugmentSettings(hue=0, saturation=0, brightness=0.2, zoom=0.2)
    pictures = [picture_with((30 + 9 * n, 20, 70 + 9 * n, 50), RED, n) for n in range(count)]
    for seed in range(5):
        done = augment(pictures, settings, np.random.default_rng(seed), size_px)
        assert done.image_hwc_rgb_u8.shape == (size_px[1], size_px[0], 3)
        coloured = is_coloured(done.image_hwc_rgb_u8)
        assert len(done.boxes_xyxy_px)
        for x1, y1, x2, y2 in done.boxes_xyxy_px:
            assert coloured[int(y1) + 2 : max(int(y2) - 1, 0), int(x1) + 2 : max(int(x2) - 1, 0)].all()


def test_flipping_exchanges_left_and_right() -> None:
    picture = picture_with((10, 20, 40, 50), BLUE, 0)
    flipped = augment([picture], AugmentSettings(**{**_fields(STILL), "flip": 1.0}), np.random.default_rng(1))
    assert flipped.boxes_xyxy_px.tolist() == [[WIDTH - 40, 20, WIDTH - 10, 50]]
    assert is_coloured(flipped.image_hwc_rgb_u8)[35, WIDTH - 25]


def test_an_object_mostly_cut_off_is_ignored_and_a_speck_disappears() -> None:
    settings = AugmentSettings(**{**_fields(STILL), "shift": 0.5})
    kinds = set()
    for seed in range(200):
        done = augment([picture_with((0, 30, 60, 60), RED, 2)], settings, np.random.default_rng(seed))
        for (x1, y1, x2, y2), kind in zip(done.boxes_xyxy_px, done.class_ids, strict=True):
            assert min(x2 - x1, y2 - y1) >= 2
            visible = (x2 - x1) * (y2 - y1) / (60 * 30)
            assert kind == (2 if visible >= settings.least_visible - 1e-4 else IGNORED_CLASS)
            kinds.add(int(kind))
    assert kinds == {2, IGNORED_CLASS}


def test_the_generator_alone_decides() -> None:
    pictures = [picture_with((20, 10, 60, 40), RED, n) for n in range(4)]
    first, again, other = (augment(pictures, AugmentSettings(), np.random.default_rng(s)) for s in (7, 7, 8))
    np.testing.assert_array_equal(first.image_hwc_rgb_u8, again.image_hwc_rgb_u8)
    np.testing.assert_array_equal(first.boxes_xyxy_px, again.boxes_xyxy_px)
    assert not np.array_equal(first.image_hwc_rgb_u8, other.image_hwc_rgb_u8)


def test_colour_changes_leave_shapes_alone() -> None:
    settings = AugmentSettings(**{**_fields(STILL), "hue": 0.1, "saturation": 0.5, "brightness": 0.3})
    picture = picture_with((30, 20, 70, 50), RED, 1)
    done = augment([picture], settings, np.random.default_rng(3))
    assert np.abs(done.image_hwc_rgb_u8.astype(int) - picture.image_hwc_rgb_u8).max() > 10
    np.testing.assert_array_equal(done.boxes_xyxy_px, picture.boxes_xyxy_px)


def test_pictures_without_objects_give_pictures_without_boxes() -> None:
    empty = LabelledPicture(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    done = augment([empty] * 4, AugmentSettings(), np.random.default_rng(0))
    assert done.boxes_xyxy_px.shape == (0, 4)
    assert done.class_ids.shape == (0,)


def _fields(settings: AugmentSettings) -> dict[str, float]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}
