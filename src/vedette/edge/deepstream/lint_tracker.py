"""What can be wrong in a tracker's YAML file (`ll-config-file` of libnvds_nvmultiobjecttracker.so).

Misspelt groups and keys, and words where a number is read. The library's source is not public, so a name is told only
where it is nearly a known one: others may be another version's. Source of the names: the tracker files of DeepStream
9.1's repository, and those that every version since 6.0 reads.
"""

from collections.abc import Iterator
from difflib import get_close_matches

from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_tables import FileKind, key_table
from vedette.edge.deepstream.yaml_values import check_yaml_value

NEARLY = 0.85  # of 1: one letter of eight; lower, keys that are merely alike would be taken for each other


def check_tracker(file: KeyFile) -> Iterator[Finding]:
    """Findings of one tracker file."""
    table = key_table(FileKind.TRACKER)
    for group, line in file.groups.items():
        near = get_close_matches(group, table.groups, n=1, cutoff=NEARLY)
        if group not in table.groups and near:
            yield Finding(file.source, line, Severity.WARNING, f"'{group}' is no group; did you mean '{near[0]}'?")
    for entry in file.entries:
        keys = table.groups.get(entry.group)
        if keys is None:
            continue
        kind = keys.get(entry.key)
        if kind is None:
            yield from _misspelt(file, entry, list(keys))
            continue
        try:
            check_yaml_value(kind, entry.value)
        except ValueError as error:
            yield Finding(file.source, entry.line, Severity.ERROR, f"[{entry.group}] {entry.key}: {error}")


def _misspelt(file: KeyFile, entry: Entry, known: list[str]) -> Iterator[Finding]:
    near = get_close_matches(entry.key, known, n=1, cutoff=NEARLY)
    if near:
        told = f"[{entry.group}] '{entry.key}' is no key that is known; did you mean '{near[0]}'?"
        yield Finding(file.source, entry.line, Severity.WARNING, told)
