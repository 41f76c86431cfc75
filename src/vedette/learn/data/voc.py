"""PASCAL VOC: Annotations beside JPEGImages (or images, in any case), with or without ImageSets; one folder or file.

Guarantees that a box (xmin, ymin, xmax, ymax), 1-based and inclusive, becomes (xmin - 1, ymin - 1, xmax, ymax) in
continuous pixels, and that every picture lies below the root. A picture is found by the annotation's own name first,
then by <filename>, because exported and renamed data sets keep wrong file names. Source: VOC 2007 development kit, 2.2
and 4.2.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import find_names_file, is_class_name, parse_number, read_lines, read_names
from vedette.learn.data.locating import (
    PICTURE_FOLDERS,
    UnsafeNameError,
    child_folder,
    files_below,
    is_picture,
    path_below,
    pictures_by_stem,
    quoted,
    shown_path,
    splits_by_folder,
    stem_below,
)
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.data.split_files import SPLIT_NAME, known_entries
from vedette.learn.data.voc_xml import CORNERS, parse_annotation

ANNOTATION_FOLDERS = ("annotations", "annotation", "xml", "xmls")
SHOWN_FOLDERS = 5
USUAL_ORDER = {"train": 0, "val": 1, "test": 2}
CLASS_LIST_LINE = re.compile(r"(.+?)\s+(?:-1|0|1)")  # ImageSets/Main/cat_train.txt


@dataclass(frozen=True, slots=True)
class VocPlace:
    """Where the parts of a VOC data set lie. `only` limits it to one annotation."""

    root: Path
    annotations: Path
    pictures: Path
    only: Path | None = None


def find_voc(source: Path) -> VocPlace | None:
    """Where the VOC data set at `source` (a folder or an .xml file) lies, or None when it is no VOC."""
    if source.is_file():
        if source.suffix.lower() != ".xml":
            return None
        place = _around(source.parent)
        return VocPlace(place.root, place.annotations, place.pictures, source)
    annotations = child_folder(source, ANNOTATION_FOLDERS)
    if annotations is not None and _first_xml(annotations):
        return VocPlace(source, annotations, child_folder(source, PICTURE_FOLDERS) or source)
    nested = [] if any(child.suffix.lower() == ".xml" for child in source.iterdir()) else _nested(source)
    if len(nested) > 1:
        shown = ", ".join(shown_path(source, folder.parent) for folder in nested[:SHOWN_FOLDERS])
        more = f" and {len(nested) - SHOWN_FOLDERS} more" if len(nested) > SHOWN_FOLDERS else ""
        raise DataError(f"{source} holds {len(nested)} VOC data sets, {shown}{more}; name one of them")
    if nested:
        return _around(nested[0])  # VOCdevkit/VOC2007
    return _around(source) if _first_xml(source) else None


def _nested(source: Path) -> list[Path]:
    """Folders of annotations further down that have a folder of pictures beside them."""
    found = {path.parent for path in files_below(source) if path.suffix.lower() == ".xml"}
    tops = {place for folder in found for place in (folder, *folder.parents) if source in place.parents}
    named = [place for place in tops if place.name.lower() in ANNOTATION_FOLDERS]
    return sorted(place for place in named if child_folder(place.parent, PICTURE_FOLDERS) is not None)


def _around(folder: Path) -> VocPlace:
    """The data set whose annotations lie right in `folder`: pictures beside it, or in it."""
    if folder.name.lower() in ANNOTATION_FOLDERS:
        pictures = child_folder(folder.parent, PICTURE_FOLDERS)
        if pictures is not None:
            return VocPlace(folder.parent, folder, pictures)
    return VocPlace(folder, folder, folder)


def _first_xml(folder: Path) -> bool:
    return any(path.suffix.lower() == ".xml" for path in files_below(folder))


def read_voc(place: VocPlace, classes: Sequence[str] | None, report: Report) -> DataSet:
    """Read every annotation; what is wrong goes to `report`.

    Class order: `classes`, else a class list in the root, else by name.

    Raises:
        DataError: the class list cannot be used.
    """
    listed = place.root / "classes.txt"
    if classes is None and listed.is_file():
        classes = read_names(listed)
    elif classes is None and (names_file := find_names_file(place.root)) is not None and names_file.suffix == ".names":
        classes = read_names(names_file)
    pictures = pictures_by_stem(place.pictures)
    samples: list[Sample] = []
    seen: set[str] = set()
    for path in [place.only] if place.only else _annotation_files(place):
        name = stem_below(place.annotations, path)
        if name in seen:
            report(_problem(place, ProblemKind.DUPLICATE_NAME, path, f"a second annotation is called {quoted(name)}"))
            continue
        seen.add(name)
        sample = _read_sample(place, path, pictures, report)
        if sample is not None:
            samples.append(sample)
    if not place.only:
        _report_unlabelled(place, pictures, samples, seen, report)
    if classes is None:
        classes = sorted({item.class_name for sample in samples for item in sample.objects if item.class_name})
    splits = {} if place.only else _read_image_sets(place, samples, seen, report)
    return DataSet(place.root, Layout.VOC, tuple(classes), tuple(samples), splits)


def _annotation_files(place: VocPlace) -> list[Path]:
    return [path for path in files_below(place.annotations) if path.suffix.lower() == ".xml"]


def _problem(place: VocPlace, kind: ProblemKind, path: Path, message: str, index: int | None = None) -> Problem:
    return Problem(kind, shown_path(place.root, path), message, index)


def _read_sample(place: VocPlace, path: Path, pictures: dict[str, list[Path]], report: Report) -> Sample | None:
    try:
        annotation = parse_annotation(path)
    except DataError as error:
        report(_problem(place, ProblemKind.BAD_SYNTAX, path, str(error).removeprefix(f"{path} ")))
        return None
    sizes = []
    for side in ("size/width", "size/height"):
        try:
            number = parse_number(annotation.texts.get(side, "0") or "0")
            sizes.append(int(number) if math.isfinite(number) and 0 <= number < 1e9 else 0)
        except ValueError as error:
            report(_problem(place, ProblemKind.BAD_SYNTAX, path, f"<{side}>: {error}"))
            sizes.append(0)
    picture = _find_picture(place, path, annotation.texts.get("filename", ""), pictures, report)
    objects = tuple(_read_object(place, path, index, texts, report) for index, texts in enumerate(annotation.objects))
    return Sample(stem_below(place.annotations, path), picture, sizes[0], sizes[1], objects, path)


def _find_picture(place: VocPlace, path: Path, filename: str, pictures: dict[str, list[Path]], report: Report) -> Path:
    """By the annotation's name, then by <filename>; where neither is there, the path where it was expected."""
    by_stem = pictures.get(stem_below(place.annotations, path), [])
    stated = _stated_picture(place, path, filename, report) if filename else None
    if by_stem:
        named = stated.name if stated is not None else ""
        if named and all(named != candidate.name for candidate in by_stem):
            message = f"<filename> says {quoted(filename)}, the picture found is {by_stem[0].name}"
            report(_problem(place, ProblemKind.FILENAME_DIFFERS, path, message))
        return next((candidate for candidate in by_stem if candidate.name == named), by_stem[0])
    if stated is not None:
        return stated
    below = path.relative_to(place.annotations).with_suffix(".jpg")
    return place.pictures / below


