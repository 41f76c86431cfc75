"""What a data set holds, as numbers: objects by class and split, box sizes, shapes and places, pictures worth showing.

Only usable objects are counted (clipped, not empty), because that is what training sees; how many are not is counted
too. Relative sizes are shares of the picture's sides.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.data.errors import DataError, PictureError
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.samples import DataSet, LabelledObject, Sample
from vedette.learn.data.usable import usable_objects

GRID = 48  # cells of the heat-map along each side


@dataclass(frozen=True, slots=True)
class ClassCount:
    """One class: its objects, the pictures that have any, and its objects in each split."""

    name: str
    objects: int
    pictures: int
    by_split: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One picture with its true size and usable objects."""

    sample: Sample
    width_px: int
    height_px: int
    objects: tuple[LabelledObject, ...]


@dataclass(frozen=True, slots=True)
class DataSetStats:
    """Everything the page shows."""

    data: DataSet
    measured: tuple[Measured, ...]
    unreadable: int  # pictures
    unusable: int  # objects
    classes: tuple[ClassCount, ...]
    sizes_wh_px: NDArray[np.float64]  # (objects, 2)
    sizes_wh_norm: NDArray[np.float64]  # (objects, 2)
    class_ids: NDArray[np.int64]  # (objects,)
    coverage: NDArray[np.float64]  # (GRID, GRID): share of objects that cover the cell
    objects_by_picture: NDArray[np.int64]  # (pictures,)
    picture_sizes: tuple[tuple[int, int, int], ...]  # width, height, how many; commonest first


def measure_data_set(data: DataSet, progress: Progress | None = None) -> DataSetStats:
    """Measure every picture and box. Reads the header of every picture.

    Raises:
        DataError: no picture can be read.
    """
    report = progress or SilentProgress()
    report.start("measuring", len(data.samples), "pictures")
    measured: list[Measured] = []
    unusable = 0
    for sample in data.samples:
        try:
            width_px, height_px = picture_size(sample.picture)
        except PictureError:
            report.advance()
            continue
        objects = tuple(o for o in usable_objects(sample, width_px, height_px) if o.class_name in data.classes)
        unusable += len(sample.objects) - len(objects)
        measured.append(Measured(sample, width_px, height_px, objects))
        report.advance()
    if not measured:
        raise DataError(f"{data.root}: none of its {len(data.samples)} pictures can be read")
    return _summarise(data, measured, unusable)


def _summarise(data: DataSet, measured: list[Measured], unusable: int) -> DataSetStats:
    number_of = {name: number for number, name in enumerate(data.classes)}
    boxes = np.array(
        [
            [value / side for value, side in zip(o.box_xyxy_px, (m.width_px, m.height_px) * 2, strict=True)]
            for m in measured
            for o in m.objects
        ],
        dtype=np.float64,
    ).reshape(-1, 4)  # (objects, 4) float64, relative corners
    picture_wh = np.array([(m.width_px, m.height_px) for m in measured for _ in m.objects], dtype=np.float64).reshape(
        -1, 2
    )  # (objects, 2) float64
    sizes_wh_norm = boxes[:, 2:] - boxes[:, :2]
    sizes = Counter((m.width_px, m.height_px) for m in measured)
    return DataSetStats(
        data=data,
        measured=tuple(measured),
        unreadable=len(data.samples) - len(measured),
        unusable=unusable,
        classes=_count_classes(data, measured),
        sizes_wh_px=sizes_wh_norm * picture_wh,
        sizes_wh_norm=sizes_wh_norm,
        class_ids=np.array([number_of[o.class_name] for m in measured for o in m.objects], dtype=np.int64),
        coverage=_coverage(boxes),
        objects_by_picture=np.array([len(m.objects) for m in measured], dtype=np.int64),
        picture_sizes=tuple((width, height, count) for (width, height), count in sizes.most_common()),
    )


def _count_classes(data: DataSet, measured: Sequence[Measured]) -> tuple[ClassCount, ...]:
    objects = Counter(o.class_name for m in measured for o in m.objects)
    pictures = Counter(name for m in measured for name in {o.class_name for o in m.objects})
    members = {split: set(names) for split, names in data.splits.items()}
    by_split = {
        split: Counter(o.class_name for m in measured if m.sample.name in names for o in m.objects)
        for split, names in members.items()
    }
    return tuple(
        ClassCount(name, objects[name], pictures[name], tuple(by_split[split][name] for split in by_split))
        for name in data.classes
    )


def _coverage(boxes_xyxy_norm: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the boxes cover each cell, as a share of all boxes, by a summed-area table."""
    steps = np.zeros((GRID + 1, GRID + 1))  # (GRID + 1, GRID + 1) float64
    first = np.clip(np.floor(boxes_xyxy_norm[:, :2] * GRID).astype(int), 0, GRID - 1)
    last = np.clip(np.ceil(boxes_xyxy_norm[:, 2:] * GRID).astype(int), first + 1, GRID)
    for x, y, sign in (
        (first[:, 0], first[:, 1], 1),
        (last[:, 0], last[:, 1], 1),
        (first[:, 0], last[:, 1], -1),
        (last[:, 0], first[:, 1], -1),
    ):
        np.add.at(steps, (y, x), sign)
    covered: NDArray[np.float64] = steps.cumsum(axis=0).cumsum(axis=1)[:GRID, :GRID]
    return covered / max(1, len(boxes_xyxy_norm))


def choose_examples(stats: DataSetStats, count: int) -> list[Measured]:
    """Pictures that together show every class: the rarest class not shown yet decides, then an even walk through the
    rest."""
    chosen: list[Measured] = []
    left = [m for m in stats.measured if m.objects]
    shown: Counter[str] = Counter()
    rarity = {entry.name: (entry.objects, entry.name) for entry in stats.classes if entry.objects}
    while left and len(chosen) < count:
        wanted = min(rarity, key=lambda name: (shown[name] > 0, rarity[name]))
        if shown[wanted]:
            break
        best = max((m for m in left if any(o.class_name == wanted for o in m.objects)), key=_variety)
        chosen.append(best)
        left.remove(best)
        shown.update({o.class_name for o in best.objects})
    step = max(1, len(left) // max(1, count - len(chosen)))
    return (chosen + left[::step])[:count]


def _variety(item: Measured) -> tuple[int, int]:
    """Many classes, then few objects: boxes that hide each other show nothing."""
    return len({o.class_name for o in item.objects}), -len(item.objects)
