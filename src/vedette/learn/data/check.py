"""Judges a data set that was read: every picture decoded, every box against its picture, splits against each other.

Nothing is changed here. What a finding is called, and how bad it is, stands in `problems`. A box counts as outside from
half a pixel on, because text formats round.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.data.class_names import spelling
from vedette.learn.data.errors import PictureError
from vedette.learn.data.identical import identical_groups
from vedette.learn.data.locating import shown_path
from vedette.learn.data.pictures import read_picture
from vedette.learn.data.problems import Problem, ProblemKind, Severity
from vedette.learn.data.reading import Inspection, labels_of
from vedette.learn.data.samples import DataSet, LabelledObject, Sample
from vedette.learn.data.usable import clipped_box, is_finite, written_extent_px

OUTSIDE_TOLERANCE_PX = 0.5
ONE_PIXEL = 1.001  # text formats round
PURPOSES = frozenset(
    {"train", "val", "test"}
)  # splits that must not share pictures; trainval holds train and val by intent
SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Every finding, errors first, and what the data set holds."""

    data: DataSet
    problems: tuple[Problem, ...]

    def count(self, severity: Severity) -> int:
        return sum(problem.severity is severity for problem in self.problems)

    def as_document(self) -> dict[str, object]:
        """The JSON document of `vedette data check --json`."""
        objects = [item for sample in self.data.samples for item in sample.objects]
        by_class = Counter(item.class_name for item in objects)
        kinds = Counter(problem.kind.value for problem in self.problems)
        return {
            "problems": [problem.as_document() for problem in self.problems],
            "counts": {
                "pictures": len(self.data.samples),
                "objects": len(objects),
                "difficult": sum(item.difficult for item in objects),
                "crowd": sum(item.crowd for item in objects),
                "errors": self.count(Severity.ERROR),
                "warnings": self.count(Severity.WARNING),
                "infos": self.count(Severity.INFO),
                "kinds": dict(sorted(kinds.items())),
                "splits": {name: len(members) for name, members in self.data.splits.items()},
            },
            "classes": {name: by_class[name] for name in self.data.classes},
            "format": self.data.layout.value,
        }


def check_data_set(inspection: Inspection, progress: Progress | None = None) -> CheckResult:
    """Every problem of a data set: those met while reading, and those of pictures, boxes, classes and splits.

    Reads and decodes every picture.
    """
    data = inspection.data
    report = progress or SilentProgress()
    problems = list(inspection.problems)
    report.start("checking", len(data.samples), "pictures")
    for number, sample in enumerate(data.samples):
        problems += _check_sample(data, number, sample)
        report.advance()
    problems += _check_classes(data)
    try:
        groups = identical_groups(sample.picture for sample in data.samples)
    except PictureError:
        groups = []  # the unreadable picture is among the findings already, and is the one to mend first
    problems += _check_identical(data, groups)
    problems += _check_splits(data, groups)
    ranks = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
    return CheckResult(data, tuple(sorted(problems, key=lambda problem: ranks[problem.severity])))  # stable


def _check_sample(data: DataSet, number: int, sample: Sample) -> list[Problem]:
    labels = shown_path(data.root, labels_of(data, number))
    shown = shown_path(data.root, sample.picture)
    problems: list[Problem] = []
    width_px, height_px = sample.width_px, sample.height_px
    if not sample.picture.is_file():
        problems.append(Problem(ProblemKind.MISSING_PICTURE, labels, f"its picture {shown} is not there"))
    else:
        try:
            height_px, width_px = read_picture(sample.picture).shape[:2]
        except PictureError as error:
            problems.append(Problem(ProblemKind.UNREADABLE_PICTURE, shown, str(error)))
        else:
            problems += _check_size(sample, shown, labels, (width_px, height_px))
    if not sample.objects and sample.labels is not None:
        problems.append(Problem(ProblemKind.NO_OBJECTS, labels, f"no object is labelled in {sample.name}"))
    problems = _in_line(sample, problems)
    return problems + object_problems(data, number, (width_px, height_px))