def _stated_picture(place: VocPlace, path: Path, filename: str, report: Report) -> Path | None:
    """What <filename> names, below the pictures; only its last part when the rest must not be followed."""
    start = place.pictures / path.relative_to(place.annotations).parent
    try:
        stated = path_below(place.root, filename, start if start.is_dir() else place.pictures)
    except UnsafeNameError as error:
        kind = ProblemKind.FOREIGN_PATH if error.foreign else ProblemKind.UNSAFE_NAME
        report(_problem(place, kind, path, f"<filename>: {error}; only its last part is used"))
        last = filename.replace("\\", "/").rsplit("/", 1)[-1]
        try:
            stated = path_below(place.pictures, last)
        except UnsafeNameError:
            return None
    return stated if is_picture(stated) else None


def _read_object(place: VocPlace, path: Path, index: int, texts: dict[str, str], report: Report) -> LabelledObject:
    """One object; what cannot be read becomes an empty name or NaN, so that indices hold, and is reported."""
    name = texts.get("name", "")
    if not is_class_name(name):
        report(_problem(place, ProblemKind.BAD_SYNTAX, path, f"object {index} has no usable <name>", index))
        name = ""
    corners = []
    for corner in CORNERS:
        try:
            corners.append(parse_number(texts[f"bndbox/{corner}"]))
        except (KeyError, ValueError) as error:
            why = f"<{corner}>: {error}" if isinstance(error, ValueError) else f"has no <bndbox> with <{corner}>"
            report(_problem(place, ProblemKind.BAD_SYNTAX, path, f"object {index} {why}", index))
            corners.append(math.nan)
    return LabelledObject(
        name,
        (corners[0] - 1.0, corners[1] - 1.0, corners[2], corners[3]),
        difficult=_flag(texts.get("difficult", "")),
        truncated=_flag(texts.get("truncated", "")),
        score=_score(texts.get("score", "")),
    )


