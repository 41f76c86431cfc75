"""Checks DeepStream configurations: a text, a file, a folder. Reads, never writes.

Guarantees: whatever GLib would refuse is an error with its line, and of a file that loads every key is held against
the table of its kind. What it leaves to others: YAML files, nvinferserver's text format and the models themselves.
"""

from collections.abc import Iterator
from pathlib import Path

from vedette.edge.deepstream.dialects import Dialect
from vedette.edge.deepstream.errors import DeepStreamError, KeyFileError
from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import KeyFile, read_key_file
from vedette.edge.deepstream.key_tables import FileKind, key_table, kind_of_file
from vedette.edge.deepstream.key_values import ValueKind
from vedette.edge.deepstream.lint_app import check_app
from vedette.edge.deepstream.lint_nvinfer import check_analytics, check_nvinfer
from vedette.edge.deepstream.lint_values import check_keys, check_lines
from vedette.edge.deepstream.targets import Target

MOST_BYTES = 4 << 20  # a thousand sources with ten keys each are about 0.4 MB
ENDINGS = (".txt", ".ini", ".cfg", ".conf")
_CHECKED_PATHS = {"config-file", "ll-config-file", "labelfile-path", "msg-conv-config", "msg-broker-config"}
_FOLDER_MARKS = (
    b"[application]", b"[property]", b"[message-broker]", b"[sensor0]", b"[primary-gie]", b"[source0]",
    b"[source-list]",
)  # fmt: skip


def check_content(
    content: bytes,
    source: str,
    dialect: Dialect | None = None,
    target: Target | None = None,
    folder: Path | None = None,
) -> tuple[FileKind, list[Finding]]:
    """Check one text; `folder` is where it lies, so that files it names can be looked for."""
    try:
        file = read_key_file(content, source)
    except KeyFileError as error:
        finding = Finding(source, error.line, Severity.ERROR, f"{error.problem}; GLib reads nothing of the file")
        return FileKind.OTHER, [finding]
    kind = kind_of_file(file)
    findings = [*(check_lines(file) if kind is FileKind.OTHER else check_keys(file, kind, dialect))]
    if kind is FileKind.APP:
        findings += check_app(file, dialect, target)
    elif kind is FileKind.NVINFER:
        findings += check_nvinfer(file, folder)
    elif kind is FileKind.ANALYTICS:
        findings += check_analytics(file)
    if folder is not None and kind is not FileKind.OTHER:
        findings += _check_paths(file, kind, folder)
    return kind, sorted(findings)


def check_path(
    path: Path, dialect: Dialect | None = None, target: Target | None = None
) -> dict[Path, tuple[FileKind, list[Finding]]]:
    """Check a file, or every DeepStream file of a folder and the folders below it.

    Raises:
        DeepStreamError: it cannot be read, or the folder has no such file.
    """
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.suffix in ENDINGS and file.is_file()]
        chosen = [file for file in files if any(mark in _read(file) for mark in _FOLDER_MARKS)]
        if not chosen:
            raise DeepStreamError(f"{path}: holds no DeepStream configuration ({', '.join(ENDINGS)})")
    else:
        chosen = [path]
        if path.suffix in {".yml", ".yaml"}:
            raise DeepStreamError(f"{path}: YAML configurations are not checked, only key files (INI)")
    return {file: check_content(_read(file), str(file), dialect, target, file.parent) for file in chosen}


def unchecked_files(path: Path) -> list[Path]:
    """YAML files of a folder: DeepStream reads those too, this check does not."""
    return sorted(one for one in path.rglob("*") if one.suffix in {".yml", ".yaml"}) if path.is_dir() else []


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DeepStreamError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise DeepStreamError(f"{path}: is larger than {MOST_BYTES} bytes; that is no configuration")
    return content


def _check_paths(file: KeyFile, kind: FileKind, folder: Path) -> Iterator[Finding]:
    """Configuration and label files that are named by a relative path and are not there."""
    table = key_table(kind)
    for entry in file.entries:
        pattern = table.pattern_of(entry.group)
        is_path = pattern is not None and table.kind_of(pattern, entry.key) is ValueKind.PATH
        name = entry.value.strip()
        if not is_path or not name or name.startswith(("/", "<", "$")) or "://" in name:
            continue
        if entry.key in _CHECKED_PATHS and not (folder / name).exists():
            yield Finding(
                file.source, entry.line, Severity.WARNING, f"[{entry.group}] {entry.key}: {name} is not there"
            )
