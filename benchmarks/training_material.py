"""Data sets as the benchmarks of training want them: split once from a seed, in VOC for us and in YOLO for a rival."""

from dataclasses import replace
from pathlib import Path

from vedette.learn.data.convert import convert_data_set
from vedette.learn.data.reading import inspect_data_set
from vedette.learn.data.samples import Layout
from vedette.learn.data.split import split_data_set
from vedette.learn.data.split_files import write_split_file

SEED = 0
FRACTIONS = {"train": 0.8, "val": 0.2}


def two_way_split(source: Path, folder: Path) -> Path:
    """A copy in VOC whose splits are train (four fifths, by class) and val; made once."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        splits = split_data_set(inspect_data_set(source).data, FRACTIONS, SEED)
        written = folder.with_suffix(".split.json")
        write_split_file(written, splits)
        convert_data_set(inspect_data_set(source, split_file=written), folder, Layout.VOC)
    return folder


def in_yolo(source: Path, folder: Path) -> Path:
    """A copy in YOLO's layout, splits kept: its data.yaml. Made once."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        convert_data_set(inspect_data_set(source), folder, Layout.YOLO)
    return folder / "data.yaml"


def first_pictures(source: Path, folder: Path, count: int) -> Path:
    """A copy in VOC of the first `count` training pictures and the validation pictures."""
    inspection = inspect_data_set(source)
    data = inspection.data
    splits = {"train": data.splits["train"][:count], "val": data.splits["val"]}
    wanted = {name for names in splits.values() for name in names}
    samples = tuple(sample for sample in data.samples if sample.name in wanted)
    chosen = replace(inspection, data=replace(data, samples=samples, splits=splits), problems=())
    convert_data_set(chosen, folder, Layout.VOC)
    return folder
