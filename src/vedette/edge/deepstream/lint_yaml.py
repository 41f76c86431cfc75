"""What can be wrong in a YAML configuration, and in the CSV file that holds deepstream-app's sources.

The tables are those of the key files: the parsers read the same groups and keys, but for sources, which are lines of a
CSV file here. Unknown groups are passed over by them without a word. Source: deepstream-app, gst-nvinfer and
gst-nvdsanalytics 9.1; YAML came with DeepStream 6.1.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vedette.edge.deepstream.config_bytes import read_config_bytes
from vedette.edge.deepstream.dialects import Dialect, version_order
from vedette.edge.deepstream.errors import DeepStreamError, KeyFileError
from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_tables import FileKind, KeyTable, key_table, kind_of_file
from vedette.edge.deepstream.key_values import ValueKind
from vedette.edge.deepstream.lint_app import check_app, integer_of
from vedette.edge.deepstream.lint_nvinfer import check_analytics, check_nvinfer
from vedette.edge.deepstream.lint_tracker import check_tracker
from vedette.edge.deepstream.lint_values import check_lines, check_paths, unknown_group, unknown_key, wrong_version
from vedette.edge.deepstream.targets import Target
from vedette.edge.deepstream.yaml_file import read_yaml_file
from vedette.edge.deepstream.yaml_values import check_yaml_value

FIRST_VERSION = "6.1"
_OPEN_ENDED = ("sink", "secondary-gie", "message-consumer")  # any group that begins so is read as one of these
_SOURCES = ("source", "csv-file-path")
_APP_MARKS = {"enable-perf-measurement", "perf-measurement-interval-sec", "gie-kitti-output-dir", "global-gpu-id"}
_NVINFER_MARKS = {
    "onnx-file", "model-engine-file", "model-file", "uff-file", "tlt-encoded-model", "custom-network-config",
    "net-scale-factor", "network-mode",
}  # fmt: skip
_TRACKER_MARKS = {"BaseConfig", "TargetManagement", "TrajectoryManagement", "DataAssociator", "StateEstimator"}


def check_yaml(
    content: bytes,
    source: str,
    dialect: Dialect | None = None,
    target: Target | None = None,
    folder: Path | None = None,
) -> tuple[FileKind, list[Finding]]:
    """Check one text; `folder` is where it lies, so that files it names can be looked for."""
    try:
        read = read_yaml_file(content, source)
    except KeyFileError as error:
        return FileKind.OTHER, [Finding(source, error.line, Severity.ERROR, f"{error.problem}; nothing is read")]
    file = read.file
    kind = _kind_of(file)
    if kind is FileKind.OTHER:
        return kind, sorted(check_lines(file))
    if kind is FileKind.TRACKER:  # since 6.0, and lists and maps are read there
        return kind, sorted([*check_tracker(file), *check_lines(file)])
    findings = [Finding(source, line, Severity.ERROR, problem) for line, problem in read.odd]
    if dialect is not None and dialect.order < version_order(FIRST_VERSION):
        told = f"DeepStream {dialect.version} reads no YAML; that came with {FIRST_VERSION}"
        findings.append(Finding(source, 1, Severity.ERROR, told))
    findings += [*_check_groups(file, kind), *_check_entries(file, kind, dialect), *check_lines(file)]
    if kind is FileKind.APP:
        findings += check_app(file, dialect, target)
        findings += _check_sources(file, folder)
    elif kind is FileKind.NVINFER:
        findings += check_nvinfer(file, folder)
    elif kind is FileKind.ANALYTICS:
        findings += check_analytics(file)
    if folder is not None:
        findings += check_paths(file, kind, folder)
    return kind, sorted(findings)


def check_csv(content: bytes, source: str, yaml_source: str) -> tuple[int, list[Finding]]:
    """Check the sources of a deepstream-app; gives how many are enabled. Fields end at commas, quotes mean nothing."""
    table, findings = key_table(FileKind.APP).groups["source%d"], []
    headers: list[str] | None = None
    enabled = 0

    def say(line: int, severity: Severity, message: str) -> None:
        findings.append(Finding(source, line, severity, message))

    lines = content.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
        if headers is None:
            if line.strip(" \t") and not line.lstrip(" \t").startswith("#"):
                headers = line.split(",")
                for name in headers:
                    if name not in table:
                        say(number, Severity.ERROR, f"'{name}' is no key of a source; the column is not read")
            continue
        fields = line.split(",")
        if len(fields) < len(headers):
            say(number, Severity.ERROR, f"{len(fields)} fields for {len(headers)} columns; deepstream-app ends here")
            continue
        for name, field in zip(headers, fields, strict=False):
            if table.get(name) in {ValueKind.INTEGER, ValueKind.UINT64, ValueKind.BOOLEAN}:
                if not re.match(r"\s*[+-]?\d", field):
                    say(number, Severity.ERROR, f"{name}: '{field}' is no integer; deepstream-app ends here")
                elif name == "enable" and int(re.findall(r"\d+", field)[0]):
                    counts = dict(zip(headers, fields, strict=False))
                    enabled += int((re.findall(r"\d+", counts.get("num-sources", "1")) or ["1"])[0]) or 1
    if headers is None:
        say(1, Severity.ERROR, f"holds no source, and {yaml_source} has no other")
    return enabled, findings


def _kind_of(file: KeyFile) -> FileKind:
    """As for a key file, but that in YAML other programs have groups and keys of the same names too."""
    if _TRACKER_MARKS & set(file.groups):
        return FileKind.TRACKER
    kind = kind_of_file(file)
    if kind is FileKind.NVINFER:  # nvdspostprocess has network-type and the like, but no network
        return kind if set(file.of_group("property")) & _NVINFER_MARKS else FileKind.OTHER
    if kind is not FileKind.APP:
        return kind
    marks = set(file.of_group("application")) & _APP_MARKS
    return FileKind.APP if marks or file.get(*_SOURCES) is not None else FileKind.OTHER


def _pattern_of(group: str, kind: FileKind, table: KeyTable) -> str | None:
    if kind is FileKind.APP:
        if group == "source" or re.fullmatch(r"source\d+|source-list|source-attr-all", group):
            return None
        for name in _OPEN_ENDED:
            if group.startswith(name):
                return f"{name}%d"
    return table.pattern_of(group)


def _check_groups(file: KeyFile, kind: FileKind) -> Iterator[Finding]:
    table = key_table(kind)
    for group, line in file.groups.items():
        if kind is FileKind.APP and re.fullmatch(r"source\d+|source-list|source-attr-all", group):
            told = f"'{group}' is not read in YAML: sources are lines of a CSV file, 'source: csv-file-path: FILE'"
            yield Finding(file.source, line, Severity.ERROR, told)
        elif group != "source" and _pattern_of(group, kind, table) is None:
            yield Finding(file.source, line, Severity.WARNING, unknown_group(group, table))


def _check_entries(file: KeyFile, kind: FileKind, dialect: Dialect | None) -> Iterator[Finding]:
    table = key_table(kind)
    for entry in file.entries:
        pattern = _pattern_of(entry.group, kind, table)
        if pattern is None:
            continue

        def say(severity: Severity, message: str, at: Entry = entry) -> Finding:
            return Finding(file.source, at.line, severity, f"[{at.group}] {message}")

        expected = table.kind_of(pattern, entry.key)
        if expected is None:
            if entry.key not in table.legacy.get(pattern, {}):
                yield say(Severity.WARNING, unknown_key(entry.key, pattern, table))
            continue
        try:
            check_yaml_value(expected, entry.value)
        except ValueError as error:
            yield say(Severity.ERROR, f"{entry.key}: {error}")
            continue
        if dialect is not None:
            yield from (say(Severity.WARNING, text) for text in wrong_version(kind, entry.key, dialect))


def _check_sources(file: KeyFile, folder: Path | None) -> Iterator[Finding]:
    entry = file.get(*_SOURCES)
    if entry is None or not entry.value:
        line = file.groups.get("source", 1)
        yield Finding(file.source, line, Severity.ERROR, "names no sources: 'source: csv-file-path: FILE' is missing")
        return
    if folder is None or entry.value.startswith("/"):
        return
    path = folder / entry.value
    try:
        content = read_config_bytes(path)
    except DeepStreamError as error:
        yield Finding(file.source, entry.line, Severity.ERROR, f"[source] csv-file-path: {error}")
        return
    count, findings = check_csv(content, str(path), file.source)
    yield from findings
    yield from _check_batch(file, file.of_group("streammux"), count)


def _check_batch(file: KeyFile, muxer: Mapping[str, Entry], sources: int) -> Iterator[Finding]:
    size = integer_of(muxer.get("batch-size"))
    if size is not None and size < sources:
        told = f"[streammux] batch-size={size} is less than the {sources} sources that are enabled"
        yield Finding(file.source, muxer["batch-size"].line, Severity.WARNING, told)
