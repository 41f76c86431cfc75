"""Darknet's text labels: `class cx cy w h`, relative to the picture, in a .txt found from the picture's path.

Shared by Darknet's own data sets and YOLO's data.yaml. The rules that replace folder names differ between the forks
(facts: contracts 1.10); where two would find a file, the layout's own fork is asked first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vedette.learn.data.errors import DataError, PictureError
from vedette.learn.data.label_text import parse_number, read_lines
from vedette.learn.data.locating import PICTURE_FOLDERS, files_below, quoted, shown_path
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import LabelledObject, Sample

MAX_OBJECTS = 100_000
# AlexeyAB/darknet replace_image_to_label, in its order
ALEXEYAB_RULES = (
    ("/images/train2017/", "/labels/train2017/"),
    ("/images/val2017/", "/labels/val2017/"),
    ("/JPEGImages/", "/labels/"),
    ("/images/train2014/", "/labels/train2014/"),
    ("/images/val2014/", "/labels/val2014/"),
)


def darknet_label_paths(root: Path, picture: Path) -> list[Path]:
    """Where Darknet looks for a picture's labels: AlexeyAB's rule, Redmon's, then Ultralytics' for mixed folders."""
    below = _below(root, picture)
    alexeyab = below
    for old, new in ALEXEYAB_RULES:
        alexeyab = alexeyab.replace(old, new)
    redmon = below.replace("images", "labels", 1).replace("JPEGImages", "labels", 1)
    return _as_labels(root, [alexeyab, redmon, _ultralytics(below)])


def yolo_label_paths(root: Path, picture: Path) -> list[Path]:
    """Where today's YOLO tools look: the last folder called images becomes labels; else beside the picture."""
    below = _below(root, picture)
    return _as_labels(root, [_ultralytics(below), below])


def _below(root: Path, picture: Path) -> str:
    return "/" + picture.relative_to(root).as_posix()


def _ultralytics(below: str) -> str:
    head, found, tail = below.rpartition("/images/")
    return f"{head}/labels/{tail}" if found else below


def _as_labels(root: Path, found: list[str]) -> list[Path]:
    return [(root / path.lstrip("/")).with_suffix(".txt") for path in dict.fromkeys(found)]


def sample_name(root: Path, picture: Path) -> str:
    """The path below the root without suffix and without the folder that holds all pictures (images, JPEGImages)."""
    parts = list(picture.relative_to(root).with_suffix("").parts)
    for index, part in enumerate(parts[:-1]):
        if part.lower() in PICTURE_FOLDERS:
            del parts[index]
            break
    return "/".join(parts)


@dataclass(slots=True)
class TextLabelReader:
    """Reads pictures with text labels below one root; keeps what it has used, so that strays show."""

    root: Path
    classes: Sequence[str]
    yolo: bool
    report: Report

    def read(self, pictures: Sequence[Path]) -> list[Sample]:
        """One sample for each distinct picture, in order."""
        samples: list[Sample] = []
        owners: dict[str, Path] = {}
        for picture in dict.fromkeys(pictures):
            name = sample_name(self.root, picture)
            if name in owners:
                message = f"its name without suffix is that of {owners[name].name}: both would share one label file"
                self._tell(ProblemKind.DUPLICATE_NAME, picture, message)
                continue
            owners[name] = picture
            samples.append(self._read_sample(name, picture))
        self._report_strays(samples)
        return samples

    def _tell(self, kind: ProblemKind, path: Path, message: str, index: int | None = None) -> None:
        self.report(Problem(kind, shown_path(self.root, path), message, index))

    def _read_sample(self, name: str, picture: Path) -> Sample:
        rule = yolo_label_paths if self.yolo else darknet_label_paths
        candidates = rule(self.root, picture)
        labels = next((path for path in candidates if path.is_file()), None)
        if labels is None:
            expected = shown_path(self.root, candidates[0])
            self._tell(
                ProblemKind.UNLABELLED_PICTURE, picture, f"no {expected}; it counts as a picture without objects"
            )
            return self._without_objects(name, picture)
        try:
            width_px, height_px = picture_size(picture)
        except PictureError:
            return Sample(name, picture, 0, 0, (), labels)  # check says what is wrong with the picture
        return Sample(name, picture, width_px, height_px, self._read_objects(labels, width_px, height_px), labels)

    def _without_objects(self, name: str, picture: Path) -> Sample:
        try:
            width_px, height_px = picture_size(picture)
        except PictureError:
            width_px = height_px = 0
        return Sample(name, picture, width_px, height_px, ())

    def _read_objects(self, labels: Path, width_px: int, height_px: int) -> tuple[LabelledObject, ...]:
        try:
            lines = [(number, line) for number, line in enumerate(read_lines(labels), start=1) if line]
        except DataError as error:
            self._tell(ProblemKind.BAD_SYNTAX, labels, str(error).removeprefix(f"{labels} "))
            return ()
        if len(lines) > MAX_OBJECTS:
            self._tell(ProblemKind.BAD_SYNTAX, labels, f"more than {MAX_OBJECTS} objects; none is read")
            return ()
        objects = []
        for index, (number, line) in enumerate(lines):
            try:
                objects.append(parse_label_line(line, self.classes, width_px, height_px))
            except ValueError as error:
                self._tell(ProblemKind.BAD_SYNTAX, labels, f"line {number}: {error}", index)
                objects.append(LabelledObject("", (math.nan,) * 4))
        return tuple(objects)

    def _report_strays(self, samples: Sequence[Sample]) -> None:
        """Text files that look like labels, in folders that hold labels, that belong to no picture."""
        used = {sample.labels for sample in samples}
        folders = {path.parent for path in used if path is not None}
        folders |= {folder for folder in (self.root / "labels",) if folder.is_dir()}
        checked: set[Path] = set()
        for folder in sorted(folders):
            for path in files_below(folder):
                if (
                    path.suffix.lower() == ".txt"
                    and path not in used
                    and path not in checked
                    and looks_like_labels(path)
                ):
                    self._tell(ProblemKind.LABEL_WITHOUT_PICTURE, path, "labels of no picture of this data set")
                checked.add(path)


def parse_label_line(line: str, classes: Sequence[str], width_px: int, height_px: int) -> LabelledObject:
    """One line as an object in pixels; a class number beyond the names becomes `#number`, which no class is called.

    Raises:
        ValueError: not five numbers, or no class number.
    """
    parts = line.split()
    if len(parts) != 5:
        hint = " (a polygon? Vedette reads boxes)" if len(parts) > 6 else ""
        raise ValueError(f"{len(parts)} values where `class cx cy w h` are expected{hint}")
    number, *relative = (parse_number(part) for part in parts)
    if not math.isfinite(number) or number != int(number) or number < 0:
        raise ValueError(f"{quoted(parts[0])} is no class number")
    name = classes[int(number)] if number < len(classes) else f"#{int(number)}"
    return LabelledObject(name, box_from_relative(relative, width_px, height_px))


def box_from_relative(cxcywh_norm: Sequence[float], width_px: int, height_px: int) -> tuple[float, float, float, float]:
    """Relative centre and size -> corners in pixels."""
    cx, cy, w, h = cxcywh_norm
    return (cx - w / 2) * width_px, (cy - h / 2) * height_px, (cx + w / 2) * width_px, (cy + h / 2) * height_px


def looks_like_labels(path: Path) -> bool:
    """Whether the first line of a text file is a class number and four numbers."""
    try:
        with path.open("rb") as file:
            first = file.read(4096).split(b"\n")[0].decode("ascii", "replace")
        parse_label_line(first, (), 1, 1)
    except (OSError, ValueError):
        return False
    return True
