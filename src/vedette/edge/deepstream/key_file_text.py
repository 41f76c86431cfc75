"""Writes key files that GLib reads back as they were meant: no blanks at ends, no comment behind a value."""

from collections.abc import Mapping, Sequence

from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_values import escape_string

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Groups = Sequence[tuple[str, Mapping[str, Value | None]]]


def write_key_file(comment: str, groups: Groups) -> bytes:
    """The text of a key file; keys whose value is None are left out.

    Raises:
        DeepStreamError: a value would not be read as it is (DeepStream's programs do not unescape paths everywhere).
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for group, keys in groups:
        lines += ["", f"[{group}]"]
        lines += [f"{key}={_raw(group, key, value)}" for key, value in keys.items() if value is not None]
    return ("\n".join(lines) + "\n").encode()


def _raw(group: str, key: str, value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if escape_string(value) != value or " #" in value:
            raise DeepStreamError(
                f"[{group}] {key}: '{value}' cannot be written: no backslashes, line ends, ' #' or blanks at its ends"
            )
        return value
    return ";".join(_raw(group, key, item) for item in value)
