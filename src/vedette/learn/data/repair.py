"""Mends label files in place: boxes clipped to the picture, empty boxes dropped. Every change is returned, none is
silent.

Each file is replaced atomically, and the original is kept below `.before-repair-N` in the data set's root. Everything
else in a label file stays: other elements, keys, flags, the order. Inverted and non-finite boxes stay too: only a
person knows what was meant.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree.ElementTree import Element

from vedette.learn.data.coco_json import annotations_by_sample, load_coco
from vedette.learn.data.errors import DataError, PictureError
from vedette.learn.data.label_text import parse_number, read_bytes, read_lines
from vedette.learn.data.locating import shown_path
from vedette.learn.data.number_text import format_number, relative_line
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.reading import labels_of
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.data.usable import clipped_box, is_finite, written_extent_px
from vedette.learn.data.voc_xml import CORNERS, MAX_BYTES, parse_annotation

Box = tuple[float, float, float, float]


class Repair(str, Enum):
    """What may be mended."""

    CLIP = "clip"
    DROP_EMPTY = "drop-empty"


@dataclass(frozen=True, slots=True)
class Change:
    """One mended object; `after` is None where it was dropped."""

    file: str
    object_index: int
    class_name: str
    repair: Repair
    before_xyxy_px: Box
    after_xyxy_px: Box | None

    def as_document(self) -> dict[str, object]:
        return {
            "file": self.file,
            "object": self.object_index,
            "class": self.class_name,
            "repair": self.repair.value,
            "before_xyxy_px": list(self.before_xyxy_px),
            "after_xyxy_px": list(self.after_xyxy_px) if self.after_xyxy_px is not None else None,
        }


def repair_data_set(data: DataSet, repairs: Sequence[Repair]) -> list[Change]:
    """Mend the label files of a data set in place and return what was changed.

    Raises:
        DataError: a file cannot be written.
    """
    planned: dict[Path, dict[tuple[str, int], Box | None]] = {}
    changes: list[Change] = []
    samples: dict[str, Sample] = {}
    for number, sample in enumerate(data.samples):
        if sample.labels is None:
            continue
        samples[sample.name] = sample
        for index, item in enumerate(sample.objects):
            done = _mended(sample, item, repairs)
            if done is None:
                continue
            repair, after = done
            planned.setdefault(sample.labels, {})[sample.name, index] = after
            shown = shown_path(data.root, labels_of(data, number))
            changes.append(Change(shown, index, item.class_name, repair, item.box_xyxy_px, after))
    originals = _originals_folder(data.root) if planned else data.root
    for path, edits in planned.items():
        try:
            content = _rewritten(data, path, edits, samples)
            _replace(path, content, originals / shown_path(data.root, path))
        except OSError as error:
            raise DataError(f"{path} cannot be repaired: {error.strerror or error}") from error
    return changes


def _mended(sample: Sample, item: LabelledObject, repairs: Sequence[Repair]) -> tuple[Repair, Box | None] | None:
    """What is to be done to a box, or None when nothing is."""
    extent = written_extent_px(sample, item)
    if not is_finite(item) or min(extent) < -1e-6:
        return None
    if min(extent) <= 1e-6:
        return (Repair.DROP_EMPTY, None) if Repair.DROP_EMPTY in repairs else None
    try:
        size = picture_size(sample.picture)
    except PictureError:
        return None
    clipped = clipped_box(item.box_xyxy_px, *size)
    if clipped == item.box_xyxy_px or max(abs(a - b) for a, b in zip(clipped, item.box_xyxy_px, strict=True)) < 1e-3:
        return None
    if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) <= 0:  # wholly outside: nothing is left of it
        return (Repair.DROP_EMPTY, None) if Repair.DROP_EMPTY in repairs else None
    return (Repair.CLIP, clipped) if Repair.CLIP in repairs else None


def _originals_folder(root: Path) -> Path:
    number = 1
    while (root / f".before-repair-{number}").exists():
        number += 1
    return root / f".before-repair-{number}"


def _replace(path: Path, content: bytes, original: Path) -> None:
    original.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, original)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


Edits = dict[tuple[str, int], Box | None]  # by sample name and object index


def _rewritten(data: DataSet, path: Path, edits: Edits, samples: dict[str, Sample]) -> bytes:
    if data.layout is Layout.VOC:
        return _rewritten_voc(path, edits)
    if data.layout is Layout.COCO:
        return _rewritten_coco(data.root, path, edits)
    return _rewritten_text(path, edits, samples)


def _rewritten_voc(path: Path, edits: Edits) -> bytes:
    from xml.etree.ElementTree import tostring

    from defusedxml.ElementTree import fromstring

    parse_annotation(path)  # the caps, before a tree is built
    root: Element = fromstring(read_bytes(path, MAX_BYTES), forbid_dtd=True)
    elements = root.findall("object")
    for (_, index), after in edits.items():
        if after is None:
            root.remove(elements[index])
            continue
        written = (after[0] + 1, after[1] + 1, after[2], after[3])
        for corner, value in zip(CORNERS, written, strict=True):
            element = elements[index].find(f"bndbox/{corner}")
            if element is not None and parse_number(element.text or "") != value:
                element.text = format_number(value)
    return bytes(tostring(root, encoding="utf-8")) + b"\n"


def _rewritten_text(path: Path, edits: Edits, samples: dict[str, Sample]) -> bytes:
    by_index = {index: (samples[name], after) for (name, index), after in edits.items()}
    lines = [line for line in read_lines(path) if line]
    kept = []
    for index, line in enumerate(lines):
        sample, after = by_index.get(index, (None, None))
        if sample is None:
            kept.append(line)
        elif after is not None:
            kept.append(relative_line(line.split()[0], after, sample.width_px, sample.height_px))
    return "".join(line + "\n" for line in kept).encode()


def _rewritten_coco(root: Path, path: Path, edits: Edits) -> bytes:
    document = load_coco(path)
    dropped = set()
    of_sample = annotations_by_sample(root, path, document)
    for (name, index), after in edits.items():
        annotation = of_sample[name][index]
        if after is None:
            dropped.add(id(annotation))
        else:
            annotation["bbox"] = [round(v, 4) for v in (after[0], after[1], after[2] - after[0], after[3] - after[1])]
    document["annotations"] = [item for item in document["annotations"] if id(item) not in dropped]
    return json.dumps(document, ensure_ascii=False).encode()