def object_problems(data: DataSet, number: int, size_px: tuple[int, int]) -> list[Problem]:
    """What is wrong with the boxes of one sample, whose picture has this width and height."""
    sample, labels = data.samples[number], shown_path(data.root, labels_of(data, number))
    problems: list[Problem] = []
    for index, item in enumerate(sample.objects):
        problems += _check_box(sample, item, index, labels, size_px)
    return _in_line(sample, problems + _check_duplicates(sample, labels))


def _in_line(sample: Sample, problems: list[Problem]) -> list[Problem]:
    if sample.line is None:
        return problems
    return [replace(one, message=f"line {sample.line} of the manifest: {one.message}") for one in problems]


def _check_size(sample: Sample, shown: str, labels: str, size_px: tuple[int, int]) -> list[Problem]:
    problems = []
    claimed = (sample.width_px, sample.height_px)
    if claimed == (0, 0):
        problems.append(Problem(ProblemKind.SIZE_MISSING, labels, "the labels do not state the picture's size"))
    elif claimed != size_px:
        turned = " (turned by its EXIF orientation?)" if claimed == size_px[::-1] else ""
        message = f"the labels say {claimed[0]}x{claimed[1]}, {shown} has {size_px[0]}x{size_px[1]}{turned}"
        problems.append(Problem(ProblemKind.SIZE_MISMATCH, labels, message))
    return problems


def _check_box(
    sample: Sample, item: LabelledObject, index: int, labels: str, size_px: tuple[int, int]
) -> list[Problem]:
    named = f"object {index} ({item.class_name or 'no class'})"
    box = _shown_box(sample, item)
    if not is_finite(item):
        return [Problem(ProblemKind.NON_FINITE_BOX, labels, f"{named}: its box {box} is no set of numbers", index)]
    width, height = written_extent_px(sample, item)
    if min(width, height) < -1e-6:
        return [Problem(ProblemKind.INVERTED_BOX, labels, f"{named}: its box {box} ends before it begins", index)]
    problems = []
    if min(width, height) <= 1e-6:
        problems.append(Problem(ProblemKind.EMPTY_BOX, labels, f"{named}: its box {box} is empty", index))
    elif min(width, height) <= ONE_PIXEL:
        message = f"{named}: its box {box} is one pixel wide or high"
        problems.append(Problem(ProblemKind.ONE_PIXEL_BOX, labels, message, index))
    if size_px[0] > 0 and size_px[1] > 0:
        excess = max(abs(a - b) for a, b in zip(item.box_xyxy_px, clipped_box(item.box_xyxy_px, *size_px), strict=True))
        if excess >= OUTSIDE_TOLERANCE_PX:
            message = f"{named}: its box {box} runs {excess:.4g} px outside the picture of {size_px[0]}x{size_px[1]}"
            problems.append(Problem(ProblemKind.BOX_OUTSIDE, labels, message, index))
    return problems


def _shown_box(sample: Sample, item: LabelledObject) -> str:
    """The corners as the file states them: VOC counts pixels from 1."""
    first = 1 if sample.labels is not None and sample.labels.suffix.lower() == ".xml" else 0
    left, top, right, bottom = item.box_xyxy_px
    return "(" + ", ".join(f"{value:.6g}" for value in (left + first, top + first, right, bottom)) + ")"


def _check_duplicates(sample: Sample, labels: str) -> list[Problem]:
    first: dict[tuple[object, ...], int] = {}
    problems = []
    for index, item in enumerate(sample.objects):
        if not is_finite(item) or item.crowd:
            continue
        key = (item.class_name, *(round(value, 2) for value in item.box_xyxy_px))
        if key in first:
            message = f"object {index} ({item.class_name}) has the class and box of object {first[key]}"
            problems.append(Problem(ProblemKind.DUPLICATE_OBJECT, labels, message, index))
        first.setdefault(key, index)
    return problems


