"""`vedette doctor`: what box this is, what it lacks, and the commands that mend it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette.edge.jetson.box_files import BoxFiles
    from vedette.edge.jetson.findings import Finding

PATIENCE_S = 5.0
PYAV_GLIBC = (2, 28)  # of its wheels since 15
SIGNS = {"good": "ok", "note": "note", "gap": "GAP", "unknown": "?"}


def doctor(
    pipeline: Annotated[Path | None, Parameter(help="a pipeline file whose cameras are to be asked")] = None,
    *,
    root: Annotated[Path, Parameter(help="the root of another box's files, such as a mounted SD card")] = Path("/"),
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """Look at this box: board, JetPack, what is installed, power, heat, memory, disk, clock, cameras; say what to mend.

    Works on every Jetson from JetPack 4 on, and on a PC. Nothing is changed; each gap comes with the commands that
    mend it. With `--root` nothing but files is read, so it works on an image too.

    Exit code 1 when there is a gap.
    """
    from vedette.apps.console import print_json
    from vedette.edge.jetson.examining import examine

    files = files_below(root)
    found = examine(files, ask if files.is_this_machine else lambda program: None)
    engines, cameras = engine_findings(files.is_this_machine), _cameras(pipeline)
    looked_at = with_own_python(found.findings) if files.is_this_machine else list(found.findings)
    findings = [*looked_at, *engines, *cameras]
    gaps = sum(finding.verdict.value == "gap" for finding in findings)
    if json:
        print_json({**found.to_json(), "findings": [one.to_json() for one in findings], "gaps": gaps})
    else:
        _print(findings, gaps)
    return 1 if gaps else 0


def files_below(root: Path) -> BoxFiles:
    """The files of the box whose root is there.

    Raises:
        InputError: it is no folder.
    """
    from vedette.edge.jetson.box_files import BoxFiles

    if not root.is_dir():
        raise InputError(f"{root}: is no folder; give the root of a box's files")
    return BoxFiles(root)


def engine_findings(here: bool) -> list[Finding]:
    """What of Vedette's own can run here; nobody can tell of another machine's files."""
    if not here:
        return []
    import platform
    from importlib.util import find_spec

    from vedette.edge.engines.opening import installed_engines
    from vedette.edge.jetson.findings import gap, good

    engines = [one.value for one in installed_engines()]
    first = (
        good("engines", ", ".join(engines))
        if engines
        else gap("engines", "neither OpenVINO nor ONNX Runtime is installed", installing("onnxruntime"))
    )
    glibc = platform.libc_ver()[1]
    return [first] if find_spec("av") is not None else [first, without_pyav(glibc)]


def without_pyav(glibc: str) -> Finding:
    """What it means that PyAV is not there: on JetPack 4 that no wheel of it runs on this glibc."""
    from vedette.edge.jetson.boards import version_key
    from vedette.edge.jetson.findings import gap, note

    if glibc and version_key(glibc) < PYAV_GLIBC:
        words = (
            f"no PyAV of today runs on this glibc ({glibc}): DeepStream decodes here, or a container of a newer system"
        )
        return note("decoding", words)
    return gap("decoding", "PyAV is not installed", installing("'vedette[edge]'"))


def installing(package: str) -> str:
    """The command that installs a package into the Python that runs this."""
    from importlib.metadata import PackageNotFoundError, distribution

    python = shlex.quote(sys.executable)
    try:
        distribution("pip")  # looking for the module itself wakes setuptools, which warns where distutils is imported
    except PackageNotFoundError:  # uv makes environments without it
        return f"uv pip install --python {python} {package}"
    return f"{python} -m pip install {package}"


def with_own_python(findings: Iterable[Finding]) -> list[Finding]:
    """A system's Python that is too old is no gap where Vedette runs: it has one of its own."""
    import platform

    from vedette.edge.jetson.findings import Verdict, good

    own = f"the system's is too old, Vedette runs on one of its own: {platform.python_version()} ({sys.executable})"
    return [good("Python", own) if one.topic == "Python" and one.verdict is Verdict.GAP else one for one in findings]


def _cameras(pipeline: Path | None) -> list[Finding]:
    if pipeline is None:
        return []
    from vedette.apps.camera_reach import reach_cameras
    from vedette.apps.pipeline_file import read_pipeline

    return reach_cameras(read_pipeline(pipeline))


def _print(findings: list[Finding], gaps: int) -> None:
    from vedette.apps.console import print_line

    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        print_line(f"{SIGNS[finding.verdict.value]:<4}  {finding.topic:<{width}}  {finding.text}")
        for command in finding.remedy:
            print_line(f"{'':<{width + 8}}$ {command}")
    print_line()
    print_line("nothing is missing" if not gaps else f"{gaps} {'gap' if gaps == 1 else 'gaps'} to mend")


def ask(command: str) -> str | None:
    """What a program of this machine says; None where it is missing, refuses or takes too long."""
    program, *arguments = shlex.split(command)
    place = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if place is None:
        return None
    try:
        done = subprocess.run(
            [place, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
