"""COCO detection JSON: images, annotations, categories; one file, or one for each split.

`bbox` is [x, y, width, height] in continuous pixels. `iscrowd` marks a group. Class order is that of the category ids.
Two extra keys of an annotation that Vedette writes, `difficult` and `truncated`, are read back. Source:
cocodataset.org/#format-data.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import is_class_name, read_bytes
from vedette.learn.data.locating import (
    SPLIT_FOLDERS,
    UnsafeNameError,
    files_below,
    path_below,
    quoted,
    shown_path,
    stem_below,
)
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.data.split_files import SPLIT_FILE, UNSPLIT

MAX_BYTES = 1_000_000_000  # COCO train2017 has 470 MB
MAX_OBJECTS = 100_000  # in one picture


@dataclass(frozen=True, slots=True)
class CocoPlace:
    """The root and its JSON files; `whole` is the one that holds everything, where there is one."""

    root: Path
    files: tuple[Path, ...]


def find_coco(source: Path) -> CocoPlace | None:
    """Where the COCO data set at `source` (a folder or a .json file) lies, or None when it is no COCO."""
    if source.is_file():
        if source.suffix.lower() != ".json" or not _looks_like_coco(source):
            return None
        nested = source.parent.name.lower() == "annotations"
        return CocoPlace(source.parent.parent if nested else source.parent, (source,))
    found = [path for path in sorted(source.glob("*.json")) if _looks_like_coco(path)]
    folders = [child for child in sorted(source.iterdir()) if child.is_dir() and not found]
    for folder in folders:
        if folder.name.lower() == "annotations" or folder.name.lower() in SPLIT_FOLDERS:
            found += [path for path in sorted(folder.glob("*.json")) if _looks_like_coco(path)]
    return CocoPlace(source, tuple(found)) if found else None


def _looks_like_coco(path: Path) -> bool:
    """Whether the keys are there, without parsing: the file may be half a gigabyte."""
    if path.name == SPLIT_FILE or not path.is_file():
        return False
    with path.open("rb") as file:
        size = path.stat().st_size
        head = file.read(1 << 20)
        file.seek(max(0, size - (1 << 20)))
        ends = head + file.read()
    return any(key in ends for key in (b'"annotations"', b'"categories"')) and b'"images"' in ends


def read_coco(place: CocoPlace, classes: Sequence[str] | None, report: Report) -> DataSet:
    """Read every file; pictures named by several of them become one sample.

    Raises:
        DataError: not JSON, or not COCO's keys.
    """
    documents = {path: load_coco(path) for path in place.files}
    whole = [path for path in place.files if split_of(place.root, path) is None]
    samples: dict[str, Sample] = {}
    splits: dict[str, tuple[str, ...]] = {}
    listed: dict[str, None] = {}
    for path in [*whole, *(other for other in place.files if other not in whole)]:
        reader = _FileReader(place.root, path, report)
        names = reader.read(documents[path], samples)
        listed |= dict.fromkeys(reader.class_order)
        split = split_of(place.root, path)
        if split is not None and split != UNSPLIT and len(place.files) > 1:
            splits[split] = tuple(dict.fromkeys((*splits.get(split, ()), *names)))
    names_in_order = tuple(classes) if classes is not None else tuple(listed)
    if not names_in_order:
        raise DataError(f"{place.files[0]} has no categories")
    return DataSet(place.root, Layout.COCO, names_in_order, tuple(samples.values()), splits)


def split_of(root: Path, path: Path) -> str | None:
    """The split that a file name (instances_train2017.json) or folder (valid/_annotations.coco.json) says."""
    if path.parent != root and path.parent.name.lower() in SPLIT_FOLDERS:
        return SPLIT_FOLDERS[path.parent.name.lower()]
    found = re.fullmatch(r"(?:instances_)?([A-Za-z][A-Za-z_-]*?)_?(?:20\d\d)?", path.stem)
    word = found.group(1) if found else ""
    if path.stem.startswith("instances_") and word:
        return SPLIT_FOLDERS.get(word.lower(), word)
    return SPLIT_FOLDERS.get(word.lower())


def annotations_by_sample(root: Path, path: Path, document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The annotations themselves, by sample name, in the order of the sample's objects."""
    reader = _FileReader(root, path, lambda problem: None)  # reading has reported everything
    folders = reader.picture_folders(document["images"])
    names: dict[Any, str] = {}
    for image in document["images"]:
        picture = reader.picture(image.get("file_name"), folders)
        if picture is not None and isinstance(image.get("id"), int | str):
            names.setdefault(image["id"], reader.name(picture))
    found: dict[str, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        key = annotation.get("image_id")
        if isinstance(key, int | str) and key in names:
            found.setdefault(names[key], []).append(annotation)
    return found


def load_coco(path: Path) -> dict[str, Any]:
    """The document, with lists of objects under images, annotations and categories.

    Raises:
        DataError: not JSON, or not COCO's keys.
    """
    try:
        document = json.loads(read_bytes(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is no COCO file: it must hold images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list) or not all(isinstance(item, dict) for item in document[key]):
            raise DataError(f"{path} is no COCO file for detection: `{key}` must be a list of objects")
    return document


class _FileReader:
    """One COCO file; adds its pictures to the samples."""

    def __init__(self, root: Path, path: Path, report: Report) -> None:
        self._root, self._path, self._report = root, path, report
        self.class_order: list[str] = []

    def _tell(self, kind: ProblemKind, message: str) -> None:
        self._report(Problem(kind, shown_path(self._root, self._path), message))

    def read(self, document: dict[str, Any], samples: dict[str, Sample]) -> list[str]:
        """Adds samples that are new; returns the names of all pictures of this file."""
        classes = self._categories(document["categories"])
        objects = self._objects(document["annotations"], classes)
        folders = self.picture_folders(document["images"])
        names = []
        ids: set[Any] = set()
        for image in document["images"]:
            key = image.get("id")
            if not isinstance(key, int | str) or key in ids:
                self._tell(ProblemKind.BAD_SYNTAX, f"image id {quoted(str(key))} is missing or used twice")
                continue
            ids.add(key)
            picture = self.picture(image.get("file_name"), folders)
            if picture is None:
                continue
            name = self.name(picture)
            names.append(name)
            known = samples.get(name)
            if known is not None and (known.picture != picture or known.labels == self._path):
                self._tell(ProblemKind.DUPLICATE_NAME, f"two images are called {quoted(name)}")
            if known is None:
                width, height = (_side(image.get(side)) for side in ("width", "height"))
                samples[name] = Sample(name, picture, width, height, tuple(objects.get(key, ())), self._path)
        for key in objects.keys() - ids:
            self._tell(
                ProblemKind.BAD_SYNTAX, f"annotations belong to image id {quoted(str(key))}, which is not listed"
            )
        return names

    def _categories(self, categories: list[dict[str, Any]]) -> dict[Any, str]:
        usable = {}
        for category in categories:
            key, name = category.get("id"), category.get("name")
            if not isinstance(key, int) or not isinstance(name, str) or not is_class_name(name) or key in usable:
                self._tell(
                    ProblemKind.BAD_SYNTAX, f"category {quoted(str(key))} has no usable id and name, or is there twice"
                )
                continue
            usable[key] = name.strip()
        self.class_order = [usable[key] for key in sorted(usable)]
        return usable

    def _objects(self, annotations: list[dict[str, Any]], classes: dict[Any, str]) -> dict[Any, list[LabelledObject]]:
        objects: dict[Any, list[LabelledObject]] = {}
        for annotation in annotations:
            key, category = annotation.get("image_id"), annotation.get("category_id")
            if not isinstance(key, int | str):
                self._tell(ProblemKind.BAD_SYNTAX, f"annotation {quoted(str(annotation.get('id')))} has no image_id")
                continue
            mine = objects.setdefault(key, [])
            if len(mine) >= MAX_OBJECTS:
                raise DataError(f"{self._path}: image id {key} has more than {MAX_OBJECTS} annotations")
            box_xywh = annotation.get("bbox")
            if not isinstance(box_xywh, list) or len(box_xywh) != 4 or not all(_is_number(value) for value in box_xywh):
                self._tell(
                    ProblemKind.BAD_SYNTAX,
                    f"annotation {quoted(str(annotation.get('id')))} has no bbox of four numbers",
                )
                box_xywh = [math.nan] * 4
            left, top, width, height = (float(value) for value in box_xywh)
            name = classes.get(category) if isinstance(category, int) else None
            mine.append(
                LabelledObject(
                    name if name is not None else f"#{str(category)[:40]}",
                    (left, top, left + width, top + height),
                    difficult=annotation.get("difficult") == 1,
                    truncated=annotation.get("truncated") == 1,
                    crowd=annotation.get("iscrowd") == 1,
                )
            )
        return objects

    def picture_folders(self, images: list[dict[str, Any]]) -> list[Path]:
        """Where this file's pictures may lie, those folders first that hold the first few."""
        here, split = self._path.parent, self._path.stem.removeprefix("instances_")
        folders = [here / "images" / split, self._root / "images" / split, here / split, self._root / split]
        folders += [here / "images", self._root / "images", here, self._root]
        present = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        names = [image["file_name"] for image in images[:20] if isinstance(image.get("file_name"), str)]
        return sorted(present, key=lambda folder: -sum(_is_there(self._root, name, folder) for name in names))

    def picture(self, file_name: Any, folders: list[Path]) -> Path | None:
        if not isinstance(file_name, str):
            self._tell(ProblemKind.BAD_SYNTAX, "an image has no file_name")
            return None
        try:
            candidates = [path_below(self._root, file_name, folder) for folder in folders]
        except UnsafeNameError as error:
            self._tell(ProblemKind.UNSAFE_NAME, f"file_name: {error}; the picture is left out")
            return None
        return next((path for path in candidates if path.is_file()), candidates[0])

    def name(self, picture: Path) -> str:
        images = self._root / "images"
        return stem_below(images if images in picture.parents else self._root, picture)


def unlisted_pictures(data: DataSet) -> list[Path]:
    """Pictures in the folder `images` that no file lists."""
    used = {sample.picture for sample in data.samples}
    return [path for path in files_below(data.root / "images") if path not in used]


def _is_there(root: Path, name: str, folder: Path) -> bool:
    try:
        return path_below(root, name, folder).is_file()
    except UnsafeNameError:
        return False


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 10**15


def _side(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 10**9 else 0  # no NaN, no infinity
