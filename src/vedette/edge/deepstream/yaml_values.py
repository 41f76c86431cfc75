"""Scalars of YAML configurations as DeepStream's parsers take them: numbers by yaml-cpp, lists split at `;`.

A value that does not convert throws, and nobody catches it: the program ends. Booleans are asked for as integers, so
`true` is none. Source: gst-nvinfer, gst-nvdsanalytics and deepstream-app 9.1 (`as<gint>`, `as<gboolean>`, `std::stod`),
yaml-cpp's conversions.
"""

import re

from vedette.edge.deepstream.key_values import ValueKind

_INTEGER = re.compile(r"[+-]?(0x[0-9a-fA-F]+|[0-9]+)")
_DOUBLE = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\.?(inf|Inf|INF|nan|NaN|NAN))")
_INTEGERS = {ValueKind.INTEGER, ValueKind.UINT64, ValueKind.BOOLEAN}
_LIST_ITEMS = {ValueKind.INTEGER_LIST: _INTEGER, ValueKind.DOUBLE_LIST: _DOUBLE}


def check_yaml_value(kind: ValueKind, raw: str) -> None:
    """Raise where a parser would end.

    Raises:
        ValueError: says why.
    """
    if kind in _INTEGERS and not _INTEGER.fullmatch(raw):
        raise ValueError(f"'{raw}' is no integer" + ("; write 1 or 0" if _is_word(raw) else ""))
    if kind is ValueKind.DOUBLE and not _DOUBLE.fullmatch(raw):
        raise ValueError(f"'{raw}' is no number")
    item = _LIST_ITEMS.get(kind)
    if item is not None:
        for part in raw.split(";"):
            if part.strip() and not item.match(part.strip()):
                raise ValueError(f"'{part.strip()}' is no number; a list is written 1;2;3")


def _is_word(raw: str) -> bool:
    return raw.lower() in {"true", "false", "yes", "no", "on", "off"}
