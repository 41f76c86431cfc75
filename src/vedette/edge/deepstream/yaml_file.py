"""YAML configurations as groups of entries with line numbers, as DeepStream's parsers walk them with yaml-cpp.

Guarantees: a group is a map at the top, an entry a scalar in it, its value the text as it stands there. What is neither
is kept apart, for a parser that asks it for text or a number ends its program. Of several documents the first counts.
Directives are passed over: NVIDIA's files have OpenCV's `%YAML:1.0` and `%YAML 1.2` without a line of three dashes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from vedette.edge.deepstream.errors import KeyFileError
from vedette.edge.deepstream.key_file import Entry, KeyFile


@dataclass(frozen=True, slots=True)
class YamlFile:
    """`file` holds what a key file would; `odd` are lines, and what stands there instead of a scalar."""

    file: KeyFile
    odd: tuple[tuple[int, str], ...]


def read_yaml_file(content: bytes, source: str) -> YamlFile:
    """Read a whole text.

    Raises:
        KeyFileError: it is no YAML, or no map of groups.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise KeyFileError(source, content.count(b"\n", 0, error.start) + 1, "is no UTF-8 text") from error
    text = re.sub(r"(?m)^%", "#", text)
    try:
        root = next(yaml.compose_all(text, Loader=yaml.SafeLoader), None)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise KeyFileError(source, 1 if mark is None else mark.line + 1, _why(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise KeyFileError(source, line, "holds a character that YAML does not allow") from error
    except RecursionError as error:
        raise KeyFileError(source, 1, "is nested too deeply") from error
    if not isinstance(root, yaml.MappingNode):
        raise KeyFileError(source, 1 if root is None else root.start_mark.line + 1, "is no map of groups")
    groups: dict[str, int] = {}
    entries: list[Entry] = []
    odd: list[tuple[int, str]] = []
    for name, node in _pairs(root, odd):
        line = name.start_mark.line + 1
        if name.value in groups:
            odd.append((line, f"'{name.value}' stands in line {groups[name.value]} too; the first one counts"))
        first = groups.setdefault(name.value, line) == line
        if isinstance(node, yaml.MappingNode) and first:
            _read_group(name.value, node, entries, odd)
        elif isinstance(node, yaml.SequenceNode):
            odd.append((line, f"'{name.value}' is a list; a map of keys is read here"))
    return YamlFile(KeyFile(source, groups, tuple(entries)), tuple(odd))


def _read_group(group: str, node: yaml.MappingNode, entries: list[Entry], odd: list[tuple[int, str]]) -> None:
    for key, value in _pairs(node, odd):
        line = key.start_mark.line + 1
        if isinstance(value, yaml.ScalarNode) and "\0" in value.value:
            odd.append((line, f"{group}: '{key.value}' holds a NUL character"))
        elif isinstance(value, yaml.ScalarNode):
            entries.append(Entry(group, key.value, value.value, line))
        else:
            kind = "list" if isinstance(value, yaml.SequenceNode) else "map"
            odd.append((line, f"{group}: '{key.value}' is a YAML {kind}; one value is read, lists as 1;2;3"))


def _pairs(node: yaml.MappingNode, odd: list[tuple[int, str]]) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            yield key, value
        else:
            odd.append((key.start_mark.line + 1, "a key is no word"))


def _why(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "is no YAML"
    if "'\\t'" in problem:
        return "YAML allows no tab here; write blanks"
    if "expected ':'" in problem or "mapping values are not allowed" in problem:
        return f"is no YAML: {problem} (a key is 'key: value', with a blank behind the colon)"
    return f"is no YAML: {problem}"
