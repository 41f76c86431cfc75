"""What can be wrong with single keys of any DeepStream file: unknown, twice, of the wrong type, with a trap in it."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from vedette.edge.deepstream.dialects import Dialect, version_order
from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_tables import ENDED, LATER, FileKind, KeyTable, key_table
from vedette.edge.deepstream.key_values import ValueKind, read_value

_SECRET_KEYS = {"password", "connection_str", "tls-keyfile-password"}
_SECRET_SETTINGS = re.compile(r"(sasl|ssl\.key)\.password=[^;\"\s]")  # librdkafka's, in proto-cfg
_CREDENTIALS = re.compile(r"://[^/@\s:]+:[^/@\s]+@")
_CHECKED_PATHS = {"config-file", "ll-config-file", "labelfile-path", "msg-conv-config", "msg-broker-config"}
_WORDS = {"yes": 1, "on": 1, "True": 1, "TRUE": 1, "no": 0, "off": 0, "False": 0, "FALSE": 0}


def check_keys(file: KeyFile, kind: FileKind, dialect: Dialect | None) -> Iterator[Finding]:
    """Every finding that needs one line only, but for keys given twice."""
    table = key_table(kind)
    for group, line in file.groups.items():
        if table.pattern_of(group) is None:
            yield Finding(file.source, line, Severity.WARNING, unknown_group(group, table))
    for entry in file.entries:
        pattern = table.pattern_of(entry.group)
        if pattern is not None:
            yield from _check_entry(file.source, entry, kind, pattern, dialect)
    yield from check_lines(file)


def check_lines(file: KeyFile) -> Iterator[Finding]:
    """What holds for a key file of any kind: keys given twice, keys that are dropped, secrets."""
    seen: dict[tuple[str, str], int] = {}
    for entry in file.entries:
        first = seen.setdefault((entry.group, entry.key), entry.line)
        if first != entry.line:
            yield _finding(
                file, entry, Severity.WARNING, f"'{entry.key}' stands in line {first} too; this last one counts"
            )
        if entry.key.lower() in _SECRET_KEYS and entry.value.strip() and not entry.value.startswith("<"):
            yield _finding(file, entry, Severity.WARNING, f"'{entry.key}' is a secret in a file that others may read")
        if _SECRET_SETTINGS.search(entry.value):
            yield _finding(file, entry, Severity.WARNING, f"'{entry.key}' holds a password; others may read the file")
        if _CREDENTIALS.search(entry.value):
            yield _finding(
                file, entry, Severity.WARNING, f"'{entry.key}' holds a user name and password in the address"
            )
    for entry in file.translated:
        yield _finding(file, entry, Severity.ERROR, f"'{entry.key}' is dropped: [..] behind a key marks a translation")


def check_paths(file: KeyFile, kind: FileKind, folder: Path) -> Iterator[Finding]:
    """Configuration and label files that are named by a relative path and are not there."""
    table = key_table(kind)
    for entry in file.entries:
        pattern = table.pattern_of(entry.group)
        is_path = pattern is not None and table.kind_of(pattern, entry.key) is ValueKind.PATH
        name = entry.value.strip()
        if not is_path or not name or name.startswith(("/", "<", "$")) or "://" in name:
            continue
        if entry.key in _CHECKED_PATHS and not os.path.exists(folder / name):  # noqa: PTH110 - Path raises for names that are too long
            yield Finding(
                file.source, entry.line, Severity.WARNING, f"[{entry.group}] {entry.key}: {name} is not there"
            )


def _finding(file: KeyFile, entry: Entry, severity: Severity, message: str) -> Finding:
    return Finding(file.source, entry.line, severity, f"[{entry.group}] {message}")


def _check_entry(source: str, entry: Entry, kind: FileKind, pattern: str, dialect: Dialect | None) -> Iterator[Finding]:
    table = key_table(kind)
    expected = table.kind_of(pattern, entry.key)

    def say(severity: Severity, message: str) -> Finding:
        return Finding(source, entry.line, severity, f"[{entry.group}] {message}")

    if expected is None:
        if entry.key not in table.legacy.get(pattern, {}):
            yield say(Severity.WARNING, unknown_key(entry.key, pattern, table))
        return
    try:
        value = read_value(expected, entry.value)
    except ValueError as error:
        yield say(Severity.ERROR, f"{entry.key}: {error}{_remedy(expected, entry.value)}")
        return
    if expected.is_text and entry.value != entry.value.rstrip():
        yield say(Severity.ERROR, f"{entry.key}: the blanks behind '{entry.value.rstrip()}' become part of the value")
    elif expected.is_text and re.search(r"\s#", entry.value):
        yield say(Severity.ERROR, f"{entry.key}: '#' starts a comment at the start of a line only; here it is read")
    elif expected is ValueKind.INTEGER and not re.fullmatch(r"[+-]?[0-9]+\s*", entry.value):
        yield say(Severity.WARNING, f"{entry.key}: read as {value}, the rest of '{entry.value}' is ignored")
    if dialect is not None:
        yield from (say(Severity.WARNING, text) for text in wrong_version(kind, entry.key, dialect))


def wrong_version(kind: FileKind, key: str, dialect: Dialect) -> Iterator[str]:
    """Why a key has no effect with a version."""
    if (kind, key) in LATER and dialect.order < version_order(LATER[kind, key][0]):
        yield f"'{key}' is not known to be read by DeepStream {dialect.version}: {LATER[kind, key][1]}"
    if (kind, key) in ENDED and dialect.order >= version_order(ENDED[kind, key][0]):
        yield f"'{key}' is of no use with DeepStream {dialect.version}: {ENDED[kind, key][1]}"


def unknown_key(key: str, pattern: str, table: KeyTable) -> str:
    """What is told of a key that no program reads."""
    near = get_close_matches(key, table.groups[pattern], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"'{key}' is no key that is read here{hint}"


def unknown_group(group: str, table: KeyTable) -> str:
    """What is told of a group that no program reads."""
    if group != group.strip() and table.pattern_of(group.strip()):
        return f"'[{group}]' is not '[{group.strip()}]': the blanks in the brackets are part of its name"
    near = get_close_matches(group, table.groups, n=1)
    hint = f"; did you mean '[{near[0]}]'?" if near else ""
    return f"'[{group}]' is no group that is read here{hint}"


def _remedy(kind: ValueKind, raw: str) -> str:
    if "#" in raw:
        return "; put the comment on a line of its own"
    if kind in {ValueKind.BOOLEAN, ValueKind.INTEGER} and raw.strip() in _WORDS:
        return f"; write {_WORDS[raw.strip()]}"
    if kind is ValueKind.DOUBLE and raw != raw.strip():
        return "; remove the blanks behind it"
    return ""
