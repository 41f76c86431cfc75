"""Label files of the four layouts, written from samples whose picture size is known. Pictures are copied by the caller.

What a layout cannot hold never reaches these functions: `convert` leaves it out and lists it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

from vedette.learn.data.number_text import relative_line
from vedette.learn.data.samples import LabelledObject, Layout
from vedette.learn.data.split_files import SPLIT_FILE, UNSPLIT, write_split_file

NATIVE_SPLITS = ("train", "val", "test")
PICTURE_FOLDER = {
    Layout.VOC: "JPEGImages",
    Layout.DARKNET: "JPEGImages",  # the only folder that AlexeyAB's and Redmon's Darknet both turn into labels/
    Layout.YOLO: "images",
    Layout.COCO: "images",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A sample on its way out: its picture's file name below the picture folder, its true size, its objects."""

    name: str
    picture_name: str
    width_px: int
    height_px: int
    objects: tuple[LabelledObject, ...]


@dataclass(frozen=True, slots=True)
class NativeSplits:
    """Splits as layouts with fixed names hold them: disjoint, and what is in none of them."""

    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unsplit: tuple[str, ...] = ()
    lossless: bool = True  # else a split.json must carry the true ones


def native_splits(names: Sequence[str], splits: dict[str, tuple[str, ...]]) -> NativeSplits:
    """train, val and test without overlap; the first of two that share a picture keeps it."""
    taken: set[str] = set()
    members: dict[str, tuple[str, ...]] = {}
    lossless = set(splits) <= set(NATIVE_SPLITS)
    for split in (split for split in NATIVE_SPLITS if split in splits):
        own = tuple(name for name in splits[split] if name not in taken)
        lossless = lossless and len(own) == len(splits[split])
        members[split] = own
        taken.update(own)
    if not members:
        return NativeSplits({}, tuple(names), not splits)
    return NativeSplits(members, tuple(name for name in names if name not in taken), lossless and "train" in members)


