"""Key files exactly as GLib's GKeyFile reads them, with line numbers: what deepstream-app and most plugins read.

Guarantees: a text is accepted or refused as GLib accepts or refuses it, and keeps the same groups, keys and raw values;
`key_values` reads those as types. Source: GLib's documented format and its behaviour, to which tests hold this reader
by the library itself. Two things are left out: a NUL character is refused outright, and of translated keys (`k[de]`)
only those of the C locale are kept, since the others depend on the language of the box.
"""

import re
from dataclasses import dataclass

from vedette.edge.deepstream.errors import KeyFileError

_SPACE = " \t\n\f\r"  # g_ascii_isspace: no vertical tab
_GROUP = re.compile(r"\[([^\]]*)\][ \t]*", re.DOTALL)
_GROUP_NAME = re.compile(r"[^\[\]\x00-\x1f\x7f]+")
_KEY_NAME = re.compile(r"(?P<plain>[^\[\]=]+)(?:\[(?P<locale>(?:[^\W_]|[-_.@])*)\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key=value` line; `value` is raw: leading blanks dropped, trailing ones kept, nothing unescaped."""

    group: str
    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What GLib keeps of a text. Groups of one name are one group; of keys of one name the last counts."""

    source: str
    groups: dict[str, int]  # name -> line of its first header
    entries: tuple[Entry, ...]  # in the order of the lines, keys given twice included
    translated: tuple[Entry, ...] = ()  # `k[de]`: dropped, unless the box speaks that language

    def get(self, group: str, key: str) -> Entry | None:
        """The entry that counts, or None."""
        found = None
        for entry in self.entries:
            if entry.group == group and entry.key == key:
                found = entry
        return found

    def of_group(self, group: str) -> dict[str, Entry]:
        """The entries that count of one group, by key."""
        return {entry.key: entry for entry in self.entries if entry.group == group}


def read_key_file(content: bytes, source: str) -> KeyFile:
    """Read a whole text.

    Bytes that are no UTF-8 are kept as lone surrogates; GLib refuses them only when a value is read as a string.

    Raises:
        KeyFileError: GLib would refuse the text; nothing of it would be read.
    """
    text = content.decode("utf-8", errors="surrogateescape")
    groups: dict[str, int] = {}
    entries: list[Entry] = []
    translated: list[Entry] = []
    current: str | None = None
    for number, line in enumerate(_lines(text), 1):
        if "\0" in line:
            raise KeyFileError(source, number, "holds a NUL character; a text file has none")
        stripped = line.lstrip(_SPACE)
        if not stripped or stripped.startswith("#"):
            continue
        header = _GROUP.fullmatch(stripped)
        if header is not None:
            current = header[1]
            if not _GROUP_NAME.fullmatch(current):
                raise KeyFileError(source, number, f"'[{current}]' is no name for a group")
            groups.setdefault(current, number)
            continue
        key, value = _split(stripped, source, number)
        if current is None:
            raise KeyFileError(source, number, f"'{key}' stands before the first [group]")
        locale = _check_key(key, source, number)
        if key == "Encoding" and current == next(iter(groups)) and value.upper() != "UTF-8":
            raise KeyFileError(source, number, "'Encoding' in the first group can only be UTF-8")
        entry = Entry(current, key, value, number)
        (entries if locale in {None, "", "c"} else translated).append(entry)
    return KeyFile(source, groups, tuple(entries), tuple(translated))


def _lines(text: str) -> list[str]:
    """Lines end with \\n or \\r\\n; the \\r of a last line without \\n stays."""
    *ended, last = text.split("\n")
    return [*(line.removesuffix("\r") for line in ended), last]


def _split(line: str, source: str, number: int) -> tuple[str, str]:
    """Key, its trailing blanks dropped, and raw value of a line that is neither blank, comment nor header."""
    key, sign, value = line.partition("=")
    if not sign or not key:
        raise KeyFileError(source, number, _why_no_line(line))
    return key.rstrip(_SPACE), value.lstrip(_SPACE)


def _check_key(key: str, source: str, number: int) -> str | None:
    """The locale of a translated key in lower case, None for a plain one.

    Raises:
        KeyFileError: GLib takes no such key.
    """
    match = _KEY_NAME.fullmatch(key)
    if match is None or match["plain"].endswith(" "):
        raise KeyFileError(source, number, f"'{key}' is no name for a key")
    return None if match["locale"] is None else match["locale"].lower()


def _why_no_line(line: str) -> str:
    """What the writer probably meant by a line that GLib cannot read."""
    if line.startswith("\ufeff"):
        return "the file begins with a byte order mark; save it as UTF-8 without one"
    if line.startswith((";", "//", "--")):
        return f"'{line[:40]}' is no comment here: only lines that begin with '#' are"
    if line.startswith("["):
        return f"'{line[:40]}' is no group: write [name] and nothing behind it, comments on lines of their own"
    if line.startswith("="):
        return "a value without a key"
    return f"'{line[:40]}' is no key=value line, [group] or #comment"