def _check_classes(data: DataSet) -> list[Problem]:
    problems = []
    alike: dict[str, list[str]] = {}
    for name in data.classes:
        alike.setdefault(spelling(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = ", ".join(f"'{name}'" for name in names)
            problems.append(Problem(ProblemKind.SIMILAR_CLASSES, ".", f"classes that differ in spelling only: {shown}"))
    used = {item.class_name for sample in data.samples for item in sample.objects}
    unused = [name for name in data.classes if name not in used]
    problems += [Problem(ProblemKind.UNUSED_CLASS, ".", f"no object is a '{name}'") for name in unused]
    return problems


def _check_identical(data: DataSet, groups: Sequence[tuple[Path, ...]]) -> list[Problem]:
    by_picture: dict[Path, list[Sample]] = {}
    for sample in data.samples:
        by_picture.setdefault(sample.picture, []).append(sample)
    problems = []
    for group in groups:
        labels = {by_picture[path][0].objects for path in group}
        others = ", ".join(shown_path(data.root, path) for path in group[1:])
        message = f"the same picture, byte by byte, as {others}" + (", with other labels" if len(labels) > 1 else "")
        problems.append(Problem(ProblemKind.IDENTICAL_PICTURES, shown_path(data.root, group[0]), message))
    for path, samples in by_picture.items():
        if len(samples) > 1:
            message = f"{len(samples)} label files belong to this one picture"
            problems.append(Problem(ProblemKind.IDENTICAL_PICTURES, shown_path(data.root, path), message))
    return problems


def _check_splits(data: DataSet, groups: Sequence[tuple[Path, ...]]) -> list[Problem]:
    problems: list[Problem] = []
    by_name = {sample.name: sample for sample in data.samples}
    members = {split: {name for name in names if name in by_name} for split, names in data.splits.items()}
    content = {path: number for number, group in enumerate(groups) for path in group}
    for one, other in combinations(members, 2):
        if _holds_by_intent(one, other, members) or _holds_by_intent(other, one, members):
            continue
        shared = sorted(members[one] & members[other])
        if shared:
            more = ", ..." if len(shared) > SHOWN_NAMES else ""
            message = f"{len(shared)} pictures are in both {one} and {other}: {', '.join(shared[:SHOWN_NAMES])}{more}"
            problems.append(Problem(ProblemKind.SPLIT_LEAK, shown_path(data.root, by_name[shared[0]].picture), message))
        problems += _leaks(
            data, content, [(one, members[one] - members[other]), (other, members[other] - members[one])]
        )
    everywhere = {item.class_name for sample in data.samples for item in sample.objects}
    for split, names in members.items():
        present = {item.class_name for name in names for item in by_name[name].objects}
        for name in data.classes:
            if name in everywhere and name not in present:
                message = f"no '{name}' is in the split '{split}' ({len(names)} pictures)"
                problems.append(Problem(ProblemKind.CLASS_ABSENT_FROM_SPLIT, ".", message))
    return problems


def _holds_by_intent(whole: str, part: str, members: dict[str, set[str]]) -> bool:
    """Whether a split such as trainval is made of others."""
    return whole not in PURPOSES and members[part] <= members[whole]


def _leaks(data: DataSet, content: dict[Path, int], sides: Sequence[tuple[str, set[str]]]) -> list[Problem]:
    """Identical pictures under different names on both sides."""
    (one, one_names), (other, other_names) = sides
    pictures = {sample.name: sample.picture for sample in data.samples}
    there = {content[pictures[name]]: name for name in sorted(other_names) if pictures[name] in content}
    return [
        Problem(
            ProblemKind.SPLIT_LEAK,
            shown_path(data.root, pictures[name]),
            f"{name} in {one} is the same picture as {there[content[pictures[name]]]} in {other}",
        )
        for name in sorted(one_names)
        if content.get(pictures[name]) in there
    ]
