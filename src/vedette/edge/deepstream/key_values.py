"""Raw values of key files as types, by the rules of GLib's getters: what a plugin gets, or refuses to start with.

Each rule is GLib's own, odd ones included: an integer may be followed by blanks and anything (`4 # streams` is 4), a
boolean by blanks only, a floating-point number by nothing at all; strings and lists keep the blanks at their end.
"""

import math
import re
from collections.abc import Callable
from enum import Enum

_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)(?:[ \t\n\f\r].*)?", re.DOTALL)
_UNSIGNED = re.compile(r"[ \t\n\f\r]*([+-]?[0-9]+)")
_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_HEXADECIMAL = r"0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?"
_DOUBLE = re.compile(
    rf"[ \t\n\v\f\r]*([+-]?)(?:({_HEXADECIMAL})|({_DECIMAL})|(inf(?:inity)?)|(nan(?:\([a-z0-9_]*\))?))", re.IGNORECASE
)
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


class ValueKind(str, Enum):
    """What a program asks of GLib when it reads a key. `PATH` is a string that names a file."""

    INTEGER = "integer"
    UINT64 = "uint64"
    BOOLEAN = "boolean"
    DOUBLE = "double"
    STRING = "string"
    PATH = "path"
    INTEGER_LIST = "integer_list"
    DOUBLE_LIST = "double_list"
    STRING_LIST = "string_list"

    @property
    def is_text(self) -> bool:
        """Whether blanks at the end of a value become part of it."""
        return self in {ValueKind.STRING, ValueKind.PATH, ValueKind.STRING_LIST}


Plain = int | float | str | list[int] | list[float] | list[str]


def read_value(kind: ValueKind, raw: str) -> Plain:
    """The value that GLib's getter returns.

    Raises:
        ValueError: the getter fails; says why.
    """
    return _READERS[kind](raw)


def read_integer(raw: str) -> int:
    """g_key_file_get_integer."""
    match = _INTEGER.fullmatch(raw)
    if match is None:
        raise ValueError(f"'{raw}' is no integer")
    number = int(match[1])
    if not -(2**31) <= number < 2**31:
        raise ValueError(f"{number} does not fit into 32 bits")
    return number


def read_uint64(raw: str) -> int:
    """g_key_file_get_uint64."""
    match = _UNSIGNED.fullmatch(raw)
    if match is None:
        raise ValueError(f"'{raw}' is no unsigned integer")
    number = int(match[1])
    if abs(number) >= 2**64:
        raise ValueError(f"{number} does not fit into 64 bits")
    return number % 2**64  # strtoull negates in unsigned arithmetic


def read_boolean(raw: str) -> bool:
    """g_key_file_get_boolean."""
    word = raw.rstrip(" \t\n\f\r")
    if word in {"true", "1"}:
        return True
    if word in {"false", "0"}:
        return False
    raise ValueError(f"'{raw}' is no boolean; those are true, false, 1 and 0, in small letters")


def read_double(raw: str) -> float:
    """g_key_file_get_double."""
    match = _DOUBLE.fullmatch(raw)
    if match is None:
        raise ValueError(f"'{raw}' is no number" + ("; nothing may follow it, not even a blank" if raw else ""))
    sign, hexadecimal, decimal, infinite, _ = match.groups()
    if hexadecimal:
        number = _from_hexadecimal(hexadecimal)
    elif decimal:
        number = float(decimal)
    else:
        number = math.inf if infinite else math.nan
    return -number if sign == "-" else number


def _from_hexadecimal(text: str) -> float:
    """Too large is infinite, as for decimal numbers."""
    try:
        return float.fromhex(text)
    except OverflowError:
        return math.inf


def read_string(raw: str) -> str:
    """g_key_file_get_string: the blanks at the end stay."""
    return _unescape(_checked_utf8(raw), "")


def read_string_list(raw: str) -> list[str]:
    """g_key_file_get_string_list: `;` ends an item, `\\;` stands in one; a last item may be without."""
    items, start, position, raw = [], 0, 0, _checked_utf8(raw)
    while position < len(raw):
        if raw[position] == "\\":
            position += 1
        elif raw[position] == ";":
            items.append(_unescape(raw[start:position], ";"))
            start = position + 1
        position += 1
    if start < len(raw):
        items.append(_unescape(raw[start:], ";"))
    return items


def read_integer_list(raw: str) -> list[int]:
    """g_key_file_get_integer_list."""
    return [read_integer(item) for item in read_string_list(raw)]


def read_double_list(raw: str) -> list[float]:
    """g_key_file_get_double_list."""
    return [read_double(item) for item in read_string_list(raw)]


def escape_string(text: str) -> str:
    """The raw value that reads back as `text`."""
    body = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    start, end = len(body) - len(body.lstrip(" ")), len(body.rstrip(" "))
    if end == 0:
        return "\\s" * len(body)
    return "\\s" * start + body[start:end] + "\\s" * (len(body) - end)


def _unescape(raw: str, separator: str) -> str:
    parts, position = [], 0
    while position < len(raw):
        character = raw[position]
        if character == "\\":
            position += 1
            follower = raw[position : position + 1]
            if follower in _ESCAPES:
                character = _ESCAPES[follower]
            elif follower and follower == separator:
                character = separator
            elif follower:
                raise ValueError(f"'\\{follower}' is no escape; write '\\\\' for a backslash")
            else:
                raise ValueError("ends with a single backslash; write '\\\\' for one")
        parts.append(character)
        position += 1
    return "".join(parts)


def _checked_utf8(raw: str) -> str:
    if any("\udc80" <= character <= "\udcff" for character in raw):
        raise ValueError("is no UTF-8 text")
    return raw


_READERS: dict[ValueKind, Callable[[str], Plain]] = {
    ValueKind.INTEGER: read_integer,
    ValueKind.UINT64: read_uint64,
    ValueKind.BOOLEAN: read_boolean,
    ValueKind.DOUBLE: read_double,
    ValueKind.STRING: read_string,
    ValueKind.PATH: read_string,
    ValueKind.INTEGER_LIST: read_integer_list,
    ValueKind.DOUBLE_LIST: read_double_list,
    ValueKind.STRING_LIST: read_string_list,
}
