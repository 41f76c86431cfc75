"""Batches: every picture once an epoch, the same from any starting point, bounded memory."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from drawn_shapes import HEIGHT, WIDTH, draw_data
from vedette.contracts.frame import ResizeMode
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.errors import PictureError
from vedette.learn.data.reading import read_data_set
from vedette.learn.training.augment import AugmentSettings
from vedette.learn.training.loading import NO_OBJECT, Batch, BatchMaker, PictureStore, batch_stream, rarity_chances

SIZE = (64, 64)


def store_of(root: Path, count: int = 10, memory_bytes: int = 1 << 20, resize: ResizeMode = ResizeMode.STRETCH):
    data = read_data_set(draw_data(root, count))
    class_ids = {name: index for index, name in enumerate(data.classes)}
    return PictureStore(data.samples, class_ids, SIZE, resize, memory_bytes)


@pytest.mark.parametrize("resize", list(ResizeMode))
def test_stored_boxes_lie_where_the_objects_are(tmp_path: Path, resize: ResizeMode) -> None:
    stored = store_of(tmp_path / "d", resize=resize).get(4)
    assert stored.labelled.image_hwc_rgb_u8.shape == (64, 64, 3)
    for box, class_id in zip(stored.labelled.boxes_xyxy_px, stored.labelled.class_ids, strict=True):
        x, y = ((box[:2] + box[2:]) / 2).astype(int)
        red, _, blue = stored.labelled.image_hwc_rgb_u8[y, x].astype(int)
        assert (red > blue) == (class_id == 0)  # bricks are red
    assert stored.truths.boxes_xyxy_px.max() <= max(WIDTH, HEIGHT)


def test_every_picture_is_shown_once_an_epoch(tmp_path: Path) -> None:
    maker = BatchMaker(store_of(tmp_path / "d", count=10), 4, 0, AugmentSettings())
    assert maker.batches_per_epoch == 3
    shown = [maker.make(5, number, mosaic=False).names for number in range(3)]
    assert sorted(set(sum(shown, ()))) == [f"p{n:03d}" for n in range(10)]
    assert [len(maker.make(5, number, mosaic=False).images_nhwc_rgb_u8) for number in range(3)] == [4, 4, 4]


def test_mosaics_name_all_their_pictures(tmp_path: Path) -> None:
    maker = BatchMaker(store_of(tmp_path / "d"), 2, 0, AugmentSettings(mosaic=1.0))
    batch = maker.make(0, 0, mosaic=True)
    assert 2 < len(batch.names) <= 8


def test_every_broken_picture_is_looked_for_beyond_the_memorys_bound_too(tmp_path: Path) -> None:
    store = store_of(tmp_path / "d", count=10, memory_bytes=2 * 64 * 64 * 3)
    for number in range(3, 10):
        (tmp_path / "d" / "JPEGImages" / f"p{number:03d}.jpg").unlink()
    with pytest.raises(PictureError, match=r"p003\.jpg.*p007\.jpg cannot be read[^;]*; and 2 more") as caught:
        store.read_all(SilentProgress(), 2)
    assert "p008" not in str(caught.value)


def as_it_is(batch: Batch) -> Batch:
    return batch


@pytest.mark.parametrize("workers", [1, 3])
def test_the_stream_is_the_same_from_any_start_and_with_any_workers(tmp_path: Path, workers: int) -> None:
    maker = BatchMaker(store_of(tmp_path / "d"), 4, 7, AugmentSettings())
    whole = list(islice(batch_stream(maker, 0, lambda step: step < 5, as_it_is), 8))
    later = list(islice(batch_stream(maker, 4, lambda step: step < 5, as_it_is, workers), 4))
    for expected, batch in zip(whole[4:], later, strict=True):
        assert (batch.epoch, batch.number, batch.names) == (expected.epoch, expected.number, expected.names)
        np.testing.assert_array_equal(batch.images_nhwc_rgb_u8, expected.images_nhwc_rgb_u8)
        np.testing.assert_array_equal(batch.boxes_xyxy_px, expected.boxes_xyxy_px)
        np.testing.assert_array_equal(batch.class_ids, expected.class_ids)


def test_epochs_differ_in_order_and_seeds_in_everything(tmp_path: Path) -> None:
    store = store_of(tmp_path / "d")
    maker, other = (BatchMaker(store, 10, seed, AugmentSettings()) for seed in (0, 1))
    assert maker.make(0, 0, mosaic=False).names != maker.make(1, 0, mosaic=False).names
    assert maker.make(0, 0, mosaic=False).names != other.make(0, 0, mosaic=False).names


def test_sizes_differ_from_batch_to_batch_in_whole_strides(tmp_path: Path) -> None:
    maker = BatchMaker(store_of(tmp_path / "d"), 2, 0, AugmentSettings(sizes=0.5))
    batches = [maker.make(epoch, 0, mosaic=True) for epoch in range(20)]
    sizes = {batch.images_nhwc_rgb_u8.shape[1:3] for batch in batches}
    assert sizes == {(32, 32), (64, 64), (96, 96)}
    again = BatchMaker(store_of(tmp_path / "e"), 2, 0, AugmentSettings(sizes=0.5)).make(7, 0, mosaic=True)
    np.testing.assert_array_equal(again.images_nhwc_rgb_u8, batches[7].images_nhwc_rgb_u8)


def test_pictures_with_rare_classes_fill_mosaics_more_often(tmp_path: Path) -> None:
    root = draw_data(tmp_path / "d", 12)
    rare = root / "Annotations" / "p004.xml"
    for path in (root / "Annotations").iterdir():
        path.write_text(path.read_text().replace("brick", "tile"))
    rare.write_text(rare.read_text().replace("tile", "brick"))
    data = read_data_set(root)
    store = PictureStore(
        data.samples, {name: n for n, name in enumerate(data.classes)}, SIZE, ResizeMode.STRETCH, 1 << 20
    )
    chances = rarity_chances(store, 1.0)
    assert chances.sum() == pytest.approx(1.0)
    assert chances[4] == pytest.approx(11 * chances[0])  # eleven pictures have tiles, one has a brick
    assert shown_in(store, "p004", AugmentSettings(balance=1.0)) > 25
    assert shown_in(store, "p004", AugmentSettings()) < 22


def shown_in(store: PictureStore, name: str, settings: AugmentSettings) -> int:
    """How many of 30 batches of two mosaics have a part of a picture."""
    maker = BatchMaker(store, 2, 0, settings)
    return sum(name in maker.make(epoch, number, mosaic=True).names for epoch in range(5) for number in range(6))


def test_padding_is_no_object(tmp_path: Path) -> None:
    batch = BatchMaker(store_of(tmp_path / "d"), 10, 0, AugmentSettings()).make(0, 0, mosaic=False)
    padded = batch.class_ids == NO_OBJECT
    assert padded.any()
    assert not batch.boxes_xyxy_px[padded].any()
    assert [len(p.class_ids) for p in batch.pictures()] == (~padded).sum(axis=1).tolist()


def test_memory_is_bounded_and_the_rest_is_read_again(tmp_path: Path) -> None:
    store = store_of(tmp_path / "d", memory_bytes=3 * 64 * 64 * 3)
    store.read_all(SilentProgress(), workers=2)
    kept = [number for number in range(len(store)) if store.get(number) is store.get(number)]
    assert len(kept) == 3  # which ones, the threads that read decide
    other = next(number for number in range(len(store)) if number not in kept)
    np.testing.assert_array_equal(
        store.get(other).labelled.image_hwc_rgb_u8, store.get(other).labelled.image_hwc_rgb_u8
    )


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path / "d")
    store.samples[3].picture.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"p003\.jpg"):
        store.read_all(SilentProgress(), workers=2)
