"""YAML that a person wrote, read so that a mistake is told with its line and column, and nothing is taken silently.

Beyond what the safe loader refuses: a key given twice (the last would win), aliases (they can grow without bound),
depth (PyYAML takes long over it). Reading the file, and what the values mean, is left to whoever asks.
"""

from collections.abc import Hashable
from typing import Any

import yaml

MOST_DEPTH = 8


class YamlMistakeError(ValueError):
    """Says where (`line 3, column 7`) and what, without the file's name."""


def parse_strict_yaml(content: bytes) -> Any:
    """The document in a text; None when there is nothing in it.

    Raises:
        YamlMistakeError: it is no YAML, or more than is read here.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlMistakeError(f"line {_line(content, error.start)}: is no UTF-8 text; save it as UTF-8") from error
    try:
        _check_plain(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise YamlMistakeError(_where(error) + _what(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlMistakeError(f"line {line}: holds a character that YAML does not allow") from error


def _check_plain(text: str) -> None:
    """Refuse aliases and depth, event by event: nothing is built before."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"holds an alias (*{event.anchor}); write the value out", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise _error("nested too deep", event.start_mark)


class _Loader(yaml.SafeLoader):
    """The safe loader, with keys given twice refused, and values that Python cannot make told with their place."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _error(f"'{key.value}' is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # a date of no calendar, a number of thousands of digits
            raise _error(f"cannot be read ({error}); put quotes around it", node.start_mark) from error


def _error(problem: str, mark: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _what(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "is not understood"
    if "'\\t'" in problem:
        return "a tab, where YAML allows none; write blanks"
    if isinstance(error, yaml.constructor.ConstructorError):
        return problem
    if "expected ':'" in problem or "mapping values are not allowed" in problem:
        problem += " (a key is written 'key: value', with a blank behind the colon)"
    begun, met = error.context_mark, error.problem_mark
    if begun is not None and met is not None and begun.line < met.line:
        problem += f", in what begins in line {begun.line + 1}"
    return f"is no YAML: {problem}"


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
