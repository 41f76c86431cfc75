"""What can be wrong between the keys of an nvinfer or nvdsanalytics configuration."""

import re
from collections.abc import Iterator
from pathlib import Path

from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_values import read_boolean, read_double, read_integer_list
from vedette.edge.deepstream.lint_app import integer_of

# key -> what gst-nvinfer of DeepStream 9.1 accepts
_ENUMS: dict[str, tuple[range | set[int], str]] = {
    "network-mode": (range(4), "0 FP32, 1 INT8, 2 FP16, 3 the fastest"),
    "network-type": ({0, 1, 2, 3, 100}, "0 detector, 1 classifier, 2 and 3 segmentation, 100 other"),
    "model-color-format": (range(3), "0 RGB, 1 BGR, 2 grey"),
    "cluster-mode": (range(5), "0 groups, 1 DBSCAN, 2 NMS, 3 both, 4 none"),
    "process-mode": (range(1, 3), "1 primary, 2 secondary"),
    "network-input-order": (range(2), "0 NCHW, 1 NHWC"),
}


def check_nvinfer(file: KeyFile, folder: Path | None) -> Iterator[Finding]:
    """Findings of one nvinfer file; `folder` is where it lies, for the labels beside it."""
    entries = file.of_group("property")
    if not entries:
        yield Finding(file.source, 1, Severity.ERROR, "[property] is missing; nvinfer does not start without it")
        return
    for key, (allowed, meaning) in _ENUMS.items():
        number = integer_of(entries.get(key))
        if number is not None and number not in allowed:
            yield _say(file, entries[key], Severity.ERROR, f"{key}={number} means nothing: {meaning}")
    classes = integer_of(entries.get("num-detected-classes"))
    for group, line in file.groups.items():
        one = re.fullmatch(r"class-attrs-(\d{1,9})", group)
        if one and classes is not None and int(one[1]) >= classes:
            yield Finding(
                file.source, line, Severity.ERROR,
                f"[{group}]: there are {classes} classes, 0 to {classes - 1}; nvinfer does not start",
            )  # fmt: skip
    if _is_true(entries.get("symmetric-padding")) and not _is_true(entries.get("maintain-aspect-ratio")):
        yield _say(
            file, entries["symmetric-padding"], Severity.WARNING,
            "symmetric-padding does nothing without maintain-aspect-ratio=1",
        )  # fmt: skip
    yield from _check_scale(file, entries.get("net-scale-factor"))
    if folder is not None and classes:
        yield from _check_labels(file, entries.get("labelfile-path"), classes, folder)


def check_analytics(file: KeyFile) -> Iterator[Finding]:
    """Findings of one nvdsanalytics file."""
    entries = file.of_group("property")
    for key in ("enable", "config-width", "config-height"):
        if key not in entries:
            line = file.groups.get("property", 1)
            yield Finding(file.source, line, Severity.ERROR, f"[property] needs '{key}'; nvdsanalytics does not start")
    for entry in file.entries:
        numbers = _numbers(entry)
        if numbers is None:
            continue
        if entry.key.startswith(("line-crossing-", "direction-")):
            wanted = 4 if entry.key.startswith("direction-") else 8
            if len(numbers) != wanted:
                yield _say(file, entry, Severity.ERROR, f"{entry.key} needs {wanted} numbers, it has {len(numbers)}")
        elif entry.key.startswith("roi-") and (len(numbers) % 2 or len(numbers) < 6):
            yield _say(file, entry, Severity.ERROR, f"{entry.key} needs at least three corners, x;y each")
        if entry.key != "class-id" and min(numbers, default=0) < 0:
            yield _say(file, entry, Severity.ERROR, f"{entry.key}: coordinates below 0 are refused")


def _numbers(entry: Entry) -> list[int] | None:
    """The numbers of a key that holds coordinates, None of any other or where they are wrong (told elsewhere)."""
    if not entry.key.startswith(("roi-", "line-crossing-", "direction-")):
        return None
    try:
        return read_integer_list(entry.value)
    except ValueError:
        return None


def _check_scale(file: KeyFile, entry: Entry | None) -> Iterator[Finding]:
    try:
        factor = None if entry is None else read_double(entry.value)
    except ValueError:
        return
    if entry is not None and factor is not None and not factor > 0:
        yield _say(file, entry, Severity.ERROR, f"net-scale-factor={factor:g} makes every picture one colour")


def _check_labels(file: KeyFile, entry: Entry | None, classes: int, folder: Path) -> Iterator[Finding]:
    if entry is None or Path(entry.value).is_absolute():
        return
    try:
        text = (folder / entry.value).read_text("utf-8", errors="replace")
    except OSError:  # that it is not there is told with the other paths
        return
    count = len([line for line in text.splitlines() if line.strip()])
    if count < classes:
        yield _say(
            file, entry, Severity.WARNING, f"{entry.value} names {count} classes, num-detected-classes={classes}"
        )


def _is_true(entry: Entry | None) -> bool:
    try:
        return entry is not None and read_boolean(entry.value)
    except ValueError:
        return False


def _say(file: KeyFile, entry: Entry, severity: Severity, message: str) -> Finding:
    return Finding(file.source, entry.line, severity, f"[{entry.group}] {message}")