def _flag(text: str) -> bool:
    """VOC writes 0 and 1; some tools leave it empty or write Unspecified."""
    return text.lower() in {"1", "true", "yes"}


def _score(text: str) -> float | None:
    """The score that `vedette label` wrote; what other programs mean by an element of that name is not known."""
    try:
        score = parse_number(text)
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def _report_unlabelled(
    place: VocPlace, pictures: dict[str, list[Path]], samples: list[Sample], seen: set[str], report: Report
) -> None:
    used, read = {sample.picture for sample in samples}, {sample.name for sample in samples}
    for stem, paths in pictures.items():
        for path in paths:
            if path not in used and stem not in seen:
                report(_problem(place, ProblemKind.UNLABELLED_PICTURE, path, "no annotation; it is left out"))
            elif path not in used and stem in read:
                message = "a second picture of the same name but another type; it is left out"
                report(_problem(place, ProblemKind.UNLABELLED_PICTURE, path, message))


def _read_image_sets(
    place: VocPlace, samples: list[Sample], seen: set[str], report: Report
) -> dict[str, tuple[str, ...]]:
    """ImageSets/Main/*.txt without the lists per class; else folders called train, val, test."""
    names = [sample.name for sample in samples]
    image_sets = child_folder(place.root, ("imagesets",))
    folder = (child_folder(image_sets, ("main",)) or image_sets) if image_sets is not None else None
    if folder is None:
        return splits_by_folder(names)
    splits: dict[str, tuple[str, ...]] = {}
    for path in sorted(
        folder.glob("*.txt"), key=lambda path: (USUAL_ORDER.get(path.stem, len(USUAL_ORDER)), path.stem)
    ):
        try:
            lines = [line for line in read_lines(path) if line]
        except DataError as error:
            report(_problem(place, ProblemKind.BAD_SYNTAX, path, str(error).removeprefix(f"{path} ")))
            continue
        if SPLIT_NAME.fullmatch(path.stem) is None or _is_class_list(lines, seen):
            continue
        missing = [line for line in lines if line not in seen]
        for line in missing:
            message = f"the list names {quoted(line)}, which has no annotation"
            report(_problem(place, ProblemKind.MISSING_LABELS, path, message))
        present = [line for line in lines if line in seen]  # an unreadable annotation is reported already
        splits |= known_entries({path.stem: [n for n in present if n in set(names)]}, names, str(path), report)
    return splits


def _is_class_list(lines: list[str], seen: set[str]) -> bool:
    return bool(lines) and lines[0] not in seen and all(CLASS_LIST_LINE.fullmatch(line) for line in lines)
