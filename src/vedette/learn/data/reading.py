"""Reads a data set of any layout. `read_data_set` refuses what it would have to guess, `inspect_data_set` tells all.

The layout is detected from what lies there: data.yaml, a .data file, VOC annotations, COCO JSON, an output manifest of
Ground Truth, pictures with .txt labels, in this order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vedette.learn.data.coco_json import find_coco, read_coco, unlisted_pictures
from vedette.learn.data.darknet_sets import find_darknet, read_darknet
from vedette.learn.data.errors import DataError
from vedette.learn.data.ground_truth import ManifestSettings, find_manifest, read_manifest
from vedette.learn.data.locating import is_picture, plain_path, shown_path
from vedette.learn.data.problems import STOPS_READING, Problem, ProblemKind
from vedette.learn.data.samples import DataSet, Layout
from vedette.learn.data.split_files import SPLIT_FILE, known_entries, read_split_file
from vedette.learn.data.voc import find_voc, read_voc
from vedette.learn.data.yolo_yaml import find_yolo, read_yolo

SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Inspection:
    """A data set as its files say it, and what was wrong while reading them."""

    data: DataSet
    problems: tuple[Problem, ...]


def read_data_set(
    source: Path,
    layout: Layout | None = None,
    *,
    classes: Sequence[str] | None = None,
    split_file: Path | None = None,
    manifest: ManifestSettings | None = None,
) -> DataSet:
    """Read a data set that can be relied on. Boxes may still be outside a picture: see `usable_objects`.

    `classes` gives the class order, and `split_file` the splits, in place of the data set's own. `manifest` is for
    manifests of Ground Truth only.

    Raises:
        DataError: no data set there, or labels that would be lost or guessed.
    """
    inspection = inspect_data_set(source, layout, classes=classes, split_file=split_file, manifest=manifest)
    stopping = [problem for problem in inspection.problems if problem.kind in STOPS_READING]
    if stopping:
        shown = "; ".join(f"{problem.file}: {problem.message}" for problem in stopping[:SHOWN_PROBLEMS])
        more = f"; and {len(stopping) - SHOWN_PROBLEMS} more" if len(stopping) > SHOWN_PROBLEMS else ""
        raise DataError(
            f"{source} cannot be used as it is: {shown}{more}. `vedette data check {source}` lists every problem"
        )
    return inspection.data


def inspect_data_set(
    source: Path,
    layout: Layout | None = None,
    *,
    classes: Sequence[str] | None = None,
    split_file: Path | None = None,
    manifest: ManifestSettings | None = None,
) -> Inspection:
    """Read a data set with everything that is wrong in it.

    Raises:
        DataError: there is no data set, or so little of one that nothing can be said about it.
    """
    problems: list[Problem] = []
    data = _read(source, layout, classes, problems, manifest)
    if not data.samples and not problems:
        raise DataError(f"{source} holds no labelled picture ({data.layout.value})")
    data = _with_splits(data, split_file, problems)
    problems += _unknown_classes(data)
    if data.layout is Layout.COCO and (data.root / "images").is_dir():
        for path in unlisted_pictures(data):
            if is_picture(path):
                message = "no COCO file lists it; it is left out"
                problems.append(Problem(ProblemKind.UNLABELLED_PICTURE, shown_path(data.root, path), message))
    return Inspection(data, tuple(problems))


def _read(
    source: Path,
    layout: Layout | None,
    classes: Sequence[str] | None,
    problems: list[Problem],
    settings: ManifestSettings | None,
) -> DataSet:
    if "\0" in str(source) or not source.exists():
        raise DataError(f"{source} does not exist")
    if not (source.is_dir() or source.is_file()):
        raise DataError(f"{source} is neither a folder nor a file")
    source = plain_path(source)
    bounded = source.is_dir()
    report = problems.append
    try:
        if layout in {None, Layout.YOLO} and (yaml_file := find_yolo(source)) is not None:
            return read_yolo(yaml_file, classes, report, bounded)
        if layout is None and source.is_dir() and (found := find_darknet(source)) is not None and found.is_file():
            return read_darknet(found, classes, report, bounded)
        if layout in {None, Layout.VOC} and (voc := find_voc(source)) is not None:
            return read_voc(voc, classes, report)
        if layout in {None, Layout.COCO} and (coco := find_coco(source)) is not None:
            return read_coco(coco, classes, report)
        if layout in {None, Layout.MANIFEST} and (found := _manifest(source, layout)) is not None:
            return read_manifest(found, settings or ManifestSettings(), classes, report)
        if layout in {None, Layout.DARKNET} and (darknet := find_darknet(source)) is not None:
            return read_darknet(darknet, classes, report, bounded)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied") from error
    if layout is not None:
        raise DataError(f"{source} is no data set in {layout.value} format; without --format the layout is detected")
    raise DataError(
        f"{source} is no data set that Vedette knows: VOC (Annotations beside JPEGImages or images), "
        "Darknet (a .data file, or pictures with .txt labels), YOLO (data.yaml), COCO (instances.json beside images) "
        "or a manifest of Ground Truth (output.manifest)"
    )


def _manifest(source: Path, layout: Layout | None) -> Path | None:
    """A file that is said to be a manifest may be called anything."""
    return source if layout is Layout.MANIFEST and source.is_file() else find_manifest(source)


def _with_splits(data: DataSet, split_file: Path | None, problems: list[Problem]) -> DataSet:
    """The splits of `split_file`, of a split.json in the root, or the layout's own."""
    path = split_file if split_file is not None else data.root / SPLIT_FILE
    if split_file is None and not path.is_file():
        return data
    names = [sample.name for sample in data.samples]
    splits = known_entries(read_split_file(path), names, shown_path(data.root, path), problems.append)
    return replace(data, splits=splits)


def _unknown_classes(data: DataSet) -> list[Problem]:
    known = {*data.classes, ""}  # a missing name is reported by the reader
    return [
        Problem(
            ProblemKind.UNKNOWN_CLASS,
            shown_path(data.root, labels_of(data, number)),
            f"class {item.class_name} is none of the {len(data.classes)} known classes",
            index,
        )
        for number, sample in enumerate(data.samples)
        for index, item in enumerate(sample.objects)
        if item.class_name not in known
    ]


def labels_of(data: DataSet, number: int) -> Path:
    """The file that problems of objects are reported for: the labels, or the picture where one file holds all."""
    sample = data.samples[number]
    return sample.picture if sample.labels is None or data.layout is Layout.COCO else sample.labels
