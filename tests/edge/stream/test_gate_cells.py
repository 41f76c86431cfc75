"""Shortcuts over pictures of cells give what the long way gives, on still, noisy, raining, lit and moving scenes."""

import itertools

import cv2
import numpy as np
import pytest

from vedette.edge.stream.cells import (
    LEAST_LEVELS,
    PIECE_FACTOR,
    TILES,
    CellGrid,
    find_changed,
    find_difference,
    has_solid_block,
)
from vedette.edge.stream.motion import MOST_UNLEARNED, ChangeFinder
from vedette.edge.stream.shake import ShakeFinder

SHAPE = (135, 240)
RAMP = np.add.outer(np.linspace(40, 120, SHAPE[0]), np.linspace(0, 60, SHAPE[1]))
KINDS = ("still", "noise", "rain", "moving", "lit", "contrast", "dark", "flat", "grain")


def pair(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two (rows, columns) uint8 pictures of one place."""

    def picture(noise: float, gain: float = 1.0, lift: float = 0.0) -> np.ndarray:
        return np.clip(RAMP * gain + lift + rng.normal(0, noise, SHAPE), 0, 255).astype(np.uint8)

    now, then = picture(0.7), picture(0.7)
    if kind in ("noise", "grain"):
        now = picture(3.0 if kind == "noise" else 12.0)
    elif kind == "rain":
        for x, y in zip(rng.integers(0, SHAPE[1], 300), rng.integers(0, SHAPE[0] - 6, 300), strict=True):
            now[y : y + 5, x] += 20
    elif kind == "moving":
        for x, y in zip(rng.integers(0, 200, 20), rng.integers(0, 100, 20), strict=True):
            now[y : y + 9, x : x + 5] += 40
    elif kind == "lit":
        now = picture(0.7, lift=float(rng.integers(-16, 16)))
    elif kind == "contrast":
        now = picture(0.7, gain=float(rng.uniform(0.85, 1.15)))
    elif kind == "dark":
        then = np.clip(then.astype(int) - 150, 0, 255).astype(np.uint8)  # more than half of it black
        now = np.clip(now.astype(int) - 146, 0, 255).astype(np.uint8)
    elif kind == "flat":
        now, then = np.full(SHAPE, 91, np.uint8), np.full(SHAPE, 90, np.uint8)
    return now, then


def upper_median(values: np.ndarray) -> int:
    return int(np.sort(values, axis=None)[values.size // 2])


def plain_difference(now: np.ndarray, then: np.ndarray) -> tuple[np.ndarray, bool]:
    sample = then[::4, ::4].astype(int)
    change = now[::4, ::4].astype(int) - sample
    bright = sample > upper_median(sample)
    is_another = abs(upper_median(change)) > 12
    if bright.any() and not is_another:
        low, high = upper_median(change[~bright]), upper_median(change[bright])
        if max(abs(low), abs(high)) >= 2:
            dark_level, bright_level = upper_median(sample[~bright]), upper_median(sample[bright])
            slope = (high - low) / max(bright_level - dark_level, 1.0)
            then = np.clip(np.rint(then.astype(int) + low + (then.astype(int) - dark_level) * slope), 0, 255)
    return np.abs(now.astype(int) - then.astype(int)), is_another


@pytest.mark.parametrize("kind", KINDS)
def test_common_light_is_taken_off_as_by_sorting_everything(kind: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(6):
        now, then = pair(kind, rng)
        difference, is_another = find_difference(now, then)
        expected, expected_another = plain_difference(now, then)
        assert is_another == expected_another
        assert np.array_equal(difference, expected)


def plain_everywhere(difference: np.ndarray) -> tuple[float, float]:
    rows, columns = SHAPE[0] // TILES[0], SHAPE[1] // TILES[1]
    tiles = [difference[y * rows :, x * columns :][:rows, :columns] for y in range(TILES[0]) for x in range(TILES[1])]
    levels = [np.sort(tile, axis=None) for tile in tiles]
    few, half = (sorted(int(ordered[at]) for ordered in levels)[6] for at in (int(0.98 * 1319), 660))
    return few, half


@pytest.mark.parametrize("least", [LEAST_LEVELS, LEAST_LEVELS / 2])
@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_that_of_sorted_tiles_and_none_where_it_cannot_matter(kind: str, least: float) -> None:
    rng, grid = np.random.default_rng(8), CellGrid(SHAPE)
    for _ in range(4):
        difference = find_difference(*pair(kind, rng))[0]
        few, half = plain_everywhere(difference)
        assert grid.everywhere(difference, least) == ((few, half) if few > int(least / 1.5) else (0, 0))


def test_some_scenes_have_noise_everywhere_and_some_have_none() -> None:
    rng, grid = np.random.default_rng(9), CellGrid(SHAPE)
    assert grid.everywhere(find_difference(*pair("still", rng))[0]) == (0, 0)
    assert grid.everywhere(find_difference(*pair("grain", rng))[0])[0] > 20


def test_the_largest_piece_is_that_of_the_librarys_statistics() -> None:
    rng, grid = np.random.default_rng(10), CellGrid(SHAPE)
    found = []
    for share in (0.0, 0.001, 0.01, 0.05, 0.2, 0.4):
        for _ in range(4):
            changed = np.where(rng.random(SHAPE) < share, 255, 0).astype(np.uint8)
            changed[40:52, 60 : 60 + 4 * int(rng.integers(0, 8))] = 255
            _, _, statistics, centres_xy = cv2.connectedComponentsWithStats(changed, connectivity=8)
            cells = statistics[1:, cv2.CC_STAT_AREA]
            least = 4
            if len(cells) >= 12:
                tiles = (centres_xy[1:, ::-1] * TILES / SHAPE).astype(int)
                of_tiles = np.zeros(TILES, int)
                np.maximum.at(of_tiles, (tiles[:, 0], tiles[:, 1]), cells)
                least = max(least, int(PIECE_FACTOR * np.median(of_tiles)))
            largest = int(cells.max(initial=0))
            found.append(grid.largest_object(changed, 4))
            assert found[-1] == (largest if largest >= least else 0)
    assert 0 in found and max(found) > 100


def test_what_changed_lies_above_its_own_limit_and_above_the_level() -> None:
    rng = np.random.default_rng(11)
    difference, limits = (rng.integers(0, 30, SHAPE, np.uint8) for _ in range(2))
    for level in (0.0, 7.5, 12.0):
        expected = (difference > limits) & (difference > int(level))
        assert np.array_equal(find_changed(difference, limits, level), np.where(expected, 255, 0))


def test_a_block_is_solid_only_with_all_of_its_cells() -> None:
    changed = np.zeros(SHAPE, np.uint8)
    changed[8:12, 20:24] = changed[60, :] = 255
    assert has_solid_block(changed)
    changed[9, 22] = 0
    assert not has_solid_block(changed)


def test_a_shake_is_found_in_memory_that_was_used_before_as_in_new_memory() -> None:
    rng = np.random.default_rng(12)
    ground = cv2.GaussianBlur(rng.integers(0, 255, SHAPE, np.uint8), (0, 0), 2)
    used, nothing = ShakeFinder(), np.zeros(SHAPE, np.uint8)
    found = []
    for across in (0.6, 0.4, -0.5, 0.4):
        move = np.array([[1, 0, across], [0, 1, 0.1]], np.float32)
        now = cv2.warpAffine(ground, move, SHAPE[::-1], borderMode=cv2.BORDER_REPLICATE)
        one, other = used.find(now, ground, nothing), ShakeFinder().find(now, ground, nothing)
        assert one is not None and other is not None
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        assert np.abs(one[0].astype(int) - now).mean() <= np.abs(ground.astype(int) - now).mean()
        found.append(one[0])
    assert np.array_equal(found[1], found[3])  # nothing that was given out is written over
    assert not np.array_equal(found[1], found[2])
    assert used.find(nothing, nothing, nothing) is None


def test_noise_learned_in_one_go_is_noise_learned_picture_by_picture() -> None:
    """A picture with something in it makes a finder use what it has learned up to there."""
    rng = np.random.default_rng(13)
    pictures = [pair("noise", rng)[0] for _ in range(2 * MOST_UNLEARNED + 3)]
    with_object = pictures[0].copy()
    with_object[50:70, 50:70] += 60
    at_once, one_by_one = ChangeFinder(8), ChangeFinder(8)
    for then, now in itertools.pairwise(pictures):
        for finder in (at_once, one_by_one):
            finder.compare(now, then, learn_s=1.0)
        one_by_one.compare(with_object, pictures[0])
    for levels in range(4, 20):  # both find the same in a patch of any contrast
        patch = pictures[0].copy()
        patch[50:54, 50:54] += levels
        assert at_once.compare(patch, pictures[0]) is one_by_one.compare(patch, pictures[0])
        assert at_once.hints(patch, pictures[0]) == one_by_one.hints(patch, pictures[0])
