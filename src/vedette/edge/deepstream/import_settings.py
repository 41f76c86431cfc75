"""What an import reads from and hands over: the files of a configuration, the pipeline as a document, what was left."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vedette.edge.deepstream.config_bytes import read_config_bytes
from vedette.edge.deepstream.errors import DeepStreamError, KeyFileError
from vedette.edge.deepstream.key_file import Entry, KeyFile, read_key_file
from vedette.edge.deepstream.key_values import ValueKind, escape_string, read_value
from vedette.edge.deepstream.lint_app import integer_of, is_on
from vedette.edge.deepstream.yaml_file import read_yaml_file


@dataclass(slots=True)
class Imported:
    """A pipeline file's content, and a line for everything that it cannot say or that a person must still do."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def leave(self, file: KeyFile, line: int, text: str) -> None:
        """Tell what was left out, and where it stands."""
        self.notes.append(f"{file.source}:{line}: {text}")


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a file, its values read without a complaint: what is wrong in a file is the check's to tell."""

    file: KeyFile
    name: str
    entries: dict[str, Entry]

    @property
    def line(self) -> int:
        return self.file.groups[self.name]

    @property
    def is_on(self) -> bool:
        return is_on(self.entries)

    def integer(self, key: str) -> int | None:
        return integer_of(self.entries.get(key))

    def text(self, key: str) -> str | None:
        value = self._read(ValueKind.STRING, key)
        return value.strip() or None if isinstance(value, str) else None

    def number(self, key: str) -> float | None:
        value = self._read(ValueKind.DOUBLE, key)
        return value if isinstance(value, float) else None

    def words(self, key: str) -> list[str]:
        value = self._read(ValueKind.STRING_LIST, key)
        return [str(word).strip() for word in value] if isinstance(value, list) else []

    def line_of(self, key: str) -> int:
        return self.entries[key].line if key in self.entries else self.line

    def _read(self, kind: ValueKind, key: str) -> object:
        try:
            return read_value(kind, self.entries[key].value) if key in self.entries else None
        except ValueError:
            return None


def groups_of(file: KeyFile, pattern: str) -> list[Group]:
    """The groups whose whole name matches, in the file's order."""
    return [Group(file, name, file.of_group(name)) for name in file.groups if re.fullmatch(pattern, name)]


def group_of(file: KeyFile, name: str) -> Group | None:
    """One group, None where it is missing."""
    return Group(file, name, file.of_group(name)) if name in file.groups else None


def read_config(path: Path) -> KeyFile:
    """A key file, or a YAML file as one; sources that stand in its CSV file become groups of their own.

    Raises:
        DeepStreamError: it cannot be read.
        KeyFileError: GLib, or yaml-cpp, would refuse it.
    """
    content = read_config_bytes(path)
    if path.suffix not in {".yml", ".yaml"}:
        return read_key_file(content, str(path))
    file = read_yaml_file(content, str(path)).file
    groups, entries = dict(file.groups), [replace(one, value=escape_string(one.value)) for one in file.entries]
    named = file.get("source", "csv-file-path")
    if named is not None and named.value:
        lines = read_config_bytes(path.parent / named.value).decode("utf-8", "replace").splitlines()
        kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        headers = kept[0].split(",") if kept else []
        for number, line in enumerate(kept[1:]):
            groups[f"source{number}"] = named.line
            for key, value in zip(headers, line.split(","), strict=False):
                entries.append(Entry(f"source{number}", key.strip(), escape_string(value.strip()), named.line))
    return KeyFile(file.source, groups, tuple(entries))


def read_named(group: Group, key: str, imported: Imported) -> KeyFile | None:
    """The file that a key names, by its place beside the one that names it; None, and a note, where it is missing."""
    name = group.text(key)
    if name is None:
        return None
    path = Path(group.file.source).parent / name
    try:
        return read_config(path)
    except (DeepStreamError, KeyFileError) as error:
        imported.leave(group.file, group.line_of(key), f"{key}: {error}; nothing of it was carried over")
        return None


def camera_name(text: str, taken: set[str]) -> str:
    """A name that a pipeline file takes, and that no camera has yet."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:56] or "camera"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    taken.add(name)
    return name
