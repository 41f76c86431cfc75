"""Pictures that are in train and in val are found by what the network sees; others are not."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.learn.training.leaks import Pair, Print, print_of, same_pictures, similar_pictures


def drawn(seed: int) -> NDArray[np.uint8]:
    """A picture of coarse shapes, 160x120."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def saved_again(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def prints(**pictures: NDArray[np.uint8]) -> list[tuple[str, Print]]:
    return [(name, print_of(image)) for name, image in pictures.items()]


def test_the_same_pixels_are_found_under_any_name_and_a_copy_saved_again_looks_the_same() -> None:
    one, two, three = drawn(1), drawn(2), drawn(3)
    train = prints(a=one, b=two, c=three)
    val = prints(x=drawn(4), y=two.copy(), z=saved_again(three, 40), brighter=np.clip(drawn(5), 0, 200) + 9)
    assert same_pictures(train, val) == [Pair("b", "y")]
    assert similar_pictures(train, val) == [Pair("c", "z")]
    assert similar_pictures(prints(d=np.clip(drawn(5), 0, 200)), val) == [Pair("d", "brighter")]


def test_other_pictures_and_flat_ones_are_not_taken_for_copies() -> None:
    moved = np.roll(drawn(1), 20, axis=1)
    flat, nearly = np.full((120, 160, 3), 90, np.uint8), np.full((120, 160, 3), 91, np.uint8)
    assert similar_pictures(prints(a=drawn(1), f=flat), prints(b=moved, g=nearly)) == []
    assert similar_pictures([], prints(b=moved)) == similar_pictures(prints(f=flat), prints(b=moved)) == []


def test_a_thing_that_moved_in_a_still_scene_makes_another_picture() -> None:
    before, after = drawn(7), drawn(7)
    before[20:50, 20:40] = 255
    after[20:50, 60:80] = 255
    assert similar_pictures(prints(a=before), prints(b=after)) == []
