"""Movement in pictures of cells: objects are seen, and noise, rain, clouds and drift are not."""

import cv2
import numpy as np
import pytest

from vedette.edge.stream.luma import cell_size_px, shrink_luma
from vedette.edge.stream.motion import LEAST_LEVELS, Change, ChangeFinder, Look, MotionWatch

ROWS, COLUMNS, CELL_PX = 135, 240, 8
SLOT_S = 1 / 6
RAMP = np.add.outer(np.linspace(40, 120, ROWS), np.linspace(0, 60, COLUMNS))


def scene(
    rng: np.random.Generator,
    objects: tuple[tuple[int, int, int, int], ...] = (),
    gain: float = 1.0,
    noise: float = 1.0,
    streaks: int = 0,
    contrast: int = 60,
) -> np.ndarray:
    """(ROWS, COLUMNS) uint8: a ramp with objects (x, y, width, height in cells), light, noise and rain."""
    picture = RAMP.copy()
    for x, y, width, height in objects:
        picture[y : y + height, x : x + width] += contrast
    for x, y in zip(rng.integers(0, COLUMNS, streaks), rng.integers(0, ROWS - 6, streaks), strict=True):
        picture[y : y + 5, x] += 14
    return np.clip(picture * gain + rng.normal(0, noise, RAMP.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def looks(watch: MotionWatch, pictures: list[np.ndarray], start_s: float = 0.0) -> list[Look]:
    """What is seen to move is detected on."""
    found = []
    for n, picture in enumerate(pictures):
        found.append(watch.see(picture, start_s + n * SLOT_S))
        if found[-1] is Look.MOVING:
            watch.detected()
    return found


def test_a_still_scene_is_unsure_for_half_a_second_and_still_from_then_on(rng: np.random.Generator) -> None:
    found = looks(MotionWatch(ChangeFinder(CELL_PX)), [scene(rng) for _ in range(20)])
    assert found == [Look.UNSURE] * 3 + [Look.STILL] * 17


@pytest.mark.parametrize("size", [(2, 2), (6, 12), (60, 100)])
def test_an_object_that_moves_is_seen_and_forgotten_half_a_second_after_it_stops(
    rng: np.random.Generator, size: tuple[int, int]
) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    looks(watch, [scene(rng, ((20, 20, *size),)) for _ in range(12)])
    moving = looks(watch, [scene(rng, ((20 + 3 * n, 20, *size),)) for n in range(1, 12)], 12 * SLOT_S)
    assert set(moving) == {Look.MOVING}
    after = looks(watch, [scene(rng, ((53, 20, *size),)) for _ in range(12)], 23 * SLOT_S)
    assert after == [Look.UNSURE] * 2 + [Look.STILL] * 10


def test_an_object_slower_than_a_cell_a_second_is_seen(rng: np.random.Generator) -> None:
    finder = ChangeFinder(CELL_PX)
    image = np.full((ROWS * 8, COLUMNS * 8), 80, np.uint8)

    def at(x_px: int) -> np.ndarray:
        picture = image.copy()
        picture[400:560, x_px : x_px + 80] = 200
        return shrink_luma(picture)

    assert finder.compare(at(502), at(500)) is Change.LOCAL
    assert finder.compare(at(500), at(500)) is Change.NONE


def test_what_creeps_adds_up_against_the_picture_last_detected_on(rng: np.random.Generator) -> None:
    """Steps too small to be seen from one picture to the next: 4 levels each."""
    watch = MotionWatch(ChangeFinder(CELL_PX))
    found = looks(watch, [scene(rng, ((60, 40, 8, 16),), contrast=60) for _ in range(6)])
    watch.detected()
    assert not watch.may_have_changed()
    found = looks(watch, [scene(rng, ((60, 40, 8, 16),), contrast=60 + 4 * n) for n in range(1, 10)], 6 * SLOT_S)
    assert 3 <= found.count(Look.MOVING) <= 4
    assert found[0] is not Look.MOVING


def test_a_hint_of_change_is_half_a_change(rng: np.random.Generator) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    looks(watch, [scene(rng, noise=0.3) for _ in range(6)])
    watch.detected()
    assert looks(watch, [scene(rng, ((60, 40, 8, 16),), contrast=6, noise=0.3)], 6 * SLOT_S) != [Look.MOVING]
    assert watch.may_have_changed()


def shaken(texture: np.ndarray, across_px: float, down_px: float, box: tuple[int, int] | None = None) -> np.ndarray:
    """(ROWS, COLUMNS) uint8: a picture that the camera shows shifted, with a square where `box` says."""
    picture = texture.copy()
    if box is not None:
        picture[box[1] : box[1] + 60, box[0] : box[0] + 60] = 250
    move = np.array([[1, 0, across_px], [0, 1, down_px]], np.float32)
    size = (texture.shape[1], texture.shape[0])
    return shrink_luma(cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE))


def test_a_camera_that_trembles_shows_no_movement_but_what_moves_before_it_does(rng: np.random.Generator) -> None:
    texture = cv2.GaussianBlur(rng.integers(0, 255, (ROWS * 8, COLUMNS * 8), np.uint8), (0, 0), 9)
    texture = cv2.normalize(texture, None, 40, 210, cv2.NORM_MINMAX)  # edges everywhere
    finder = ChangeFinder(CELL_PX)
    ground = shaken(texture, 0, 0)
    assert np.abs(shaken(texture, 1.2, -0.8).astype(int) - ground).max() > LEAST_LEVELS
    assert finder.compare(shaken(texture, 1.2, -0.8), ground) is Change.NONE
    assert finder.compare(shaken(texture, -2.0, 1.0), ground) is Change.NONE
    assert finder.compare(shaken(texture, 1.2, -0.8, (900, 500)), ground) is Change.LOCAL
    assert finder.compare(shaken(texture, 0, 0, (900, 500)), ground) is Change.LOCAL


@pytest.mark.parametrize("noise", [0.5, 2.0, 4.0])
def test_sensor_noise_is_no_movement_once_it_is_known(rng: np.random.Generator, noise: float) -> None:
    found = looks(MotionWatch(ChangeFinder(CELL_PX)), [scene(rng, noise=noise) for _ in range(60)])
    assert found[6:].count(Look.MOVING) <= 2


def test_rain_is_no_movement_but_who_walks_in_it_is(rng: np.random.Generator) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    found = looks(watch, [scene(rng, streaks=250) for _ in range(60)])
    assert found[6:].count(Look.MOVING) <= 3
    walk = [scene(rng, ((50 + 2 * n, 40, 8, 20),), streaks=250) for n in range(12)]
    assert looks(watch, walk, 60 * SLOT_S).count(Look.MOVING) >= 11


@pytest.mark.parametrize("size", [8, 16])
def test_a_belt_full_of_objects_is_movement_everywhere_and_no_noise(rng: np.random.Generator, size: int) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    step = 2 * size

    def belts(shift: int) -> np.ndarray:
        places = [(x, y) for y in range(2, ROWS - size, step) for x in range(-step, COLUMNS, step)]
        return scene(rng, tuple((max(x + shift % step, 0), y, size, size) for x, y in places), noise=0.5)

    found = looks(watch, [belts(3 * n) for n in range(6 * 60)])
    assert found[1:] == [Look.MOVING] * (6 * 60 - 1)
    found = looks(watch, [belts(n) for n in range(6 * 20)], 60.0)  # a cell from slot to slot adds up
    assert Look.STILL not in found and found.count(Look.MOVING) >= 6 * 20 / 3 - 1


@pytest.mark.parametrize("rate", [0.01, -0.01])
def test_light_that_changes_slowly_is_no_movement(rng: np.random.Generator, rate: float) -> None:
    found = looks(MotionWatch(ChangeFinder(CELL_PX)), [scene(rng, gain=0.8 + rate * n * SLOT_S) for n in range(120)])
    assert Look.MOVING not in found


def test_a_light_switch_is_movement_once_and_the_new_scene_still_half_a_second_later(rng: np.random.Generator) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    looks(watch, [scene(rng) for _ in range(12)])
    dark = looks(watch, [scene(rng, gain=0.5) for _ in range(12)], 12 * SLOT_S)
    assert dark == [Look.MOVING] + [Look.UNSURE] * 2 + [Look.STILL] * 9


def test_what_flickers_in_one_place_becomes_noise_within_minutes(rng: np.random.Generator) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    flicker = [scene(rng, ((100, 50, 10, 10),) if n % 2 else (), contrast=12) for n in range(6 * 120)]
    found = looks(watch, flicker)
    assert found[6:60].count(Look.MOVING) > 40
    assert found[-60:].count(Look.MOVING) == 0
    elsewhere = [scene(rng, ((20 + 3 * n, 20, 4, 8),)) for n in range(6)]
    assert looks(watch, elsewhere, 6 * 120 * SLOT_S).count(Look.MOVING) >= 5


def test_a_busy_place_does_not_become_noise(rng: np.random.Generator) -> None:
    """Strong movement in half of all pictures, for two and a half minutes: longer than noise is remembered."""
    watch = MotionWatch(ChangeFinder(CELL_PX))
    walk = [scene(rng, ((60 + 8 * (n % 12), 40, 8, 24),)) for n in range(900)]
    found = looks(watch, walk)
    assert found[-120:].count(Look.MOVING) == 120


def test_another_picture_size_is_another_picture(rng: np.random.Generator) -> None:
    finder = ChangeFinder(CELL_PX)
    assert finder.compare(scene(rng)[:67, :120], scene(rng)) is Change.WHOLE
    assert finder.compare(scene(rng)[:67, :120], scene(rng)[:67, :120]) is Change.NONE


def test_a_clock_that_was_set_back_begins_a_new_look(rng: np.random.Generator) -> None:
    watch = MotionWatch(ChangeFinder(CELL_PX))
    looks(watch, [scene(rng) for _ in range(12)], start_s=100.0)
    assert looks(watch, [scene(rng) for _ in range(4)]) == [Look.UNSURE] * 3 + [Look.STILL]


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (768, 432), (640, 360), (3840, 2160), (161, 99), (4, 3)])
def test_cells_are_the_means_of_squares(width: int, height: int) -> None:
    image = np.random.default_rng(2).integers(0, 255, (height, width), np.uint8)
    cell = cell_size_px(width)
    rows, columns = height // cell, width // cell
    exact = image[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell).mean(axis=(1, 3))
    assert np.abs(shrink_luma(image) - exact).max() <= 2  # each halving rounds
