"""Pictures on their way into the network: read once, kept small in memory, augmented in the background, in batches.

Guarantees: the sequence of batches depends on the seed alone, whatever the number of workers, and can be taken up at
any epoch and batch; every picture is shown once an epoch (a last batch that is short is filled up with pictures drawn
again). Pictures are resized exactly as they will be for detection (`vision.resize`). Memory is bounded; pictures
beyond the bound are read again each time. Pure NumPy and OpenCV: torch comes in the training loop.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import Placement, ResizeMode
from vedette.contracts.ports import Progress
from vedette.learn.data.errors import PictureError
from vedette.learn.data.pictures import read_picture
from vedette.learn.data.samples import Sample
from vedette.learn.training.augment import IGNORED_CLASS, AugmentSettings, LabelledPicture, augment
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import truths_of
from vedette.vision.resize import boxes_to_input_px, fit_u8, plan_placement

NO_OBJECT = -2  # as in learn.darknet.loss: pads the class array
MEMORY_BYTES = 3 << 30  # of resized pictures: 10 000 at 320x320
BATCHES_AHEAD = 4
SHOWN_BROKEN = 5
ORDER_STREAM, SAMPLE_STREAM, SIZE_STREAM = 1, 2, 3  # keep the uses of one seed apart
STRIDE_PX = 32  # input sizes are multiples of it

Placed = TypeVar("Placed")


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture fitted into the input, its truths both ways."""

    labelled: LabelledPicture  # in input pixels
    truths: Truths  # in source pixels
    placement: Placement


