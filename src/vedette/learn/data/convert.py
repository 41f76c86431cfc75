"""Converts a data set between layouts: every box it can, every flag the target has a place for, and a list of the rest.

The destination appears whole or not at all (`folder_publishing`). Exact by default: a whole VOC box comes back from any
layout. `VocOffset.DARKNET` reproduces scripts/voc_label.py of Darknet instead, which takes 1 from the centre of VOC's
1-based box but not from its size (half a pixel of bias, one pixel short) and skips difficult objects (facts: contracts
1.10).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from vedette.contracts.errors import UsageError
from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.data.errors import DataError, PictureError
from vedette.learn.data.folder_publishing import published_folder
from vedette.learn.data.locating import shown_path
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.problems import STOPS_READING, ProblemKind
from vedette.learn.data.reading import Inspection
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.data.usable import is_finite
from vedette.learn.data.writers import PICTURE_FOLDER, WRITERS, Placed

TEXT_LAYOUTS = frozenset({Layout.DARKNET, Layout.YOLO})
WHOLE_TOLERANCE_PX = 1e-3
SHOWN_EXAMPLES = 5


class VocOffset(str, Enum):
    """How VOC's 1-based, inclusive pixels become Darknet's relative numbers, and back."""

    EXACT = "exact"
    DARKNET = "darknet"


@dataclass(slots=True)
class LeftOut:
    """One kind of thing that the target does not hold as the source did."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Conversion:
    """What was written, and what was left out or changed on the way, by reason."""

    layout: Layout
    classes: tuple[str, ...]
    pictures: int = 0
    objects: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    def leave_out(self, what: str, example: str, count: int = 1) -> None:
        entry = self.left_out.setdefault(what, LeftOut())
        entry.count += count
        if len(entry.examples) < SHOWN_EXAMPLES and example not in entry.examples:
            entry.examples.append(example)

    def as_document(self) -> dict[str, object]:
        """The JSON document of `vedette data convert --json`."""
        return {
            "format": self.layout.value,
            "pictures": self.pictures,
            "objects": self.objects,
            "classes": list(self.classes),
            "splits": self.splits,
            "left_out": [
                {"what": what, "count": entry.count, "examples": entry.examples}
                for what, entry in self.left_out.items()
            ],
        }


def convert_data_set(
    inspection: Inspection,
    destination: Path,
    target: Layout,
    offset: VocOffset = VocOffset.EXACT,
    progress: Progress | None = None,
) -> Conversion:
    """Write the data set to `destination` in another layout; pictures are copied.

    Raises:
        UsageError: an offset where no VOC box becomes a Darknet one or back.
        DestinationError: the destination is not empty, or cannot be written.
        DataError: nothing of the data set can be converted.
    """
    data = inspection.data
    shift = _shift(data.layout, target, offset)
    report = progress or SilentProgress()
    conversion = Conversion(target, data.classes)
    _leave_out_unread(inspection, conversion)
    if not data.classes:
        raise DataError(f"{data.root} has no classes: no object is labelled; give class names with --classes")
    with published_folder(destination) as folder:
        report.start("converting", len(data.samples), "pictures")
        placed = []
        for sample in data.samples:
            done = _place(data, sample, folder / PICTURE_FOLDER[target], conversion)
            if done is not None:
                objects = tuple(_kept(data, sample, target, offset, conversion))
                placed.append(replace(done, objects=tuple(_shifted(item, shift) for item in objects)))
                conversion.objects += len(objects)
            report.advance()
        if not placed:
            hint = "; say with --map where the pictures lie" if data.layout is Layout.MANIFEST else ""
            raise DataError(f"{data.root} has no picture that can be converted{hint}")
        if target is Layout.VOC:
            _note_rounding(placed, conversion)
        names = {sample.name for sample in placed}
        splits = {split: tuple(n for n in members if n in names) for split, members in data.splits.items()}
        WRITERS[target](folder, data.classes, placed, splits)
    conversion.pictures = len(placed)
    conversion.splits = {split: len(members) for split, members in splits.items()}
    return conversion