def write_voc(
    folder: Path, classes: Sequence[str], placed: Sequence[Placed], splits: dict[str, tuple[str, ...]]
) -> None:
    """Annotations/, ImageSets/Main/ and classes.txt (VOC itself keeps no class order)."""
    for sample in placed:
        _write(folder / "Annotations" / f"{sample.name}.xml", voc_xml(sample))
    (folder / "Annotations").mkdir(exist_ok=True)
    for split, names in splits.items():
        _write(folder / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{name}\n" for name in names))
    _write(folder / "classes.txt", "".join(f"{name}\n" for name in classes))


def voc_xml(sample: Placed) -> str:
    """One annotation. A score stands in an element of its own, which other readers of VOC pass over."""
    lines = [
        "<annotation>",
        "\t<folder>JPEGImages</folder>",
        f"\t<filename>{escape(sample.picture_name.rpartition('/')[2])}</filename>",
        "\t<source>\n\t\t<database>Unknown</database>\n\t</source>",
        f"\t<size>\n\t\t<width>{sample.width_px}</width>\n\t\t<height>{sample.height_px}</height>"
        "\n\t\t<depth>3</depth>\n\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for item in sample.objects:
        left, top, right, bottom = (round(value) for value in item.box_xyxy_px)
        right, bottom = max(right, left + 1), max(bottom, top + 1)  # no box of VOC is smaller than a pixel
        corners = (("xmin", left + 1), ("ymin", top + 1), ("xmax", right), ("ymax", bottom))
        lines += [
            "\t<object>",
            f"\t\t<name>{escape(item.class_name)}</name>",
            "\t\t<pose>Unspecified</pose>",
            f"\t\t<truncated>{int(item.truncated)}</truncated>",
            f"\t\t<difficult>{int(item.difficult or item.crowd)}</difficult>",
            *([] if item.score is None else [f"\t\t<score>{item.score!r}</score>"]),
            "\t\t<bndbox>",
            *(f"\t\t\t<{corner}>{value}</{corner}>" for corner, value in corners),
            "\t\t</bndbox>",
            "\t</object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def write_darknet(
    folder: Path, classes: Sequence[str], placed: Sequence[Placed], splits: dict[str, tuple[str, ...]]
) -> None:
    """obj.data, obj.names, lists and labels/. Darknet must be started in the folder: the lists are relative to it."""
    _write_text_labels(folder, classes, placed)
    native = native_splits([sample.name for sample in placed], splits)
    keys = {"train": "train", "val": "valid", "test": "test", UNSPLIT: UNSPLIT}
    listed = _write_lists(folder, PICTURE_FOLDER[Layout.DARKNET], placed, native)
    lines = [f"classes = {len(classes)}", *(f"{keys[split]} = {name}" for split, name in listed.items())]
    _write(folder / "obj.data", "\n".join([*lines, "names = obj.names", "backup = backup/", ""]))
    _write(folder / "obj.names", "".join(f"{name}\n" for name in classes))
    _write_true_splits(folder, native, splits)


def write_yolo(
    folder: Path, classes: Sequence[str], placed: Sequence[Placed], splits: dict[str, tuple[str, ...]]
) -> None:
    """data.yaml, lists and labels/."""
    _write_text_labels(folder, classes, placed)
    native = native_splits([sample.name for sample in placed], splits)
    listed = _write_lists(folder, PICTURE_FOLDER[Layout.YOLO], placed, native)
    document: dict[str, Any] = {**listed, "nc": len(classes), "names": dict(enumerate(classes))}
    _write(folder / "data.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    _write_true_splits(folder, native, splits)


def _write_text_labels(folder: Path, classes: Sequence[str], placed: Sequence[Placed]) -> None:
    numbers = {name: str(number) for number, name in enumerate(classes)}
    for sample in placed:
        lines = [
            relative_line(numbers[item.class_name], item.box_xyxy_px, sample.width_px, sample.height_px) + "\n"
            for item in sample.objects
        ]
        _write(folder / "labels" / f"{sample.name}.txt", "".join(lines))


def _write_lists(folder: Path, pictures: str, placed: Sequence[Placed], native: NativeSplits) -> dict[str, str]:
    """One list of pictures for each split; without splits one called train, which reading takes for no split."""
    files = {sample.name: sample.picture_name for sample in placed}
    members = {**native.members, UNSPLIT: native.unsplit} if native.members else {"train": native.unsplit}
    listed = {split: f"{split}.txt" for split, names in members.items() if names or split != UNSPLIT}
    for split, name in listed.items():  # `./` because Darknet looks for `/JPEGImages/` with its slashes
        _write(folder / name, "".join(f"./{pictures}/{files[member]}\n" for member in members[split]))
    return listed


def _write_true_splits(folder: Path, native: NativeSplits, splits: dict[str, tuple[str, ...]]) -> None:
    if not native.lossless:
        write_split_file(folder / SPLIT_FILE, splits)


def write_coco(
    folder: Path, classes: Sequence[str], placed: Sequence[Placed], splits: dict[str, tuple[str, ...]]
) -> None:
    """instances.json, or instances_train.json and so on; category ids count from 1 in class order."""
    native = native_splits([sample.name for sample in placed], splits)
    by_name = {sample.name: (number, sample) for number, sample in enumerate(placed, start=1)}
    parts = {f"instances_{split}.json": names for split, names in native.members.items()}
    if native.unsplit or not parts:
        parts[f"instances_{UNSPLIT}.json" if parts else "instances.json"] = native.unsplit
    annotation_id = 1
    for file_name, names in parts.items():
        document = _coco_document(classes, [by_name[name] for name in names], annotation_id)
        annotation_id += len(document["annotations"])
        _write(folder / file_name, json.dumps(document, ensure_ascii=False))
    _write_true_splits(folder, native, splits)


def _coco_document(classes: Sequence[str], samples: Sequence[tuple[int, Placed]], first_id: int) -> dict[str, Any]:
    categories = {name: number for number, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, sample in samples:
        for item in sample.objects:
            left, top, right, bottom = item.box_xyxy_px
            box_xywh = [round(value, 4) for value in (left, top, right - left, bottom - top)]
            annotation: dict[str, Any] = {
                "id": first_id + len(annotations),
                "image_id": image_id,
                "category_id": categories[item.class_name],
                "bbox": box_xywh,
                "area": round(box_xywh[2] * box_xywh[3], 4),
                "iscrowd": int(item.crowd),
            }
            annotation |= {flag: 1 for flag in ("difficult", "truncated") if getattr(item, flag)}
            annotations.append(annotation)
    return {
        "images": [
            {"id": image_id, "file_name": sample.picture_name, "width": sample.width_px, "height": sample.height_px}
            for image_id, sample in samples
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


WRITERS = {
    Layout.VOC: write_voc,
    Layout.DARKNET: write_darknet,
    Layout.YOLO: write_yolo,
    Layout.COCO: write_coco,
}