class PictureStore:
    """The pictures of one split at the network's input size. Thread-safe."""

    def __init__(
        self,
        samples: Sequence[Sample],
        class_ids: Mapping[str, int],
        size_px: tuple[int, int],
        resize: ResizeMode,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.samples = tuple(samples)
        self._class_ids = class_ids
        self.size_px = size_px
        self._resize = resize
        self._kept: dict[int, StoredPicture] = {}
        self._room = memory_bytes // (size_px[0] * size_px[1] * 3)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, index: int) -> StoredPicture:
        """One picture; read from disk the first time, or every time when memory is full.

        Raises:
            PictureError: it cannot be read.
        """
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        stored = self._read(self.samples[index])
        with self._lock:
            if len(self._kept) < self._room:
                self._kept[index] = stored
        return stored

    def read_all(self, progress: Progress, workers: int) -> None:
        """Read every picture once, those beyond the memory's bound too: what is broken must show before hours of work.

        Raises:
            PictureError: some cannot be read; names the first few and says how many.
        """
        refuse_broken(self.look_through(progress, workers))

    def look_through(
        self, progress: Progress, workers: int, seen: Callable[[int, StoredPicture], None] | None = None
    ) -> list[str]:
        """`read_all` that tells what is broken instead; every other picture is shown to `seen`, by several threads."""
        progress.start("reading pictures", len(self), "pictures")
        broken: list[str] = []
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            try:
                for problem in pool.map(lambda index: self._problem(index, seen), range(len(self))):
                    progress.advance()
                    if problem is not None:
                        broken.append(problem)
            finally:
                pool.shutdown(cancel_futures=True)  # when interrupted, thousands may be left
        return broken

    def without(self, names: Set[str]) -> "PictureStore":
        """The same pictures but for some; what was read stays read."""
        rest = copy(self)
        places = [index for index, sample in enumerate(self.samples) if sample.name not in names]
        rest.samples = tuple(self.samples[index] for index in places)
        rest._kept = {new: self._kept[old] for new, old in enumerate(places) if old in self._kept}
        return rest

    def _problem(self, index: int, seen: Callable[[int, StoredPicture], None] | None) -> str | None:
        """What is wrong with a picture, or None."""
        try:
            picture = self.get(index)
        except PictureError as error:
            return str(error)
        if seen is not None:
            seen(index, picture)
        return None

    def _read(self, sample: Sample) -> StoredPicture:
        picture = read_picture(sample.picture)
        height, width = picture.shape[:2]
        placement = plan_placement(width, height, *self.size_px, self._resize)
        truths = truths_of(sample, (width, height), self._class_ids)
        labelled = LabelledPicture(
            fit_u8(picture, placement),
            boxes_to_input_px(truths.boxes_xyxy_px, placement).astype(np.float32),
            np.where(truths.ignored, IGNORED_CLASS, truths.class_ids).astype(np.int64),
        )
        return StoredPicture(labelled, truths, placement)


def refuse_broken(broken: Sequence[str]) -> None:
    """Refuse pictures that `PictureStore.look_through` found broken.

    Raises:
        PictureError: there are some; names the first few and says how many.
    """
    if broken:
        more = f"; and {len(broken) - SHOWN_BROKEN} more" if len(broken) > SHOWN_BROKEN else ""
        raise PictureError(
            f"{'; '.join(broken[:SHOWN_BROKEN])}{more}. Bring the pictures back, or take them out of the data set "
            "(`vedette data check` lists every problem, `vedette data convert` leaves unreadable pictures out)"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Augmented pictures and their padded truths, as `learn.darknet.loss.Truths` wants them."""

    epoch: int
    number: int  # within the epoch
    names: tuple[str, ...]  # of all pictures that went in
    images_nhwc_rgb_u8: NDArray[np.uint8]  # (batch, height, width, 3)
    boxes_xyxy_px: NDArray[np.float32]  # (batch, most objects, 4)
    class_ids: NDArray[np.int64]  # (batch, most objects) NO_OBJECT where padded

    def pictures(self) -> list[LabelledPicture]:
        """The pictures apart again, to be looked at."""
        return [
            LabelledPicture(image, boxes[classes != NO_OBJECT], classes[classes != NO_OBJECT])
            for image, boxes, classes in zip(self.images_nhwc_rgb_u8, self.boxes_xyxy_px, self.class_ids, strict=True)
        ]


class BatchMaker:
    """Makes any batch of any epoch from the seed, or part `share[0]` (from 0) of `share[1]` parts of it."""

    def __init__(
        self, store: PictureStore, batch: int, seed: int, settings: AugmentSettings, *, share: tuple[int, int] = (0, 1)
    ) -> None:
        self._store, self._batch, self._seed, self._settings = store, batch, seed, settings
        part, parts = share
        self._places: Sequence[int] = range(part * batch // parts, (part + 1) * batch // parts)
        self._chances = rarity_chances(store, settings.balance) if settings.balance else None  # (pictures,)

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self._store) // self._batch)

    def make(self, epoch: int, number: int, mosaic: bool) -> Batch:
        """Batch `number` of `epoch` (both from 0)."""
        order = np.random.default_rng((self._seed, ORDER_STREAM, epoch)).permutation(len(self._store))
        size_px = self._size_px(epoch, number)
        names: list[str] = []
        pictures = []
        for place in (number * self._batch + offset for offset in self._places):
            rng = np.random.default_rng((self._seed, SAMPLE_STREAM, epoch, place))
            first = int(order[place]) if place < len(order) else int(rng.integers(len(order)))
            four = mosaic and rng.random() < self._settings.mosaic
            chosen = [first, *self._partners(rng)] if four else [first]
            names += [self._store.samples[index].name for index in chosen]
            parts = [self._store.get(index).labelled for index in chosen]
            pictures.append(self._change(parts, rng, size_px))
        return _pad(epoch, number, tuple(dict.fromkeys(names)), pictures)

    def _change(
        self, pictures: Sequence[LabelledPicture], rng: np.random.Generator, size_px: tuple[int, int]
    ) -> LabelledPicture:
        """One picture to learn from, of one or four; other recipes have other ways (`darknet_method`)."""
        return augment(pictures, self._settings, rng, size_px)

    def _partners(self, rng: np.random.Generator) -> list[int]:
        """Three pictures for a mosaic."""
        count = len(self._store)
        drawn = rng.integers(0, count, 3) if self._chances is None else rng.choice(count, 3, p=self._chances)
        return [int(index) for index in drawn]

    def _size_px(self, epoch: int, number: int) -> tuple[int, int]:
        """Width and height of a batch: the store's, or a size about it."""
        width, height = self._store.size_px
        reach = self._settings.sizes
        if not reach:
            return width, height
        factor = np.random.default_rng((self._seed, SIZE_STREAM, epoch, number)).uniform(1 - reach, 1 + reach)
        across, down = (max(round(side * factor / STRIDE_PX), 1) * STRIDE_PX for side in (width, height))
        return across, down


def rarity_chances(store: PictureStore, power: float) -> NDArray[np.float64]:
    """How often each picture is drawn, (pictures,), summing to 1: by its rarest class, a class by the share of pictures
    that it is in. Pictures without objects are drawn as those of the commonest class."""
    kinds = [np.unique(ids[ids >= 0]) for ids in (store.get(i).labelled.class_ids for i in range(len(store)))]
    held = np.bincount(np.concatenate([*kinds, np.zeros(0, np.int64)]), minlength=1)  # (classes,) pictures with each
    rarity = (held.max() / np.maximum(held, 1)) ** power
    weights = np.array([rarity[own].max(initial=1.0) for own in kinds])
    return np.asarray(weights / weights.sum(), np.float64)


def _pad(epoch: int, number: int, names: tuple[str, ...], pictures: Sequence[LabelledPicture]) -> Batch:
    most = max(len(picture.class_ids) for picture in pictures)
    boxes = np.zeros((len(pictures), most, 4), np.float32)
    classes = np.full((len(pictures), most), NO_OBJECT, np.int64)
    for row, picture in enumerate(pictures):
        boxes[row, : len(picture.class_ids)] = picture.boxes_xyxy_px
        classes[row, : len(picture.class_ids)] = picture.class_ids
    return Batch(epoch, number, names, np.stack([p.image_hwc_rgb_u8 for p in pictures]), boxes, classes)


def batch_stream(
    maker: BatchMaker, step: int, mosaic_at: Callable[[int], bool], place: Callable[[Batch], Placed], workers: int = 1
) -> Iterator[Placed]:
    """All batches from global step `step` on, without end, made and placed ahead by `workers` threads; close it to
    stop them.

    `mosaic_at` says for a global step whether its pictures are put together from four; asked when the batch is begun.
    """

    def make(step: int, mosaic: bool) -> Placed:
        return place(maker.make(step // per_epoch, step % per_epoch, mosaic))

    pool = ThreadPoolExecutor(workers, thread_name_prefix="augment")
    ahead: deque[Future[Placed]] = deque()
    per_epoch = maker.batches_per_epoch
    try:
        while True:
            while len(ahead) < max(BATCHES_AHEAD, workers + 1):
                ahead.append(pool.submit(make, step, mosaic_at(step)))
                step += 1
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