def _shift(source: Layout, target: Layout, offset: VocOffset) -> float:
    """What is added to right and bottom. With voc_label.py's -1, (xmin, xmax) becomes (xmin - 1, xmax - 1) in
    effect."""
    if offset is VocOffset.EXACT:
        return 0.0
    if source is Layout.VOC and target in TEXT_LAYOUTS:
        return -1.0
    if source in TEXT_LAYOUTS and target is Layout.VOC:
        return 1.0
    raise UsageError(
        "--voc-offset darknet says how VOC becomes Darknet or YOLO labels, or back; "
        f"here {source.value} becomes {target.value}"
    )


def _shifted(item: LabelledObject, shift: float) -> LabelledObject:
    left, top, right, bottom = item.box_xyxy_px
    return replace(item, box_xyxy_px=(left, top, right + shift, bottom + shift)) if shift else item


def _leave_out_unread(inspection: Inspection, conversion: Conversion) -> None:
    """Whole files that could not be read; single objects are counted where they are met."""
    for problem in inspection.problems:
        shown = f"{problem.file}: {problem.message}"
        if problem.kind is ProblemKind.UNSAFE_NAME:
            conversion.leave_out(f"names that are not followed ({problem.kind.value})", shown)
        elif problem.kind in STOPS_READING and problem.object_index is None:
            conversion.leave_out(f"unreadable ({problem.kind.value})", shown)


def _place(data: DataSet, sample: Sample, pictures: Path, conversion: Conversion) -> Placed | None:
    """Copy the picture; None when the sample cannot go along."""
    shown = shown_path(data.root, sample.picture)
    if not sample.name.isprintable():
        conversion.leave_out("pictures with control characters in their names", ascii(sample.name))
        return None
    try:
        width_px, height_px = picture_size(sample.picture)
    except PictureError:
        conversion.leave_out("pictures that are missing or unreadable, with their labels", shown)
        return None
    if sample.width_px > 0 and sample.height_px > 0 and (sample.width_px, sample.height_px) != (width_px, height_px):
        conversion.leave_out("sizes in the labels that differ from the picture's; the boxes are kept in pixels", shown)
    picture_name = sample.name + sample.picture.suffix
    place = pictures / picture_name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sample.picture, place)
    return Placed(sample.name, picture_name, width_px, height_px, ())


def _kept(
    data: DataSet, sample: Sample, target: Layout, offset: VocOffset, conversion: Conversion
) -> list[LabelledObject]:
    """The objects that the target can hold; what it cannot is listed."""
    text = target in TEXT_LAYOUTS
    flags: list[tuple[Callable[[LabelledObject], bool], str]] = [
        (lambda item: item.truncated and text, "truncated flags; the objects are kept"),
        (lambda item: item.difficult and text, "difficult flags; the objects are kept"),
        (lambda item: item.crowd and target is Layout.VOC, "crowd flags; the objects are marked difficult instead"),
        (lambda item: item.score is not None and target is not Layout.VOC, "scores; the objects are kept"),
    ]
    kept = []
    known = set(data.classes)
    for index, item in enumerate(sample.objects):
        where = f"{sample.name}, object {index}" + (f" ({item.class_name})" if item.class_name else "")
        reason = _reason_to_drop(item, known, text, offset)
        if reason:
            conversion.leave_out(reason, where)
            continue
        for has, what in flags:
            if has(item):
                conversion.leave_out(what, where)
        kept.append(item)
    return kept


def _reason_to_drop(item: LabelledObject, known: set[str], text: bool, offset: VocOffset) -> str:
    left, top, right, bottom = item.box_xyxy_px
    if not is_finite(item) or left > right or top > bottom:
        return "objects with an inverted or unreadable box"
    if item.class_name not in known:
        return "objects of unknown classes"
    if item.crowd and text:
        return "crowd regions: one box around many objects, which the target would take for one object"
    if item.difficult and text and offset is VocOffset.DARKNET:
        return "difficult objects, as voc_label.py does"
    return ""


def _note_rounding(placed: list[Placed], conversion: Conversion) -> None:
    for sample in placed:
        for index, item in enumerate(sample.objects):
            if any(abs(value - round(value)) > WHOLE_TOLERANCE_PX for value in item.box_xyxy_px):
                conversion.leave_out("fractions of pixels; the boxes are rounded", f"{sample.name}, object {index}")
