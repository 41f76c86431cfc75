"""Checks DeepStream configurations: a text, a file, a folder. Reads, never writes.

Guarantees: whatever GLib, or yaml-cpp, would refuse is an error with its line, and of a file that loads every key is
held against the table of its kind. What it leaves to others: nvinferserver's text format and the models themselves.
"""

import re
from collections.abc import Collection
from pathlib import Path

from vedette.edge.deepstream.config_bytes import MOST_BYTES, read_config_bytes
from vedette.edge.deepstream.dialects import Dialect
from vedette.edge.deepstream.errors import DeepStreamError, KeyFileError
from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.key_tables import FileKind, kind_of_file
from vedette.edge.deepstream.lint_app import check_app
from vedette.edge.deepstream.lint_nvinfer import check_analytics, check_nvinfer
from vedette.edge.deepstream.lint_values import check_keys, check_lines, check_paths
from vedette.edge.deepstream.lint_yaml import check_yaml
from vedette.edge.deepstream.targets import Target

ENDINGS = (".txt", ".ini", ".cfg", ".conf")
YAML_ENDINGS = (".yml", ".yaml")
_YAML_MARKS = re.compile(
    rb"(?m)^(application|property|streammux|primary-gie|class-attrs-all|sensor0|BaseConfig|TargetManagement)\s*:"
)
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
        findings += check_paths(file, kind, folder)
    return kind, sorted(findings)


def check_path(
    path: Path, dialect: Dialect | None = None, target: Target | None = None
) -> dict[Path, tuple[FileKind, list[Finding]]]:
    """Check a file, or every DeepStream file of a folder and the folders below it.

    Raises:
        DeepStreamError: it cannot be read, the folder has no such file, or the file is of a kind that is not known.
    """
    if not path.is_dir():
        checked = _check_file(path, dialect, target)
        if path.suffix in YAML_ENDINGS and checked[0] is FileKind.OTHER and not checked[1]:
            raise DeepStreamError(
                f"{path}: is none of the YAML configurations that are checked (deepstream-app, nvinfer, nvdsanalytics, "
                "message converter, tracker)"
            )
        return {path: checked}
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_too_large(file)]
    chosen = [
        file
        for file in files
        if file.suffix in ENDINGS and any(mark in read_config_bytes(file) for mark in _FOLDER_MARKS)
    ]
    found = {file: _check_file(file, dialect, target) for file in chosen}
    for file in _yaml_files(path):
        if not _is_too_large(file) and _YAML_MARKS.search(read_config_bytes(file)):
            kind, findings = _check_file(file, dialect, target)
            if kind is not FileKind.OTHER or any(one.severity is Severity.ERROR for one in findings):
                found[file] = kind, findings
    if not found:
        raise DeepStreamError(f"{path}: holds no DeepStream configuration ({', '.join((*ENDINGS, *YAML_ENDINGS))})")
    return found


def unchecked_files(path: Path, checked: Collection[Path]) -> list[Path]:
    """YAML files of a folder that are none of the kinds known here: other programs'."""
    return [one for one in _yaml_files(path) if one not in checked] if path.is_dir() else []


def _yaml_files(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.suffix in YAML_ENDINGS and one.is_file())


def _is_too_large(path: Path) -> bool:
    """Beside configurations lie logs and label files, which are none of them."""
    return path.stat().st_size > MOST_BYTES


def _check_file(path: Path, dialect: Dialect | None, target: Target | None) -> tuple[FileKind, list[Finding]]:
    check = check_yaml if path.suffix in YAML_ENDINGS else check_content
    return check(read_config_bytes(path), str(path), dialect, target, path.parent)
