"""`vedette deepstream check`: configurations of NVIDIA DeepStream held against what DeepStream really reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from vedette.edge.deepstream.findings import Finding
    from vedette.edge.deepstream.key_tables import FileKind

    Checked = dict[Path, tuple[FileKind, list[Finding]]]


def check(
    path: Path,
    *,
    deepstream: Annotated[str | None, Parameter(help="version, as 6.0.1 or 7.1: what it lacks is told too")] = None,
    target: Annotated[
        str | None, Parameter(help="board, as jetson-nano or orin-nano: what it lacks is told too")
    ] = None,
    strict: Annotated[bool, Parameter(help="warnings make the check fail too")] = False,
    json: Annotated[bool, Parameter(help="print one JSON document instead of lines")] = False,
) -> int:
    """Check DeepStream configurations, line by line, without DeepStream.

    A file, or every key file and YAML file of a folder and the folders below it: deepstream-app (with the CSV file of
    its sources), nvinfer, nvdsanalytics, message converter, broker, tracker. Each is read as DeepStream reads it, by
    the rules of GLib's GKeyFile or of yaml-cpp, and every key is held against the keys and types of the program
    that asks for it. Errors keep the pipeline from starting or make it do something else than what is written
    (blanks behind a path, a comment behind a value, `True`); warnings are parts without effect (unknown keys, keys
    given twice). The exit code is 1 when there is an error.
    """
    from vedette.apps.console import warn
    from vedette.edge.deepstream.dialects import dialect as find_dialect
    from vedette.edge.deepstream.findings import Severity
    from vedette.edge.deepstream.lint import check_path, unchecked_files
    from vedette.edge.deepstream.targets import check_version, find_target

    dialect = None if deepstream is None else find_dialect(deepstream)
    board = None if target is None else find_target(target)
    if dialect is not None and board is not None:
        check_version(board, dialect.version)
    checked = check_path(path, dialect, board)
    findings = [finding for _, found in checked.values() for finding in found]
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    _report(checked, findings, errors, json)
    left = unchecked_files(path, checked)
    if left:
        warn(
            f"{len(left)} YAML {'file' if len(left) == 1 else 'files'} not checked: {left[0]}"
            + (" ..." if left[1:] else "")
        )
    return 1 if errors or (strict and findings) else 0


def _report(checked: "Checked", findings: "list[Finding]", errors: int, as_json: bool) -> None:
    from vedette.apps.console import print_json, print_line

    if as_json:
        files = [{"file": str(path), "kind": kind.value} for path, (kind, _) in checked.items()]
        told = [
            {"file": one.file, "line": one.line, "severity": one.severity.value, "message": one.message}
            for one in findings
        ]
        print_json({"files": files, "findings": told, "errors": errors})
        return
    for finding in findings:
        print_line(str(finding))
    kinds = sorted({kind.value for kind, _ in checked.values()})
    print_line(
        f"{len(checked)} {'file' if len(checked) == 1 else 'files'} ({', '.join(kinds)}): "
        f"{errors} {'error' if errors == 1 else 'errors'}, {len(findings) - errors} warnings"
    )
