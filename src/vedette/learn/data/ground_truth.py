"""Output manifests of Amazon SageMaker Ground Truth: JSON Lines, one picture a line, bounding boxes in whole pixels.

Every line that cannot be used is reported with its number and reason, and so is every line that nobody labelled. `left`
and `top` count from 0. Class ids are sparse and a line's class map holds its own classes only, so classes are told
apart by name. `confidence` says how far annotators agreed and is not kept. Source: the SageMaker developer guide,
"Output data" (bounding box job output), and "Augmented manifest files".
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import is_class_name
from vedette.learn.data.locating import UnsafeNameError, path_below, plain_path, quoted, relocated, shown_path
from vedette.learn.data.problems import Problem, ProblemKind, Report
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample

SUFFIXES = (".manifest", ".jsonl")
BOX_TYPE = "groundtruth/object-detection"
METADATA = "-metadata"
MAX_LINE_BYTES = 10_000_000
MAX_OBJECTS = 100_000  # in one picture
LOOKED_AT_BYTES = 1 << 16  # of a .jsonl file, to see what it is
SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """What a manifest leaves open: where the pictures of its addresses lie, and which labels count."""

    folders: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))  # address prefix -> folder
    attribute: str | None = None  # the label attribute; None where there is one only


@dataclass(frozen=True, slots=True)
class _Line:
    """One line that is JSON and names a picture."""

    number: int
    address: str
    entries: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Tell:
    """Keeps what is wrong with lines, by their numbers."""

    file: str
    found: list[tuple[int, Problem]]

    def __call__(self, kind: ProblemKind, number: int, message: str, index: int | None = None) -> None:
        self.found.append((number, Problem(kind, self.file, f"line {number} {message}", index)))


def find_manifest(source: Path) -> Path | None:
    """The manifest at `source` (itself, or the only one in a folder), or None when there is none.

    Raises:
        DataError: a folder holds several.
    """
    if source.is_file():
        return source if source.suffix.lower() in SUFFIXES and _looks_like_manifest(source) else None
    found = [path for path in sorted(source.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    found = [path for path in found if not path.name.startswith(".") and _looks_like_manifest(path)]
    if len(found) > 1:
        more = f" and {len(found) - SHOWN_NAMES} more" if len(found) > SHOWN_NAMES else ""
        named = ", ".join(path.name for path in found[:SHOWN_NAMES])
        raise DataError(f"{source} holds {len(found)} manifests, {named}{more}; name one of them")
    return found[0] if found else None


def _looks_like_manifest(path: Path) -> bool:
    if path.suffix.lower() == ".manifest":
        return True
    with path.open("rb") as file:
        return b'"source-ref"' in file.read(LOOKED_AT_BYTES)


def read_manifest(path: Path, settings: ManifestSettings, classes: Sequence[str] | None, report: Report) -> DataSet:
    """Read every line; what is wrong goes to `report`. The root is the manifest's folder.

    Class order: `classes`, else by the least id that a class has in any line, then by name.

    Raises:
        DataError: unreadable, no label of bounding boxes, or several and none is named.
    """
    root = plain_path(path.parent)
    found: list[tuple[int, Problem]] = []
    tell = _Tell(shown_path(root, path), found)
    lines = list(_lines(path, tell))
    attribute = settings.attribute or _only_attribute(path, lines)
    if settings.attribute and lines and not any(settings.attribute in line.entries for line in lines):
        known = _shown(_attributes(lines)) or "none"
        raise DataError(f"{path} has no label attribute {quoted(settings.attribute)}; it has: {known}")
    reader = _Reader(root, settings.folders, attribute, tell)
    samples = [sample for line in lines if (sample := reader.sample(line)) is not None]
    for _, problem in sorted(found, key=lambda entry: entry[0]):
        report(problem)
    order = sorted(reader.ids, key=lambda name: (reader.ids[name], name))
    return DataSet(root, Layout.MANIFEST, tuple(classes if classes is not None else order), tuple(samples))


def _lines(path: Path, tell: _Tell) -> Iterator[_Line]:
    """The lines that can be used; numbers count from 1, as editors do."""
    try:
        with path.open("rb") as file:
            number = 0
            while content := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(content) > MAX_LINE_BYTES:
                    while content and not content.endswith(b"\n"):
                        content = file.readline(MAX_LINE_BYTES)
                    parsed: _Line | str = f"is longer than {MAX_LINE_BYTES // 1_000_000} MB"
                else:
                    parsed = _parse_line(number, content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content)
                if isinstance(parsed, _Line):
                    yield parsed
                elif parsed:
                    tell(ProblemKind.BAD_SYNTAX, number, parsed)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse_line(number: int, content: bytes) -> _Line | str:
    """The line, or why it cannot be used; an empty reason where it is blank."""
    try:
        text = content.decode("utf-8").strip()
        if not text:
            return ""
        entries = json.loads(text)
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte {error.start})"
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {str(error)[:120]}"
    if not isinstance(entries, dict):
        return "is no JSON object"
    address = entries.get("source-ref")
    if not isinstance(address, str) or not address.strip():
        return "has no `source-ref` that names a picture"
    return _Line(number, address, entries)


def _attributes(lines: Sequence[_Line]) -> list[str]:
    """Every label attribute of bounding boxes, in order of appearance."""
    return list(dict.fromkeys(name for line in lines for name in line.entries if _kind(line, name) == BOX_TYPE))


def _kind(line: _Line, attribute: str) -> object:
    metadata = line.entries.get(attribute + METADATA)
    return metadata.get("type") if isinstance(metadata, dict) else None


def _only_attribute(path: Path, lines: Sequence[_Line]) -> str | None:
    found = _attributes(lines)
    if len(found) > 1:
        raise DataError(f"{path} has several labels of bounding boxes; name one with --attribute: {_shown(found)}")
    if not found and lines:
        kinds = {str(_kind(line, name)) for line in lines for name in line.entries if _kind(line, name)}
        what = f"its labels are {_shown(sorted(kinds))}" if kinds else "no line is labelled"
        raise DataError(f"{path} has no labels of type {BOX_TYPE}: {what}")
    return found[0] if found else None


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(quoted(name).strip("'") for name in names[:SHOWN_NAMES]) + more


class _Reader:
    """Turns lines into samples; knows the names that are taken and the least id of every class."""

    def __init__(self, root: Path, folders: Mapping[str, Path], attribute: str | None, tell: _Tell) -> None:
        self._root, self._tell = root, tell
        self._folders = sorted(folders.items(), key=lambda entry: -len(entry[0]))  # the longest prefix counts
        self._attribute = attribute or ""
        self._line_of_name: dict[str, int] = {}
        self.ids: dict[str, int] = {}

    def sample(self, line: _Line) -> Sample | None:
        """The line's sample; None, and a report, where the line has none."""
        label, metadata = (line.entries.get(self._attribute + tail) for tail in ("", METADATA))
        failure = metadata.get("failure-reason") if isinstance(metadata, dict) else None
        if failure is not None:
            why = f"failed in labelling: {quoted(str(failure))}; {quoted(line.address)} is left out"
            self._tell(ProblemKind.UNLABELLED_PICTURE, line.number, why)
            return None
        if label is None:
            self._tell(
                ProblemKind.UNLABELLED_PICTURE, line.number, f"is not labelled; {quoted(line.address)} is left out"
            )
            return None
        if not isinstance(label, dict) or not isinstance(label.get("annotations"), list):
            self._tell(ProblemKind.BAD_SYNTAX, line.number, f"has no list `annotations` in {quoted(self._attribute)}")
            return None
        if len(label["annotations"]) > MAX_OBJECTS:
            self._tell(ProblemKind.BAD_SYNTAX, line.number, f"has more than {MAX_OBJECTS} annotations")
            return None
        located = self._locate(line)
        if located is None:
            return None
        name, picture = located
        taken = self._line_of_name.setdefault(name, line.number)
        if taken != line.number:
            self._tell(
                ProblemKind.DUPLICATE_NAME, line.number, f"has a picture called {quoted(name)}, as line {taken} has"
            )
            return None
        names = self._class_map(line, metadata)
        width_px, height_px = _size(label.get("image_size"))
        objects = tuple(self._object(line, index, one, names) for index, one in enumerate(label["annotations"]))
        return Sample(name, picture, width_px, height_px, objects, line=line.number)

    def _locate(self, line: _Line) -> tuple[str, Path] | None:
        """Name and place of the picture: by the mapping, else below the root, or by its tail found again there."""
        address = line.address
        try:
            for prefix, folder in self._folders:
                rest = _below(address, prefix)
                if rest is not None:
                    return _name(rest), path_below(folder, rest)
            key = re.sub(r"^s3://[^/]*/?", "", address)
            if key == address and not Path(address).is_absolute():
                picture = path_below(self._root, address)
            else:
                found = relocated(self._root, key)
                picture = found if found is not None else path_below(self._root, PurePosixPath(key).name)
            return _name(shown_path(self._root, picture)), picture
        except UnsafeNameError as error:
            self._tell(ProblemKind.UNSAFE_NAME, line.number, f"`source-ref`: {error}; the picture is left out")
            return None

    def _class_map(self, line: _Line, metadata: Any) -> dict[int, str]:
        stated = metadata.get("class-map") if isinstance(metadata, dict) else None
        names = {}
        for key, name in stated.items() if isinstance(stated, dict) else ():
            if not (key.isdecimal() and key.isascii() and len(key) < 10 and isinstance(name, str)) or not is_class_name(
                name
            ):
                self._tell(
                    ProblemKind.BAD_SYNTAX, line.number, f"has a class map in which {quoted(key)} is no id with a name"
                )
                continue
            names[int(key)] = name.strip()
            self.ids[name.strip()] = min(int(key), self.ids.get(name.strip(), int(key)))
        return names

    def _object(self, line: _Line, index: int, annotation: Any, names: Mapping[int, str]) -> LabelledObject:
        """One object; what cannot be read becomes an empty name or NaN, so that indices hold, and is reported."""
        fields = annotation if isinstance(annotation, dict) else {}
        class_id = fields.get("class_id")
        if isinstance(class_id, str) and class_id.isascii() and class_id.isdecimal() and len(class_id) < 10:
            class_id = int(class_id)
        name = names.get(class_id, "") if isinstance(class_id, int) and not isinstance(class_id, bool) else ""
        if not name:
            why = f"has object {index} of class {quoted(str(class_id))}, which its class map does not name"
            self._tell(ProblemKind.BAD_SYNTAX, line.number, why, index)
        sides = [fields.get(side) for side in ("left", "top", "width", "height")]
        if not all(_is_number(side) for side in sides):
            message = f"has object {index} without numbers for left, top, width and height"
            self._tell(ProblemKind.BAD_SYNTAX, line.number, message, index)
            sides = [math.nan] * 4
        left, top, width, height = (float(side) for side in sides if side is not None)
        return LabelledObject(name, (left, top, left + width, top + height))


def _below(address: str, prefix: str) -> str | None:
    """What is left of an address below a prefix that ends where a folder does."""
    plain = prefix.rstrip("/") + "/"
    return address[len(plain) :] if address.startswith(plain) else None


def _name(path: str) -> str:
    parts = PurePosixPath(path.replace("\\", "/")).with_suffix("").parts
    return "/".join(parts[1:] if len(parts) > 1 and parts[0].lower() in {"images", "jpegimages"} else parts)


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (not isinstance(value, int) or abs(value) < 10**15)
    )


def _size(stated: Any) -> tuple[int, int]:
    size = stated[0] if isinstance(stated, list) and stated else None
    sides = [size.get(side) if isinstance(size, dict) else None for side in ("width", "height")]
    width_px, height_px = (side if isinstance(side, int) and 0 < side < 10**9 else 0 for side in sides)
    return (width_px, height_px) if width_px and height_px else (0, 0)  # `check` tells of a size that is missing
